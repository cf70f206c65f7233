"""Whether a port of this machine is free."""

import socket


def is_free(port: int) -> bool:
    """Whether something can listen on 127.0.0.1:`port` now; what a server just left counts as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
