"""The environment of pyw's caller, which holds a secret."""

import os

from kit import NATIVE, attack, read


@attack("environment/os", NATIVE)
def _(p):
    return dict(os.environ)


@attack("environment/posix", NATIVE)
def _(p):
    import posix

    return dict(posix.environ)


@attack("environment/proc-self", NATIVE)
def _(p):
    return read("/proc/self/environ")


@attack("environment/proc-all", NATIVE)
def _(p):
    got = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                got.append(read(f"/proc/{pid}/environ"))
            except OSError:
                pass
    return [text for text in got if "PYW_ESCAPE" in text]


@attack("environment/proc-parent", NATIVE)
def _(p):
    return read(f"/proc/{p.victim}/environ")


@attack("environment/getenv", NATIVE)
def _(p):
    return os.getenv("PYW_ESCAPE_SECRET")


@attack("environment/libc", NATIVE)
def _(p):
    import ctypes

    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_char_p
    return libc.getenv(b"PYW_ESCAPE_SECRET")
