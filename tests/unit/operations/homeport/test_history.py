"""What an entry of a resource's history says: only what changed, by AWS's kind of names."""

from typing import Any

import msgspec
from msgspec.structs import replace

from builders import NOW_MS, make_container_instance, make_service, make_task
from homeport.model.instance_turnover import InstanceTurnover
from homeport.model.record import ResourceTags, Tag
from homeport.model.service import ServiceEvent
from homeport.operations.homeport.history import PastChange, render_history
from homeport.state.changes import Put, delete_of

TASK = make_task()
SERVICE = make_service()


def render(past: list[PastChange], limit: int = 100, messages: Any = ()) -> list[dict[str, Any]]:
    entries = render_history(past, messages, limit)
    found: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(entries))
    return found


def past(sequence: int, record: Any, cause: str = "SubmitTaskStateChange") -> PastChange:
    return PastChange(sequence, NOW_MS + sequence * 1_000, cause, Put(record))


def test_an_entry_says_cause_and_changed_members_only():
    (container,) = TASK.containers
    running = replace(
        TASK,
        version=2,
        last_status="RUNNING",
        started_at_ms=NOW_MS,
        containers=(replace(container, last_status="RUNNING"),),
    )
    first, second = render([past(2, running), past(1, TASK, "RunTask")])
    assert (first["cause"], first["isFirstKnown"], first["sequence"]) == ("RunTask", True, 1)
    assert (second["cause"], second["kind"]) == ("SubmitTaskStateChange", "CHANGED")
    assert second["at"] == NOW_MS / 1_000 + 2
    assert second["changes"] == [
        {"member": "lastStatus", "before": "PENDING", "after": "RUNNING"},
        {"member": "containers[app].lastStatus", "before": "PENDING", "after": "RUNNING"},
        {"member": "startedAt", "before": None, "after": "2025-10-09T08:53:20.000Z"},
    ]


def test_the_first_known_state_lists_what_it_has():
    (entry,) = render([past(1, TASK)])
    members = {each["member"]: each["after"] for each in entry["changes"]}
    assert members["group"] == "family:web"
    assert members["createdAt"] == "2025-10-09T08:53:20.000Z"
    assert "version" not in members


def test_one_more_than_the_limit_serves_only_to_compare_with():
    stopped = replace(TASK, desired_status="STOPPED")
    (entry,) = render([past(2, stopped), past(1, TASK)], limit=1)
    assert not entry["isFirstKnown"]
    assert [each["member"] for each in entry["changes"]] == ["desiredStatus"]


def test_a_change_of_nothing_but_counters_is_left_out():
    assert len(render([past(2, replace(TASK, version=2)), past(1, TASK)])) == 1


def test_a_deleted_record_says_so():
    gone = PastChange(2, NOW_MS + 2_000, "Expire", delete_of(TASK))
    _, entry = render([gone, past(1, TASK)])
    assert (entry["kind"], entry["cause"], entry["changes"]) == ("DELETED", "Expire", [])


def test_tags_are_a_member_of_the_resource_though_they_are_kept_apart():
    tags = ResourceTags(arn=TASK.arn, tags=(Tag("team", "a"),))
    other = ResourceTags(arn=TASK.arn, tags=(Tag("team", "b"),))
    gone = PastChange(4, NOW_MS + 4_000, "UntagResource", delete_of(tags))
    entries = render([gone, past(3, other, "TagResource"), past(2, tags), past(1, TASK)])
    assert [each["kind"] for each in entries] == ["CHANGED"] * 4
    assert [each["isFirstKnown"] for each in entries] == [True, False, False, False]
    assert [each["changes"] for each in entries[1:]] == [
        [{"member": "tags", "before": None, "after": {"team": "a"}}],
        [{"member": "tags.team", "before": "a", "after": "b"}],
        [{"member": "tags", "before": {"team": "b"}, "after": None}],
    ]


def test_what_only_counts_forgotten_tasks_is_not_told():
    instance = make_container_instance()
    turnover = InstanceTurnover(container_instance_arn=instance.arn, forgotten=2)
    drained = replace(instance, status="DRAINING")
    entries = render([past(3, drained), past(2, turnover), past(1, instance)])
    assert [len(each["changes"]) for each in entries[1:]] == [1]
    (limited,) = render([past(3, drained), past(2, turnover)], limit=1)
    assert limited["sequence"] == 3


def test_a_services_messages_stand_in_between_by_time():
    grown = replace(SERVICE, desired_count=4)
    message = ServiceEvent(
        id="1",
        service_arn=SERVICE.arn,
        sequence=1,
        created_at_ms=NOW_MS + 1_500,
        message="(service web) has reached a steady state.",
    )
    entries = render([past(2, grown, "UpdateService"), past(1, SERVICE)], messages=[message])
    assert [each["kind"] for each in entries] == ["CHANGED", "MESSAGE", "CHANGED"]
    assert entries[1]["message"] == message.message
    assert entries[2]["changes"] == [{"member": "desiredCount", "before": 1, "after": 4}]


def test_members_that_are_documents_are_compared_inside():
    first = replace(SERVICE, document=b'{"roleArn":"a","availabilityZoneRebalancing":"ENABLED"}')
    second = replace(SERVICE, document=b'{"roleArn":"a","availabilityZoneRebalancing":"DISABLED"}')
    _, entry = render([past(2, second), past(1, first)])
    assert entry["changes"] == [
        {
            "member": "document.availabilityZoneRebalancing",
            "before": "ENABLED",
            "after": "DISABLED",
        }
    ]
