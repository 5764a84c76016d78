"""Which container instance takes which task, and why the others don't."""
