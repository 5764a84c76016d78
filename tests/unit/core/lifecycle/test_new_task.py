"""How tasks are created and how their stop begins."""

from builders import NOW_MS, at, make_container_instance, make_task, make_task_definition
from homeport.core.lifecycle.new_task import (
    ContainerOverride,
    Overrides,
    needed_resources,
    stop_task,
)
from homeport.core.lifecycle.new_task import make_task as make_new_task
from homeport.model.resources import HostPort, TaskResources
from homeport.model.task_definition import ContainerSpec

TWO_CONTAINERS = (
    ContainerSpec(name="web", image="nginx", cpu_units=100, memory_mib=300),
    ContainerSpec(
        name="log", image="fluent", cpu_units=20, memory_mib=200, memory_reservation_mib=50
    ),
)


def test_a_new_task_is_pending_on_its_instance_in_its_zone():
    instance = make_container_instance(zone="us-east-1b")
    task = make_task(instance=instance)
    assert (task.last_status, task.desired_status) == ("PENDING", "RUNNING")
    assert task.container_instance_arn == instance.arn
    assert task.availability_zone == "us-east-1b"
    assert task.version == 1
    assert task.created_at_ms == NOW_MS


def test_task_and_container_arns_have_the_forms_of_aws():
    task = make_task(definition=make_task_definition(containers=TWO_CONTAINERS))
    prefix, task_id = task.arn.rsplit("/", 1)
    assert prefix == "arn:aws:ecs:us-east-1:123456789012:task/default"
    assert len(task_id) == 32
    for container in task.containers:
        kind, cluster, owner, uuid = container.arn.split(":")[-1].split("/")
        assert (kind, cluster, owner) == ("container", "default", task_id)
        assert [len(part) for part in uuid.split("-")] == [8, 4, 4, 4, 12]
    assert len({container.arn for container in task.containers}) == 2


def test_the_same_identifiers_make_the_same_task():
    definition, instance = make_task_definition(), make_container_instance()

    def once():
        return make_new_task(
            definition,
            cluster_arn=instance.cluster_arn,
            instance=instance,
            id_source=at().ids(),
            group="family:web",
            moment=at(),
        )

    assert once() == once()


def test_containers_carry_their_sizes_as_text_and_cpu_is_0_when_unset():
    bare = (ContainerSpec(name="app", image="busybox", memory_mib=64),)
    (container,) = make_task(definition=make_task_definition(containers=bare)).containers
    assert (container.cpu, container.memory, container.memory_reservation) == ("0", "64", None)


def test_a_task_needs_the_sums_of_its_containers_and_reservations_count_before_limits():
    definition = make_task_definition(containers=TWO_CONTAINERS, host_ports=(80,))
    override = Overrides(containers=(ContainerOverride(name="web", memory_mib=500),))
    assert needed_resources(definition, override) == TaskResources(120, 550, (HostPort(80),))


def test_container_overrides_do_not_change_what_the_task_level_fixes():
    definition = make_task_definition(
        containers=TWO_CONTAINERS, cpu="256", memory="1024", resources=TaskResources(256, 1024)
    )
    override = Overrides(containers=(ContainerOverride(name="web", memory_mib=500, cpu_units=9),))
    assert needed_resources(definition, override) == TaskResources(256, 1024)


def test_task_level_overrides_win_over_everything():
    definition = make_task_definition(containers=TWO_CONTAINERS)
    override = Overrides(
        cpu_units=512, memory_mib=2048, containers=(ContainerOverride(name="web", cpu_units=9),)
    )
    assert needed_resources(definition, override) == TaskResources(512, 2048)


def test_without_overrides_a_task_needs_what_its_definition_says():
    definition = make_task_definition(containers=TWO_CONTAINERS)
    assert needed_resources(definition) is definition.resources


def test_stopping_states_who_asked_and_when():
    task = make_task(last_status="RUNNING")
    stopped = stop_task(task, stop_code="UserInitiated", reason="enough", moment=at(NOW_MS + 5))
    assert (stopped.desired_status, stopped.last_status) == ("STOPPED", "RUNNING")
    assert (stopped.stop_code, stopped.stopped_reason) == ("UserInitiated", "enough")
    assert stopped.stopping_at_ms == NOW_MS + 5
    assert stopped.stopped_at_ms is None
    assert stopped.version == task.version + 1


def test_a_second_stop_changes_nothing():
    first = stop_task(make_task(), stop_code="UserInitiated", reason="enough", moment=at())
    second = stop_task(
        first, stop_code="ServiceSchedulerInitiated", reason="scaling", moment=at(NOW_MS + 1)
    )
    assert second is first
