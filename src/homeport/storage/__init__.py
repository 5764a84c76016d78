"""The durable journal: what keeps commits across restarts, and how state is recovered from it."""
