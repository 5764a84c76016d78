"""Tags: rules, TagResource, UntagResource, ListTagsForResource."""

import pytest

from builders import (
    SCOPE,
    make_cluster,
    make_container_instance,
    make_service,
    make_store,
    make_task,
    make_task_definition,
)
from calls import call, decide
from homeport.api import ecs
from homeport.model.record import ResourceTags, Tag
from homeport.operations.ecs.tags import check_tags

CLUSTER = make_cluster("blue")


def list_tags(store, arn):
    return call(store, "ListTagsForResource", resourceArn=arn)["tags"]


@pytest.mark.parametrize(
    "record",
    [
        CLUSTER,
        make_container_instance(cluster="blue"),
        make_task_definition(),
        make_service(cluster="blue"),
        make_task(instance=make_container_instance(cluster="blue")),
    ],
    ids=lambda record: type(record).__name__,
)
def test_every_taggable_resource_takes_tags_and_shows_them(record):
    store = make_store(CLUSTER, record)
    call(store, "TagResource", resourceArn=record.arn, tags=[{"key": "team", "value": "a b"}])
    assert list_tags(store, record.arn) == [{"key": "team", "value": "a b"}]


def test_a_resource_without_tags_shows_an_empty_list():
    assert list_tags(make_store(CLUSTER), CLUSTER.arn) == []


def test_tagging_again_replaces_the_value_and_keeps_the_others():
    store = make_store(CLUSTER)
    for tags in ([{"key": "a", "value": "1"}, {"key": "b", "value": "2"}], [{"key": "a"}]):
        call(store, "TagResource", resourceArn=CLUSTER.arn, tags=tags)
    assert list_tags(store, CLUSTER.arn) == [{"key": "a", "value": ""}, {"key": "b", "value": "2"}]


def test_tagging_with_what_is_there_changes_nothing():
    store = make_store(CLUSTER, ResourceTags(arn=CLUSTER.arn, tags=(Tag("a", "1"),)))
    decision = decide(
        store, "TagResource", resourceArn=CLUSTER.arn, tags=[{"key": "a", "value": "1"}]
    )
    assert decision.changes == ()


def test_untagging_removes_only_the_named_keys_and_the_last_one_leaves_no_record():
    store = make_store(CLUSTER, ResourceTags(arn=CLUSTER.arn, tags=(Tag("a"), Tag("b"))))
    call(store, "UntagResource", resourceArn=CLUSTER.arn, tagKeys=["a", "unknown"])
    assert list_tags(store, CLUSTER.arn) == [{"key": "b", "value": ""}]
    call(store, "UntagResource", resourceArn=CLUSTER.arn, tagKeys=["b"])
    assert len(store.tags) == 0


def test_the_fifty_first_tag_of_a_resource_is_a_limit_exceeded():
    tags = tuple(Tag(f"key-{number}") for number in range(50))
    store = make_store(CLUSTER, ResourceTags(arn=CLUSTER.arn, tags=tags))
    with pytest.raises(ecs.LimitExceededException, match="at most 50 tags"):
        decide(store, "TagResource", resourceArn=CLUSTER.arn, tags=[{"key": "more"}])


@pytest.mark.parametrize(
    ("tags", "complaint"),
    [
        ([("aws:team", "")], "aws: prefixed tag key names are not allowed"),
        ([("AWS:team", "")], "aws: prefixed tag key names are not allowed"),
        ([("", "x")], "Tag key should not be null or empty"),
        ([(None, "x")], "Tag key should not be null or empty"),
        ([("k" * 129, "")], "128 characters or less"),
        ([("k", "v" * 257)], "256 characters or less"),
        ([("k", "a"), ("k", "b")], "Duplicate tag keys"),
        ([("k!", "")], "Tag key contains invalid characters"),
        ([("k", "a\nb")], "Tag value contains invalid characters"),
        ([(f"k{n}", "") for n in range(51)], "at most 50 tags"),
    ],
)
def test_unsound_tags_are_refused(tags, complaint):
    with pytest.raises(ecs.InvalidParameterException, match=complaint):
        check_tags([ecs.Tag(key=key, value=value) for key, value in tags])


def test_tags_may_hold_letters_of_any_script():
    tags = check_tags([ecs.Tag(key="größe", value="東京 1:2/3=4+5-6@7_8.9")])
    assert tags == (Tag("größe", "東京 1:2/3=4+5-6@7_8.9"),)


@pytest.mark.parametrize(
    ("arn", "error"),
    [
        ("blue", ecs.InvalidParameterException),
        ("arn:aws:s3:us-east-1:123456789012:cluster/blue", ecs.InvalidParameterException),
        ("arn:aws:ecs:us-east-1:123456789012:gateway/blue", ecs.InvalidParameterException),
        ("arn:aws:ecs:us-east-1:123456789012:service/web", ecs.InvalidParameterException),
        ("arn:aws:ecs:us-east-1:123456789012:service/blue/web", ecs.ResourceNotFoundException),
        ("arn:aws:ecs:us-east-1:123456789012:task/red/1", ecs.ClusterNotFoundException),
        ("arn:aws:ecs:us-east-1:123456789012:cluster/red", ecs.ClusterNotFoundException),
        ("arn:aws:ecs:us-west-2:123456789012:cluster/blue", ecs.ResourceNotFoundException),
        ("arn:aws:ecs:us-east-1:123456789012:task-definition/web:9", ecs.ResourceNotFoundException),
    ],
)
def test_what_is_no_resource_of_the_caller_cannot_be_tagged(arn, error):
    with pytest.raises(error):
        decide(make_store(CLUSTER), "TagResource", resourceArn=arn, tags=[{"key": "a"}])


def test_a_short_service_arn_is_refused_with_the_long_arn_sentence():
    arn = f"arn:aws:ecs:{SCOPE.region}:{SCOPE.account_id}:service/web"
    with pytest.raises(ecs.InvalidParameterException, match=r"^Long arn format must be used"):
        decide(make_store(CLUSTER), "ListTagsForResource", resourceArn=arn)
