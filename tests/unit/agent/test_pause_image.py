"""The pause image: a tar that an Engine loads, always the same, for machines it has code for."""

import hashlib
import io
import json
import tarfile

import pytest

from homeport.agent.pause_image import make_pause_image


def read(image: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(image)) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]


@pytest.mark.parametrize(("machine", "elf_machine"), [("x86_64", 62), ("aarch64", 183)])
def test_the_image_holds_one_program_for_the_machine(machine: str, elf_machine: int) -> None:
    files = read(make_pause_image("pause:1", machine))
    (manifest,) = json.loads(files["manifest.json"])
    assert manifest["RepoTags"] == ["pause:1"]
    config = json.loads(files[manifest["Config"]])
    layer = files[manifest["Layers"][0]]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    program = read(layer)["pause"]
    assert program.startswith(b"\x7fELF")
    assert int.from_bytes(program[18:20], "little") == elf_machine
    assert len(program) < 256


def test_the_image_is_the_same_every_time() -> None:
    assert make_pause_image("pause:1", "x86_64") == make_pause_image("pause:1", "x86_64")


def test_a_machine_without_code_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="riscv64"):
        make_pause_image("pause:1", "riscv64")
