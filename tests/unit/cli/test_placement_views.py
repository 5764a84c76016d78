"""What `homeport why` and `homeport plan` print."""

from typing import Any

from rich.console import Console

from homeport.cli.placement_views import explanation_parts, plan_parts

ARN = "arn:aws:ecs:us-east-1:123456789012:container-instance/default/0123456789abcdef"
RULE = {
    "reason": "MemberOf placement constraint unsatisfied.",
    "count": 3,
    "detail": "doesn't match attribute:disk in [ssd]",
    "remedy": "change it",
}
NEEDS: dict[str, Any] = {
    "cpu": 512,
    "memory": 64,
    "gpus": 0,
    "hostPorts": ["80/tcp"],
    "attributes": [],
    "constraints": ["distinctInstance"],
}


def printed(parts: Any) -> str:
    console = Console(width=160, highlight=False)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return captured.get()


def test_an_explanation_shows_rules_instances_and_that_there_are_more():
    refused = {
        "containerInstanceArn": ARN,
        "name": "local-1",
        "availabilityZone": None,
        "remainingCpu": 7,
        "remainingMemory": 8,
        "reason": RULE["reason"],
        "detail": RULE["detail"],
    }
    text = printed(
        explanation_parts(
            {
                "summary": "service web [x]: nothing fits",
                "needs": NEEDS,
                "rules": [RULE],
                "instances": [refused],
            }
        )
    )
    assert "service web [x]: nothing fits" in text
    assert "one task takes 512 CPU units, 64 MiB, port 80/tcp, distinctInstance" in text
    assert "doesn't match attribute:disk in [ssd]" in text, "not taken for markup"
    assert "MemberOf placement" not in text
    assert "local-1" in text
    assert "and 2 more; --limit shows them" in text


def test_an_explanation_without_refusals_is_two_lines():
    told = {"summary": "all well", "needs": NEEDS, "rules": [], "instances": []}
    assert len(printed(explanation_parts(told)).splitlines()) == 2


def test_a_plan_shows_shares_and_what_refuses_the_rest():
    share = {"containerInstanceArn": ARN, "name": None, "availabilityZone": "a", "tasks": 2}
    plan = {
        "taskDefinitionArn": "arn:aws:ecs:us-east-1:1:task-definition/web:3",
        "instances": [share],
        "unplaced": 1,
        "rules": [RULE],
    }
    text = printed(plan_parts(plan))
    assert "web:3: 2 of 3 tasks have a place" in text
    assert "0123456789ab " in text
    assert "What refuses the next one" in text
    empty = {**plan, "instances": [], "rules": []}
    assert "there are no container instances for them" in printed(plan_parts(empty))
