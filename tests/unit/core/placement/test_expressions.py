"""The cluster query language: `core.placement.expressions`."""

from datetime import UTC, datetime

import pytest

from builders import make_container_instance, make_store, make_task, make_task_definition
from homeport.core.placement.expressions import (
    EXPRESSION_LIMIT_CHARS,
    ExpressionError,
    InstanceFacts,
    parse_expression,
)
from homeport.state.view import View

REGISTERED = datetime(2018, 6, 18, 22, 28, 28, 500_000, tzinfo=UTC)
INSTANCE = make_container_instance(
    zone="us-east-1a",
    attributes={
        "ecs.instance-type": "g2.2xlarge",
        "stack": "prod",
        "ssd": None,
        "owner": "team a",
        "path/x\\y": "1",
    },
    agent_version="1.14.5",
    ec2_instance_id="i-abcd1234",
    registered_at_ms=int(REGISTERED.timestamp() * 1_000),
)
FACTS = InstanceFacts(INSTANCE, 1, ("service:production", "family:web"))

TRUE = [
    # the guide's own examples, or the other way round where they don't fit this instance
    "attribute:ecs.instance-type == g2.2xlarge",
    "attribute:ecs.availability-zone in [us-east-1a, us-east-1b]",
    "attribute:ecs.instance-type =~ g2.* and attribute:ecs.availability-zone != us-east-1d",
    "task:group == service:production",
    "not(task:group == database)",
    "runningTasksCount == 1",
    "registeredAt < 2018-06-19",
    "registeredAt > 2018-06-18",
    "registeredAt == 2018-06-18T22:28:28+00:00",
    "registeredAt >= 2018-06-18T22:28:28Z",
    "registeredAt <= 2018-06-18T22:28:28",
    "ec2InstanceId in ['i-abcd1234', 'i-wxyx7890']",
    # words for operators
    "attribute:stack equals prod",
    "attribute:stack not_equals test",
    "attribute:stack matches p.*d",
    "attribute:stack not_matches p",
    "attribute:stack not_in [a, b]",
    "attribute:stack !in [a,b]",
    "runningTasksCount greater_than 0",
    "runningTasksCount greater_than_equal 1",
    "runningTasksCount less_than 2",
    "runningTasksCount less_than_equal 1",
    # presence
    "attribute:ssd exists",
    "attribute:hdd !exists",
    "attribute:hdd not_exists",
    # what is absent equals nothing
    "attribute:hdd != x",
    "attribute:hdd !in [x]",
    "attribute:hdd !~ x",
    # versions are numbers
    "agentVersion == 1.14.5",
    "agentVersion < 1.15",
    "agentVersion < 1.14.10",
    "agentVersion > 1.14",
    "agentVersion != 1.14",
    # connected
    "agentConnected == true",
    "agentConnected in [true, false]",
    "agentConnected =~ t.*",
    # task groups
    "task:group in [x, family:web]",
    "task:group =~ service:.*",
    "task:group !~ batch.*",
    "task:group != database",
    # quotes, names, spacing
    "attribute:owner == 'team a'",
    'attribute:owner == "team a"',
    "attribute:path/x\\y == 1",
    "  attribute:stack==prod  ",
    # structure: and binds tighter than or, not tighter than and
    "attribute:hdd exists and attribute:hdd exists or attribute:ssd exists",
    "attribute:ssd exists || attribute:hdd exists && attribute:hdd exists",
    "not attribute:hdd exists and attribute:ssd exists",
    "!(attribute:hdd exists || attribute:stack == test)",
    "not not attribute:ssd exists",
    "!!(attribute:ssd exists)",
    "((attribute:ssd exists))",
    "(attribute:stack =~ (prod|test))",
    "attribute:stack =~ pr[a-z]d&&attribute:ssd exists",
]

FALSE = [
    "attribute:stack == pro",
    "attribute:stack =~ pro",
    "attribute:hdd == x",
    "attribute:hdd in [x]",
    "agentVersion > 1.14.5",
    "agentVersion >= 2",
    "registeredAt < 2018-02-13",
    "runningTasksCount > 1",
    "task:group != service:production",
    "not attribute:ssd exists",
    "attribute:ssd exists and not(attribute:stack == prod)",
    "agentConnected == false",
]


@pytest.mark.parametrize("text", TRUE)
def test_an_expression_holds(text: str):
    assert parse_expression(text).is_match(FACTS)


@pytest.mark.parametrize("text", FALSE)
def test_an_expression_does_not_hold(text: str):
    assert not parse_expression(text).is_match(FACTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the expression ends too early (at character 1)"),
        ("attribute:a", "the expression ends too early (at character 12)"),
        ("attribute:a ==", "the expression ends too early (at character 15)"),
        ("foo == bar", "'foo' isn't expected here (at character 1)"),
        ("attribute:a == b c", "'c' isn't expected here (at character 18)"),
        ("attribute:a in x", "'x' isn't expected here (at character 16)"),
        ("(attribute:a == b", "the expression ends too early (at character 18)"),
        ("attribute:a == b)", "')' isn't expected here (at character 17)"),
        ("attribute:a == b and", "the expression ends too early (at character 21)"),
        ("attribute:a in []", "']' isn't expected here (at character 17)"),
        ("attribute:a > 3", "'>' can't be used with attribute:a (at character 13)"),
        ("task:group exists", "'exists' can't be used with task:group (at character 12)"),
        ("agentConnected < true", "'<' can't be used with agentConnected (at character 16)"),
        ("registeredAt =~ 20.*", "'=~' can't be used with registeredAt (at character 14)"),
        (
            "runningTasksCount == x",
            "'x' can't be compared with runningTasksCount (at character 22)",
        ),
        ("registeredAt < soon", "'soon' can't be compared with registeredAt (at character 16)"),
        ("agentVersion < a.b", "'a.b' can't be compared with agentVersion (at character 16)"),
        (
            "attribute:a =~ 'x(?=y)'",
            "the regular expression can't be used: of the (? ) constructs only (?: ) is supported"
            " (at character 17)",
        ),
    ],
)
def test_a_wrong_expression_is_refused_with_its_place(text: str, message: str):
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text)
    assert str(caught.value) == message


def test_an_expression_has_a_limit_of_2000_characters():
    fits = "attribute:a == " + "x" * (EXPRESSION_LIMIT_CHARS - 15)
    assert not parse_expression(fits).is_match(FACTS)
    with pytest.raises(ExpressionError, match="longer than 2000 characters"):
        parse_expression(fits + "x")


def test_deep_nesting_is_refused_and_many_negations_are_not_recursion():
    with pytest.raises(ExpressionError, match="more than 32 parentheses"):
        parse_expression("(" * 33 + "attribute:a exists" + ")" * 33)
    assert parse_expression("!" * 1_900 + "attribute:ssd exists").is_match(FACTS)
    deep = "!(" * 32 + "attribute:ssd exists" + ")" * 32
    assert parse_expression(deep).is_match(FACTS)


def test_an_expression_knows_which_attributes_and_facts_it_asks():
    expression = parse_expression("attribute:a exists && attribute:b == c || task:group == x")
    assert expression.attribute_names == {"a", "b"}
    assert expression.needs_task_groups
    assert not parse_expression("attribute:a exists").needs_task_groups


def test_the_same_text_is_compiled_once():
    assert parse_expression("attribute:a exists") is parse_expression("attribute:a exists")


def test_an_agent_that_never_told_its_version_is_in_no_order():
    facts = InstanceFacts(make_container_instance(), 0)
    assert not parse_expression("agentVersion < 99").is_match(facts)
    assert not parse_expression("agentVersion >= 0").is_match(facts)
    assert not parse_expression("agentVersion == 1").is_match(facts)


def test_a_listing_can_ask_about_an_instance_as_it_is_now():
    definition, instance = make_task_definition(), make_container_instance()
    running = make_task("r", definition=definition, instance=instance, last_status="RUNNING")
    pending = make_task("p", definition=definition, instance=instance, group="batch")
    view = View(make_store(instance, definition, running, pending))
    assert parse_expression("runningTasksCount == 1").matches_now(view, instance)
    assert parse_expression("task:group == batch").matches_now(view, instance)
    assert not parse_expression("task:group == gone").matches_now(view, instance)


def test_an_expression_has_few_enough_patterns_to_be_judged_in_no_time():
    ten = " or ".join(f"attribute:a =~ {n}.*" for n in range(10))
    assert not parse_expression(ten).is_match(FACTS)
    with pytest.raises(ExpressionError, match="at most 10 regular expressions") as refusal:
        parse_expression(f"{ten} or task:group =~ x.*")
    assert refusal.value.position == len(ten) + len(" or task:group =~ ")


def test_a_pattern_that_costs_too_much_is_pointed_at():
    with pytest.raises(ExpressionError, match="costs more than") as refusal:
        parse_expression("attribute:a =~ 'a.*' and attribute:b =~ .*a.{300}")
    assert refusal.value.position == len("attribute:a =~ 'a.*' and attribute:b =~ ")
