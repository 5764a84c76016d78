"""The checked-in shapes are what the generator makes of the pinned botocore, and fit its model."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from botocore.loaders import Loader

from homeport.api import ecs
from homeport.api.errors import AwsError
from homeport.api.shapes import Shape

REPOSITORY = Path(__file__).resolve().parents[3]
MODEL = Loader().load_service_model("ecs", "service-2", api_version="2014-11-13")
OPERATION_COUNT = 88


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generate_api", REPOSITORY / "tools" / "generate_api.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_checked_in_shapes_are_what_the_generator_makes(generator: ModuleType) -> None:
    checked_in = (REPOSITORY / "src/homeport/api/ecs.py").read_text(encoding="utf-8")
    assert generator.generate_module("ecs", "2014-11-13") == checked_in, "run make generate"


def test_a_stale_file_fails_the_check_and_is_not_touched(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "API_FOLDER", tmp_path)
    (tmp_path / "ecs.py").write_text("# old\n")
    assert generator.main(["--check"]) == 1
    assert (tmp_path / "ecs.py").read_text() == "# old\n"


def test_every_operation_of_the_model_is_in_the_table() -> None:
    assert set(ecs.OPERATIONS) == set(MODEL["operations"])
    assert len(ecs.OPERATIONS) == OPERATION_COUNT
    for name, operation in MODEL["operations"].items():
        ours = ecs.OPERATIONS[name]
        assert ours.input_type.__name__ == operation["input"]["shape"]
        assert ours.output_type.__name__ == operation["output"]["shape"]
        assert [e.__name__ for e in ours.errors] == [e["shape"] for e in operation["errors"]]


def test_every_member_keeps_its_exact_wire_name_and_may_be_absent(generator: ModuleType) -> None:
    for name, shape in MODEL["shapes"].items():
        if shape["type"] != "structure" or shape.get("exception") or shape.get("document"):
            continue
        ours = getattr(ecs, name)
        members = [*shape["members"], *generator.AGENT_MEMBERS.get(name, {})]
        assert list(ours.__struct_encode_fields__) == members
        assert msgspec.json.encode(ours()) == b"{}"


@pytest.mark.parametrize(
    ("wire_name", "attribute"),
    [
        ("taskDefinition", "task_definition"),
        ("privateIpv4Address", "private_ipv4_address"),
        ("memoryGiBPerVCpu", "memory_gib_per_vcpu"),
        ("sizeInGiB", "size_in_gib"),
        ("vCpuCount", "vcpu_count"),
        ("enableECSManagedTags", "enable_ecs_managed_tags"),
        ("class", "class_"),
    ],
)
def test_wire_names_become_python_names(
    generator: ModuleType, wire_name: str, attribute: str
) -> None:
    assert generator.snake_name(wire_name) == attribute


def test_every_modelled_exception_has_its_code_and_status() -> None:
    exceptions = [n for n, s in MODEL["shapes"].items() if s.get("exception")]
    assert len(exceptions) == 31
    for name in exceptions:
        error = getattr(ecs, name)("why")
        assert isinstance(error, AwsError)
        assert (error.code, error.message, str(error)) == (name, "why", "why")
        assert error.http_status == (500 if name == "ServerException" else 400)


def test_a_conflict_names_the_resources_it_conflicts_with() -> None:
    error = ecs.ConflictException("taken", resource_ids=["a", "b"])
    assert error.extra_members() == {"resourceIds": ["a", "b"]}


def test_the_checkers_tables_name_attributes_that_exist() -> None:
    for shape, members in [*ecs.REQUIRED_MEMBERS.items(), *ecs.ENUM_MEMBERS.items()]:
        assert issubclass(shape, Shape)
        assert set(members) <= set(shape.__struct_fields__)
    for enums in ecs.ENUM_MEMBERS.values():
        assert set(enums.values()) <= set(ecs.ENUM_VALUES)
