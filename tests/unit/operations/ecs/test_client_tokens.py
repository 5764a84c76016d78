"""Idempotency tokens."""

import pytest
from msgspec.structs import replace

from builders import NOW_MS, SCOPE, at, make_store
from homeport.api import ecs
from homeport.model.client_token import ClientToken
from homeport.operations.context import CallContext
from homeport.operations.ecs import client_tokens
from homeport.operations.ecs.client_tokens import (
    check_token,
    find_token,
    fingerprint_of,
    keep_token,
    token_key,
)
from homeport.state.changes import Put, delete_of
from homeport.state.view import View

REQUEST = ecs.RunTaskRequest(task_definition="web", count=2)
KEY = token_key("RunTask", "arn:cluster", "abc")
TOKEN = ClientToken(
    key=KEY,
    fingerprint=fingerprint_of(REQUEST),
    resource_arns=("arn:task",),
    expires_at_ms=NOW_MS + 1,
)


def find(request, now_ms=NOW_MS):
    context = CallContext(scope=SCOPE, moment=at(now_ms), endpoint="")
    return find_token(View(make_store(TOKEN)), KEY, request, context)


def test_the_same_parameters_find_what_the_token_stood_for():
    assert find(ecs.RunTaskRequest(count=2, task_definition="web")) == TOKEN


def test_other_parameters_conflict():
    with pytest.raises(ecs.ConflictException) as conflict:
        find(ecs.RunTaskRequest(task_definition="web", count=3))
    assert conflict.value.extra_members() == {"resourceIds": ["arn:task"]}


def test_an_expired_token_is_new_again():
    assert find(ecs.RunTaskRequest(task_definition="other"), NOW_MS + 1) is None


def test_tokens_of_operations_and_clusters_do_not_meet():
    assert (
        len({KEY, token_key("CreateService", "arn:cluster", "abc"), token_key("RunTask", "", "")})
        == 3
    )


@pytest.mark.parametrize("token", [None, ""])
def test_no_token_is_none(token):
    assert check_token(token, 64) is None


def test_a_token_may_be_as_long_as_the_operation_allows():
    assert check_token("t" * 64, 64) == "t" * 64
    with pytest.raises(ecs.InvalidParameterException, match=r"idempotency token longer than 36\."):
        check_token("t" * 37, 36)


@pytest.mark.parametrize("token", ["a b", "a\n", "ü", "\x7f"])
def test_a_token_is_visible_ascii(token):
    with pytest.raises(ecs.InvalidParameterException):
        check_token(token, 64)


def test_when_too_many_are_kept_the_next_to_expire_is_forgotten(monkeypatch):
    monkeypatch.setattr(client_tokens, "CLIENT_TOKENS_KEPT", 2)
    kept = [replace(TOKEN, key=f"RunTask/arn:cluster/{n}", expires_at_ms=n) for n in (20, 10)]
    view = View(make_store(*kept))
    assert keep_token(View(make_store(kept[0])), TOKEN) == (Put(TOKEN),)
    assert keep_token(view, TOKEN) == (delete_of(kept[1]), Put(TOKEN))
