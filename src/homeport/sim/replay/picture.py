"""A replay as a picture: one panel a gauge, before and after over the same time, in plain SVG.

It needs nothing but a browser, follows the reader's light or dark theme, and tells the two worlds
apart by their form as well as by their colour.
"""

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from homeport.sim.replay.report import Report
from homeport.sim.replay.series import Series

WIDTH_PX = 960
PANEL_WIDTH_PX = 424
PANEL_HEIGHT_PX = 150
COLUMNS = 2
GAP_PX = 40
ROW_PX = 222
HEAD_PX = 92
FOOT_PX = 30
LEFT_PX = 36
Y_TICKS = 3
X_TICKS_MOST = 5

PANELS = (
    ("running", "Running tasks", ""),
    ("unplaced", "Tasks wanted, without a place", ""),
    ("cpu_percent", "CPU reserved", " %"),
    ("memory_percent", "Memory reserved", " %"),
    ("zone_imbalance", "Zones: most tasks less fewest", ""),
    ("instances_used", "Container instances in use", ""),
)

# The two colours differ for everybody, and from either background by more than 3 to 1.
_STYLE = """
  .paper { fill: #ffffff } text { fill: #1f2328; font: 12px system-ui, sans-serif }
  .title { font-size: 18px; font-weight: 600 } .name { font-size: 13px; font-weight: 600 }
  .faint { fill: #59636e } .grid { stroke: #d1d9e0; stroke-width: 1 }
  .before { stroke: #59636e; fill: none; stroke-width: 1.5; stroke-dasharray: 5 3 }
  .under { fill: #59636e; fill-opacity: .13 }
  .after { stroke: #bc4c00; fill: none; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } text { fill: #f0f6fc } .faint { fill: #9198a1 }
    .grid { stroke: #3d444d } .before { stroke: #9198a1 } .under { fill: #9198a1 }
    .after { stroke: #f0883e }
  }
"""
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
# Between two marks of the time; a journal that is longer than all of these has fewer marks.
_TICKS_S = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1_800),
    *(3_600, 7_200, 10_800, 21_600, 43_200),
    *(86_400, 172_800, 604_800, 2_592_000),
)


class _Panel(NamedTuple):
    """Where a panel is, and what its axes reach."""

    left: float
    top: float
    most: float
    seconds: float


def draw_picture(report: Report) -> str:
    """Draw a report as the text of an SVG file."""
    rows = -(-len(PANELS) // COLUMNS)
    height = HEAD_PX + rows * ROW_PX + FOOT_PX
    seconds = (report.ends_ms - report.begins_ms) / 1_000
    told = (
        f"Replay of cluster {report.cluster}: commits {report.first_commit} to "
        f"{report.last_commit}, {_span_text(seconds)}"
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_PX}" height="{height}" '
        f'viewBox="0 0 {WIDTH_PX} {height}" role="img" aria-labelledby="title desc">',
        f'<title id="title">{escape(told)}</title>',
        f'<desc id="desc">{escape(_describe(report))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{WIDTH_PX}" height="{height}"/>',
        f'<text class="title" x="{LEFT_PX}" y="34">{escape(told)}</text>',
        *_legend(),
    ]
    for number, (gauge, name, unit) in enumerate(PANELS):
        column, row = number % COLUMNS, number // COLUMNS
        left = LEFT_PX + column * (PANEL_WIDTH_PX + GAP_PX)
        top = HEAD_PX + row * ROW_PX + 24
        before, after = report.before.series[gauge], report.after.series[gauge]
        most = _round_up(max(*before.points, *after.points, 1.0))
        lines += _draw_panel(_Panel(left, top, most, seconds), name, unit, (before, after))
    return "\n".join([*lines, "</svg>", ""])


def _describe(report: Report) -> str:
    """Say in words what the picture shows."""
    parts = []
    for gauge, name, unit in PANELS:
        before, after = report.before.series[gauge], report.after.series[gauge]
        parts.append(f"{name}: mean {before.mean:.1f}{unit} before, {after.mean:.1f}{unit} after.")
    return " ".join(parts)


def _legend() -> Iterator[str]:
    yield f'<line class="before" x1="{LEFT_PX}" y1="58" x2="{LEFT_PX + 34}" y2="58"/>'
    yield f'<text x="{LEFT_PX + 42}" y="62">before: what the journal says</text>'
    yield f'<line class="after" x1="{LEFT_PX + 262}" y1="58" x2="{LEFT_PX + 296}" y2="58"/>'
    yield f'<text x="{LEFT_PX + 304}" y="62">after: what the replay came to</text>'


def _draw_panel(
    panel: _Panel, name: str, unit: str, pair: tuple[Series, Series]
) -> Iterator[str]:
    left, top, most, seconds = panel
    plot_left, plot_width = left + 34, PANEL_WIDTH_PX - 34
    bottom = top + PANEL_HEIGHT_PX
    means = f"mean {pair[0].mean:.1f} → {pair[1].mean:.1f}{unit}"
    yield f'<text class="name" x="{left}" y="{top - 10}">{escape(name)}</text>'
    right = left + PANEL_WIDTH_PX
    yield f'<text class="faint" x="{right}" y="{top - 10}" text-anchor="end">{means}</text>'
    for tick in range(Y_TICKS):
        value = most * tick / (Y_TICKS - 1)
        y = bottom - PANEL_HEIGHT_PX * tick / (Y_TICKS - 1)
        yield f'<line class="grid" x1="{plot_left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        label = f"{value:g}"
        yield (
            f'<text class="faint" x="{plot_left - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{label}</text>"
        )
    for at_s in _ticks(seconds):
        x = plot_left + plot_width * at_s / seconds
        yield (
            f'<text class="faint" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">'
            f"{_span_text(at_s)}</text>"
        )
    before, after = (_steps(each, panel, plot_left, plot_width) for each in pair)
    yield (
        f'<path class="under" d="{before} L{right:.1f},{bottom} L{plot_left:.1f},{bottom} Z"/>'
    )
    yield f'<path class="before" d="{before}"/>'
    yield f'<path class="after" d="{after}"/>'


def _steps(series: Series, panel: _Panel, left: float, width: float) -> str:
    """Write a gauge as a path of steps: it keeps each bucket's mean for as long as that is."""
    bottom, points = panel.top + PANEL_HEIGHT_PX, series.points
    step = width / len(points)
    path: list[str] = []
    for number, value in enumerate(points):
        if number and value == points[number - 1]:
            continue
        x, y = left + number * step, bottom - PANEL_HEIGHT_PX * value / panel.most
        path.append(f"H{x:.1f} V{y:.1f}" if path else f"M{x:.1f},{y:.1f}")
    return " ".join([*path, f"H{left + width:.1f}"])


def _ticks(seconds: float) -> list[float]:
    """Return the moments that are marked: round ones, not too many."""
    step = next((each for each in _TICKS_S if seconds / each <= X_TICKS_MOST), seconds)
    return [number * step for number in range(int(seconds / step) + 1)]


def _round_up(value: float) -> float:
    """Return the next number that halves well: 2, 4, 6, 10, 20 and so on."""
    size = 1.0
    while True:
        for factor in (1, 2, 4, 6):
            if value <= factor * size:
                return factor * size
        size *= 10


def _span_text(seconds: float) -> str:
    """Write a span in the largest unit of which it has at least one and a half."""
    for size, unit in _UNITS:
        if seconds >= 1.5 * size or (size == 1 and seconds > 0):
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return "0"
