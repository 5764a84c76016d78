"""Homeport: Amazon ECS that you run yourself.

Here lives the version, and nothing else: importing `homeport` must cost nothing.
"""

__version__ = "0.1.0"
