"""Regular expressions in bounded time: `core.placement.regular_expression`."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.core.placement.pattern_parser import RegexError
from homeport.core.placement.regular_expression import Allowance, compile_regex


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("g2.*", "g2.2xlarge", True),
        ("g2", "g2.2xlarge", False),
        ("", "", True),
        ("", "a", False),
        ("(t2|m5)\\..*", "m5.large", True),
        ("(t2|m5)\\..*", "m5xlarge", False),
        ("(?:ab)+", "ababab", True),
        ("[a-c]{2,3}", "abca", False),
        ("[^a-c]{2}", "xy", True),
        ("[a\\-z]+", "a-z", True),
        ("[]x]+", "]x", True),
        ("a{0}b", "b", True),
        ("a{2,}", "aaaa", True),
        ("\\d+\\w\\s\\D\\W\\S", "12_ x!y", True),
        ("^ab$", "ab", True),
        ("a^b", "ab", False),
        ("(a$|b)c?", "a", True),
        (".", "\n", False),
        ("a.+?b??", "axxb", True),
        ("(?i)PROD-[a-z]", "prod-X", True),
        ("(a*)*", "aaa", True),
        ("(a|b|)*c", "ababc", True),
    ],
)
def test_a_pattern_matches_whole_values(pattern: str, text: str, matches: bool):
    assert compile_regex(pattern)(text) is matches


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("a++", "possessive"),
        ("a**", "a quantifier follows"),
        ("*a", "nothing to repeat"),
        ("(a", "isn't closed"),
        ("a)", "closes nothing"),
        ("[a", "isn't closed"),
        ("a{2,1}", "lower bound first"),
        ("a{1001}", "repeats go up to 1000"),
        ("a{x}", "a '{' must begin"),
        ("a\\1", "isn't supported"),
        ("(?=a)", "only (?: )"),
        ("[z-a]", "wrong way round"),
        ("[a[b]]", "classes within classes"),
        ("a\\", "ends too early"),
        ("(" * 40 + ")" * 40, "more than 32 groups"),
        ("(a{100}){100}", "more than 500 states"),
        ("((){1000}){1000}", "more than 500 states"),
        ("a" * 513, "longer than 512"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(pattern: str, problem: str):
    with pytest.raises(RegexError, match=re.escape(problem)):
        compile_regex(pattern)


def test_a_catastrophic_pattern_takes_no_time():
    assert not compile_regex("(a|a)*(a*)*a*a*a*b")("a" * 250)


pieces = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "\\d", "(a|b)", "(ab)", "(?:a|)"])
quantifiers = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}", "{0,}", "*?"])
patterns = st.lists(st.tuples(pieces, quantifiers), max_size=5).map(
    lambda parts: "".join(piece + quantifier for piece, quantifier in parts)
)


@given(patterns, st.text("ab1", max_size=8))
def test_it_agrees_with_pythons_own_engine(pattern: str, text: str):
    assert compile_regex(pattern)(text) == (re.fullmatch(pattern, text) is not None)


@pytest.mark.parametrize(
    "pattern", ["(.*.*.*.*.*.*.*.*)*!", ".*a.{8}", "((a|b|ab|ba|aab)*)*!", "(^|a|$)*b?(^a)*!"]
)
def test_ten_thousand_long_values_are_judged_in_the_time_of_a_blink(pattern: str):
    started = time.process_time()
    is_match = compile_regex(pattern)
    values = [f"{n:014b}".replace("0", "a").replace("1", "b") * 9 for n in range(10_000)]
    assert len(list(map(is_match, values))) == 10_000
    assert time.process_time() - started < 1.0, "it takes some 0.06 s"


@pytest.mark.parametrize("pattern", [".*a.{400}", ".*a.{12}", "(a|b)*a(a|b){20}"])
def test_a_pattern_that_costs_too_much_is_refused_before_it_costs_anything(pattern: str):
    started = time.process_time()
    with pytest.raises(RegexError, match=r"costs more than 250000 steps.* shorter repeats"):
        compile_regex(pattern)
    assert time.process_time() - started < 1.0, "it takes some 0.05 s"


def test_the_patterns_of_one_expression_share_what_they_may_cost():
    allowance = Allowance(6_000)
    compile_regex("m5.*", allowance)
    with pytest.raises(RegexError, match="costs more than"):
        compile_regex("(m5|c5)\\.(x?large|[0-9]+xlarge|metal|[a-f]{9})", allowance)


def test_characters_beyond_ascii_are_told_apart_if_the_pattern_names_them():
    is_match = compile_regex("[^a]é.\\W")
    assert is_match("öéüß")
    assert not is_match("öeüß")
    assert not is_match("öéüa")
    assert compile_regex("(?i)É+")("éÉ")
    assert not compile_regex("(?i)k")("\u212a"), "Java folds ASCII only, too"
    with pytest.raises(RegexError, match="ranges beyond ASCII"):
        compile_regex("[à-ü]")


def test_a_newline_counts_also_behind_what_decides():
    is_match = compile_regex("a.*")
    assert is_match("ab" * 50)
    assert not is_match("ab" * 50 + "\n")
    assert compile_regex("a[\\s\\S]*")("a\n")
