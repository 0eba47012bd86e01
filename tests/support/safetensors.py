"""Reads and edits safetensors files with numpy: an independent reader for the tests."""

import json
import struct

import numpy as np

_DTYPES = {"F32": "<f4", "I32": "<i4", "F64": "<f8", "I64": "<i8", "BF16": "<u2", "F8_E4M3": "u1"}
_DTYPES |= {"I8": "i1", "F16": "<f2"}


def numpy_dtype(dtype):
    """How an array holds a tensor whose header says `dtype`; BF16 and F8_E4M3 as codes."""
    return _DTYPES[dtype]


def read_header(path):
    """(header without __metadata__, file offset where the data starts)."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header, 8 + length


def read(path):
    """Name -> array; BF16 and F8_E4M3 stay codes (uint16, uint8)."""
    header, start = read_header(path)
    with open(path, "rb") as file:
        data = file.read()
    arrays = {}
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        raw = np.frombuffer(data[start + begin : start + end], _DTYPES[tensor["dtype"]])
        arrays[name] = raw.reshape(tensor["shape"])
    return arrays


def write(path, tensors):
    """Writes name -> (dtype's name in headers, array)."""
    header, at = {}, 0
    for name, (dtype, array) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(array.shape)}
        header[name]["data_offsets"] = [at, at + array.nbytes]
        at += array.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for dtype, array in tensors.values():
            file.write(np.ascontiguousarray(array, _DTYPES[dtype]).tobytes())


def overwrite_row(path, name, row, first):
    """Row `row` of tensor `name` becomes zeros behind `first`, which is as `read` gives it."""
    header, start = read_header(path)
    tensor = header[name]
    rows, width = tensor["shape"]
    if not 0 <= row < rows:
        raise IndexError(f"{name}: no row {row}")
    codes = np.zeros(width, _DTYPES[tensor["dtype"]])
    codes[0] = first
    with open(path, "r+b") as file:
        file.seek(start + tensor["data_offsets"][0] + row * codes.nbytes)
        file.write(codes.tobytes())


def flip_bits(path, name, index, mask):
    """Flips the bits `mask` in the most significant byte of element `index` of tensor `name`."""
    header, start = read_header(path)
    tensor = header[name]
    itemsize = np.dtype(_DTYPES[tensor["dtype"]]).itemsize
    begin, end = tensor["data_offsets"]
    at = begin + index * itemsize + itemsize - 1  # little-endian: the last byte has the sign
    if not begin <= at < end:
        raise IndexError(f"{name}: no element {index}")
    with open(path, "r+b") as file:
        file.seek(start + at)
        (byte,) = file.read(1)
        file.seek(start + at)
        file.write(bytes([byte ^ mask]))
