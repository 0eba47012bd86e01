"""Protobuf messages that no client of ours would send, each made from a seed and its number."""

import json
import random
import struct

from google.protobuf.descriptor import FieldDescriptor as Field

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = range(6)  # how fields are on the wire

_BYTES_MAX = 1 << 20
_NUMBERS = (0, 1, 2, -1, 5, 20, 127, 4224, 2**31 - 1, -(2**31), 2**32, 2**63, 2**64 - 1)
_INFINITE = float("inf")
_FLOATS = (0.0, -0.0, 0.5, 1.0, 2.0, -2.0, 1e-45, 3.4e38, float("nan"), _INFINITE, -_INFINITE)
_LENGTHS = (2**7, 2**20, 2**31 - 1, 2**31, 2**32, 2**64 - 1)
_TEXTS = (
    b"", b"a", b"\0", b"In the beginning", b" " * 4000, b"word " * 900, "naïve 🦔\u202e".encode(),
    b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80",  # none of them UTF-8
    "<｜User｜>hello<｜end▁of▁sentence｜>".encode(), b"{% for x in y %}{{ x }}", b"%n%s\r\n\r\n",
    b"[" * 500, b'{"a":' * 70, b'{"a":1,"a":2}', b"1e999", b"NaN", b"{}", b'"\\ud800"',
    b"k" * 20000,
)
_TOOL = b'{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}'
# What gets past the first check of a request, if not past the last; of other fields: see _PLAIN.
_FITTING = {
    "model": (b"troupe-tiny", b""),
    "request_id": (b"mine",),
    "role": (b"user", b"system", b"assistant", b"tool"),
    "tools": (_TOOL, _TOOL[:-2], b'{"type":"function","function":{"name":5}}'),
    "tool_choice": (b"auto", b"none", b"required", b"f", b"g"),
    "arguments_json": (b"{}", b'{"a":[1]}', b"[", b"\xff"),
    "template_variables_json": (b'{"thinking":true}', b'{"messages":5}', b'{"bos_token":[]}'),
    "json_schema": (b"{}", b'{"type":"array","items":{"enum":[1]}}', b'{"$ref":"#/x"}',
                    b'{"type":5}', b'{"pattern":"(a*)*b"}',
                    json.dumps({"type": "k" * 20000}).encode()),
    "grammar": (b"root ::= x",),
    "regex": (b"(yes|no)", b"(a*)*b", b"[" * 200, b"a{9999}{9999}", b"(?=x)", b"\\"),
    "n": (1, 2, 3),
    "max_tokens": (1, 2, 8),
    "text": (b"In the beginning God created", b"a"),
    "ids": (0, 5, 6, 4223, 4224),
}
_PLAIN = {_TEXTS: (b"a",), _NUMBERS: (1,), _FLOATS: (0.5,)}


def varint(number):
    """Ten bytes at most; negative numbers have all ten."""
    number &= 2**64 - 1
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def tag(number, wire):
    return varint(number << 3 | wire)


def counted(number, content):
    """A field that tells its length: a text, a message or packed numbers."""
    return tag(number, LENGTH) + varint(len(content)) + content


class Garbage:
    """What the input of a number has in it."""

    def __init__(self, seed, number):
        self.random = random.Random(f"{seed} {number}")
        self.odd = self.random.choice((0.02, 0.1, 0.5))  # the share of values that do not fit

    def message(self, descriptor):
        """Bytes for where a message of this type is expected."""
        made = self._message(descriptor)
        for _ in range(self.random.choice((0, 0, 0, 1, 1, 3, 10))):
            made = self.changed(made)
        return made[:_BYTES_MAX]

    def changed(self, made):
        """The same with one thing done to its bytes."""
        at, end = sorted(self.random.randrange(len(made) + 1) for _ in range(2))
        how = self.random.randrange(6)
        if how == 0:
            return made[:at]
        if how == 1:
            return made[:at] + made[end:]
        if how == 2:
            return made[:end] + made[at:]
        if how == 3:
            return made[:at] + self.random.randbytes(self.random.randrange(1, 9)) + made[at:]
        if how == 4 and at < len(made):
            return made[:at] + bytes([made[at] ^ 1 << self.random.randrange(8)]) + made[at + 1 :]
        return made[:at] + self._stray() + made[at:]

    def _message(self, descriptor, share=None):
        share = self.random.choice((0.1, 0.3, 0.6)) if share is None else share
        parts = []
        for field in descriptor.fields:
            while self.random.random() < share and len(parts) < 60:
                parts.append(self._field(field))
        if descriptor.fields and self.random.random() < 0.02:
            parts += [self._field(self.random.choice(descriptor.fields))] * 1000
        if self.random.random() < self.odd / 4:
            parts.append(self._stray())
        self.random.shuffle(parts)
        return b"".join(parts)

    def _field(self, field):
        if self.random.random() < self.odd / 10:
            return tag(field.number, self.random.randrange(8)) + self.random.randbytes(9)
        if field.type == Field.TYPE_MESSAGE:
            return counted(field.number, self._message(field.message_type))
        if field.type in (Field.TYPE_STRING, Field.TYPE_BYTES):
            return counted(field.number, self._value(field, _TEXTS))
        if field.type == Field.TYPE_FLOAT:
            return tag(field.number, FIXED32) + struct.pack("<f", self._value(field, _FLOATS))
        if self.random.random() < 0.3:
            count = self.random.randrange(40)
            packed = b"".join(varint(self._value(field, _NUMBERS)) for _ in range(count))
            return counted(field.number, packed)
        return tag(field.number, VARINT) + varint(self._value(field, _NUMBERS))

    def _value(self, field, hostile):
        odd = self.random.random() < self.odd
        return self.random.choice(hostile if odd else _FITTING.get(field.name, _PLAIN[hostile]))

    def _stray(self):
        """A field that no message has, or the begin of one that does not end."""
        number = self.random.choice((0, 1, 15, 99, 19000, 2**29 - 1))
        how = self.random.randrange(6)
        if how == 0:
            return tag(number, VARINT) + varint(self.random.choice(_NUMBERS))
        if how == 1:
            return counted(number, self.random.randbytes(self.random.randrange(99)))
        if how == 2:
            deep = self.random.choice((1, 90, 101, 5000))
            ends = self.random.choice((0, deep))
            return tag(number, GROUP) * deep + tag(number, GROUP_END) * ends
        if how == 3:
            return tag(number, LENGTH) + varint(self.random.choice(_LENGTHS))
        if how == 4:
            return b"\xff" * 11
        return counted(number, b"") * self.random.choice((1, 2000))
