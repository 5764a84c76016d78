"""Decisions: what should happen next, as pure functions over the state."""
