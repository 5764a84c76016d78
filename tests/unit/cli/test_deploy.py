"""What `homeport deploy` says at its end of services that it did not see to theirs."""

from homeport.cli.deploy import _say_the_rest
from homeport.cli.deploy_plan import ServicePlan
from homeport.cli.deploy_rollout import Rollout
from homeport.cli.deploy_wish import WantedService


def plan(name: str, *, is_new: bool = True) -> ServicePlan:
    wanted = WantedService(name=name, definition={"family": name})
    return ServicePlan(wanted=wanted, is_new=is_new, definition_arn="arn", count_before=1)


def rollout(name: str, **members: object) -> Rollout:
    return Rollout(service=name, deployment_id="id", definition_arn="arn", **members)  # type: ignore[arg-type]


def test_what_was_not_watched_to_its_end_and_what_was_not_begun_is_said():
    plans = [plan("db"), plan("web"), plan("shop"), plan("same", is_new=False)]
    begun = [rollout("db", outcome="steady"), rollout("web")]
    ended = list(_say_the_rest(plans, begun))
    assert [(each.service, each.outcome) for each in ended] == [
        ("db", "steady"),
        ("web", "interrupted"),
        ("shop", "not begun"),
    ]
    assert "goes on" in ended[1].reason
