"""Tells what a program meets on a runtime, as one line of JSON. Run by `pyw runtime check`."""

import json
import os
import sys


def tried(act):
    """Whether an act got through."""
    try:
        act()
    except BaseException:
        return False
    return True


def write(path, flags):
    os.close(os.open(path, flags, 0o644))


def connect(port):
    import socket

    s = socket.create_connection(("127.0.0.1", port), timeout=5)
    if s.recv(100) != b"pyw":
        raise OSError


def folder(path):
    return os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))


def by_handle(act, path):
    return lambda: act(folder(path))


ro, rw = "/probe/ro", "/probe/rw"
# The host looks at what became of the files; only what it cannot see is told from here.
tried(lambda: write(ro + "/overwritten", os.O_WRONLY | os.O_TRUNC))
tried(lambda: os.truncate(ro + "/truncated", 1))
tried(lambda: write(ro + "/created", os.O_WRONLY | os.O_CREAT))
tried(lambda: write(ro + "/read-and-truncated", os.O_RDONLY | os.O_TRUNC))
tried(lambda: os.mkdir(ro + "/made"))
tried(lambda: os.unlink(ro + "/unlinked"))
tried(lambda: os.rename(ro + "/renamed", ro + "/renamed-away"))
tried(lambda: os.symlink("overwritten", ro + "/linked"))
tried(lambda: os.link(ro + "/hard", rw + "/hard"))
tried(lambda: write(rw + "/hard", os.O_WRONLY | os.O_TRUNC))
tried(lambda: os.utime(ro + "/times", (1, 1)))
tried(by_handle(lambda fd: os.mkdir("made-by-handle", dir_fd=fd), ro))
tried(by_handle(lambda fd: os.close(os.open("created-by-handle", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)), ro))
tried(by_handle(lambda fd: os.rename("by-handle", "renamed-by-handle", src_dir_fd=fd, dst_dir_fd=fd), ro))
wrote = tried(lambda: write(rw + "/created", os.O_WRONLY | os.O_CREAT))

seen = {}


def read(name, path):
    try:
        with open(path) as file:
            seen[name] = file.read()
    except BaseException:
        pass


def listed(name, path):
    try:
        seen[name] = " ".join(os.listdir(path))
    except BaseException:
        pass


read("`..`", rw + "/../../outside/secret")
read("a link that leads out", rw + "/link")
read("a folder's link that leads out", rw + "/folder/secret")
listed("a link with a slash", rw + "/folder/")
read("an absolute link", rw + "/absolute")
tried(lambda: os.symlink("../outside/secret", rw + "/made-link"))
read("a link made by the program", rw + "/made-link")
tried(lambda: os.link(rw + "/../outside/secret", rw + "/made-hard"))
read("a hard link", rw + "/made-hard")
tried(lambda: os.makedirs(rw + "/a/b/c"))
tried(lambda: os.rename(rw + "/a/b/c", rw + "/folder/moved"))
tried(lambda: os.mkdir(rw + "/folder/made-outside"))
read("the host's /etc", "/etc/hostname")

print(
    json.dumps(
        {
            "argv": sys.argv[2:],
            "env": {name: os.environ.get(name) for name in ("PROBE", "PROBE_EMPTY", "PROBE_SPACE")},
            "names": sorted(os.environ),
            "stdin": sys.stdin.read(),
            "tty": [os.isatty(fd) for fd in range(3)],
            "wrote": wrote,
            "seen": seen,
            "network": tried(lambda: connect(int(sys.argv[1]))),
        }
    )
)
