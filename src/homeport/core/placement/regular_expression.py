"""Regular expressions of the cluster query language, matched against a whole value.

A client's pattern runs inside the engine, so it must not take long, whatever it is: all that it
can ever do is worked out when it is compiled (the subset construction), and a pattern for which
that takes too many steps is refused. Steps are counted, not timed: the same pattern is always
refused or never. Matching is then one look into a table a character. What patterns are made of
is `pattern_parser`'s business.
"""

from collections.abc import Callable
from typing import NamedTuple

from homeport.core.placement.pattern_parser import CharTest, Piece, RegexError, parse_pattern

STATE_LIMIT = 500
COST_LIMIT_STEPS = 250_000  # of all patterns of one expression; some 50 ms
ENTRY_STEPS = 10  # what an entry of the table costs, so that tables stay small, too
_ASCII = tuple(map(chr, range(128)))
_HIGHEST = 0x10FFFF


class Allowance:
    """How many steps the patterns of one expression may still cost."""

    def __init__(self, steps: int = COST_LIMIT_STEPS) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """Count steps; raises RegexError when there have been too many."""
        self._left -= steps
        if self._left < 0:
            raise RegexError(
                f"working it out costs more than {COST_LIMIT_STEPS} steps, those for other "
                "patterns of the expression included; use shorter repeats, such as {n} behind .*, "
                "or fewer alternatives",
                0,
            )


def compile_regex(pattern: str, allowance: Allowance | None = None) -> Callable[[str], bool]:
    """Return a test whether a whole string matches; raises RegexError."""
    states = _States(parse_pattern(pattern))
    return _Automaton(_Builder(states, pattern, allowance or Allowance())).matches


class _States:
    """The pattern as states and ways between them (Thompson's construction).

    A state with a test leads on by a character that passes; others do without one, those with a
    condition only at the start or the end of the value.
    """

    def __init__(self, piece: Piece) -> None:
        self.tests: list[CharTest | None] = []
        self.conditions: list[str] = []  # start | end | "" for the way on without a character
        self.ways: list[tuple[int, ...]] = []
        self.final = self._add()
        self.first = self._build(piece, self.final)

    def closure(self, states: list[int], *, is_start: bool, is_end: bool) -> int:
        """Return, as bits, all states that can be reached from some without a character."""
        reached = 0
        stack = states[:]
        while stack:
            state = stack.pop()
            condition = self.conditions[state]
            if (
                reached >> state & 1
                or (condition == "start" and not is_start)
                or (condition == "end" and not is_end)
            ):
                continue
            reached |= 1 << state
            if self.tests[state] is None:
                stack.extend(self.ways[state])
        return reached

    def _add(
        self, test: CharTest | None = None, ways: tuple[int, ...] = (), condition: str = ""
    ) -> int:
        if len(self.tests) >= STATE_LIMIT:
            raise RegexError(f"it needs more than {STATE_LIMIT} states", 0)
        self.tests.append(test)
        self.ways.append(ways)
        self.conditions.append(condition)
        return len(self.tests) - 1

    def _build(self, piece: Piece, after: int) -> int:
        """Add the states of a piece so that they lead to `after`; return the first of them."""
        match piece.kind:
            case "char":
                return self._add(piece.test, (after,))
            case "sequence":
                if not piece.parts:
                    after = self._add(ways=(after,))  # so that repeating nothing has a limit too
                for part in reversed(piece.parts):
                    after = self._build(part, after)
                return after
            case "choice":
                return self._add(ways=tuple(self._build(part, after) for part in piece.parts))
            case "repeat":
                return self._build_repeat(piece, after)
        return self._add(ways=(after,), condition=piece.kind)

    def _build_repeat(self, piece: Piece, after: int) -> int:
        (part,) = piece.parts
        first = after
        if piece.most is None:
            first = self._add()
            self.ways[first] = (self._build(part, first), after)
        else:
            for _ in range(piece.most - piece.least):
                first = self._add(ways=(self._build(part, first), after))
        for _ in range(piece.least):
            first = self._build(part, first)
        return first


class _Way(NamedTuple):
    """Where a set of states leads: on, and whether the value may end here."""

    ahead: int  # states as bits
    is_match: bool


class _Builder:
    """Finds all sets of states that any value can lead to, and what each character does there.

    Characters that pass the same tests are one class; those that neither ASCII nor the pattern
    has are one, too.
    """

    def __init__(self, states: _States, pattern: str, allowance: Allowance) -> None:
        self._states = states
        self._allowance = allowance
        self._onward: dict[int, int] = {}  # state → what a character leads to, as bits
        self._ending: dict[int, bool] = {}  # state → whether a character leads to a match
        self.class_of: dict[str, int] = {}
        accepting = self._classes(pattern)
        start = [states.first]
        first = _Way(
            states.closure(start, is_start=True, is_end=False),
            bool(states.closure(start, is_start=True, is_end=True) >> states.final & 1),
        )
        self.number_of: dict[_Way, int] = {first: 0}
        self.rows: list[list[int]] = []
        found = [first]
        for way in found:
            allowance.spend(ENTRY_STEPS * len(accepting))
            row = []
            for accepted in accepting:
                following = self._follow(way.ahead & accepted)
                if following not in self.number_of:
                    self.number_of[following] = len(found)
                    found.append(following)
                row.append(self.number_of[following])
            self.rows.append(row)

    def _classes(self, pattern: str) -> list[int]:
        """Number the characters; return the states that accept each class, as bits."""
        own = {c for known in pattern for c in (known, known.lower(), known.upper()) if len(c) == 1}
        alphabet = dict.fromkeys((*_ASCII, *sorted(own)))
        other = next(c for c in map(chr, range(_HIGHEST, 0, -1)) if c not in alphabet)
        by_test: dict[CharTest, int] = {}
        for state, test in enumerate(self._states.tests):
            if test is not None:
                by_test[test] = by_test.get(test, 0) | 1 << state
        numbers: dict[int, int] = {}
        for character in (other, *alphabet):
            self._allowance.spend(len(by_test))
            accepted = sum(states for test, states in by_test.items() if test(character))
            self.class_of[character] = numbers.setdefault(accepted, len(numbers))
        newline = self.class_of["\n"]
        is_alone = list(self.class_of.values()).count(newline) == 1
        self.newline_alone = newline if is_alone else None
        self.other = self.class_of.pop(other)
        return list(numbers)

    def _follow(self, movers: int) -> _Way:
        """Move states that have accepted a character on."""
        ahead = 0
        is_match = False
        cost = 1
        while movers:
            state = movers.bit_length() - 1
            movers ^= 1 << state
            onward = self._onward.get(state)
            if onward is None:
                onward = self._move(state)
            ahead |= onward
            is_match = is_match or self._ending[state]
            cost += 1
        self._allowance.spend(cost)
        return _Way(ahead, is_match)

    def _move(self, state: int) -> int:
        states = self._states
        behind = list(states.ways[state])
        onward = states.closure(behind, is_start=False, is_end=False)
        ending = states.closure(behind, is_start=False, is_end=True)
        self._allowance.spend(onward.bit_count() + ending.bit_count())
        self._onward[state] = onward
        self._ending[state] = bool(ending >> states.final & 1)
        return onward


class _Automaton:
    """The table: what each character does in each state, and in which states a value may end.

    States that no character but a newline leaves come first: there the rest of a value without one
    doesn't matter.
    """

    def __init__(self, builder: _Builder) -> None:
        self._class_of = builder.class_of
        self._other = builder.other
        ways = list(builder.number_of)
        settled = [
            all(
                following == number
                for kind, following in enumerate(builder.rows[number])
                if kind != builder.newline_alone
            )
            for number in range(len(ways))
        ]
        order = sorted(range(len(ways)), key=lambda number: not settled[number])
        place = {number: index for index, number in enumerate(order)}
        self._settled = sum(settled)
        self._is_match = [ways[number].is_match for number in order]
        self._table = [[place[following] for following in builder.rows[n]] for n in order]
        self._first = place[0]

    def matches(self, text: str) -> bool:
        """Say whether the whole text matches."""
        table, class_of, other = self._table, self._class_of.get, self._other
        settled = -1 if "\n" in text else self._settled
        state = self._first
        for character in text:
            if state < settled:
                break
            state = table[state][class_of(character, other)]
        return self._is_match[state]
