"""The questions one may ask: `state.view`."""

import msgspec

from builders import (
    NOW_MS,
    SCOPE,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
)
from homeport.model.account_setting import AccountSetting
from homeport.model.arn import Scope
from homeport.model.client_token import ClientToken
from homeport.model.record import ResourceTags, Tag
from homeport.model.service import ServiceEvent
from homeport.model.task_definition import Family
from homeport.state.changes import AnyRecord
from homeport.state.view import View, family_key

CLUSTER = make_cluster()
ELSEWHERE = Scope("123456789012", "eu-west-1")


def seen(*records: AnyRecord) -> View:
    return View(make_store(*records))


def test_clusters_are_found_by_name_within_their_scope_and_listed_by_name():
    b, a, c = make_cluster("b"), make_cluster("a"), make_cluster("c")
    gone = make_cluster("d", status="INACTIVE", deleted_at_ms=NOW_MS)
    view = seen(b, a, gone, c)
    assert view.cluster_by_name(SCOPE, "a") == a
    assert view.cluster_by_name(ELSEWHERE, "a") is None
    assert list(view.clusters(SCOPE)) == [a, b, c]
    assert list(view.clusters(SCOPE, "a")) == [b, c]
    assert list(view.clusters(SCOPE, "aa")) == [b, c]
    assert list(view.clusters(ELSEWHERE)) == []
    assert list(view.deleted_clusters()) == [gone]
    assert view.cluster(gone.arn) == gone


def test_deregistered_instances_are_described_but_not_listed():
    active = make_container_instance("1")
    late = make_container_instance("2", status="INACTIVE", deregistered_at_ms=NOW_MS + 1)
    early = make_container_instance("3", status="INACTIVE", deregistered_at_ms=NOW_MS)
    view = seen(CLUSTER, late, active, early)
    assert list(view.container_instances(CLUSTER.arn)) == [active.arn]
    assert list(view.container_instances_after(CLUSTER.arn, None)) == [active]
    assert list(view.container_instances_after(CLUSTER.arn, active.arn)) == []
    assert view.container_instance(late.arn) == late
    assert list(view.deregistered_instances()) == [early, late]
    assert len(list(view.every_container_instance())) == 3


def test_the_latest_active_revision_skips_inactive_ones():
    revisions = [make_task_definition(revision=n) for n in (1, 2, 10)]
    newest = msgspec.structs.replace(revisions[2], status="INACTIVE")
    view = seen(*revisions[:2], newest)
    assert view.latest_active_revision(SCOPE, "web") == revisions[1]
    assert view.latest_active_revision(SCOPE, "we") is None
    assert view.latest_active_revision(ELSEWHERE, "web") is None
    assert view.task_definition(newest.arn) == newest


def test_revisions_are_in_the_order_of_numbers_not_of_text():
    revisions = [make_task_definition(revision=n) for n in (10, 9, 1)]
    gone = make_task_definition(revision=2, status="INACTIVE")
    view = seen(*revisions, gone, make_task_definition("api"))

    def numbers(*args: object, descending: bool = False) -> list[int]:
        found = view.revisions(SCOPE, "web", *args, descending=descending)
        return [definition.revision for definition in found]

    assert numbers("ACTIVE") == [1, 9, 10]
    assert numbers("ACTIVE", 9) == [10]
    assert numbers("ACTIVE", 5) == [9, 10]
    assert numbers("ACTIVE", descending=True) == [10, 9, 1]
    assert numbers("ACTIVE", 10, descending=True) == [9, 1]
    assert numbers("INACTIVE") == [2]
    assert view.has_revisions(SCOPE, "web", "INACTIVE")
    assert not view.has_revisions(SCOPE, "api", "INACTIVE")


def test_task_definitions_of_a_scope_are_in_the_order_of_families_and_revisions():
    web = [make_task_definition(revision=n) for n in (10, 9)]
    deleting = make_task_definition("old", status="DELETE_IN_PROGRESS")
    view = seen(*web, make_task_definition("api"), deleting)

    def names(*args: object, descending: bool = False) -> list[str]:
        found = view.task_definitions(SCOPE, "ACTIVE", *args, descending=descending)
        return [f"{definition.family}:{definition.revision}" for definition in found]

    assert names() == ["api:1", "web:9", "web:10"]
    assert names(("api", 1)) == ["web:9", "web:10"]
    assert names(("web", 10), descending=True) == ["web:9", "api:1"]
    assert list(view.deleting_task_definitions()) == [deleting]


def test_families_keep_their_counters_and_are_listed_by_name():
    web, api = (
        Family(key=family_key(SCOPE, name), name=name, last_revision=3) for name in ("web", "api")
    )
    view = seen(web, api)
    assert view.family(SCOPE, "web") == web
    assert list(view.families(SCOPE)) == [api, web]
    assert list(view.families(SCOPE, "api")) == [web]
    assert list(view.families(SCOPE, from_name="b")) == [web]
    assert list(view.families(SCOPE, "api", "a")) == [web]
    assert list(view.families(ELSEWHERE)) == []


def test_live_tasks_are_grouped_and_stopped_ones_only_described():
    service, instance = make_service(), make_container_instance()
    live = make_task("1", service=service, instance=instance)
    stopped = make_task("2", service=service, instance=instance, last_status="STOPPED")
    view = seen(CLUSTER, service, instance, live, stopped)
    for tasks in (
        view.tasks_of_instance(instance.arn),
        view.tasks_of_service(service.arn),
        view.tasks_of_group(CLUSTER.arn, "service:web"),
        view.live_tasks(CLUSTER.arn),
    ):
        assert dict(tasks) == {live.arn: live}
    assert view.task(stopped.arn) == stopped
    assert list(view.stopped_tasks()) == [stopped]


def test_tasks_are_paged_by_desired_status_in_the_order_of_arns():
    tasks = sorted((make_task(n) for n in range(5)), key=lambda task: task.arn)
    leaving = msgspec.structs.replace(tasks[1], desired_status="STOPPED")
    view = seen(*tasks[2:], tasks[0], leaving)
    wanted = [tasks[0], *tasks[2:]]
    assert list(view.tasks_after(CLUSTER.arn, "RUNNING", None)) == wanted
    assert list(view.tasks_after(CLUSTER.arn, "RUNNING", tasks[2].arn)) == wanted[2:]
    assert list(view.tasks_after(CLUSTER.arn, "STOPPED", None)) == [leaving]


def test_services_are_listed_while_active_and_seen_while_draining():
    active, draining = make_service("a"), make_service("b", status="DRAINING")
    inactive = make_service("c", status="INACTIVE", deleted_at_ms=NOW_MS)
    view = seen(CLUSTER, inactive, draining, active)
    assert list(view.services(CLUSTER.arn)) == [active, draining]
    assert list(view.services(CLUSTER.arn, active)) == [draining]
    assert list(view.listed_services(CLUSTER.arn)) == [active]
    assert list(view.listed_services(CLUSTER.arn, "a")) == []
    assert view.count_services(CLUSTER.arn) == (1, 1)
    assert list(view.inactive_services()) == [inactive]
    assert len(list(view.every_service())) == 3
    assert view.service(inactive.arn) == inactive


def test_service_events_come_newest_first():
    events = [
        ServiceEvent(id=str(n), service_arn="arn:s", sequence=n, created_at_ms=n, message="")
        for n in range(1, 12)
    ]
    view = seen(*events)
    assert view.service_events("arn:s") == events[::-1]
    assert [event.sequence for event in view.service_events("arn:s", 2)] == [11, 10]
    assert view.service_events("arn:other") == []
    assert view.service_events_beyond("arn:s", 8) == events[2::-1]
    assert view.service_events_beyond("arn:s", 11) == []


def test_tags_settings_and_tokens_are_found_by_key():
    tags = ResourceTags(arn="arn:x", tags=(Tag("k", "v"),))
    setting = AccountSetting(
        key="123456789012/us-east-1/root/x",
        account_id="123456789012",
        region="us-east-1",
        principal_arn="root",
        name="x",
        value="enabled",
    )
    tokens = [
        ClientToken(key=str(n), fingerprint=b"", resource_arns=(), expires_at_ms=9 - n)
        for n in range(2)
    ]
    view = seen(tags, setting, *tokens)
    assert view.tags("arn:x") == tags.tags
    assert view.tags("arn:y") == ()
    assert view.account_setting(setting.key) == setting
    assert list(view.account_settings(SCOPE)) == [setting]
    assert view.client_token("0") == tokens[0]
    assert list(view.expiring_tokens()) == tokens[::-1]
    assert view.sequence == 1
    assert list(view.every_cluster()) == []
