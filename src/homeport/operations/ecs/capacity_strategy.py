"""Capacity provider strategies and lists of providers in requests: checked, resolved, rendered.

Reference: capacity-and-scaling §1, §2. How a strategy divides tasks is core.capacity's work.
"""

from collections.abc import Iterable, Sequence

from homeport.api import ecs
from homeport.model.arn import Scope, make_capacity_provider_arn, parse_arn, scope_of
from homeport.model.capacity_provider import FARGATE_PROVIDERS, StrategyItem
from homeport.model.cluster import Cluster
from homeport.state.view import View

ITEMS_PER_STRATEGY = 20
PROVIDERS_PER_CLUSTER = 20
WEIGHT_MAX = 1_000
BASE_MAX = 100_000

BOTH_GIVEN = "Specify either Launch Type or Capacity Provider Strategy, but not both."


def choose_strategy(
    view: View,
    cluster: Cluster,
    asked: Sequence[ecs.CapacityProviderStrategyItem] | None,
    launch_type: str | None,
) -> tuple[StrategyItem, ...]:
    """Return the strategy of a launch: the request's, or the cluster's default; () for none.

    A launch type beside a strategy is refused, and overrides the cluster's default (§1).
    """
    if asked:
        if launch_type is not None:
            raise ecs.InvalidParameterException(BOTH_GIVEN)
        return check_strategy(view, cluster, asked)
    return () if launch_type is not None else cluster.default_strategy


def check_strategy(
    view: View, cluster: Cluster, asked: Sequence[ecs.CapacityProviderStrategyItem]
) -> tuple[StrategyItem, ...]:
    """Return a request's strategy, or refuse it; its providers are the cluster's (§2)."""
    if len(asked) > ITEMS_PER_STRATEGY:
        raise ecs.InvalidParameterException(
            f"A capacity provider strategy can have at most {ITEMS_PER_STRATEGY} items, this one "
            f"has {len(asked)}."
        )
    scope = scope_of(cluster.arn)
    strategy = tuple(_check_item(view, scope, item) for item in asked)
    names = [item.provider for item in strategy]
    for name in names:
        if name not in cluster.capacity_providers:
            raise ecs.InvalidParameterException(
                f"The capacity provider {name} is not associated with the cluster {cluster.name}. "
                "Associate it with PutClusterCapacityProviders and try again."
            )
    _check_as_a_whole(strategy)
    return strategy


def launch_type_of(strategy: Sequence[StrategyItem]) -> str:
    """Return the launch type of tasks that a strategy starts: FARGATE or EC2."""
    return "FARGATE" if strategy[0].provider in FARGATE_PROVIDERS else "EC2"


def check_provider_names(view: View, scope: Scope, identifiers: Iterable[str]) -> tuple[str, ...]:
    """Return the names of providers that a request associates with a cluster, each once."""
    names = tuple(dict.fromkeys(provider_name(view, scope, text) for text in identifiers))
    if len(names) > PROVIDERS_PER_CLUSTER:
        raise ecs.InvalidParameterException(
            f"A cluster can have at most {PROVIDERS_PER_CLUSTER} capacity providers, these are "
            f"{len(names)}."
        )
    return names


def provider_name(view: View, scope: Scope, identifier: str | None) -> str:
    """Return the name of the provider that a name or an ARN stands for, or refuse it."""
    name = name_in(scope, identifier or "")
    if name not in FARGATE_PROVIDERS and view.capacity_provider(scope, name) is None:
        raise ecs.InvalidParameterException(
            f"The specified capacity provider '{(identifier or '')[:255]}' was not found. Specify "
            "a valid name or ARN and try again."
        )
    return name


def name_in(scope: Scope, identifier: str) -> str:
    """Return the name in a provider's ARN of this account and region; a name stays as it is."""
    parsed = parse_arn(identifier)
    if parsed is None or parsed.kind != "capacity-provider":
        return identifier
    name = parsed.path[-1]
    return name if make_capacity_provider_arn(scope, name) == identifier else identifier


def render_strategy(
    strategy: Iterable[StrategyItem],
) -> list[ecs.CapacityProviderStrategyItem]:
    """Render a strategy with its weights and bases, defaults included."""
    return [
        ecs.CapacityProviderStrategyItem(
            capacity_provider=item.provider, weight=item.weight, base=item.base
        )
        for item in strategy
    ]


def _check_item(view: View, scope: Scope, item: ecs.CapacityProviderStrategyItem) -> StrategyItem:
    name = provider_name(view, scope, item.capacity_provider)
    weight, base = item.weight or 0, item.base or 0
    if not 0 <= weight <= WEIGHT_MAX:
        raise ecs.InvalidParameterException(
            f"The weight of capacity provider {name} must be between 0 and {WEIGHT_MAX}, it is "
            f"{weight}."
        )
    if not 0 <= base <= BASE_MAX:
        raise ecs.InvalidParameterException(
            f"The base of capacity provider {name} must be between 0 and {BASE_MAX}, it is {base}."
        )
    return StrategyItem(name, weight, base)


def _check_as_a_whole(strategy: Sequence[StrategyItem]) -> None:
    names = [item.provider for item in strategy]
    if len(set(names)) != len(names):
        raise ecs.InvalidParameterException(
            "A capacity provider strategy can name each capacity provider only once."
        )
    if sum(item.base > 0 for item in strategy) > 1:
        raise ecs.InvalidParameterException(
            "Only one capacity provider in a capacity provider strategy can have a base defined."
        )
    if not any(item.weight for item in strategy):
        raise ecs.InvalidParameterException(
            "At least one capacity provider in a capacity provider strategy must have a weight "
            "greater than 0."
        )
    if len({name in FARGATE_PROVIDERS for name in names}) > 1:
        raise ecs.InvalidParameterException(
            "A capacity provider strategy cannot contain a mix of capacity providers using Auto "
            "Scaling groups and Fargate providers. Use either Auto Scaling group capacity "
            "providers or the Fargate capacity providers and try again."
        )
