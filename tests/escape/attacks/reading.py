"""Reading what lies outside the mounts."""

import os

from kit import NATIVE, WON, attack, folder, read


def up(place, start):
    """From a folder in a mount to the secret, by `..` alone."""
    return f"{start}/../../outside/{os.path.basename(place.outside)}/secret.txt"


@attack("reading/absolute")
def _(p):
    return read(p.secret)


@attack("reading/open-function")
def _(p):
    with open(p.secret) as file:
        return file.read()


@attack("reading/dotdot-from-read-only")
def _(p):
    return read(up(p, p.ro))


@attack("reading/dotdot-from-writable")
def _(p):
    return read(up(p, p.rw))


@attack("reading/dotdot-many", NATIVE)
def _(p):
    return read(p.ro + "/.." * 60 + p.secret)


@attack("reading/dotdot-in-the-middle")
def _(p):
    return read(f"{p.rw}/dir/../../{os.path.basename(p.rw)}/../../outside/{os.path.basename(p.rw)}/secret.txt")


@attack("reading/dotdot-behind-planted-link", not_granted_on=["node-wasi"])
def _(p):
    return read(f"{p.rw}/dirlink/../{os.path.basename(p.rw)}/secret.txt")


@attack("reading/slashes-and-dots", NATIVE)
def _(p):
    return read("/" + p.secret.replace("/", "///././"))


@attack("reading/dots-for-long")
def _(p):
    return read(p.rw + "/." * 500 + "/../../outside/" + os.path.basename(p.rw) + "/secret.txt")


@attack("reading/planted-link")
def _(p):
    return read(p.rw + "/link")


@attack("reading/planted-link-read-only")
def _(p):
    return read(p.ro + "/link")


@attack("reading/planted-link-to-folder")
def _(p):
    return read(p.rw + "/dirlink/secret.txt")


@attack("reading/planted-link-to-folder-read-only")
def _(p):
    return read(p.ro + "/dirlink/secret.txt")


@attack("reading/planted-link-listed")
def _(p):
    return os.listdir(p.rw + "/dirlink")


@attack("reading/planted-link-listed-by-slash")
def _(p):
    return os.listdir(p.rw + "/dirlink/")


@attack("reading/planted-link-listed-by-slash-dot")
def _(p):
    return os.listdir(p.rw + "/dirlink/.")


@attack("reading/planted-link-by-slash", NATIVE)
def _(p):
    return read(p.rw + "/absdir/secret.txt")


@attack("reading/planted-absolute-link", NATIVE)
def _(p):
    return read(p.rw + "/abslink")


@attack("reading/planted-absolute-link-listed", NATIVE)
def _(p):
    return os.listdir(p.rw + "/absdir/")


@attack("reading/planted-link-by-folder-handle", NATIVE)
def _(p):
    return read("link", dir_fd=folder(p.rw))


@attack("reading/planted-folder-by-handle", NATIVE)
def _(p):
    return read("secret.txt", dir_fd=folder("dirlink/", dir_fd=folder(p.rw)))


@attack("reading/planted-link-status")
def _(p):
    return WON if os.stat(p.rw + "/link").st_size else "empty"


@attack("reading/planted-link-walked")
def _(p):
    return list(os.walk(p.rw, followlinks=True))


@attack("reading/planted-link-globbed")
def _(p):
    import glob

    return glob.glob(p.rw + "/dirlink/*")


@attack("reading/planted-link-copied")
def _(p):
    import shutil

    shutil.copyfile(p.rw + "/link", p.rw + "/copy")
    return read(p.rw + "/copy")


@attack("reading/made-link", not_granted_on=["node-wasi"])
def _(p):
    os.symlink(f"../../outside/{os.path.basename(p.rw)}/secret.txt", p.rw + "/made")
    return read(p.rw + "/made")


@attack("reading/made-absolute-link", NATIVE)
def _(p):
    os.symlink(p.secret, p.rw + "/made")
    return read(p.rw + "/made")


@attack("reading/made-link-to-folder", not_granted_on=["node-wasi"])
def _(p):
    os.symlink(f"../../outside/{os.path.basename(p.rw)}", p.rw + "/made")
    return os.listdir(p.rw + "/made/")


@attack("reading/made-link-to-root", NATIVE)
def _(p):
    os.symlink("/", p.rw + "/made")
    return read(p.rw + "/made" + p.secret)


@attack("reading/made-chain-of-links", not_granted_on=["node-wasi"])
def _(p):
    os.symlink("b", p.rw + "/a")
    os.symlink("c/../../../outside", p.rw + "/b")
    os.mkdir(p.rw + "/c")
    return read(f"{p.rw}/a/{os.path.basename(p.rw)}/secret.txt")


@attack("reading/made-link-by-folder-handle", NATIVE)
def _(p):
    fd = folder(p.rw)
    os.symlink(f"../../outside/{os.path.basename(p.rw)}/secret.txt", "made", dir_fd=fd)
    return read("made", dir_fd=fd)


@attack("reading/hard-link", not_granted_on=["javascript"])
def _(p):
    os.link(p.secret, p.rw + "/hard")
    return read(p.rw + "/hard")


@attack("reading/hard-link-of-planted-link", NATIVE)
def _(p):
    os.link(p.rw + "/link", p.rw + "/hard", follow_symlinks=True)
    return read(p.rw + "/hard")


@attack("reading/rename-in")
def _(p):
    os.rename(p.secret, p.rw + "/taken")
    return read(p.rw + "/taken")


@attack("reading/renamed-link", not_granted_on=["wasmer"])
def _(p):
    os.rename(p.rw + "/dirlink", p.rw + "/dir/renamed")
    os.rename(p.rw + "/dir/renamed", p.rw + "/renamed")
    return read(p.rw + "/renamed/secret.txt")


@attack("reading/renamed-folder-above-a-handle", NATIVE)
def _(p):
    # The handle stands four deep; after the rename, its `..` are fewer than it counted.
    os.makedirs(p.rw + "/1/2/3/4")
    fd = folder(p.rw + "/1/2/3/4")
    os.rename(p.rw + "/1/2/3/4", p.rw + "/4")
    return read(f"../../../outside/{os.path.basename(p.rw)}/secret.txt", dir_fd=fd)


@attack("reading/folder-handle-dotdot", NATIVE)
def _(p):
    return read(f"../../outside/{os.path.basename(p.rw)}/secret.txt", dir_fd=folder(p.ro))


@attack("reading/folder-handle-absolute")
def _(p):
    return read(p.secret, dir_fd=folder(p.ro))


@attack("reading/folder-handles-upwards", NATIVE)
def _(p):
    fd = folder(p.ro)
    for _step in range(2):
        fd = folder("..", dir_fd=fd)
    return read(f"outside/{os.path.basename(p.ro)}/secret.txt", dir_fd=fd)


@attack("reading/status")
def _(p):
    return WON if os.stat(p.secret).st_size else "empty"


@attack("reading/parent-listed")
def _(p):
    return os.listdir(p.base)


@attack("reading/outside-listed")
def _(p):
    return os.listdir(p.outside)


@attack("reading/changed-folder")
def _(p):
    before = os.getcwd()
    os.chdir(p.rw)
    try:
        return read(f"../../outside/{os.path.basename(p.rw)}/secret.txt")
    finally:
        os.chdir(before)


@attack("reading/changed-folder-by-link")
def _(p):
    before = os.getcwd()
    os.chdir(p.rw + "/dirlink")
    try:
        return read("secret.txt")
    finally:
        os.chdir(before)


@attack("reading/imported")
def _(p):
    import importlib
    import sys

    sys.path.insert(0, p.outside)
    importlib.invalidate_caches()
    try:
        return importlib.import_module("secret_module").SECRET
    finally:
        sys.path.remove(p.outside)
        sys.modules.pop("secret_module", None)


@attack("reading/run-as-script")
def _(p):
    import runpy

    return runpy.run_path(p.outside + "/secret_module.py")["SECRET"]


@attack("reading/archive-of-a-link")
def _(p):
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", dereference=True) as archive:
        archive.add(p.rw + "/link", "x")
    return out.getvalue().decode("latin-1")


@attack("reading/home", NATIVE)
def _(p):
    return read(p.home + "/.ssh/id_ed25519")


@attack("reading/tmp", NATIVE)
def _(p):
    return read(p.tmp + "/secret.txt")


@attack("reading/tmp-listed", NATIVE)
def _(p):
    return os.listdir(os.path.dirname(p.tmp)) + os.listdir(p.tmp)


@attack("reading/shared-memory", NATIVE)
def _(p):
    return read("/dev/shm/" + p.shm)


@attack("reading/passwd", NATIVE)
def _(p):
    return WON if "root:" in read("/etc/passwd") else "another file"


@attack("reading/proc-root", NATIVE)
def _(p):
    return read("/proc/self/root" + p.secret)


@attack("reading/proc-cwd", NATIVE)
def _(p):
    return read(f"/proc/self/cwd/../base/outside/{os.path.basename(p.ro)}/secret.txt")


@attack("reading/proc-of-another", NATIVE)
def _(p):
    return read(f"/proc/{p.victim}/root{p.secret}")


@attack("reading/proc-command-line", NATIVE)
def _(p):
    return WON if read("/proc/self/cmdline") else "empty"


@attack("reading/proc-mounts", NATIVE)
def _(p):
    return WON if read("/proc/self/mountinfo") else "empty"


@attack("reading/proc-handles", NATIVE)
def _(p):
    got = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            got.append(read("/proc/self/fd/" + fd))
        except OSError:
            pass
    return got


@attack("reading/dev-handles", NATIVE)
def _(p):
    got = []
    for fd in range(3, 64):
        try:
            got.append(read(f"/dev/fd/{fd}"))
        except OSError:
            pass
    return got


@attack("reading/inherited-handles", NATIVE)
def _(p):
    got = []
    for fd in range(3, 200):
        try:
            got.append(os.pread(fd, 1000, 0))
        except (OSError, AttributeError):
            pass
    return got


@attack("reading/devices", NATIVE)
def _(p):
    return WON if len(os.listdir("/dev")) > 3 and os.path.exists("/dev/full") else "nothing"
