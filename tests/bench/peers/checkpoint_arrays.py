"""Reads the tensors of a Hugging Face checkpoint as F32, F16 or BF16 arrays; FP8 is dequantised."""

import glob
import json
import mmap
import os
import struct

import numpy as np

_TYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "F8_E4M3": np.uint8}


def to_bf16(values):
    """BF16 codes (uint16), rounded to nearest even."""
    codes = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((codes + 0x7FFF + ((codes >> 16) & 1)) >> 16).astype(np.uint16)


def _e4m3_values():
    values = np.zeros(256, np.float32)
    for code in range(256):
        exponent, mantissa = (code >> 3) & 15, code & 7
        if exponent == 15 and mantissa == 7:
            size = np.nan
        elif exponent == 0:
            size = mantissa / 8 * 2.0**-6
        else:
            size = (1 + mantissa / 8) * 2.0 ** (exponent - 7)
        values[code] = -size if code >> 7 else size
    return values


_E4M3 = _e4m3_values()


class Checkpoint:
    """All tensors of a directory's *.safetensors, mapped."""

    def __init__(self, folder, block=(128, 128)):
        self.block, self._tensors = block, {}
        for path in sorted(glob.glob(os.path.join(folder, "*.safetensors"))):
            with open(path, "rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            (size,) = struct.unpack("<Q", data[:8])
            for name, entry in json.loads(data[8 : 8 + size]).items():
                if name != "__metadata__":
                    begin, end = entry["data_offsets"]
                    where = (data, 8 + size + begin, end - begin)
                    self._tensors[name] = (entry["dtype"], tuple(entry["shape"]), *where)
        if not self._tensors:
            raise SystemExit(f"no *.safetensors in {folder}")

    def __contains__(self, name):
        return name in self._tensors

    def shape(self, name):
        return self._tensors[name][1]

    def _raw(self, name):
        dtype, shape, data, offset, size = self._tensors[name]
        kind = np.dtype(_TYPES[dtype])
        return dtype, np.frombuffer(data, kind, size // kind.itemsize, offset).reshape(shape)

    def f32(self, name):
        dtype, values = self._raw(name)
        if dtype == "BF16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        if dtype == "F8_E4M3":
            scales = self.f32(name + "_scale_inv")
            for axis, size in enumerate(self.block):
                scales = np.repeat(scales, size, axis)
            return _E4M3[values] * scales[: values.shape[0], : values.shape[1]]
        return values.astype(np.float32)

    def as_type(self, name, kind):
        """Of kind bf16 (codes), f16 or f32."""
        dtype, values = self._raw(name)
        if kind == "bf16":
            return values if dtype == "BF16" else to_bf16(self.f32(name))
        return self.f32(name).astype(np.float16 if kind == "f16" else np.float32)
