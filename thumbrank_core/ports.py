"""Whether a port of this machine is free."""

import socket


def is_free(port: int, address: str = "127.0.0.1") -> bool:
    """Whether something can listen on `address`:`port` now; what a server just left counts as free. An empty address is every one
    that this machine has."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
