"""Ports for programs that a test starts."""

import atexit
import socket

_held = []
atexit.register(lambda: [one.close() for one in _held])


def free_ports(count):
    """TCP ports of the loopback interface that nobody listens on now.

    They stay bound, though not listened on, while this process lives, so that no program that takes
    any free port gets one of them. A program that is told one of them can listen there: it sets
    SO_REUSEADDR or SO_REUSEPORT, as servers do.
    """
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("127.0.0.1", 0))
    _held.extend(sockets)
    return [one.getsockname()[1] for one in sockets]


def free_port():
    """One of them."""
    return free_ports(1)[0]
