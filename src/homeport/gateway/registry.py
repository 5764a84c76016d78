"""Which connections a container instance has: the newest speaks for it."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from homeport.gateway.connection import Connection, Session

S = TypeVar("S", bound=Session)


class Registry(Generic[S]):
    """The connections of one kind by container instance, the oldest of each first."""

    def __init__(self) -> None:
        self._by_instance: dict[str, list[Connection[S]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Connection[S]]:
        return (c for connections in self._by_instance.values() for c in connections)

    def __contains__(self, connection: Connection[S]) -> bool:
        return connection in self._by_instance.get(connection.name, ())

    def of(self, container_instance_arn: str) -> tuple[Connection[S], ...]:
        """Return the connections of a container instance, the oldest first."""
        return tuple(self._by_instance.get(container_instance_arn, ()))

    def newest(self, container_instance_arn: str) -> Connection[S] | None:
        """Return the connection that speaks for a container instance."""
        connections = self._by_instance.get(container_instance_arn)
        return connections[-1] if connections else None

    def add(self, connection: Connection[S]) -> None:
        """Take in a connection: it is the newest now."""
        self._by_instance.setdefault(connection.name, []).append(connection)
        self._count += 1

    def remove(self, connection: Connection[S]) -> None:
        """Forget a connection."""
        connections = self._by_instance[connection.name]
        connections.remove(connection)
        self._count -= 1
        if not connections:
            del self._by_instance[connection.name]
