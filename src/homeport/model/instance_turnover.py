"""The record of how many tasks a container instance has had; not which, that is the tasks' own."""

from homeport.model.record import Record


class InstanceTurnover(Record, frozen=True, kw_only=True, tag="instance_turnover"):
    """How often forgotten tasks were placed on a container instance or stopped there.

    Kept apart from the instance's own record, which is large and makes placement look anew.
    """

    container_instance_arn: str
    forgotten: int = 0
