"""Regular expressions of the cluster query language, matched against a whole value.

AWS uses Java's; here is the part of them that describes a regular language: literals, `.`,
classes, escapes, groups, alternatives and quantifiers. Matching advances all possibilities at once
(Thompson's construction), so that no pattern can take more than states x characters steps: a
client's pattern runs inside the engine. Look-around, back references and possessive quantifiers
are refused by name.
"""

from collections.abc import Callable
from typing import NamedTuple

PATTERN_LIMIT_CHARS = 512
STATE_LIMIT = 500
REPEAT_LIMIT = 1_000
GROUP_DEPTH_LIMIT = 32
STEPS_KEPT = 4_096  # of each pattern

CharTest = Callable[[str], bool]


class RegexError(ValueError):
    """A pattern that isn't understood; `position` counts characters of the pattern from 0."""

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(f"the regular expression can't be used: {problem}")
        self.position = position


class _Node(NamedTuple):
    """A piece of the pattern: `kind` says what the other members mean."""

    kind: str  # char | sequence | choice | repeat | start | end
    test: CharTest | None = None
    parts: tuple["_Node", ...] = ()
    least: int = 0
    most: int | None = None


def compile_regex(pattern: str) -> Callable[[str], bool]:
    """Return a test whether a whole string matches; raises RegexError."""
    if len(pattern) > PATTERN_LIMIT_CHARS:
        raise RegexError(f"it is longer than {PATTERN_LIMIT_CHARS} characters", PATTERN_LIMIT_CHARS)
    return _Program(_Parser(pattern).parse()).matches


def _is_word(character: str) -> bool:
    return character == "_" or (character.isascii() and character.isalnum())


def _is_digit(character: str) -> bool:
    return "0" <= character <= "9"


def _is_space(character: str) -> bool:
    return character in " \t\n\r\f\v"


_CLASSES: dict[str, CharTest] = {
    "d": _is_digit,
    "D": lambda c: not _is_digit(c),
    "w": _is_word,
    "W": lambda c: not _is_word(c),
    "s": _is_space,
    "S": lambda c: not _is_space(c),
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._depth = 0
        self._ignores_case = pattern.startswith("(?i)")
        if self._ignores_case:
            self._at = 4

    def parse(self) -> _Node:
        node = self._choice()
        if self._at < len(self._text):
            raise RegexError("a ')' closes nothing", self._at)
        return node

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise RegexError("it ends too early", self._at)
        self._at += 1
        return character

    def _choice(self) -> _Node:
        branches = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _Node("choice", parts=tuple(branches))

    def _sequence(self) -> _Node:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return _Node("sequence", parts=tuple(parts))

    def _repeated(self, node: _Node) -> _Node:
        start = self._at
        bounds = self._quantifier()
        if bounds is None:
            return node
        if self._peek() == "?":
            self._at += 1  # reluctant: the same strings match
        elif self._peek() == "+":
            raise RegexError("possessive quantifiers aren't supported", start)
        if self._peek() in ("*", "+", "?"):
            raise RegexError("a quantifier follows a quantifier", self._at)
        return _Node("repeat", parts=(node,), least=bounds[0], most=bounds[1])

    def _quantifier(self) -> tuple[int, int | None] | None:
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if self._peek() in simple:
            return simple[self._take()]
        if self._peek() != "{":
            return None
        start = self._at
        end = self._text.find("}", start)
        least, comma, most = self._text[start + 1 : max(end, start + 1)].partition(",")
        if end < 0 or not least.isdecimal() or not (most.isdecimal() or most == ""):
            raise RegexError("a '{' must begin {n}, {n,} or {n,m}", start)
        self._at = end + 1
        upper = int(most) if most else (None if comma else int(least))
        if max(int(least), upper or 0) > REPEAT_LIMIT or (upper is not None and upper < int(least)):
            raise RegexError(f"repeats go up to {REPEAT_LIMIT}, the lower bound first", start)
        return int(least), upper

    def _atom(self) -> _Node:
        start = self._at
        character = self._take()
        match character:
            case "(":
                return self._group(start)
            case "[":
                return _Node("char", self._class(start))
            case "\\":
                return _Node("char", self._escape())
            case ".":
                return _Node("char", lambda c: c != "\n")
            case "^":
                return _Node("start")
            case "$":
                return _Node("end")
            case "*" | "+" | "?" | "{":
                raise RegexError(f"'{character}' has nothing to repeat", start)
        return _Node("char", self._literal(character))

    def _group(self, start: int) -> _Node:
        if self._peek() == "?":
            self._at += 1
            if self._take() != ":":
                raise RegexError("of the (? ) constructs only (?: ) is supported", start)
        self._depth += 1
        if self._depth > GROUP_DEPTH_LIMIT:
            raise RegexError(f"more than {GROUP_DEPTH_LIMIT} groups are nested", start)
        node = self._choice()
        self._depth -= 1
        if self._peek() != ")":
            raise RegexError("a '(' isn't closed", start)
        self._at += 1
        return node

    def _literal(self, character: str) -> CharTest:
        if self._ignores_case:
            folded = character.lower()
            return lambda c: c.lower() == folded
        return character.__eq__

    def _escape(self) -> CharTest:
        start = self._at
        character = self._take()
        if character in _CLASSES:
            return _CLASSES[character]
        return self._literal(self._escaped(character, start))

    def _escaped(self, character: str, start: int) -> str:
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character.isascii() and character.isalnum():
            raise RegexError(f"'\\{character}' isn't supported", start)
        return character

    def _class(self, start: int) -> CharTest:
        is_negated = self._peek() == "^"
        self._at += is_negated
        tests: list[CharTest] = []
        while self._peek() != "]" or not tests:
            if not self._peek():
                raise RegexError("a '[' isn't closed", start)
            tests.append(self._class_item())
        self._at += 1
        if is_negated:
            return lambda c: not any(test(c) for test in tests)
        return lambda c: any(test(c) for test in tests)

    def _class_item(self) -> CharTest:
        start = self._at
        low = self._take()
        if low == "[" or self._text.startswith("&&", start):
            raise RegexError("classes within classes aren't supported", start)
        if low == "\\":
            escape = self._take()
            if escape in _CLASSES:
                return _CLASSES[escape]
            low = self._escaped(escape, start)
        rest = self._text[self._at : self._at + 2]
        if len(rest) < 2 or rest[0] != "-" or rest[1] == "]":
            return self._literal(low)
        self._at += 1
        high = self._take()
        if high == "\\":
            high = self._escaped(self._take(), start)
        if high < low:
            raise RegexError(f"the range {low}-{high} is the wrong way round", start)
        if self._ignores_case:
            return lambda c: low <= c.lower() <= high or low <= c.upper() <= high
        return lambda c: low <= c <= high


class _Program:
    """States and their successors; state `_final` has matched.

    A set of states is an integer with a bit for each. All states that a character leads on are
    moved at once, by shifting; steps taken before are remembered.
    """

    def __init__(self, node: _Node) -> None:
        self._tests: list[CharTest | None] = []
        self._conditions: list[str] = []  # start | end | "" for the way on without a character
        self._ways: list[tuple[int, ...]] = []
        self._final = self._add()
        self._first = self._build(node, self._final)
        self._shifts: dict[int, int] = {}  # how far the successor is → the states of which it is
        self._silent = 0  # states that need no character
        for state, test in enumerate(self._tests):
            if test is None:
                self._silent |= 1 << state
            else:
                shift = self._ways[state][0] - state
                self._shifts[shift] = self._shifts.get(shift, 0) | 1 << state
        self._accepting: dict[str, int] = {}  # character → the states that take it
        self._reached: dict[tuple[int, bool], int] = {}
        self._steps: dict[tuple[int, str, bool], int] = {}

    def matches(self, text: str) -> bool:
        """Say whether the whole text matches."""
        states = self._closure(self._first, is_start=True, is_end=not text)
        last = len(text) - 1
        for index, character in enumerate(text):
            key = (states, character, index == last)
            known = self._steps.get(key)
            if known is None:
                if len(self._steps) >= STEPS_KEPT:
                    self._steps.clear()
                known = self._steps[key] = self._step(*key)
            if not known:
                return False
            states = known
        return bool(states >> self._final & 1)

    def _step(self, states: int, character: str, is_end: bool) -> int:
        accepting = self._accepting.get(character)
        if accepting is None:
            if len(self._accepting) >= STEPS_KEPT:
                self._accepting.clear()
            accepting = self._accepting[character] = sum(
                1 << state
                for state, test in enumerate(self._tests)
                if test is not None and test(character)
            )
        states &= accepting
        ahead = 0
        for shift, movers in self._shifts.items():
            moving = states & movers
            if moving:
                ahead |= moving << shift if shift > 0 else moving >> -shift
        return self._close(ahead, is_end=is_end)

    def _close(self, states: int, *, is_end: bool) -> int:
        """Add all states that can be reached without a character, behind the first one."""
        silent = states & self._silent
        states ^= silent
        while silent:
            state = silent.bit_length() - 1
            reached = self._reached.get((state, is_end))
            if reached is None:
                reached = self._closure(state, is_start=False, is_end=is_end)
                self._reached[state, is_end] = reached
            states |= reached
            silent &= ~(reached | 1 << state)
        return states

    def _closure(self, start: int, *, is_start: bool, is_end: bool) -> int:
        """Return all states that can be reached from one without a character."""
        reached = 0
        stack = [start]
        while stack:
            state = stack.pop()
            condition = self._conditions[state]
            if (
                reached >> state & 1
                or (condition == "start" and not is_start)
                or (condition == "end" and not is_end)
            ):
                continue
            reached |= 1 << state
            if self._tests[state] is None:
                stack.extend(self._ways[state])
        return reached

    def _add(
        self, test: CharTest | None = None, ways: tuple[int, ...] = (), condition: str = ""
    ) -> int:
        if len(self._tests) >= STATE_LIMIT:
            raise RegexError(f"it needs more than {STATE_LIMIT} states", 0)
        self._tests.append(test)
        self._ways.append(ways)
        self._conditions.append(condition)
        return len(self._tests) - 1

    def _build(self, node: _Node, after: int) -> int:
        """Add the states of `node` so that they lead to `after`; return the first of them."""
        match node.kind:
            case "char":
                return self._add(node.test, (after,))
            case "sequence":
                if not node.parts:
                    after = self._add(ways=(after,))  # so that repeating nothing has a limit too
                for part in reversed(node.parts):
                    after = self._build(part, after)
                return after
            case "choice":
                return self._add(ways=tuple(self._build(part, after) for part in node.parts))
            case "repeat":
                return self._build_repeat(node, after)
        return self._add(ways=(after,), condition=node.kind)

    def _build_repeat(self, node: _Node, after: int) -> int:
        (part,) = node.parts
        first = after
        if node.most is None:
            first = self._add()
            self._ways[first] = (self._build(part, first), after)
        else:
            for _ in range(node.most - node.least):
                first = self._add(ways=(self._build(part, first), after))
        for _ in range(node.least):
            first = self._build(part, first)
        return first
