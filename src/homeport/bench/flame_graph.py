"""A flame graph: sampled stacks as one SVG picture, wide where time goes.

A row is a caller, the row above it what it called; the width is processor time. Point at a box for
its name and its share. Colours tell the rooms apart. How stacks are sampled is `sampler`'s work.
"""

import contextlib
import zlib
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

import msgspec

from homeport.bench.sampler import Stacks, collapse, sampled

WIDTH_PX = 1_200
ROW_PX = 16
CHARACTER_PX = 6.2
LEAST_TEXT_CHARACTERS = 3
MARGIN_PX = 10
HEAD_PX = 40
LEAST_SHARE = 0.002  # narrower boxes aren't drawn: at most 500 side by side
TRUNK_SHARE = 0.995  # outermost frames that hold this much of their thread say nothing
US_PER_S = 1_000_000
HUES_BY_ROOM = {
    "core": 10,
    "state": 28,
    "operations": 45,
    "engine": 95,
    "wire": 150,
    "server": 190,
    "gateway": 215,
    "storage": 265,
    "sim": 320,
}


class Box(msgspec.Struct):
    """One function in one place of the tree; times in microseconds."""

    name: str
    total_us: int = 0
    parts: dict[str, "Box"] = {}

    def part(self, name: str) -> "Box":
        """Return what this calls under that name."""
        found = self.parts.get(name)
        if found is None:
            found = self.parts[name] = Box(name, parts={})
        return found


def grow_tree(stacks: Mapping[tuple[str, ...], int]) -> Box:
    """Merge stacks into one tree, without the frames around everything else of their thread."""
    root = Box("all", parts={})
    for stack, spent_us in sorted(stacks.items()):
        box = root
        box.total_us += spent_us
        for name in stack:
            box = box.part(name)
            box.total_us += spent_us
    for thread in root.parts.values():
        trunk = thread
        while len(trunk.parts) == 1:
            (only,) = trunk.parts.values()
            if only.total_us < TRUNK_SHARE * thread.total_us or not only.parts:
                break
            trunk = only
        thread.parts = trunk.parts
    return root


def draw_flame_graph(stacks: Mapping[tuple[str, ...], int], title: str) -> str:
    """Draw stacks as an SVG document."""
    root = grow_tree(stacks)
    boxes = list(_lay_out(root))
    depth = max((level for _, level, _ in boxes), default=0) + 1
    height = HEAD_PX + depth * ROW_PX + MARGIN_PX
    shown = f"{title}: {root.total_us / US_PER_S:.1f} s of processor time"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_PX}" height="{height}" '
        f'viewBox="0 0 {WIDTH_PX} {height}" font-family="monospace" font-size="10">',
        f'<rect width="{WIDTH_PX}" height="{height}" fill="#fffdf8"/>',
        f'<text x="{MARGIN_PX}" y="22" font-size="14">{escape(shown)}</text>',
    ]
    for box, level, left in boxes:
        lines.append(_draw(box, root.total_us, left, height - MARGIN_PX - (level + 1) * ROW_PX))
    return "\n".join([*lines, "</svg>", ""])


def write_profile(folder: Path, name: str, stacks: Stacks, title: str) -> None:
    """Write `NAME.svg` and, for other tools, `NAME.collapsed.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.svg").write_text(draw_flame_graph(stacks, title))
    (folder / f"{name}.collapsed.txt").write_text(collapse(stacks))


@contextlib.contextmanager
def profiled(folder: Path | None, name: str, title: str) -> Iterator[None]:
    """Sample this process while the block runs and write its profile; nothing without a folder."""
    if folder is None:
        yield
        return
    with sampled() as stacks:
        yield
    write_profile(folder, name, stacks, title)


def _lay_out(root: Box) -> Iterator[tuple[Box, int, int]]:
    """Give every box that is wide enough its level and its left edge in microseconds."""
    waiting = [(root, 0, 0)]
    while waiting:
        box, level, left = waiting.pop()
        yield box, level, left
        for part in box.parts.values():
            if part.total_us >= LEAST_SHARE * root.total_us:
                waiting.append((part, level + 1, left))
            left += part.total_us


def _draw(box: Box, all_us: int, left_us: int, top_px: int) -> str:
    scale = (WIDTH_PX - 2 * MARGIN_PX) / max(all_us, 1)
    left_px, width_px = MARGIN_PX + left_us * scale, box.total_us * scale
    share = 100 * box.total_us / max(all_us, 1)
    function = box.name.rpartition(":")[2]
    text = function[: int((width_px - 4) / CHARACTER_PX)]
    label = ""
    if len(text) >= LEAST_TEXT_CHARACTERS:
        label = f'<text x="{left_px + 2:.1f}" y="{top_px + 11}">{escape(text)}</text>'
    return (
        f"<g><title>{escape(box.name)} {share:.1f} %</title>"
        f'<rect x="{left_px:.1f}" y="{top_px}" width="{max(width_px - 0.3, 0.2):.1f}" '
        f'height="{ROW_PX - 1}" fill="{_colour(box.name)}"/>{label}</g>'
    )


def _colour(name: str) -> str:
    """Give each of Homeport's rooms a hue, other people's code grey, and neighbours shades."""
    shade = zlib.crc32(name.encode()) % 12
    parts = name.split("/")
    if parts[0] != "homeport" or len(parts) < 2:
        return f"hsl(40,8%,{78 + shade}%)"
    return f"hsl({HUES_BY_ROOM.get(parts[1], 60)},70%,{66 + shade}%)"
