"""Measurements, side by side with a peer or the physical limit; nothing here asserts a time."""
