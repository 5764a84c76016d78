"""The refusals AWS answers with: the base of all generated exceptions, and AWS's common errors.

Each service's own exceptions are generated next door. How a refusal looks on the wire is
`homeport.wire.errors`' work. Source: docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors
"""

from __future__ import annotations

from typing import ClassVar


class AwsError(Exception):
    """A refusal in AWS's terms: its code, its HTTP status, and a message a person can act on."""

    code: ClassVar[str] = "InternalFailure"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def extra_members(self) -> dict[str, object]:
        """Give the members beside `message`, by wire name, ready for JSON."""
        return {}


class InternalFailure(AwsError):
    """Homeport itself failed; the request may or may not have been done."""

    code = "InternalFailure"
    http_status = 500


class ServiceUnavailable(AwsError):
    """Homeport cannot take the request now; trying again is safe."""

    code = "ServiceUnavailable"
    http_status = 503


class RequestEntityTooLargeException(AwsError):
    """The request is larger than the server takes."""

    code = "RequestEntityTooLargeException"
    http_status = 413


class RequestTimeoutException(AwsError):
    """The client did not send its whole request in time."""

    code = "RequestTimeoutException"
    http_status = 408


class SerializationException(AwsError):
    """The request's text is not JSON, or a member has the wrong JSON type."""

    code = "SerializationException"
    http_status = 400


class UnknownOperationException(AwsError):
    """The target names no operation of the service."""

    code = "UnknownOperationException"
    http_status = 404


class ThrottlingException(AwsError):
    """The caller asks faster than its bucket refills."""

    code = "ThrottlingException"
    http_status = 400


class IncompleteSignature(AwsError):
    """The request's signature does not have the form AWS asks for."""

    code = "IncompleteSignature"
    http_status = 403
