"""The tiles of AMX as the kernel has them: whether it grants them, and one that does not."""

import ctypes
import struct

_ARCH_PRCTL = 158  # the system call
_REQUEST_PERMISSION = 0x1023
_TILE_DATA = 18


def granted():
    """Whether a process of this machine gets them: before Linux 5.16 none does, whatever the flags
    in /proc/cpuinfo say."""
    libc = ctypes.CDLL(None, use_errno=True)
    request = (ctypes.c_long(_REQUEST_PERMISSION), ctypes.c_long(_TILE_DATA))
    return libc.syscall(ctypes.c_long(_ARCH_PRCTL), *request) == 0


def refuse():
    """For `preexec_fn`: what the process asks for tiles fails with EPERM from now on (seccomp)."""
    load, equals, returns = 0x20, 0x15, 0x06
    number_at, argument_at = 0, 16
    allow, eperm = 0x7FFF0000, 0x00050001
    steps = (
        (load, 0, 0, number_at),
        (equals, 0, 3, _ARCH_PRCTL),
        (load, 0, 0, argument_at),
        (equals, 0, 1, _REQUEST_PERMISSION),
        (returns, 0, 0, eperm),
        (returns, 0, 0, allow),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    set_no_new_privileges, set_seccomp, filtered = 38, 22, 2
    unused = [ctypes.c_ulong(0)] * 3
    if (
        libc.prctl(set_no_new_privileges, ctypes.c_ulong(1), *unused) != 0
        or libc.prctl(set_seccomp, ctypes.c_ulong(filtered), program) != 0
    ):
        raise OSError(ctypes.get_errno(), "no filter of system calls")
