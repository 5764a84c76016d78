"""AWS Signature Version 4: whom a request's signature names, and signing requests of our own.

Pure: the date is passed in. Verifying a signature needs secrets and belongs to no room yet.
Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import functools
import hashlib
import hmac
import posixpath
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlsplit

import msgspec

from homeport.api.errors import IncompleteSignature

ALGORITHM = "AWS4-HMAC-SHA256"
DEFAULT_REGION = "us-east-1"
DEFAULT_SERVICE = "ecs"
ACCOUNT_ID_CHARS = 12
CREDENTIAL_MAX_CHARS = 512
CREDENTIALS_REMEMBERED = 256
SCOPE_TERMINATOR = "aws4_request"
# Never signed: proxies and HTTP clients change or add these on their way.
UNSIGNED_HEADERS = frozenset(
    {"authorization", "connection", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"}
)
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_CREDENTIAL = re.compile(r"Credential=([^,\s]+)")
# The region becomes part of every ARN, so it may hold nothing that an ARN may not.
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")


class CredentialScope(NamedTuple):
    """Whom and where a signature names; a part the request does not carry has its default."""

    access_key_id: str | None
    region: str
    service: str

    def account_id(self, default: str) -> str:
        """Return the account that the access key id names: itself, when it is twelve digits."""
        key = self.access_key_id or ""
        is_account = len(key) == ACCOUNT_ID_CHARS and key.isascii() and key.isdigit()
        return key if is_account else default


class Credentials(msgspec.Struct, frozen=True):
    """What a request is signed with."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


def parse_credential_scope(
    authorization: str | None, query: str = "", default_region: str = DEFAULT_REGION
) -> CredentialScope:
    """Read access key, region and service out of an Authorization header or a presigned query.

    Lenient: a request without a readable credential gets the defaults and no access key. Refuses,
    as IncompleteSignature, only a region that no ARN could hold.
    """
    credential = None
    if authorization:
        found = _CREDENTIAL.search(authorization[:CREDENTIAL_MAX_CHARS])
        credential = found.group(1) if found else None
    elif "X-Amz-Credential=" in query:
        credential = dict(parse_qsl(query, keep_blank_values=True)).get("X-Amz-Credential")
    return _read_credential(credential, default_region)


@functools.lru_cache(maxsize=CREDENTIALS_REMEMBERED)  # a client's is the same all day
def _read_credential(credential: str | None, default_region: str) -> CredentialScope:
    # An access key may not hold a slash; the scope's four parts follow it.
    parts = credential.split("/") if credential else []
    if len(parts) != 5:
        return CredentialScope(parts[0] if parts else None, default_region, DEFAULT_SERVICE)
    access_key_id, _date, region, service, _terminator = parts
    if region and not _REGION.fullmatch(region):
        raise IncompleteSignature(
            "The region in the credential scope may hold only letters, digits and hyphens."
        )
    return CredentialScope(access_key_id, region or default_region, service or DEFAULT_SERVICE)


def sign_headers(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    credentials: Credentials,
    region: str,
    signed_at: datetime,
    service: str = DEFAULT_SERVICE,
) -> dict[str, str]:
    """Give the headers a signed request is sent with: those passed in, and the signature's own.

    `url` is absolute and exactly as sent, its path and query percent-encoded; `signed_at` is
    aware. A websocket upgrade is signed as a GET with an empty body. `host` is signed from the
    url and, as HTTP clients set it themselves, not returned unless it was passed in.
    """
    amz_date = signed_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    out = {**headers, "X-Amz-Date": amz_date}
    if credentials.session_token:
        out["X-Amz-Security-Token"] = credentials.session_token
    parts = urlsplit(url)
    canonical = {name.lower(): " ".join(value.split()) for name, value in out.items()}
    canonical = {k: v for k, v in canonical.items() if k not in UNSIGNED_HEADERS}
    canonical.setdefault("host", _host_header(url))
    names = sorted(canonical)
    signed_names = ";".join(names)
    request = "\n".join(
        [
            method.upper(),
            _canonical_path(parts.path),
            _canonical_query(parts.query),
            *(f"{name}:{canonical[name]}" for name in names),
            "",
            signed_names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{amz_date[:8]}/{region}/{service}/{SCOPE_TERMINATOR}"
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = f"{ALGORITHM}\n{amz_date}\n{scope}\n{digest}"
    key = _signing_key(credentials.secret_access_key, amz_date[:8], region, service)
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    out["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, "
        f"SignedHeaders={signed_names}, Signature={signature}"
    )
    return out


@functools.lru_cache(maxsize=16)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, SCOPE_TERMINATOR):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _host_header(url: str) -> str:
    """Write the Host header an HTTP client sends for this url: no port where it is the default."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if parts.port is None or parts.port == DEFAULT_PORTS.get(parts.scheme):
        return host
    return f"{host}:{parts.port}"


def _canonical_path(path: str) -> str:
    """Resolve dots and doubled slashes, then encode once more what is encoded already.

    Where a path ends in a dot segment, AWS's SDKs leave off the slash that RFC 3986 would keep.
    """
    if not path:
        return "/"
    resolved = posixpath.normpath("/" + path.lstrip("/"))
    if path.endswith("/") and resolved != "/":
        resolved += "/"
    return quote(resolved, safe="/~")


def _canonical_query(query: str) -> str:
    pairs = []
    for piece in query.split("&") if query else []:
        name, _equals, value = piece.partition("=")
        pairs.append((_encode_part(name), _encode_part(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _encode_part(part: str) -> str:
    return quote(unquote_to_bytes(part), safe="-_.~")
