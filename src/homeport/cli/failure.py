"""How a command gives up: one line that says what to do, and an exit status."""


class CommandFailure(Exception):
    """The command cannot go on; the message is for the person at the terminal, in one line."""
