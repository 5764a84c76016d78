"""Tags: the rules for them, and TagResource, UntagResource and ListTagsForResource.

Tags live in a table of their own, by the ARN of the resource; which operations take tags along is
their own business. Reference: api-errors-and-limits §6.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from homeport.api import ecs
from homeport.core.decision import Decision
from homeport.model.arn import ParsedArn, make_cluster_arn, make_service_arn, parse_arn
from homeport.model.record import ResourceTags, Tag
from homeport.operations.context import CallContext
from homeport.state.changes import Change, Delete, Put
from homeport.state.view import View

TAGS_PER_RESOURCE = 50
TAG_KEY_LENGTH_CHARACTERS = 128
TAG_VALUE_LENGTH_CHARACTERS = 256
RESERVED_KEY_PREFIX = "aws:"
ARN_SHOWN_CHARACTERS = 256

_is_plain = re.compile(r"[A-Za-z0-9 _.:/=+\-@]*").fullmatch
_PUNCTUATION = frozenset("_.:/=+-@")

# What may be tagged, and how many parts the path of its long ARN has.
_PATH_PARTS = {
    "capacity-provider": 1,
    "cluster": 1,
    "task-definition": 1,
    "container-instance": 2,
    "service": 2,
    "task": 2,
    "task-set": 4,  # a task set's id has a slash
}


def tag_resource(view: View, request: ecs.TagResourceRequest, context: CallContext) -> Decision:
    """Add tags to a resource, or give tags that it has new values.

    Raises LimitExceededException when it would have more than 50. Source: API:TagResource.
    """
    added = check_tags(request.tags)
    arn = _check_resource(view, request.resource_arn or "", context)
    known = view.tags(arn)
    merged = {tag.key: tag for tag in (*known, *added)}
    own = sum(not key.startswith(RESERVED_KEY_PREFIX) for key in merged)
    if own > TAGS_PER_RESOURCE:
        raise ecs.LimitExceededException(
            f"A resource can have at most {TAGS_PER_RESOURCE} tags, this one would have {own}."
        )
    tags = tuple(merged.values())
    changes = () if tags == known else put_tags(arn, tags)
    return Decision(reply=ecs.TagResourceResponse(), changes=changes)


def untag_resource(view: View, request: ecs.UntagResourceRequest, context: CallContext) -> Decision:
    """Remove tags from a resource by key; keys that it hasn't are no error."""
    keys = request.tag_keys or ()
    if len(keys) > TAGS_PER_RESOURCE:
        raise ecs.InvalidParameterException(f"Specify at most {TAGS_PER_RESOURCE} tag keys.")
    for key in keys:
        _check_key(key)
    arn = _check_resource(view, request.resource_arn or "", context)
    known = view.tags(arn)
    kept = tuple(tag for tag in known if tag.key not in keys)
    changes: tuple[Change, ...] = ()
    if kept != known:
        changes = put_tags(arn, kept) or (Delete("tags", arn),)
    return Decision(reply=ecs.UntagResourceResponse(), changes=changes)


def list_tags_for_resource(
    view: View, request: ecs.ListTagsForResourceRequest, context: CallContext
) -> Decision:
    """List a resource's tags."""
    arn = _check_resource(view, request.resource_arn or "", context)
    return Decision(reply=ecs.ListTagsForResourceResponse(tags=render_tags(view.tags(arn))))


def check_tags(tags: Sequence[ecs.Tag] | None) -> tuple[Tag, ...]:
    """Return the tags of a request, or refuse them with InvalidParameterException.

    At most 50, keys of 1 to 128 characters, none twice, none in AWS's own `aws:` space, values of
    0 to 256 (reference: api-errors-and-limits §6; API:Tag).
    """
    if not tags:
        return ()
    if len(tags) > TAGS_PER_RESOURCE:
        raise ecs.InvalidParameterException(
            f"A resource can have at most {TAGS_PER_RESOURCE} tags, the request has {len(tags)}."
        )
    checked = tuple(Tag(_check_key(tag.key), _check_value(tag)) for tag in tags)
    if len({tag.key for tag in checked}) != len(checked):
        raise ecs.InvalidParameterException("Duplicate tag keys found. Tag keys must be unique.")
    return checked


def put_tags(arn: str, tags: tuple[Tag, ...]) -> tuple[Change, ...]:
    """Make the changes that give a new resource its tags; none when there are none."""
    return (Put(ResourceTags(arn=arn, tags=tags)),) if tags else ()


def render_tags(tags: Iterable[Tag]) -> list[ecs.Tag]:
    """Render tags as AWS shows them; no tags are an empty list."""
    return [ecs.Tag(key=tag.key, value=tag.value) for tag in tags]


def _check_key(key: str | None) -> str:
    if not key:
        raise ecs.InvalidParameterException("Tag key should not be null or empty.")
    if len(key) > TAG_KEY_LENGTH_CHARACTERS:
        raise ecs.InvalidParameterException(
            f"Tag key must be {TAG_KEY_LENGTH_CHARACTERS} characters or less, it is {len(key)}."
        )
    if key[: len(RESERVED_KEY_PREFIX)].lower() == RESERVED_KEY_PREFIX:
        raise ecs.InvalidParameterException(
            "aws: prefixed tag key names are not allowed for external use."
        )
    _check_characters(key, "key")
    return key


def _check_value(tag: ecs.Tag) -> str:
    value = tag.value or ""
    if len(value) > TAG_VALUE_LENGTH_CHARACTERS:
        raise ecs.InvalidParameterException(
            f"The value of tag '{tag.key}' must be {TAG_VALUE_LENGTH_CHARACTERS} characters or "
            f"less, it is {len(value)}."
        )
    _check_characters(value, "value")
    return value


def _check_characters(text: str, part: str) -> None:
    """Refuse what isn't a letter, digit or space in Unicode's sense, or one of `_.:/=+-@`."""
    if _is_plain(text) is not None:
        return
    for character in text:
        if character not in _PUNCTUATION and unicodedata.category(character)[0] not in "LNZ":
            raise ecs.InvalidParameterException(
                f"Tag {part} contains invalid characters. Use letters, digits, spaces and "
                "_ . : / = + - @ only."
            )


def _check_resource(view: View, arn: str, context: CallContext) -> str:
    """Return the ARN of a resource that exists and may be tagged, or refuse the call."""
    parsed = parse_arn(arn)
    if parsed is None or parsed.kind not in _PATH_PARTS:
        raise ecs.InvalidParameterException(
            f"Invalid resourceArn '{arn[:ARN_SHOWN_CHARACTERS]}'. Specify the ARN of a capacity "
            "provider, cluster, container instance, service, task, task set or task definition."
        )
    if len(parsed.path) != _PATH_PARTS[parsed.kind]:
        raise ecs.InvalidParameterException("Long arn format must be used for tagging operations")
    if parsed.scope != context.scope or not _exists(view, arn, parsed):
        raise ecs.ResourceNotFoundException(
            "The specified resource could not be found. Check that its ARN is right and that it "
            "has not been deleted."
        )
    return arn


def _exists(view: View, arn: str, parsed: ParsedArn) -> bool:
    if parsed.kind == "task-definition":
        return view.task_definition(arn) is not None
    if parsed.kind == "capacity-provider":
        return view.capacity_provider(parsed.scope, parsed.path[0]) is not None
    cluster = view.cluster(make_cluster_arn(parsed.scope, parsed.path[0]))
    if cluster is None or cluster.status == "INACTIVE":
        raise ecs.ClusterNotFoundException("Cluster not found.")
    if parsed.kind == "cluster":
        return True
    if parsed.kind == "task":
        return view.task(arn) is not None
    if parsed.kind == "service":
        service = view.service(arn)
        return service is not None and service.status != "INACTIVE"
    if parsed.kind == "task-set":
        owner = view.service(make_service_arn(parsed.scope, parsed.path[0], parsed.path[1]))
        return owner is not None and any(each.arn == arn for each in owner.task_sets)
    instance = view.container_instance(arn)
    return instance is not None and instance.status != "INACTIVE"


OPERATIONS: dict[str, Callable[..., Decision]] = {
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "ListTagsForResource": list_tags_for_resource,
}
