"""The heartbeat: Event, Decision, Commit, Effects, one at a time."""
