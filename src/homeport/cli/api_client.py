"""A small client of the ECS API for the commands of this program: one call, plain dictionaries.

It speaks to the server as any AWS SDK does; SDKs themselves would add a quarter of a second and
20 MiB to `homeport status` and `homeport up`.
"""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from homeport.cli.failure import CommandFailure
from homeport.wire.signing import Credentials, sign_headers

TARGET_PREFIX = "AmazonEC2ContainerServiceV20141113"
HOMEPORT_TARGET_PREFIX = "Homeport"
CALL_TIMEOUT_S = 30
RETRY_INTERVAL_S = 0.25
HTTP_OK = 200
PAGE_SIZE = 100
# What AWS's message leaves out for a person at a terminal.
HINTS = {"ClusterNotFoundException": " `homeport status` lists the clusters of this region."}
# The server takes any credentials on loopback.
LOCAL_CREDENTIALS = Credentials(access_key_id="homeport", secret_access_key="homeport")


class ApiRefusal(Exception):
    """The server answered with an AWS error: its type and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}{HINTS.get(code, '')}")
        self.code = code


class ApiClient:
    """The ECS API at `endpoint`, in one region."""

    def __init__(self, endpoint: str, region: str, *, patience_s: float = 0.0) -> None:
        address = urlsplit(endpoint)
        if address.scheme != "http" or not address.hostname:
            raise CommandFailure(f"{endpoint!r} is not an http://HOST:PORT address")
        self.endpoint = endpoint
        self.region = region
        self._patience_s = patience_s
        self._host = address.hostname
        self._port = address.port or 80

    def with_patience(self, seconds: float) -> "ApiClient":
        """The same client, waiting so long for a server that restarts; for calls that only read."""
        return ApiClient(self.endpoint, self.region, patience_s=seconds)

    def call(self, operation: str, request: Mapping[str, object]) -> dict[str, Any]:
        """Answer of one operation. Raises ApiRefusal, or CommandFailure when nobody listens."""
        return self._call(f"{TARGET_PREFIX}.{operation}", request)

    def call_homeport(self, operation: str, request: Mapping[str, object]) -> dict[str, Any]:
        """Answer of one operation of Homeport's own namespace; raises like `call`."""
        return self._call(f"{HOMEPORT_TARGET_PREFIX}.{operation}", request)

    def _call(self, target: str, request: Mapping[str, object]) -> dict[str, Any]:
        body = json.dumps(request).encode()
        headers = sign_headers(
            method="POST",
            url=f"{self.endpoint.rstrip('/')}/",
            headers={
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": target,
            },
            body=body,
            credentials=LOCAL_CREDENTIALS,
            region=self.region,
            signed_at=datetime.now(UTC),
        )
        try:
            status, raw = self._send_patiently(body, headers)
            answer = json.loads(raw or b"{}")
        except (OSError, HTTPException) as trouble:
            raise CommandFailure(
                f"no Homeport server answers at {self.endpoint} ({trouble}); start one with "
                "`homeport up` or name it with --endpoint"
            ) from None
        except ValueError:
            raise CommandFailure(f"what answers at {self.endpoint} is not Homeport") from None
        if status != HTTP_OK:
            code = str(answer.get("__type", status)).rpartition("#")[2]
            raise ApiRefusal(code, str(answer.get("message", answer)))
        return dict(answer)

    def _send_patiently(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body of the answer, tried again while patience lasts and nobody answers."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                return self._send(body, headers)
            except (OSError, HTTPException):
                if time.monotonic() >= deadline:
                    raise
            # Nothing tells when a server is back but asking it.
            time.sleep(RETRY_INTERVAL_S)

    def _send(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        connection = HTTPConnection(self._host, self._port, timeout=CALL_TIMEOUT_S)
        try:
            connection.request("POST", "/", body=body, headers=dict(headers))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def list_all(
        self, operation: str, member: str, request: Mapping[str, object] | None = None
    ) -> Iterator[str]:
        """Every item of a List operation's `member`, page after page."""
        token: str | None = None
        while True:
            page = {**(request or {}), **({"nextToken": token} if token else {})}
            answer = self.call(operation, page)
            yield from answer.get(member, [])
            token = answer.get("nextToken")
            if not token:
                return

    def describe_all(
        self,
        operation: str,
        member: str,
        names: list[str],
        *,
        page_size: int = PAGE_SIZE,
        request: Mapping[str, object] | None = None,
    ) -> list[dict[str, Any]]:
        """What a Describe operation says of all `names`, `page_size` a call."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(names), page_size):
            batch = {**(request or {}), member: names[start : start + page_size]}
            found.extend(self.call(operation, batch).get(member, []))
        return found
