"""Runs a program as Docker's default seccomp profile would: io_uring's three system calls fail with EPERM.

    python refuse_io_uring.py PROGRAM [ARGUMENT ...]

The program takes this process over, so its id stays.
"""

import ctypes
import os
import struct
import sys

CALLS = [425, 426, 427]  # io_uring_setup, _enter, _register: the same numbers on every architecture that has both
EPERM = 1

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
ALLOW, FAIL = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO


def instruction(code, value, if_true=0, if_false=0):
    return struct.pack("=HBBI", code, if_true, if_false, value)


def refuse(calls=CALLS, error=EPERM):
    """For this process and what it starts, for good."""
    program = instruction(LOAD_WORD, 0)  # the call's number comes first in what a filter sees
    for index, call in enumerate(calls):
        program += instruction(JUMP_IF_EQUAL, call, if_true=len(calls) - index)
    program += instruction(RETURN, ALLOW) + instruction(RETURN, FAIL | error)
    code = ctypes.create_string_buffer(program, len(program))
    filter_program = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
            PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_program, 0, 0):
        raise OSError(ctypes.get_errno(), "the filter can't be set")


if __name__ == "__main__":
    refuse()
    os.execvp(sys.argv[1], sys.argv[1:])
