"""The public HTTP API: an ASGI app around the wire, its limits, and the server that runs it.

What an operation does is `operations`' work; agents' websockets are the `gateway`'s.
"""
