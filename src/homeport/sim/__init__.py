"""A whole cluster in one process on virtual time: the real decisions, a simulated world."""
