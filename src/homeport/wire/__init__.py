"""Bytes to shapes and back, without I/O: AWS JSON 1.1, errors, targets, signatures, agent frames.

Here no request is carried out and nothing is read or sent; that is `operations`' and the edges'.
"""
