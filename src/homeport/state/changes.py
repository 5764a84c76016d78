"""Changes and commits: the only way in which state alters, and what the journal holds."""

import msgspec

from homeport.model.account_setting import AccountSetting
from homeport.model.capacity_provider import CapacityProvider
from homeport.model.client_token import ClientToken
from homeport.model.cluster import Cluster
from homeport.model.container_instance import ContainerInstance
from homeport.model.instance_turnover import InstanceTurnover
from homeport.model.record import ResourceTags
from homeport.model.service import Service, ServiceEvent
from homeport.model.service_deployment import ServiceDeployment, ServiceRevision
from homeport.model.task import Task
from homeport.model.task_definition import Family, TaskDefinition

AnyRecord = (
    Cluster
    | ContainerInstance
    | TaskDefinition
    | Family
    | Task
    | Service
    | ServiceEvent
    | ServiceDeployment
    | ServiceRevision
    | ResourceTags
    | AccountSetting
    | ClientToken
    | CapacityProvider
    | InstanceTurnover
)

# The table of a record is its msgspec tag; the key is the member named here.
KEY_MEMBERS: dict[type[msgspec.Struct], str] = {
    Cluster: "arn",
    ContainerInstance: "arn",
    TaskDefinition: "arn",
    Family: "key",
    Task: "arn",
    Service: "arn",
    ServiceEvent: "id",
    ServiceDeployment: "arn",
    ServiceRevision: "arn",
    ResourceTags: "arn",
    AccountSetting: "key",
    ClientToken: "key",
    CapacityProvider: "arn",
    InstanceTurnover: "container_instance_arn",
}
# By type: a tag is asked for with every change, and `__struct_config__` makes its answer anew.
TABLES: dict[type[msgspec.Struct], str] = {
    record: str(record.__struct_config__.tag) for record in KEY_MEMBERS
}


class Put(msgspec.Struct, frozen=True, tag="put", array_like=True, gc=False):
    """Insert the record, or replace the one with its key."""

    record: AnyRecord


class Delete(msgspec.Struct, frozen=True, tag="delete", array_like=True, gc=False):
    """Forget the record of that table with that key."""

    table: str
    key: str


Change = Put | Delete


class Commit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A numbered batch of changes that happens whole or not at all."""

    sequence: int
    at_ms: int
    cause: str  # the operation's or event's name, for the history
    changes: tuple[Change, ...]


def table_of(record: AnyRecord) -> str:
    """Return the name of the table that keeps this record."""
    return TABLES[type(record)]


def key_of(record: AnyRecord) -> str:
    """Return the record's primary key."""
    key: str = getattr(record, KEY_MEMBERS[type(record)])
    return key


def delete_of(record: AnyRecord) -> Delete:
    """Make the change that forgets this record."""
    return Delete(table_of(record), key_of(record))
