"""Poisoning what the next run will use: the store, the standard library, caches, the roots."""

import os

from kit import NATIVE, WON, attack, folder, write

NEW = os.O_WRONLY | os.O_CREAT


@attack("store/module", NATIVE)
def _(p):
    write(p.module, os.O_WRONLY | os.O_TRUNC)


@attack("store/module-appended", NATIVE)
def _(p):
    write(p.module, os.O_WRONLY | os.O_APPEND)


@attack("store/module-replaced", NATIVE)
def _(p):
    os.rename(p.rw + "/file.txt", p.module)


@attack("store/beside-the-module", NATIVE)
def _(p):
    write(os.path.dirname(p.module) + "/evil", NEW)


@attack("store/listed", NATIVE)
def _(p):
    return os.listdir(p.store) and WON


@attack("store/precompiled", NATIVE)
def _(p):
    write(p.store + "/cache/evil", NEW)


@attack("store/staging", NATIVE)
def _(p):
    write(p.store + "/staging/evil", NEW)


@attack("store/removed", NATIVE)
def _(p):
    import shutil

    shutil.rmtree(p.store)


@attack("store/by-link", NATIVE)
def _(p):
    os.symlink(p.store, p.rw + "/made")
    write(p.rw + "/made/evil", NEW)


@attack("store/by-relative-link", NATIVE)
def _(p):
    os.symlink(os.path.relpath(p.store, p.rw), p.rw + "/made")
    write(p.rw + "/made/evil", NEW)


@attack("store/configuration", NATIVE)
def _(p):
    os.makedirs(p.home_of_pyw + "/.config/pyw/runtimes")
    write(p.home_of_pyw + "/.config/pyw/runtimes/evil.toml", NEW)


@attack("store/library-by-host-path", NATIVE)
def _(p):
    write(p.library_on_host + "/sitecustomize.py", NEW)


@attack("store/library-overwritten", NATIVE)
def _(p):
    write(p.library + "/this.py", os.O_WRONLY)


@attack("store/library-added", NATIVE)
def _(p):
    write(p.library + "/sitecustomize.py", NEW)


@attack("store/library-removed", NATIVE)
def _(p):
    os.unlink(p.library + "/this.py")


@attack("store/library-renamed", NATIVE)
def _(p):
    os.rename(p.library + "/this.py", p.library + "/that.py")


@attack("store/library-replaced", NATIVE)
def _(p):
    os.rename(p.rw + "/file.txt", p.library + "/this.py")


@attack("store/library-by-folder-handle", NATIVE)
def _(p):
    fd = folder(p.library)
    os.rename("this.py", "that.py", src_dir_fd=fd, dst_dir_fd=fd)


@attack("store/library-times", NATIVE)
def _(p):
    os.utime(p.library + "/this.py", (1, 1))


@attack("store/bytecode", NATIVE)
def _(p):
    os.makedirs(p.library + "/__pycache__", exist_ok=True)
    write(p.library + "/__pycache__/evil.pyc", NEW)


@attack("store/packages-folder", NATIVE)
def _(p):
    os.makedirs(p.library + "/site-packages", exist_ok=True)
    write(p.library + "/site-packages/evil.pth", NEW)


@attack("store/root", NATIVE)
def _(p):
    write(p.root + "/evil", NEW)


@attack("store/root-folder", NATIVE)
def _(p):
    os.mkdir(p.root + "/evil-folder")


@attack("store/way-to-the-mounts", NATIVE)
def _(p):
    write(p.way + "/evil", NEW)


@attack("store/own-program", NATIVE)
def _(p):
    write(p.program + "/run.py", os.O_WRONLY | os.O_APPEND, data=b"\n")


@attack("store/program-shadowed", NATIVE)
def _(p):
    write(p.program + "/json.py", NEW)


@attack("store/tmp-cleaning-follows-links", NATIVE)
def _(p):
    # Natively the cleaning is done here; in the sandbox pyw removes its /tmp when the run ends.
    if p.native:
        write(p.secret, os.O_WRONLY)
        return
    for name, target in [
        ("absolute", p.outside),
        ("relative", "../" * 12 + p.outside.lstrip("/")),
        ("file", p.secret),
    ]:
        try:
            os.symlink(target, "/tmp/" + name)
        except OSError:
            pass


@attack("store/left-in-tmp", NATIVE)
def _(p):
    # The next run looks for it.
    write("/tmp/pyw-escape-left" if not p.native else p.outside + "/left", NEW)


@attack("store/dev-null-replaced", NATIVE)
def _(p):
    if p.native:
        write(p.secret, os.O_WRONLY)
        return
    os.unlink("/dev/null")
    os.symlink(p.secret, "/dev/null")
    write("/dev/null", os.O_WRONLY)


@attack("store/exit-code-is-a-link", NATIVE)
def _(p):
    if p.native:
        write(p.secret, os.O_WRONLY)
        return
    os.symlink(p.secret, "/.pyw/rc/code")
    write("/.pyw/rc/code", os.O_WRONLY | os.O_TRUNC)
