"""The command line: arguments in, one-line failures out; the work is done elsewhere."""
