"""Connections of HTTP/2 as no library makes them, each from a seed and its number."""

import random
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
(DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE,
 CONTINUATION) = range(10)
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
_FRAME_BYTES_MAX = 16384
_CONTENT_TYPES = (b"", b"text/html", b"application/grpc-web", b"application/grpc+json", b"\xff")
_NAMES = (b"X-Upper", b"", b"a b", b"x-bin", b"grpc-status", b":new", b"connection",
          b"authorization", b"idempotency-key")
_HEADER_VALUES = (b"", b"\0\r\n", b"\xff" * 9, b"v" * 300)
_TIMEOUTS = (b"1n", b"0m", b"99999999H", b"100m", b"-1S", b"xS", b"")


def frame(kind, flags, stream, payload=b"", length=None):
    """`length`: what it claims to have, if not what it has."""
    length = len(payload) if length is None else length
    return length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name, value):
    """A header that no table knows, without Huffman's code."""
    return b"\x10" + _length(name) + name + _length(value) + value


def _length(text):
    if len(text) < 127:
        return bytes([len(text)])
    rest, out = len(text) - 127, b"\x7f"
    while rest > 127:
        out += bytes([rest & 127 | 128])
        rest >>= 7
    return out + bytes([rest])


def block(stream, content, flags=0):
    """Headers in as many frames as they need."""
    pieces = [content[i : i + _FRAME_BYTES_MAX] for i in range(0, len(content), _FRAME_BYTES_MAX)]
    pieces = pieces or [b""]
    kinds = [HEADERS] + [CONTINUATION] * (len(pieces) - 1)
    ends = [0] * (len(pieces) - 1) + [END_HEADERS]
    first = [flags] + [0] * (len(pieces) - 1)
    return b"".join(
        frame(kind, end | own, stream, piece)
        for kind, end, own, piece in zip(kinds, ends, first, pieces)
    )


class Conversation:
    """The bytes of one connection: calls of `path` with `message`, most of them odd."""

    def __init__(self, seed, number, path, message):
        self.random = random.Random(f"{seed} {number}")
        self.path, self.message = path.encode(), message

    def bytes(self):
        parts = [PREFACE, self._settings()]
        for i in range(self.random.choice((1, 1, 3, 20))):
            parts.append(self._call(2 * i + 1))
            if self.random.random() < 0.3:
                parts.append(self._stray(2 * i + 1))
        if self.random.random() < 0.05:
            parts.append(self._resets(2 * len(parts) + 1))
        if self.random.random() < 0.2:
            at = self.random.randrange(len(parts))
            parts[at] = self._changed(parts[at] or b"\0")
        return b"".join(parts)

    def _settings(self):
        if self.random.random() < 0.7:
            return frame(SETTINGS, 0, 0)
        pairs = [(self.random.randrange(9), self.random.choice((0, 1, 2**14, 2**31, 2**32 - 1)))
                 for _ in range(self.random.randrange(1, 9))]
        return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))

    def _headers(self):
        told = {b":method": b"POST", b":scheme": b"http", b":path": self.path, b":authority": b"x",
                b"te": b"trailers", b"content-type": b"application/grpc"}
        odd = self.random.randrange(12)
        if odd == 0:
            del told[self.random.choice(list(told))]
        elif odd == 1:
            told[b"content-type"] = self.random.choice(_CONTENT_TYPES)
        elif odd == 2:
            told[b":method"] = self.random.choice((b"GET", b"PUT", b"", b"\0"))
        elif odd == 3:
            told[b":path"] = self.random.choice((b"", b"/", self.path + b"/", b"/\xff", b"*"))
        elif odd == 4:
            told[b"grpc-timeout"] = self.random.choice(_TIMEOUTS)
        elif odd == 5:
            told[b"grpc-encoding"] = self.random.choice((b"gzip", b"deflate", b"none", b"\xff"))
        elif odd == 6:
            told[b"x-much"] = b"m" * self.random.choice((8_000, 20_000, 300_000))
        elif odd == 7:
            told.update({b"x-%d" % i: b"" for i in range(self.random.choice((50, 3000)))})
        elif odd == 8:
            told[self.random.choice(_NAMES)] = self.random.choice(_HEADER_VALUES)
        return b"".join(literal(name, value) for name, value in told.items())

    def _call(self, stream):
        if self.random.random() < 0.05:
            return block(stream, self.random.randbytes(self.random.randrange(200)))
        odd = self.random.randrange(12)
        if odd == 0:
            return block(stream, self._headers(), END_STREAM)
        length = len(self.message)
        if odd == 1:
            length = self.random.choice((0, length + 1, 2**26, 2**31, 2**32 - 1))
        compressed = self.random.choice((1, 2, 255)) if odd == 2 else 0
        data = struct.pack(">BI", compressed, length) + self.message
        if odd == 3:
            data = data * 3
        if odd == 4:
            data = data[: self.random.randrange(len(data))]
        flags = 0 if odd in (4, 5) else END_STREAM
        if odd == 6:
            return frame(DATA, flags, stream, data[:_FRAME_BYTES_MAX])  # of no stream
        size = 1 if odd == 7 and len(data) < 300 else _FRAME_BYTES_MAX
        sent = [data[i : i + size] for i in range(0, len(data), size)] or [b""]
        ends = [0] * (len(sent) - 1) + [flags]
        return block(stream, self._headers()) + b"".join(
            frame(DATA, end, stream, part) for end, part in zip(ends, sent)
        )

    def _stray(self, stream):
        """A frame that does not belong here."""
        word = self.random.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1)).to_bytes(4, "big")
        to = self.random.choice((0, stream, stream + 1, stream + 100, 2**31 - 1))
        return self.random.choice((
            frame(RST_STREAM, 0, to, word),
            frame(WINDOW_UPDATE, 0, to, word),
            frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 3,
            frame(GOAWAY, 0, to, word * 2 + b"bye"),
            frame(PRIORITY, 0, to, word + b"\xff"),
            frame(PUSH_PROMISE, END_HEADERS, to, word),
            frame(CONTINUATION, 0, to, b"x" * 100) * 50,
            frame(PING, 0, to, word * 2) * self.random.choice((1, 500)),
            frame(SETTINGS, 1, 0, word),
            frame(SETTINGS, 0, 0, b"\0\4" + word) * 100,
            frame(DATA, PADDED, to, b"\xff" + word),
            frame(HEADERS, END_HEADERS | PADDED, to, b"\xff"),
            frame(self.random.randrange(10, 256), 255, to, word),
            frame(DATA, 0, to, b"", length=2**24 - 1),
        ))

    def _resets(self, first):
        """Calls that are taken back at once, again and again."""
        streams = range(first, first + 200, 2)
        headers = self._headers()
        if len(headers) > 1000:
            return b""
        return b"".join(
            block(stream, headers) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")
            for stream in streams
        )

    def _changed(self, part):
        at = self.random.randrange(len(part))
        how = self.random.randrange(3)
        if how == 0:
            return part[:at]
        if how == 1:
            return part[:at] + bytes([part[at] ^ 1 << self.random.randrange(8)]) + part[at + 1 :]
        return part[:at] + self.random.randbytes(5) + part[at:]


def converse(address, content, abrupt, timeout_s):
    """Sends all of it, then waits until the other side ends the connection too, or tears it."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=timeout_s) as peer:
        try:
            peer.sendall(content)
            if abrupt:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass
        except TimeoutError:
            raise
        except OSError:
            pass  # the other side was first
