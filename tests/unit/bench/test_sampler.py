"""Sampled stacks: whose time it was, how they are written, and what a function is called."""

import time
from collections import Counter

from homeport.bench import sampler
from homeport.bench.sampler import collapse, label_of, parse_collapsed, sampled


def burn_processor_time(seconds: float) -> int:
    turns, end = 0, time.process_time() + seconds
    while time.process_time() < end:
        turns += 1
    return turns


def test_time_is_credited_to_the_function_that_used_it():
    with sampled() as stacks:
        burn_processor_time(0.1)
    spent_us = sum(
        each_us
        for stack, each_us in stacks.items()
        if any(frame.endswith(":burn_processor_time") for frame in stack)
    )
    assert spent_us > 0.6 * sum(stacks.values())
    assert 50_000 < spent_us < 200_000


def test_collapsed_stacks_are_read_back_as_they_were_written():
    stacks = Counter({("main", "a:f", "a:g x"): 12, ("main", "a:f"): 3})
    text = collapse(stacks)
    assert text == "main;a:f 3\nmain;a:f;a:g x 12\n"
    assert parse_collapsed(text) == stacks


def test_a_label_names_the_package_and_not_the_machines_folders():
    assert label_of(label_of.__code__) == "homeport/bench/sampler:label_of"
    assert label_of(sampler.Sampler._sample.__code__) == "homeport/bench/sampler:Sampler._sample"
    assert label_of(Counter.update.__code__) == "collections/__init__:Counter.update"
