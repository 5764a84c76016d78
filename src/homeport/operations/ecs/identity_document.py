"""The EC2 instance identity document that agents send when they register."""

import msgspec

from homeport.api import ecs

DOCUMENT_SIZE_BYTES = 16_384


class IdentityDocument(msgspec.Struct, frozen=True, rename="camel"):
    """The members of an identity document that ECS uses (reference: container-instances §4)."""

    instance_id: str | None = None
    instance_type: str | None = None
    availability_zone: str | None = None
    image_id: str | None = None
    architecture: str | None = None

    def attributes(self) -> dict[str, str | None]:
        """Return the built-in attributes that follow from the document."""
        pairs = (
            ("ecs.ami-id", self.image_id),
            ("ecs.availability-zone", self.availability_zone),
            ("ecs.instance-type", self.instance_type),
            ("ecs.cpu-architecture", self.architecture),
        )
        return {name: value for name, value in pairs if value}


def parse_identity_document(text: str | None) -> IdentityDocument:
    """Read the document's raw JSON; agents outside of EC2 send an empty text.

    Its signature isn't verified: Homeport's machines aren't Amazon's to sign for.
    """
    if not text:
        return IdentityDocument()
    if len(text) > DOCUMENT_SIZE_BYTES:
        raise ecs.InvalidParameterException(
            f"The instance identity document is longer than {DOCUMENT_SIZE_BYTES} bytes."
        )
    try:
        return msgspec.json.decode(text, type=IdentityDocument)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ecs.InvalidParameterException(
            f"The instance identity document is not valid: {error}"
        ) from None
