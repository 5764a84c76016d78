"""The cluster query language: text in, a compiled predicate over container instances out.

memberOf constraints and ListContainerInstances' filter use it. An expression compiles once; a
value that is absent equals nothing and matches nothing, so `!=`, `!in` and `!~` hold for it, and
an ordering doesn't. Regular expressions are `regular_expression`'s business.
"""

import operator
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken, VisitError

from homeport.core.placement.pattern_parser import RegexError
from homeport.core.placement.regular_expression import Allowance, compile_regex
from homeport.model.container_instance import ContainerInstance
from homeport.state.view import View

EXPRESSION_LIMIT_CHARS = 2_000
PATTERNS_PER_EXPRESSION = 10
DEPTH_LIMIT = 32
COMPILED_EXPRESSIONS = 1_024

_ALIASES = {
    "equals": "==",
    "not_equals": "!=",
    "greater_than": ">",
    "greater_than_equal": ">=",
    "less_than": "<",
    "less_than_equal": "<=",
    "matches": "=~",
    "not_matches": "!~",
    "not_in": "!in",
    "not_exists": "!exists",
}
_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
ATTRIBUTE_SUBJECT = "attribute:"
RUNNING_TASKS_COUNT = "runningTasksCount"
_STRING_SUBJECTS = ("agentConnected", "ec2InstanceId")


class ExpressionError(ValueError):
    """An expression that isn't one; `position` counts characters from 0."""

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(f"{problem} (at character {position + 1})")
        self.position = position


class InstanceFacts(NamedTuple):
    """What an expression may ask of one container instance.

    `task_groups` are the groups of the tasks that it hosts; only read if the expression's
    `needs_task_groups` says so.
    """

    instance: ContainerInstance
    running_task_count: int
    task_groups: Collection[str] = ()


Predicate = Callable[[InstanceFacts], bool]
StringTest = Callable[[str], bool]


class Expression(msgspec.Struct, frozen=True):
    """A compiled expression.

    Instances that are the same in all `subjects`, and in which `group_tests` any of their tasks'
    groups pass, match alike.
    """

    text: str
    is_match: Predicate
    subjects: tuple[str, ...]  # without task:group
    group_tests: tuple[StringTest, ...] = ()

    @property
    def attribute_names(self) -> frozenset[str]:
        """The attributes that it asks for."""
        return frozenset(
            subject.removeprefix(ATTRIBUTE_SUBJECT)
            for subject in self.subjects
            if subject.startswith(ATTRIBUTE_SUBJECT)
        )

    @property
    def needs_task_groups(self) -> bool:
        """Whether it asks which tasks an instance hosts."""
        return bool(self.group_tests)

    @property
    def is_static(self) -> bool:
        """Whether only a change of the instance itself can change its answer."""
        return not self.group_tests and RUNNING_TASKS_COUNT not in self.subjects

    def matches_now(self, view: View, instance: ContainerInstance) -> bool:
        """Say whether a container instance matches as things stand."""
        groups: tuple[str, ...] = ()
        if self.needs_task_groups:
            groups = tuple(task.group for task in view.tasks_of_instance(instance.arn).values())
        running = view.instance_load(instance.arn).running
        return self.is_match(InstanceFacts(instance, running, groups))


@lru_cache(maxsize=COMPILED_EXPRESSIONS)
def parse_expression(text: str) -> Expression:
    """Compile an expression of at most 2,000 characters; raises ExpressionError with a position."""
    if len(text) > EXPRESSION_LIMIT_CHARS:
        raise ExpressionError(
            f"the expression is longer than {EXPRESSION_LIMIT_CHARS} characters",
            EXPRESSION_LIMIT_CHARS,
        )
    _refuse_deep_nesting(text)
    compiler = _Compiler()
    try:
        is_match = compiler.transform(_parser().parse(text))
    except UnexpectedInput as error:
        raise _describe(text, error) from None
    except VisitError as error:
        if isinstance(error.orig_exc, ExpressionError):
            raise error.orig_exc from None
        raise
    return Expression(
        text, is_match, tuple(sorted(compiler.subjects)), tuple(compiler.group_tests)
    )


def subject_reader(subject: str) -> Callable[[ContainerInstance], str | None]:
    """Return what reads a subject from an instance as text: what is equal there matches alike."""
    if subject.startswith(ATTRIBUTE_SUBJECT):
        attribute = subject.removeprefix(ATTRIBUTE_SUBJECT)
        return lambda instance: _attribute_of(instance, attribute)
    return _SUBJECT_READERS[subject]


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark.open("cluster_query.lark", rel_to=__file__, parser="lalr")


@v_args(inline=True)
class _Compiler(Transformer[Token, Predicate]):
    """Turns a parse tree into a predicate, and notes what it will ask."""

    def __init__(self) -> None:
        super().__init__()
        self.subjects: set[str] = set()
        self.group_tests: list[StringTest] = []
        self._patterns = 0
        self._allowance = Allowance()

    def either(self, *parts: Predicate) -> Predicate:
        return lambda facts: any(part(facts) for part in parts)

    def both(self, *parts: Predicate) -> Predicate:
        return lambda facts: all(part(facts) for part in parts)

    def negation(self, *parts: Any) -> Predicate:
        part: Predicate = parts[-1]
        is_kept = len(parts) % 2 == 1
        return part if is_kept else lambda facts: not part(facts)

    def literal(self, token: Token) -> Token:
        return _unquoted(token)

    def pattern(self, token: Token) -> Token:
        return _unquoted(token)

    def condition(self, subject: Token, symbol: Token, *values: Token) -> Predicate:
        name = str(subject)
        sign = _ALIASES.get(symbol, str(symbol))
        if name == "task:group":
            if sign in ("exists", "!exists") or sign in _ORDERINGS:
                raise _unfit(name, symbol)
            test = self._string_test(sign, values)
            self.group_tests.append(test)
            wanted = not sign.startswith("!")
            return lambda facts: any(map(test, facts.task_groups)) == wanted
        self.subjects.add(name)
        if name.startswith(ATTRIBUTE_SUBJECT):
            attribute = name.removeprefix(ATTRIBUTE_SUBJECT)
            if sign in ("exists", "!exists"):
                exists = sign == "exists"
                return lambda facts: (attribute in facts.instance.attributes) == exists
            if sign in _ORDERINGS:
                raise _unfit(name, symbol)
            return _on_strings(
                lambda facts: _attribute_of(facts.instance, attribute),
                self._string_test(sign, values),
                is_wanted=not sign.startswith("!"),
            )
        if name in _STRING_SUBJECTS:
            if sign in ("exists", "!exists") or sign in _ORDERINGS:
                raise _unfit(name, symbol)
            return _on_strings(
                _STRING_READERS[name],
                self._string_test(sign, values),
                is_wanted=not sign.startswith("!"),
            )
        return _on_numbers(name, symbol, sign, values)

    def _string_test(self, sign: str, values: tuple[Token, ...]) -> StringTest:
        """Return what ==, in and =~ ask of one string."""
        if not sign.endswith("~"):
            accepted = frozenset(str(value) for value in values)
            return accepted.__contains__
        start = values[0].start_pos or 0
        self._patterns += 1
        if self._patterns > PATTERNS_PER_EXPRESSION:
            raise ExpressionError(
                f"an expression can have at most {PATTERNS_PER_EXPRESSION} regular expressions",
                start,
            )
        try:
            return compile_regex(str(values[0]), self._allowance)
        except RegexError as error:
            raise ExpressionError(str(error), start + error.position) from None


def _unquoted(token: Token) -> Token:
    if token.type != "QUOTED":
        return token
    return Token.new_borrow_pos("WORD", token[1:-1], token)


def _attribute_of(instance: ContainerInstance, name: str) -> str | None:
    if name not in instance.attributes:
        return None
    return instance.attributes[name] or ""


_STRING_READERS: dict[str, Callable[[InstanceFacts], str | None]] = {
    "agentConnected": lambda facts: "true" if facts.instance.agent_connected else "false",
    "ec2InstanceId": lambda facts: facts.instance.ec2_instance_id,
}


def _on_strings(
    read: Callable[[InstanceFacts], str | None], test: StringTest, *, is_wanted: bool
) -> Predicate:
    def is_match(facts: InstanceFacts) -> bool:
        value = read(facts)
        return (value is not None and test(value)) == is_wanted

    return is_match


def _on_numbers(name: str, symbol: Token, sign: str, values: tuple[Token, ...]) -> Predicate:
    """Compare versions, times and counts; only == and != and orderings make sense."""
    if sign not in _ORDERINGS and sign not in ("==", "!="):
        raise _unfit(name, symbol)
    parse, read = _NUMBER_READERS[name]
    limit = parse(str(values[0]))
    if limit is None:
        raise ExpressionError(
            f"'{values[0]}' can't be compared with {name}", values[0].start_pos or 0
        )
    if sign in ("==", "!="):
        wanted = sign == "=="
        return lambda facts: (read(facts) == limit) == wanted
    compare = _ORDERINGS[sign]

    def is_match(facts: InstanceFacts) -> bool:
        value = read(facts)
        return value is not None and compare(value, limit)

    return is_match


def _parse_version(text: str) -> tuple[int, ...] | None:
    """Read dotted numbers; trailing zeros don't count, so that 1.14 equals 1.14.0."""
    parts = text.removeprefix("v").split(".")
    if not all(part.isascii() and part.isdigit() for part in parts):
        return None
    numbers = [int(part) for part in parts]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _parse_count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _parse_time_s(text: str) -> int | None:
    """Read a date or a date and time; without an offset it is UTC's."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp())


def _version_of(facts: InstanceFacts) -> tuple[int, ...] | None:
    version = facts.instance.agent_version
    return None if version is None else _parse_version(version)


_NUMBER_READERS: dict[str, tuple[Callable[[str], Any], Callable[[InstanceFacts], Any]]] = {
    "agentVersion": (_parse_version, _version_of),
    "registeredAt": (_parse_time_s, lambda facts: facts.instance.registered_at_ms // 1_000),
    RUNNING_TASKS_COUNT: (_parse_count, lambda facts: facts.running_task_count),
}


_SUBJECT_READERS: dict[str, Callable[[ContainerInstance], str | None]] = {
    "agentConnected": lambda instance: str(instance.agent_connected),
    "agentVersion": lambda instance: instance.agent_version,
    "ec2InstanceId": lambda instance: instance.ec2_instance_id,
    "registeredAt": lambda instance: str(instance.registered_at_ms // 1_000),
}


def _unfit(name: str, symbol: Token) -> ExpressionError:
    return ExpressionError(f"'{symbol}' can't be used with {name}", symbol.start_pos or 0)


def _refuse_deep_nesting(text: str) -> None:
    """Bound the predicate's recursion, before anything recurses."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth > DEPTH_LIMIT:
            raise ExpressionError(f"more than {DEPTH_LIMIT} parentheses are nested", position)


def _describe(text: str, error: UnexpectedInput) -> ExpressionError:
    if isinstance(error, UnexpectedEOF) or (
        isinstance(error, UnexpectedToken) and error.token.type == "$END"
    ):
        return ExpressionError("the expression ends too early", len(text))
    position: int = getattr(error, "pos_in_stream", None) or 0
    if isinstance(error, UnexpectedCharacters | UnexpectedToken):
        rest = text[position:].split(maxsplit=1)
        return ExpressionError(f"'{rest[0] if rest else ''}' isn't expected here", position)
    return ExpressionError("the expression can't be read", position)
