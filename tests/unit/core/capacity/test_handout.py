"""What a container instance gives its tasks by name: `core.capacity.handout`."""

from msgspec.structs import replace

from builders import make_container_instance, make_store, make_task, make_task_definition
from homeport.core.capacity.handout import free_gpu_ids, hand_out
from homeport.model.resources import InstanceResources, TaskResources
from homeport.model.task import Task
from homeport.model.task_definition import ContainerSpec
from homeport.state.view import View

TRAINING = make_task_definition(
    "training",
    containers=(
        ContainerSpec(name="train", image="x", gpu_count=2),
        ContainerSpec(name="log", image="x"),
        ContainerSpec(name="watch", image="x", gpu_count=1),
    ),
)
HOST = make_container_instance(
    attributes={"homeport.subnet": "10.9.0.0/24"},
    resources=InstanceResources(gpu_ids=("g1", "g2", "g3", "g4", "g5"), interface_slots=2),
)


def needy(name: str, **members: object) -> Task:
    task = make_task(name, definition=TRAINING, instance=HOST)
    return replace(task, resources=TaskResources(gpu_count=3), **members)


def gpus_of(task: Task) -> list[tuple[str, ...]]:
    return [container.gpu_ids for container in task.containers]


def test_each_container_gets_as_many_gpus_as_it_requires_and_none_twice():
    view = View(make_store(TRAINING, HOST))
    (first,) = hand_out(view, [needy("first")])
    assert gpus_of(first) == [("g1", "g2"), (), ("g3",)]
    later = View(make_store(TRAINING, HOST, first))
    assert free_gpu_ids(later, HOST) == ("g4", "g5")


def test_tasks_of_one_decision_share_no_gpu():
    two = replace(HOST, resources=InstanceResources(gpu_ids=tuple("abcdef")))
    view = View(make_store(TRAINING, two))
    first, second = hand_out(view, [needy("first"), needy("second")])
    assert gpus_of(first) == [("a", "b"), (), ("c",)]
    assert gpus_of(second) == [("d", "e"), (), ("f",)]


def test_gpus_come_back_when_a_task_has_stopped():
    stopped = needy("gone", last_status="STOPPED", desired_status="STOPPED", stopped_at_ms=1)
    holding = replace(stopped, containers=(replace(stopped.containers[0], gpu_ids=("g1",)),))
    assert free_gpu_ids(View(make_store(TRAINING, HOST, holding)), HOST)[0] == "g1"


def test_tasks_with_an_interface_get_the_lowest_free_addresses():
    view = View(make_store(TRAINING, HOST))
    tasks = [
        replace(
            make_task(n, definition=TRAINING, instance=HOST),
            resources=TaskResources(interface_count=1),
        )
        for n in range(2)
    ]
    given = hand_out(view, tasks)
    assert [task.private_ip for task in given] == ["10.9.0.4", "10.9.0.5"]
    assert hand_out(view, given) == given


def test_tasks_that_need_nothing_or_have_no_place_yet_stay_as_they_are():
    view = View(make_store(TRAINING, HOST))
    plain = make_task("plain", definition=TRAINING, instance=HOST)
    waiting = needy("waiting", container_instance_arn=None, last_status="PROVISIONING")
    assert hand_out(view, [plain, waiting]) == (plain, waiting)
