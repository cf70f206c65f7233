"""Ports for what a test starts later."""

import random

from thumbrank_core.ports import is_free

BELOW_THE_EPHEMERAL = range(20_000, 32_000)
"""Where no connection is given its port: one that the system chose would be given away again before a server, which imports for
seconds, listens on it, and another worker runs tests beside this one."""


def free_port() -> int:
    """A port that nobody listens on, on any address."""
    while not is_free(port := random.choice(BELOW_THE_EPHEMERAL), ""):
        pass
    return port
