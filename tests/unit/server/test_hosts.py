"""A Host header that a stranger's web page could have is refused; those of clients are answered."""

import pytest

from homeport.api.ecs import AccessDeniedException
from homeport.server.hosts import is_own_host, refuse_foreign_host


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:4566",
        "127.0.0.1",
        "localhost:4566",
        "LOCALHOST.",
        "ecs.localhost:80",
        "[::1]:4566",
        "[::1]",
        "",
    ],
)
def test_addresses_and_localhost_names_are_answered(host: str) -> None:
    assert is_own_host(host)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:4566", "localhost.evil.example", "127.0.0.1.evil.example"],
)
def test_any_other_name_is_refused(host: str) -> None:
    with pytest.raises(AccessDeniedException, match="localhost"):
        refuse_foreign_host(host)
