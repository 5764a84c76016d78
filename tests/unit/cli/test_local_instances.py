"""How one machine becomes several container instances."""

from pathlib import Path

from homeport.cli.local_instances import (
    SIZE_FILE_NAME,
    MachineSize,
    keep_sizes,
    measure_machine,
    plan_instances,
    read_sizes,
)
from homeport.config import AgentConfig

MACHINE = MachineSize(cpu_units=4096, memory_mib=8001)


def test_each_instance_has_a_zone_an_address_a_name_and_a_folder_of_its_own():
    planned = plan_instances(3, AgentConfig(region="eu-west-1"), MACHINE, Path("/data"))
    settings = [each.settings for each in planned]
    assert [each.name for each in planned] == ["local-1", "local-2", "local-3"]
    assert [each.availability_zone for each in settings] == [
        *("eu-west-1a", "eu-west-1b", "eu-west-1c")
    ]
    assert [each.bind_address for each in settings] == ["127.0.1.1", "127.0.1.2", "127.0.1.3"]
    assert [each.attributes for each in settings] == [
        {"homeport.instance": f"local-{number}"} for number in (1, 2, 3)
    ]
    assert len({each.data_dir for each in settings}) == 3


def test_together_the_instances_offer_no_more_than_the_machine_has():
    settings = [each.settings for each in plan_instances(3, AgentConfig(), MACHINE, Path("/d"))]
    assert sum(each.cpu_units or 0 for each in settings) <= MACHINE.cpu_units
    assert sum(each.memory_mib or 0 for each in settings) <= MACHINE.memory_mib
    assert {each.cpu_units for each in settings} == {1365}


def test_what_the_settings_say_of_each_instance_is_kept():
    template = AgentConfig(
        cpu_units=256, memory_mib=64, instance_type="m5.large", attributes={"stack": "x"}
    )
    (planned,) = plan_instances(1, template, MACHINE, Path("/data"))
    assert (planned.settings.cpu_units, planned.settings.memory_mib) == (256, 64)
    assert planned.settings.instance_type == "m5.large"
    assert planned.settings.attributes == {"stack": "x", "homeport.instance": "local-1"}


def test_zones_repeat_when_there_are_more_instances_than_letters():
    planned = plan_instances(8, AgentConfig(), MACHINE, Path("/data"))
    zones = [each.settings.availability_zone for each in planned]
    assert zones[:2] == zones[6:] == ["us-east-1a", "us-east-1b"]


def test_the_machine_has_at_least_a_core_and_some_memory():
    machine = measure_machine()
    assert machine.cpu_units >= 1024
    assert machine.memory_mib > 64


def test_instances_that_come_back_keep_their_size_whatever_their_number_is_now(tmp_path: Path):
    keep_sizes(plan_instances(2, AgentConfig(), MACHINE, tmp_path), tmp_path)
    smaller = MachineSize(cpu_units=1024, memory_mib=900)
    again = plan_instances(3, AgentConfig(), smaller, tmp_path, kept=read_sizes(tmp_path))
    sizes = [(each.settings.cpu_units, each.settings.memory_mib) for each in again]
    assert sizes == [(2048, 4000), (2048, 4000), (341, 300)]
    keep_sizes(again, tmp_path)
    (alone,) = plan_instances(1, AgentConfig(), MACHINE, tmp_path, kept=read_sizes(tmp_path))
    assert alone.settings.cpu_units == 2048
    back = plan_instances(3, AgentConfig(), MACHINE, tmp_path, kept=read_sizes(tmp_path))
    assert back[2].settings.cpu_units == 341


def test_a_size_that_is_asked_for_wins_over_the_kept_one(tmp_path: Path):
    keep_sizes(plan_instances(1, AgentConfig(), MACHINE, tmp_path), tmp_path)
    template = AgentConfig(cpu_units=256)
    (planned,) = plan_instances(1, template, MACHINE, tmp_path, kept=read_sizes(tmp_path))
    assert (planned.settings.cpu_units, planned.settings.memory_mib) == (256, 8001)


def test_a_size_that_cannot_be_read_is_cut_anew(tmp_path: Path):
    keep_sizes(plan_instances(1, AgentConfig(), MACHINE, tmp_path), tmp_path)
    (tmp_path / "instances" / "local-1" / SIZE_FILE_NAME).write_text("{")
    assert read_sizes(tmp_path) == {}
    assert read_sizes(tmp_path / "nothing") == {}


def test_instances_of_a_known_type_offer_what_it_offers(tmp_path):
    template = AgentConfig(instance_type="m5.large")
    planned = plan_instances(3, template, MachineSize(1000, 900), tmp_path)
    sizes = {(each.settings.cpu_units, each.settings.memory_mib) for each in planned}
    assert sizes == {(2048, 8192)}
