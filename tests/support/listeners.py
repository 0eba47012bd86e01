"""The TCP ports a process listens on, and strangers that talk to them."""

import ipaddress
import os
import random
import re
import socket

_LISTEN = "0A"


def _address(text):
    """("127.0.0.1", 7400) of "0100007F:1CE8" in /proc/net/tcp; a wildcard is the loopback."""
    host, port = text.split(":")
    words = [bytes.fromhex(host[i : i + 8])[::-1] for i in range(0, len(host), 8)]
    address = ipaddress.ip_address(b"".join(words))
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_unspecified:
        return "127.0.0.1", int(port, 16)
    return str(address), int(port, 16)


def of(pid):
    """(host, port) of every listening socket of the process."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.update(re.findall(r"^socket:\[(\d+)\]$", os.readlink(f"/proc/{pid}/fd/{fd}")))
        except FileNotFoundError:
            continue  # closed meanwhile
    found = set()
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}", encoding="ascii") as file:
            rows = [line.split() for line in file][1:]
        for row in rows:
            if row[3] == _LISTEN and row[9] in inodes:
                found.add(_address(row[1]))
    return sorted(found)


def _payloads(seed):
    noise = random.Random(seed)
    yield "nothing", b""
    yield "HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "a large HTTP header", b"GET / HTTP/1.1\r\nX: " + b"x" * 300_000
    yield "HTTP/2 and garbage", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + noise.randbytes(200)
    yield "a TLS hello", bytes.fromhex("1603010200010001fc0303") + noise.randbytes(64)
    yield "zeros", b"\0" * 65536
    yield "ones", b"\xff" * 65536
    for size in (1, 7, 8, 80, 4096, 100_000):
        yield f"{size} random bytes", noise.randbytes(size)


def say(address, payload, source=None):
    """One connection, from the loopback address `source`: (its own "host:port", what came back)
    once it is hung up on."""
    source = (source, 0) if source else None
    with socket.create_connection(address, timeout=60, source_address=source) as peer:
        own = "%s:%d" % peer.getsockname()[:2]
        answer = b""
        try:
            peer.sendall(payload)
            while part := peer.recv(65536):
                answer += part
        except (BrokenPipeError, ConnectionResetError):
            pass
        return own, answer


def annoy(address, seed):
    """Says what no service understands, one connection each, and waits until it is hung up on or
    two seconds have passed. Gives back connections that stay open and say nothing."""
    for _, payload in _payloads(seed):
        try:
            with socket.create_connection(address, timeout=2) as peer:
                peer.sendall(payload)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass
        except OSError:
            pass  # hung up on, or nobody minded
    return [socket.create_connection(address, timeout=20) for _ in range(3)]
