"""A real server's journal in the simulator: what happened, and what would have happened."""
