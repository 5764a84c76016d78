"""Signature Version 4: what a signature names, and that ours is the one botocore makes."""

from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import example, given
from hypothesis import strategies as st

from homeport.api.errors import IncompleteSignature
from homeport.wire.signing import Credentials, CredentialScope, parse_credential_scope, sign_headers

SIGNED_AT = datetime(2026, 11, 21, 23, 11, 5, tzinfo=UTC)
BEARER = Credentials("AKIDEXAMPLE", "secret/with+signs")
SESSION = Credentials("ASIAEXAMPLE", "secret", "token==")


def authorization(scope: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=00"


def botocore_headers(
    method: str, url: str, headers: dict[str, str], body: bytes, credentials: Credentials
) -> dict[str, str]:
    request = AWSRequest(method=method, url=url, headers=headers, data=body)
    keys = BotocoreCredentials(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token
    )
    with patch.object(auth, "get_current_datetime", return_value=SIGNED_AT):
        auth.SigV4Auth(keys, "ecs", "eu-central-1").add_auth(request)
    return dict(request.headers.items())


@pytest.mark.parametrize("credentials", [BEARER, SESSION], ids=["key", "session"])
@pytest.mark.parametrize(
    ("method", "url", "headers", "body"),
    [
        ("POST", "http://127.0.0.1:4566/", {"X-Amz-Target": "A.B", "Content-Type": "x"}, b"{}"),
        ("POST", "http://127.0.0.1:4566", {}, b'{"cluster":"\xc3\xa4"}'),
        ("POST", "https://ecs.example.com:443/a%20b/./c/../d/", {"X-Spaces": "  a   b "}, b"x"),
        ("GET", "http://[::1]:4566/ws?b=2&a=1&a=0&flag=&arn=arn%3Aaws%3Aecs", {}, b""),
        ("GET", "http://host/ws?clusterArn=a%2Fb%3Ac~d&v=1.0%20x", {"Host": "host"}, b""),
    ],
)
def test_a_signed_request_is_the_one_botocore_signs(
    method: str, url: str, headers: dict[str, str], body: bytes, credentials: Credentials
) -> None:
    ours = sign_headers(
        method=method,
        url=url,
        headers=headers,
        body=body,
        credentials=credentials,
        region="eu-central-1",
        signed_at=SIGNED_AT,
    )
    assert ours == botocore_headers(method, url, headers, body, credentials)


@example("0/.", b"", "")
@example("0/..", b"", "")
@given(
    st.text(alphabet="abcABC019-_.~/", max_size=20), st.binary(max_size=40), st.text(max_size=10)
)
def test_any_path_and_body_is_signed_as_botocore_does(path: str, body: bytes, agent: str) -> None:
    url = f"http://127.0.0.1:4566/{path.lstrip('/')}"
    headers = {"User-Agent": agent, "X-Amz-Target": "Service.Operation"}
    ours = sign_headers(
        method="POST",
        url=url,
        headers=headers,
        body=body,
        credentials=BEARER,
        region="eu-central-1",
        signed_at=SIGNED_AT,
    )
    assert ours == botocore_headers("POST", url, headers, body, BEARER)


def test_a_websocket_upgrade_is_signed_for_the_port_it_goes_to() -> None:
    signed = {
        url: sign_headers(
            method="GET",
            url=url,
            headers={},
            body=b"",
            credentials=BEARER,
            region="us-east-1",
            signed_at=SIGNED_AT,
        )["Authorization"]
        for url in ("ws://host/ws", "ws://host:80/ws", "wss://host:443/ws", "ws://host:4566/ws")
    }
    assert len(set(list(signed.values())[:3])) == 1
    assert signed["ws://host:4566/ws"] != signed["ws://host/ws"]


def test_the_scope_names_key_region_and_service() -> None:
    header = authorization("AKIDEXAMPLE/20261121/eu-west-1/ecs/aws4_request")
    assert parse_credential_scope(header) == CredentialScope("AKIDEXAMPLE", "eu-west-1", "ecs")


def test_a_presigned_query_names_them_too() -> None:
    query = "a=b&X-Amz-Credential=111122223333%2F20261121%2Feu-west-1%2Fecs%2Faws4_request"
    assert parse_credential_scope(None, query) == CredentialScope(
        "111122223333", "eu-west-1", "ecs"
    )


@pytest.mark.parametrize(
    ("header", "access_key_id"),
    [
        (None, None),
        ("", None),
        ("Bearer abc", None),
        ("AWS4-HMAC-SHA256 Credential=", None),
        (authorization("AKID"), "AKID"),
        (authorization("AKID/20261121/us-west-2"), "AKID"),
        (authorization("AKID/20261121///aws4_request"), "AKID"),
        ("x" * 100_000 + "Credential=AKID/1/us-west-2/ecs/aws4_request", None),
    ],
    ids=range(8),
)
def test_what_is_not_signed_properly_gets_the_default_region(
    header: str | None, access_key_id: str | None
) -> None:
    scope = parse_credential_scope(header, default_region="ap-south-1")
    assert scope == CredentialScope(access_key_id, "ap-south-1", "ecs")


@pytest.mark.parametrize("region", ["us east", "a:b", "x" * 65, "eu\u00e4"])
def test_a_region_that_no_arn_could_hold_is_refused(region: str) -> None:
    query = f"X-Amz-Credential=AKID/20261121/{region}/ecs/aws4_request"
    with pytest.raises(IncompleteSignature, match="letters, digits and hyphens"):
        parse_credential_scope(None, query)
