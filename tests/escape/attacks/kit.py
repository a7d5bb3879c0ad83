"""What attacks are made of. Runs in the sandbox, and on native Python as the positive control.

An attack is a function of a `Place`. It has won when it returns the secret that lies outside its
grants, when the host finds that something outside them was changed, or, for acts that leave no
trace, when it returns `WON`.
"""

import os

WON = "the attack itself says that it got through"

# Where the same act has to succeed, so that its failing in the sandbox means something.
GRANTED = "granted"  # in the sandbox, with everything of the place granted for writing
NATIVE = "native"  # on native Python, since no program for WASI can do it
JS = "js"  # on the runtime with --js
UNFENCED = "unfenced"  # on the runtime without pyw's fence

ATTACKS = {}


class Place:
    """The paths, ports and processes that one attack is given; no secret is among them."""

    def __init__(self, told, name):
        self.__dict__.update(told)
        slug = name.replace("/", "-")
        self.ro = f"{self.base}/ro/{slug}"
        self.rw = f"{self.base}/rw/{slug}"
        self.outside = f"{self.base}/outside/{slug}"
        self.secret = f"{self.outside}/secret.txt"
        if self.native:
            # Stand-ins of its own, as an attack that gets through would break the real ones.
            fake = self.outside + "/dir"
            self.library = self.library_on_host = self.root = self.way = self.program = fake
            self.store = fake
            self.module = fake + "/store/module.wasm"
            self.home_of_pyw = fake
        else:
            self.library = os.path.dirname(os.__file__)
            self.root = "/"
            self.way = self.base
            self.home_of_pyw = self.home


def attack(name, control=GRANTED, only=None, not_granted_on=()):
    """Registers an attack. `only` names the one runtime it is for; on `not_granted_on` the control is
    native Python, since the runtime cannot do the act at all. `javascript` names all that have it."""

    def register(function):
        assert name not in ATTACKS, name
        ATTACKS[name] = (function, control, only, list(not_granted_on))
        return function

    return register


def read(path, dir_fd=None):
    # Without waiting: natively some handles are pipes, into which nobody writes.
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0), dir_fd=dir_fd)
    try:
        return os.read(fd, 10000).decode("utf-8", "replace")
    finally:
        os.close(fd)


def write(path, flags, dir_fd=None, data=b"overwritten"):
    fd = os.open(path, flags, 0o644, dir_fd=dir_fd)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def folder(path, dir_fd=None):
    return os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0), dir_fd=dir_fd)
