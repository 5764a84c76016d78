"""Capacity: how tasks are divided among providers, and how they wait for room."""
