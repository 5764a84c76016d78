"""What a deployment looks like: on a terminal, in a pipe, and as JSON."""

import io
import json
from typing import Any

from rich.console import Console

from homeport.cli.deploy_plan import MemberChange, ServicePlan
from homeport.cli.deploy_rollout import Look, Rollout
from homeport.cli.deploy_view import SHOWN_ADDRESSES, JsonView, TextView
from homeport.cli.deploy_wish import WantedService

REVISION = "arn:aws:ecs:us-east-1:1:task-definition/web:2"
EVENT = {
    "detail-type": "ECS Task State Change",
    "time": "2026-01-31T23:59:58Z",
    "resources": ["arn:aws:ecs:us-east-1:1:task/default/0123456789abcdef"],
    "detail": {
        "taskDefinitionArn": REVISION,
        "group": "service:web",
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "stoppedReason": "[bold]why[/]",
        "containers": [{"name": "app", "exitCode": 3}],
    },
}
LINE = (
    "23:59:58 task 0123456789ab web:2 service:web STOPPED - [bold]why[/] [app exited 3]"
)


def look(**members: Any) -> Look:
    return Look(
        **{
            "service": "web",
            "desired_count": 3,
            "running_count": 2,
            "tasks": {("web:1", "RUNNING"): 2, ("web:2", "PENDING"): 1},
            "messages": ("(service web) has started 1 tasks.",),
            **members,
        }
    )


def rollout(**members: Any) -> Rollout:
    return Rollout(service="web", deployment_id="ecs-svc/1", definition_arn=REVISION, **members)


def show_text(*, is_terminal: bool, end: Rollout) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=120, highlight=False)
    view = TextView(console)
    with view.live():
        view.progress([end], [look()], [EVENT])
    view.result([end])
    return file.getvalue()


def test_a_pipe_gets_plain_lines_in_which_nothing_is_taken_as_markup():
    shown = show_text(is_terminal=False, end=rollout(outcome="failed", reason="[red]x"))
    assert shown.splitlines() == [
        LINE,
        "(service web) has started 1 tasks.",
        "service web: web:2 failed: [red]x",
    ]


def test_a_terminal_gets_the_tasks_by_revision_and_state_as_well():
    shown = show_text(is_terminal=True, end=rollout(outcome="steady"))
    assert "web: 2 of 3 running" in shown
    assert "web:1" in shown
    assert "PENDING" in shown
    assert "service web is steady on web:2" in shown


def test_what_was_not_begun_has_no_revision():
    end = Rollout(
        service="web", deployment_id="", definition_arn="", outcome="not begun", reason="later"
    )
    assert "service web: not begun: later" in show_text(is_terminal=False, end=end)


def test_addresses_are_shown_up_to_a_limit():
    addresses = tuple(f"127.0.1.1:{port}" for port in range(100))
    shown = show_text(is_terminal=False, end=rollout(outcome="steady", addresses=addresses))
    assert shown.count("listens on 127.0.1.1:") == SHOWN_ADDRESSES


def test_json_is_one_object_a_line_and_counts_only_when_they_changed(capsys):
    view = JsonView()
    wanted = WantedService(name="web", definition={"family": "web"})
    change = MemberChange("containerDefinitions[app].image", "a", "b")
    plan = ServicePlan(
        wanted=wanted,
        is_new=False,
        definition_arn=None,
        definition_changes=(change,),
        count_before=3,
        count_after=3,
    )
    view.plan([plan])
    view.progress([rollout()], [look()], [EVENT])
    view.progress([rollout()], [look(messages=())], [])
    view.progress([rollout()], [look(messages=(), running_count=3)], [])
    view.result([rollout(outcome="steady", addresses=("127.0.1.1:80",))])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in lines] == [
        *("plan", "event", "message", "progress", "progress", "result"),
    ]
    assert lines[0]["services"][0]["action"] == "update"
    assert lines[0]["services"][0]["changes"][0]["after"] == "b"
    assert lines[1]["event"] == EVENT
    assert lines[3]["services"][0]["tasks"][0] == {
        "taskDefinition": "web:1",
        "state": "RUNNING",
        "count": 2,
    }
    assert lines[-1]["services"][0]["addresses"] == ["127.0.1.1:80"]


def test_a_hook_that_waits_is_shown_with_what_has_to_be_answered():
    hook = {
        "detail-type": "ECS Hook State Change",
        "time": "2026-01-31T23:59:58Z",
        "resources": ["arn:aws:ecs:us-east-1:1:service/default/web"],
        "detail": {
            "eventName": "HOOK_AWAITING_ACTION",
            "lifecycleStage": "POST_SCALE_UP",
            "hookId": "ecs-pause-1",
        },
    }
    other = {**hook, "detail-type": "ECS Service Action"}
    file = io.StringIO()
    TextView(Console(file=file, width=120)).progress([rollout()], [], [hook, other])
    line = "23:59:58 service web HOOK_AWAITING_ACTION POST_SCALE_UP ecs-pause-1"
    assert file.getvalue().splitlines() == [line]
