"""The image of pause containers: one program of a few machine instructions, from no registry.

It is put together as `docker save` writes images, so that the Engine can load it. Pure.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
from typing import Final

_IGNORED_SIGCHLD: Final = struct.pack("<4Q", 1, 0, 0, 0)  # a sigaction: SIG_IGN
"""The first process of a shared process namespace inherits orphans; nobody waits for them then."""

_PAUSE_X86_64: Final = bytes.fromhex(
    "bf11000000"  # mov edi, 17 (SIGCHLD)
    "488d3518000000"  # lea rsi, the sigaction behind the code
    "31d2"  # xor edx, edx
    "41ba08000000"  # mov r10d, 8
    "b80d000000"  # mov eax, 13 (rt_sigaction)
    "0f05"  # syscall
    "b822000000"  # mov eax, 34 (pause)
    "0f05"  # syscall
    "ebf7"  # jmp to the pause
)
_PAUSE_AARCH64: Final = struct.pack(
    "<14I",
    0xD2800220,  # mov x0, 17 (SIGCHLD)
    0x100001A1,  # adr x1, the sigaction behind the code
    0xD2800002,  # mov x2, 0
    0xD2800103,  # mov x3, 8
    0xD28010C8,  # mov x8, 134 (rt_sigaction)
    0xD4000001,  # svc 0
    0xD2800000,  # mov x0, 0: no file descriptors
    0xD2800001,  # mov x1, 0
    0xD2800002,  # mov x2, 0: no time-out
    0xD2800003,  # mov x3, 0: no signal mask
    0xD2800004,  # mov x4, 0
    0xD2800928,  # mov x8, 73 (ppoll)
    0xD4000001,  # svc 0
    0x17FFFFF9,  # b to the ppoll
)
_MACHINES: Final = {
    "x86_64": (62, "amd64", _PAUSE_X86_64),
    "aarch64": (183, "arm64", _PAUSE_AARCH64),
}
_ELF_HEADER_BYTES: Final = 64
_PROGRAM_HEADER_BYTES: Final = 56
_LOAD_ADDRESS: Final = 0x400000
_PAGE_BYTES: Final = 0x1000


def make_pause_image(name: str, machine: str) -> bytes:
    """The image as a tar for the Engine to load; ValueError for a machine that isn't known."""
    if machine not in _MACHINES:
        raise ValueError(f"no pause image for machine {machine}: use {' or '.join(_MACHINES)}")
    number, architecture, code = _MACHINES[machine]
    program = _make_program(number, code + _IGNORED_SIGCHLD)
    layer = _make_tar({"pause": (program, 0o755)})
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": ["/pause"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}"]},
        },
        sort_keys=True,
    ).encode()
    config_name = f"{_sha256(config)}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    return _make_tar(
        {
            "layer.tar": (layer, 0o644),
            config_name: (config, 0o644),
            "manifest.json": (json.dumps(manifest).encode(), 0o644),
        }
    )


def _make_program(machine: int, code: bytes) -> bytes:
    """A static ELF executable whose only segment is the file itself."""
    start = _ELF_HEADER_BYTES + _PROGRAM_HEADER_BYTES
    size = start + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little endian, version 1
    header = ident + struct.pack(
        "<HHIQQQIHHHHHH",
        2,  # an executable
        machine,
        1,
        _LOAD_ADDRESS + start,
        _ELF_HEADER_BYTES,
        0,
        0,
        _ELF_HEADER_BYTES,
        _PROGRAM_HEADER_BYTES,
        1,
        0,
        0,
        0,
    )
    segment = struct.pack(
        "<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, _PAGE_BYTES
    )
    return header + segment + code


def _make_tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
