"""Flame graphs: the tree of stacks, and its picture."""

import xml.etree.ElementTree as ET

import pytest

from homeport.bench.flame_graph import WIDTH_PX, draw_flame_graph, grow_tree, write_profile
from homeport.bench.sampler import parse_collapsed

STACKS = {
    ("main", "run:run", "app:serve", "homeport/core/x:place"): 600,
    ("main", "run:run", "app:serve", "homeport/wire/y:parse<T>"): 300,
    ("journal", "thread:loop", "homeport/storage/z:write"): 100,
}


def test_calls_add_up_and_what_surrounds_everything_is_left_out():
    tree = grow_tree(STACKS)
    assert tree.total_us == 1_000
    main, journal = tree.parts["main"], tree.parts["journal"]
    assert (main.total_us, journal.total_us) == (900, 100)
    assert sorted(main.parts) == ["homeport/core/x:place", "homeport/wire/y:parse<T>"]


def test_the_picture_is_well_formed_and_every_box_has_the_width_of_its_time():
    picture = ET.fromstring(draw_flame_graph(STACKS, "a & b"))
    space = "{http://www.w3.org/2000/svg}"
    widths = {
        group.findtext(f"{space}title"): float(group.find(f"{space}rect").get("width"))
        for group in picture.iter(f"{space}g")
    }
    place, parse = "homeport/core/x:place 60.0 %", "homeport/wire/y:parse<T> 30.0 %"
    assert widths[place] == pytest.approx(2 * widths[parse], abs=0.5)
    assert max(widths.values()) < WIDTH_PX


def test_boxes_that_nobody_could_see_are_not_drawn():
    crowd = {("main", "a:f", f"a:g{number}"): 1 for number in range(10_000)}
    picture = draw_flame_graph({**crowd, ("main", "a:h"): 10_000}, "crowd")
    assert picture.count("<g>") < 10


def test_a_profile_is_two_files_that_tell_the_same(tmp_path):
    write_profile(tmp_path / "new", "server", parse_collapsed("main;a:f 10\n"), "server")
    assert (tmp_path / "new" / "server.collapsed.txt").read_text() == "main;a:f 10\n"
    assert "a:f" in (tmp_path / "new" / "server.svg").read_text()
