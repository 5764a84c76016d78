"""The picture of a replay: well-formed, told in words, and not larger than it must be."""

import xml.etree.ElementTree as ElementTree

import pytest

from homeport.cli.replay_view import BLOCKS, PLOT_WIDTH_CHARS, plot_lines
from homeport.sim.replay.picture import PANELS, _round_up, _span_text, _ticks, draw_picture
from homeport.sim.replay.report import Report, Side
from homeport.sim.replay.series import GAUGES, POINTS_LIMIT, Series

SVG = "{http://www.w3.org/2000/svg}"


def make_side(value: float) -> Side:
    series = Series(points=(0.0,) + (value,) * (POINTS_LIMIT - 1), mean=value, peak=value, last=0)
    return Side(
        series=dict.fromkeys(GAUGES, series),
        unplaced_task_seconds=0,
        tasks=0,
        failures={},
        deployments=0,
        deployments_completed=0,
        steady_s_mean=None,
        steady_s_longest=None,
    )


def make_report(before: float = 4.0, after: float = 2.0, cluster: str = "default") -> Report:
    return Report(
        journal="data",
        cluster=cluster,
        seed=0,
        begins_ms=0,
        ends_ms=7_200_000,
        first_commit=1,
        last_commit=9,
        is_unchanged=False,
        before=make_side(before),
        after=make_side(after),
        agreement=None,
        deployments=(),
        simulated_steps=0,
        simulated_commits=0,
        refused={},
        left_out={},
    )


def test_each_gauge_has_a_panel_with_both_worlds():
    root = ElementTree.fromstring(draw_picture(make_report()))
    paths = [path.get("class") for path in root.iter(f"{SVG}path")]
    assert paths == ["under", "before", "after"] * len(PANELS)
    assert "Running tasks: mean 4.0 before, 2.0 after." in (root.findtext(f"{SVG}desc") or "")
    assert root.get("role") == "img"


def test_names_cannot_break_the_picture():
    root = ElementTree.fromstring(draw_picture(make_report(cluster="<a>&b")))
    assert "<a>&b" in (root.findtext(f"{SVG}title") or "")


def test_a_gauge_that_stays_takes_no_room():
    assert len(draw_picture(make_report())) < 16_000


def test_a_gauge_that_is_always_zero_is_drawn_on_the_axis():
    ElementTree.fromstring(draw_picture(make_report(0.0, 0.0)))


@pytest.mark.parametrize(
    ("value", "most"), [(1, 1), (1.2, 2), (3, 4), (5, 6), (7, 10), (100, 100), (1_201, 2_000)]
)
def test_axes_end_at_numbers_that_halve_well(value, most):
    assert _round_up(value) == most


@pytest.mark.parametrize(
    ("seconds", "last", "count"),
    [(7_100, 5_400, 4), (0.3, 0.2, 3), (604_800, 518_400, 4), (9_000_000, 7_776_000, 4)],
)
def test_time_has_a_few_round_marks(seconds, last, count):
    ticks = _ticks(seconds)
    assert (ticks[-1], len(ticks)) == (last, count)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0"), (1, "1 s"), (90, "1.5 min"), (7_200, "2 h"), (200_000, "2.3 d")]
)
def test_spans_are_written_in_a_unit_that_fits(seconds, text):
    assert _span_text(seconds) == text


def test_blocks_share_one_scale_and_show_everything_that_is_not_zero():
    lines = list(plot_lines(make_report(before=100.0, after=0.5)))
    before, after = lines[0], lines[1]
    assert before.count(BLOCKS[-1]) == PLOT_WIDTH_CHARS - 1
    assert after.count(BLOCKS[1]) == PLOT_WIDTH_CHARS
