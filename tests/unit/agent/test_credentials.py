"""Role credentials are kept in memory by id, and their secrets nowhere else."""

import msgspec

from agent_builders import make_container, make_task
from homeport.agent import credentials
from homeport.agent.credentials import CredentialsStore, render_credentials
from homeport.agent.task_machine import strip_secrets
from homeport.wire.agent_messages import payload

ROLE = payload.IamRoleCredentials(
    credentials_id="id",
    role_arn="arn:role",
    access_key_id="123456789012",
    secret_access_key="secret",
    session_token="token",
    expiration="2026-11-22T12:00:00Z",
)


def test_newer_credentials_replace_older_ones():
    store = CredentialsStore()
    store.put(ROLE)
    newer = msgspec.structs.replace(ROLE, session_token="newer")
    store.put(newer)
    assert store.get("id") == newer
    assert store.get("other") is None


def test_the_longest_unrefreshed_make_room(monkeypatch):
    monkeypatch.setattr(credentials, "MAX_CREDENTIALS", 2)
    store = CredentialsStore()
    for name in ("a", "b", "a", "c"):
        store.put(msgspec.structs.replace(ROLE, credentials_id=name))
    assert [name for name in ("a", "b", "c") if store.get(name)] == ["a", "c"]


def test_sdks_get_the_five_members_that_they_read():
    assert render_credentials(ROLE) == {
        "RoleArn": "arn:role",
        "AccessKeyId": "123456789012",
        "SecretAccessKey": "secret",
        "Token": "token",
        "Expiration": "2026-11-22T12:00:00Z",
    }


def test_what_goes_to_disk_names_the_role_and_nothing_secret():
    task = make_task(make_container("i"), role_credentials=ROLE, execution_role_credentials=ROLE)
    kept = strip_secrets(task)
    assert kept.role_credentials == payload.IamRoleCredentials(
        credentials_id="id", role_arn="arn:role"
    )
    assert kept.execution_role_credentials is None
