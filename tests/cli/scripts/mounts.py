# Tries to leave /data, which can be written, and to change /ro, which can't. Prints what worked.
import mmap
import os


def refused(what, attempt):
    try:
        result = attempt()
    except OSError:
        return
    print("worked:", what, result)


for link in ("absolute", "relative", "folder", "loop"):
    path = "/data/" + link
    refused("read " + link, lambda: open(path).read())
    refused("list " + link, lambda: os.listdir(path + "/"))
    refused("stat " + link, lambda: os.stat(path))
    refused("write " + link, lambda: open(path, "w"))
    refused("make below " + link, lambda: os.mkdir(path + "/new"))
    refused("chmod " + link, lambda: os.chmod(path, 0o777))
    refused("utime " + link, lambda: os.utime(path, (0, 0)))
for name, target in (("passwd", "/etc/passwd"), ("up", "../secret"), ("far", "../" * 20 + "etc")):
    os.symlink(target, "/data/" + name)
    refused("read own " + name, lambda: open("/data/" + name).read())
    refused("list own " + name, lambda: os.listdir("/data/" + name))
refused("dots", lambda: os.listdir("/data/../secret"))
refused("more dots", lambda: os.listdir("/data/sub/../../secret"))
# A folder becomes a link after it was looked at.
os.mkdir("/data/one")
os.listdir("/data/one")
os.rename("/data/one", "/data/two")
os.symlink("/etc", "/data/one")
refused("exchanged", lambda: os.listdir("/data/one"))
refused("/proc", lambda: os.listdir("/proc/self"))

descriptor = os.open("/ro/file", os.O_RDONLY)
for what, attempt in {
    "write": lambda: open("/ro/file", "w"),
    "append": lambda: open("/ro/file", "a"),
    "update": lambda: open("/ro/file", "r+"),
    "truncate on opening": lambda: os.open("/ro/file", os.O_RDONLY | os.O_TRUNC),
    "create": lambda: os.open("/ro/new", os.O_RDONLY | os.O_CREAT),
    "truncate": lambda: os.truncate("/ro/file", 0),
    "utime": lambda: os.utime("/ro/file", (0, 0)),
    "chmod": lambda: os.chmod("/ro/file", 0o777),
    "chown": lambda: os.chown("/ro/file", 1, 1),
    "unlink": lambda: os.unlink("/ro/file"),
    "rename": lambda: os.rename("/ro/file", "/ro/new"),
    "move out": lambda: os.rename("/ro/file", "/data/new"),
    "move in": lambda: os.rename("/data/two", "/ro/new"),
    "mkdir": lambda: os.mkdir("/ro/new"),
    "rmdir": lambda: os.rmdir("/ro/folder"),
    "symlink": lambda: os.symlink("file", "/ro/new"),
    "descriptor: write": lambda: os.write(descriptor, b"x"),
    "descriptor: truncate": lambda: os.ftruncate(descriptor, 0),
    "descriptor: chmod": lambda: os.fchmod(descriptor, 0o777),
    "descriptor: utime": lambda: os.utime(descriptor, (0, 0)),
    "map": lambda: mmap.mmap(descriptor, 1, mmap.MAP_SHARED, mmap.PROT_WRITE),
    "the library": lambda: open(os.__file__, "a"),
    "the root": lambda: open("/new", "w"),
    "devices": lambda: open("/dev/new", "w"),
    "removing a mount": lambda: os.rmdir("/data"),
}.items():
    refused(what, attempt)
print("done")
