"""ExplainServices: what services wait for, and when their scheduler tries again.

ECS tells it in pieces: service events, rollout states, hooks, stopped tasks. Nothing is decided
here; everything said has been written down by `core.reconcile`.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from homeport.api import ecs, homeport
from homeport.core.decision import Decision
from homeport.core.reconcile.service_events import steady_message
from homeport.core.reconcile.stages import BAKE_TIME
from homeport.core.reconcile.throttle import is_impaired
from homeport.model.service import Service
from homeport.operations.context import CallContext
from homeport.operations.lookup import find_cluster, service_arn_from, service_in
from homeport.state.view import View

SERVICES_PER_CALL = 10
MS_PER_S = 1_000
# Words of the events that say what is wrong; all others tell what was done.
_COMPLAINTS = ("unable to", "could not", "operations are being throttled")


def explain_services(
    view: View, request: homeport.ExplainServicesRequest, context: CallContext
) -> Decision:
    """Tell what up to ten services wait for; unknown ones are left out, steady ones have no reason.

    Homeport's own. Refuses with InvalidParameterException or ClusterNotFoundException.
    """
    cluster = find_cluster(view, context.scope, request.cluster)
    asked = request.services or []
    if not 1 <= len(asked) <= SERVICES_PER_CALL:
        raise ecs.InvalidParameterException(
            f"services must name 1 to {SERVICES_PER_CALL} services, it names {len(asked)}."
        )
    arns = dict.fromkeys(service_arn_from(context.scope, cluster, name) for name in asked)
    found = [service_in(view, context.scope, cluster, arn) for arn in arns]
    return Decision(
        reply=homeport.ExplainServicesResponse(
            services=[
                _explain(view, service, context.moment.now_ms)
                for service in found
                if service is not None
            ]
        )
    )


def _explain(view: View, service: Service, now_ms: int) -> homeport.ExplainedService:
    is_throttled = service.status == "ACTIVE" and now_ms < service.next_launch_at_ms
    return homeport.ExplainedService(
        service_arn=service.arn,
        is_steady=service.is_steady,
        next_launch_at=service.next_launch_at_ms / MS_PER_S if is_throttled else None,
        failed_rounds=max(service.failed_launches, service.quick_exits),
        reasons=list(dict.fromkeys(_reasons(view, service))) if service.status == "ACTIVE" else [],
    )


def _reasons(view: View, service: Service) -> Iterator[str]:
    """Say what keeps a service from being steady, the most telling first."""
    if service.is_steady:
        return
    if service.last_failure_reason and (is_impaired(service) or _has_failed_tasks(service)):
        yield f"tasks don't stay up: {service.last_failure_reason}"
    yield from _waits_of_deployment(view, service)
    if service.primary.rollout_state == "FAILED":
        yield service.primary.rollout_state_reason
    yield from _newest_complaint(view, service)
    waiting = Counter(
        task.capacity_provider or task.launch_type
        for task in view.tasks_of_service(service.arn).values()
        if task.is_provisioning
    )
    for provider, number in sorted(waiting.items()):
        yield f"{number} tasks wait for capacity of {provider} in PROVISIONING"


def _has_failed_tasks(service: Service) -> bool:
    """Whether tasks of the deployment that was given up are why it was."""
    deployment = service.primary
    is_own = service.last_failed_round_at_ms >= deployment.created_at_ms
    return deployment.rollout_state == "FAILED" and is_own


def _waits_of_deployment(view: View, service: Service) -> Iterator[str]:
    arn = service.service_deployment_arn
    record = None if arn is None else view.service_deployment(arn)
    if record is None or service.staged is None:
        return
    for hook in record.hooks:
        if hook.status == "AWAITING_ACTION":
            yield (
                f"paused in {hook.stage}: answer hook {hook.id} of {record.arn} with "
                "ContinueServiceDeployment"
            )
    if record.lifecycle_stage == BAKE_TIME:
        yield f"bakes for {service.staged.bake_time_min} min before it is complete"


def _newest_complaint(view: View, service: Service) -> Iterator[str]:
    """Say the newest trouble since the service was steady, or its deployment began."""
    settled = steady_message(service)
    for event in view.service_events(service.arn):
        if event.message == settled or event.created_at_ms < service.primary.created_at_ms:
            return
        if any(words in event.message for words in _COMPLAINTS):
            yield event.message.removeprefix(f"(service {service.name}) ")
            return


OPERATIONS: dict[str, Callable[..., Decision]] = {"ExplainServices": explain_services}
