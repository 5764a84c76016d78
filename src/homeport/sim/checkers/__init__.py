"""What must be true of every simulated run: one file a truth."""
