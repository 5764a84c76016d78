"""Patterns of the cluster query language's regular expressions: text in, a tree of pieces out.

AWS uses Java's; here is the part of them that describes a regular language: literals, `.`,
classes, escapes, groups, alternatives and quantifiers. Look-around, back references and possessive
quantifiers are refused by name. Matching is `regular_expression`'s business.
"""

from collections.abc import Callable
from typing import NamedTuple

PATTERN_LIMIT_CHARS = 512
REPEAT_LIMIT = 1_000
GROUP_DEPTH_LIMIT = 32

CharTest = Callable[[str], bool]


class RegexError(ValueError):
    """A pattern that can't be used; `position` counts characters of the pattern from 0."""

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(f"the regular expression can't be used: {problem}")
        self.position = position


class Piece(NamedTuple):
    """A piece of the pattern: `kind` says what the other members mean."""

    kind: str  # char | sequence | choice | repeat | start | end
    test: CharTest | None = None
    parts: tuple["Piece", ...] = ()
    least: int = 0
    most: int | None = None


def parse_pattern(pattern: str) -> Piece:
    """Return what a pattern is made of; raises RegexError with the place."""
    if len(pattern) > PATTERN_LIMIT_CHARS:
        raise RegexError(f"it is longer than {PATTERN_LIMIT_CHARS} characters", PATTERN_LIMIT_CHARS)
    return _Parser(pattern).parse()


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

    def parse(self) -> Piece:
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

    def _choice(self) -> Piece:
        branches = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Piece("choice", parts=tuple(branches))

    def _sequence(self) -> Piece:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return Piece("sequence", parts=tuple(parts))

    def _repeated(self, node: Piece) -> Piece:
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
        return Piece("repeat", parts=(node,), least=bounds[0], most=bounds[1])

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

    def _atom(self) -> Piece:
        start = self._at
        character = self._take()
        match character:
            case "(":
                return self._group(start)
            case "[":
                return Piece("char", self._class(start))
            case "\\":
                return Piece("char", self._escape())
            case ".":
                return Piece("char", lambda c: c != "\n")
            case "^":
                return Piece("start")
            case "$":
                return Piece("end")
            case "*" | "+" | "?" | "{":
                raise RegexError(f"'{character}' has nothing to repeat", start)
        return Piece("char", self._literal(character))

    def _group(self, start: int) -> Piece:
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
        if not (low + high).isascii():
            raise RegexError("ranges beyond ASCII aren't supported", start)
        if high < low:
            raise RegexError(f"the range {low}-{high} is the wrong way round", start)
        if self._ignores_case:
            return lambda c: low <= c.lower() <= high or low <= c.upper() <= high
        return lambda c: low <= c <= high
