"""What our connections add to an ASGI scope; an app that doesn't find it does without.

ASGI allows a server such keys. Under another server, or in a test, they are absent.
"""

from collections.abc import Callable, Sequence

# True once a request's body has arrived, so that the usual, small request needs no timer.
WHOLE_BODY = "homeport.whole_body"

# A `Respond`: sends a whole response in one write, where two ASGI messages would cost two.
RESPOND = "homeport.respond"

# The header by which a response says that its connection ends with it.
CLOSE = (b"connection", b"close")

# Takes status, headers and body; False means that it can't be sent this way now, and wasn't.
Respond = Callable[[int, Sequence[tuple[bytes, bytes]], bytes], bool]
