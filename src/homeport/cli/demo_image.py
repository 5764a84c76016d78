"""The image of the demo and of the tests: busybox and a web server, made without a registry.

The engine imports a tar that is put together here from this machine's static busybox.
"""

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from homeport.cli.engine_api import EngineApi
from homeport.cli.failure import CommandFailure

BUSYBOX_TIMEOUT_S = 10
# Where a dynamically linked program names its loader: near the start of the file.
ELF_HEAD_BYTES = 4096

# A shell as process 1 ignores SIGTERM unless told otherwise, and would be killed after the
# stop timeout.
SERVE_SCRIPT = """\
#!/bin/sh
trap 'exit 0' TERM INT
mkdir -p /www
echo "hello from container $(hostname)" > /www/index.html
httpd -f -p "${PORT:-80}" -h /www &
wait
"""


def ensure_image(engine: EngineApi, name: str) -> bool:
    """Have the image `REPOSITORY:TAG` on the engine; whether it had to be made.

    Its `/serve` answers HTTP on port 80 (or PORT) with the container's host name.
    """
    if engine.has_image(name):
        return False
    repository, _, tag = name.rpartition(":")
    engine.import_image(make_tar({"serve": SERVE_SCRIPT}), repository=repository, tag=tag)
    return True


def make_tar(scripts: Mapping[str, str]) -> bytes:
    """A file system of busybox, its applets as links, and `scripts` in the root folder."""
    busybox = _find_static_busybox()
    applets = subprocess.run(
        [str(busybox), "--list"],
        capture_output=True,
        text=True,
        check=True,
        timeout=BUSYBOX_TIMEOUT_S,
    ).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "etc", "tmp", "www"):
            entry = tarfile.TarInfo(folder)
            entry.type = tarfile.DIRTYPE
            entry.mode = 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        _add_file(tar, "bin/busybox", busybox.read_bytes(), mode=0o755)
        _add_file(tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n", mode=0o644)
        _add_file(tar, "etc/group", b"root:x:0:\n", mode=0o644)
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type = tarfile.SYMTYPE
                link.linkname = "busybox"
                tar.addfile(link)
        for name, text in scripts.items():
            _add_file(tar, name, text.encode(), mode=0o755)
    return buffer.getvalue()


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, *, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    tar.addfile(entry, io.BytesIO(content))


def _find_static_busybox() -> Path:
    found = shutil.which("busybox")
    if found is None:
        raise CommandFailure("busybox is missing; run:  apt-get install -y busybox-static")
    path = Path(found).resolve()
    with path.open("rb") as file:
        head = file.read(ELF_HEAD_BYTES)
    if b"/ld-linux" in head or b"/ld-musl" in head:
        raise CommandFailure(
            f"{path} needs shared libraries; run:  apt-get install -y busybox-static"
        )
    return path
