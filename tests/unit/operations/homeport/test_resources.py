"""Which resource a person's word means."""

import pytest

from builders import (
    SCOPE,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
)
from homeport.api import ecs
from homeport.api.errors import AwsError
from homeport.model.arn import Scope, short_id
from homeport.operations.homeport.resources import find_resource_arn
from homeport.state.view import View

INSTANCE = make_container_instance(attributes={"homeport.instance": "local-1"})
TASKS = [make_task(name, instance=INSTANCE) for name in ("one", "two", "three")]
STOPPED = make_task("gone", instance=INSTANCE, last_status="STOPPED")
SERVICE = make_service()
VIEW = View(make_store(make_cluster(), INSTANCE, SERVICE, STOPPED, *TASKS))


def find(word: str | None, cluster: str | None = None) -> str:
    return find_resource_arn(VIEW, SCOPE, cluster, word)


def test_services_are_found_by_name_tasks_and_instances_by_the_beginning_of_their_id():
    assert find("web") == SERVICE.arn
    assert find("local-1") == INSTANCE.arn
    assert find(short_id(INSTANCE.arn)[:8]) == INSTANCE.arn
    for task in [*TASKS, STOPPED]:
        assert find(short_id(task.arn)) == task.arn
        assert find(short_id(task.arn)[:8].upper()) == task.arn


def test_an_arn_is_taken_as_it_is_even_of_what_is_forgotten():
    arn = f"arn:aws:ecs:us-east-1:123456789012:task/default/{'0' * 32}"
    assert find(arn) == arn


@pytest.mark.parametrize(
    ("word", "cluster", "refusal"),
    [
        (None, None, ecs.InvalidParameterException),
        ("", None, ecs.InvalidParameterException),
        ("x" * 3_000, None, ecs.InvalidParameterException),
        ("arn:aws:ecs:eu-west-1:123456789012:task/default/1", None, ecs.InvalidParameterException),
        ("arn:aws:ecs:us-east-1:123456789012:cluster/blue", None, ecs.InvalidParameterException),
        ("nothing", None, ecs.ClientException),
        ("web", "red", ecs.ClusterNotFoundException),
    ],
)
def test_what_is_not_there_is_refused(word, cluster, refusal):
    with pytest.raises(refusal):
        find(word, cluster)


def test_an_ambiguous_beginning_names_what_it_could_mean():
    store = make_store(make_cluster(), INSTANCE)
    starts: dict[str, str] = {}
    for number in range(1_000):
        task = make_task(number, instance=INSTANCE)
        other = starts.setdefault(short_id(task.arn)[:4], task.arn)
        if other != task.arn:
            break
    store = make_store(
        make_cluster(), INSTANCE, *(make_task(n, instance=INSTANCE) for n in range(number + 1))
    )
    with pytest.raises(AwsError, match="several ids") as refused:
        find_resource_arn(View(store), SCOPE, None, short_id(task.arn)[:4])
    assert short_id(task.arn) in refused.value.message


def test_another_account_finds_nothing():
    with pytest.raises(ecs.ClusterNotFoundException):
        find_resource_arn(VIEW, Scope("999999999999", "us-east-1"), None, "web")
