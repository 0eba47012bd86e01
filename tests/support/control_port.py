"""A control port as a stranger or a member sees it: the preamble, spelled out a second time."""

import hashlib
import hmac
import os
import socket
import struct

MAGIC = b"TRPJOIN\x01"
GREETING = struct.Struct("<8sHHB3xIIQ64s32s")
CHALLENGE = struct.Struct("<8sHHB3x32s")
VERDICT = struct.Struct("<B7x64s32s")
PROOF_BYTES = 32
ROLE_EXPERT = 4
# The refusals that travel in a preamble.
WELCOME, TOKEN, CLUSTER, VERSION, FULL, MALFORMED = 0, 1, 2, 3, 8, 9

assert GREETING.size == 128 and CHALLENGE.size == 48 and VERDICT.size == 104


def key_of(token):
    return hashlib.sha256(b"troupe control key " + token.encode()).digest()


def cluster_id(name):
    return int.from_bytes(hashlib.sha256(b"troupe cluster " + name.encode()).digest()[:8], "little")


def _proof(token, label, *said):
    return hmac.digest(key_of(token), label + b"".join(said), "sha256")


def greeting(cluster, versions=(1, 1), role=ROLE_EXPERT, index=0, pid=4242, nonce=None):
    nonce = nonce or os.urandom(32)
    return GREETING.pack(
        MAGIC, *versions, role, index, pid, cluster_id(cluster), cluster.encode(), nonce
    )


def basp_header(payload_bytes, operation=1):
    """The header of a message of CAF's protocol; operation 1 is a client's handshake."""
    return struct.pack(">BBBBIQQQ", operation, 0, 0, 0, payload_bytes, 0, 0, 0)


class Connection:
    """One TCP connection to a control port."""

    def __init__(self, port, source="127.0.0.1", timeout_s=60):
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=timeout_s, source_address=(source, 0)
        )
        self.sent = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    @property
    def address(self):
        """As the router's log names this end."""
        host, port = self.socket.getsockname()
        return f"{host}:{port}"

    def say(self, data):
        self.sent.append(data)
        self.socket.sendall(data)

    def hear(self, count):
        """`count` bytes, or fewer when the other end closes."""
        heard = b""
        while len(heard) < count:
            try:
                some = self.socket.recv(count - len(heard))
            except ConnectionResetError:
                break
            if not some:
                break
            heard += some
        return heard

    def hung_up_on(self):
        """Waits until the other end has closed, whatever it says before."""
        while self.hear(4096):
            pass
        return True

    def join(self, token, cluster, **words):
        """Goes through the preamble. Gives back (refusal, the router's cluster name)."""
        hello = greeting(cluster, **words)
        self.say(hello)
        challenge = self.hear(CHALLENGE.size)
        refusal = CHALLENGE.unpack(challenge)[3]
        if refusal != WELCOME:
            return refusal, ""
        proof = _proof(token, b"troupe join, service 1\n", hello, challenge)
        self.say(proof)
        verdict = self.hear(VERDICT.size)
        refusal, name, mac = VERDICT.unpack(verdict)
        if refusal != TOKEN:
            said = (hello, challenge, proof, VERDICT.pack(refusal, name, bytes(32)))
            expected = _proof(token, b"troupe join, router 1\n", *said)
            assert hmac.compare_digest(mac, expected), "the router's own proof is wrong"
        return refusal, name.rstrip(b"\0").decode()
