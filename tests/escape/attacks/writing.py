"""Changing what may only be read, and what lies outside the mounts."""

import os

from kit import NATIVE, attack, folder, write


def mode(name, flags, on="file.txt"):
    @attack("writing/" + name)
    def _(p):
        write(f"{p.ro}/{on}", flags)


mode("open-write-only", os.O_WRONLY)
mode("open-read-write", os.O_RDWR)
mode("open-truncate", os.O_WRONLY | os.O_TRUNC)
mode("open-append", os.O_WRONLY | os.O_APPEND)
mode("open-create", os.O_WRONLY | os.O_CREAT, on="new.txt")
mode("open-create-exclusive", os.O_RDWR | os.O_CREAT | os.O_EXCL, on="new.txt")


@attack("writing/open-read-and-truncate", not_granted_on=["wasmedge"])
def _(p):
    os.close(os.open(p.ro + "/file.txt", os.O_RDONLY | os.O_TRUNC))


@attack("writing/open-read-and-create")
def _(p):
    os.close(os.open(p.ro + "/new.txt", os.O_RDONLY | os.O_CREAT))


@attack("writing/open-function")
def _(p):
    with open(p.ro + "/file.txt", "r+") as file:
        file.write("x")


@attack("writing/truncate")
def _(p):
    os.truncate(p.ro + "/file.txt", 2)


@attack("writing/truncate-what-was-opened-for-reading", NATIVE)
def _(p):
    # Natively it is the path that is truncated: no system lets a reader do it.
    fd = os.open(p.ro + "/file.txt", os.O_RDONLY)
    try:
        os.ftruncate(fd, 2)
    except OSError:
        os.truncate(f"/proc/self/fd/{fd}", 2)


@attack("writing/write-to-what-was-opened-for-reading", NATIVE)
def _(p):
    fd = os.open(p.ro + "/file.txt", os.O_RDONLY)
    try:
        os.write(fd, b"x")
    except OSError:
        write(f"/proc/self/fd/{fd}", os.O_WRONLY)


@attack("writing/mkdir")
def _(p):
    os.mkdir(p.ro + "/new")


@attack("writing/mkdir-with-slash")
def _(p):
    os.mkdir(p.ro + "/new/")


@attack("writing/rmdir")
def _(p):
    os.rmdir(p.ro + "/empty")


@attack("writing/unlink")
def _(p):
    os.unlink(p.ro + "/file.txt")


@attack("writing/rename")
def _(p):
    os.rename(p.ro + "/file.txt", p.ro + "/renamed.txt")


@attack("writing/rename-folder")
def _(p):
    os.rename(p.ro + "/dir", p.ro + "/renamed")


@attack("writing/rename-over")
def _(p):
    os.rename(p.rw + "/file.txt", p.ro + "/file.txt")


@attack("writing/rename-into")
def _(p):
    os.rename(p.rw + "/file.txt", p.ro + "/new.txt")


@attack("writing/rename-out")
def _(p):
    os.rename(p.ro + "/file.txt", p.rw + "/taken.txt")


@attack("writing/symlink", not_granted_on=["wasmer"])
def _(p):
    os.symlink("file.txt", p.ro + "/new")


@attack("writing/hard-link", not_granted_on=["javascript", "wasmer"])
def _(p):
    os.link(p.ro + "/file.txt", p.ro + "/new")


@attack("writing/hard-link-out-and-write", not_granted_on=["javascript"])
def _(p):
    os.link(p.ro + "/file.txt", p.rw + "/hard")
    write(p.rw + "/hard", os.O_WRONLY)


@attack("writing/hard-link-into", not_granted_on=["javascript", "wasmer"])
def _(p):
    os.link(p.rw + "/file.txt", p.ro + "/new")


@attack("writing/times", not_granted_on=["javascript", "wasmer", "node-wasi"])
def _(p):
    os.utime(p.ro + "/file.txt", (1, 1))


@attack("writing/times-of-folder", not_granted_on=["javascript", "wasmer", "node-wasi"])
def _(p):
    os.utime(p.ro + "/dir", (1, 1))


@attack("writing/times-of-mount", not_granted_on=["javascript", "wasmer", "node-wasi"])
def _(p):
    os.utime(os.path.dirname(p.ro), (1, 1))
    os.utime(p.ro + "/.", (1, 1))


@attack("writing/times-to-now", not_granted_on=["javascript", "wasmer", "node-wasi"])
def _(p):
    os.utime(p.ro + "/file.txt")


@attack("writing/times-of-opened", NATIVE)
def _(p):
    os.utime(os.open(p.ro + "/file.txt", os.O_RDONLY), (1, 1))


@attack("writing/times-of-opened-folder", NATIVE)
def _(p):
    os.utime(folder(p.ro + "/dir"), (1, 1))


@attack("writing/times-by-folder-handle", not_granted_on=["javascript", "wasmer", "node-wasi"])
def _(p):
    os.utime("file.txt", (1, 1), dir_fd=folder(p.ro))


@attack("writing/times-of-link", NATIVE)
def _(p):
    os.utime(p.ro + "/link", (1, 1), follow_symlinks=False)


@attack("writing/mode", NATIVE)
def _(p):
    os.chmod(p.ro + "/file.txt", 0o777)


@attack("writing/mode-of-opened", NATIVE)
def _(p):
    os.fchmod(os.open(p.ro + "/file.txt", os.O_RDONLY), 0o777)


@attack("writing/attribute", NATIVE)
def _(p):
    # Whether the file system has them is not known; the mode is another attribute.
    try:
        os.setxattr(p.ro + "/file.txt", "user.x", b"y")
    except OSError:
        pass
    os.chmod(p.ro + "/dir", 0o700)


@attack("writing/fifo", NATIVE)
def _(p):
    os.mkfifo(p.ro + "/new")


@attack("writing/create-by-folder-handle")
def _(p):
    write("new.txt", os.O_WRONLY | os.O_CREAT, dir_fd=folder(p.ro))


@attack("writing/overwrite-by-folder-handle")
def _(p):
    write("file.txt", os.O_WRONLY | os.O_TRUNC, dir_fd=folder(p.ro))


@attack("writing/mkdir-by-folder-handle")
def _(p):
    os.mkdir("new", dir_fd=folder(p.ro))


@attack("writing/symlink-by-folder-handle", not_granted_on=["javascript", "wasmer"])
def _(p):
    os.symlink("file.txt", "new", dir_fd=folder(p.ro))


@attack("writing/rename-by-folder-handle")
def _(p):
    fd = folder(p.ro)
    os.rename("file.txt", "renamed.txt", src_dir_fd=fd, dst_dir_fd=fd)


@attack("writing/rename-by-inner-folder-handle")
def _(p):
    fd = folder("dir", dir_fd=folder(p.ro))
    os.rename("inner.txt", "renamed.txt", src_dir_fd=fd, dst_dir_fd=fd)


@attack("writing/link-by-folder-handle", not_granted_on=["javascript", "wasmer"])
def _(p):
    fd = folder(p.ro)
    os.link("file.txt", "new", src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)


@attack("writing/unlink-by-folder-handle")
def _(p):
    os.unlink("file.txt", dir_fd=folder(p.ro))


@attack("writing/rmdir-by-folder-handle")
def _(p):
    os.rmdir("empty", dir_fd=folder(p.ro))


@attack("writing/dotdot-from-writable")
def _(p):
    write(f"{p.rw}/../../ro/{os.path.basename(p.ro)}/file.txt", os.O_WRONLY)


@attack("writing/planted-link-to-read-only")
def _(p):
    write(p.rw + "/to-ro/file.txt", os.O_WRONLY)


@attack("writing/made-link-to-read-only", not_granted_on=["node-wasi"])
def _(p):
    os.symlink(f"../../ro/{os.path.basename(p.ro)}", p.rw + "/made")
    write(p.rw + "/made/file.txt", os.O_WRONLY)


@attack("writing/remove-tree")
def _(p):
    import shutil

    shutil.rmtree(p.ro + "/dir")


@attack("writing/move-tree")
def _(p):
    import shutil

    shutil.move(p.ro + "/dir", p.rw + "/taken")


@attack("writing/bytecode")
def _(p):
    import py_compile

    py_compile.compile(p.ro + "/module.py", doraise=True)


@attack("writing/under-the-other-name")
def _(p):
    write(f"{p.alias}/{os.path.basename(p.ro)}/file.txt", os.O_WRONLY)


@attack("writing/outside-absolute")
def _(p):
    write(p.secret, os.O_WRONLY)


@attack("writing/outside-created")
def _(p):
    write(p.outside + "/new.txt", os.O_WRONLY | os.O_CREAT)


@attack("writing/outside-by-planted-link")
def _(p):
    write(p.rw + "/link", os.O_WRONLY)


@attack("writing/outside-truncated-by-planted-link")
def _(p):
    os.truncate(p.rw + "/link", 0)


@attack("writing/outside-created-by-planted-link")
def _(p):
    write(p.rw + "/dirlink/new.txt", os.O_WRONLY | os.O_CREAT)


@attack("writing/outside-created-by-dangling-link", not_granted_on=["node-wasi"])
def _(p):
    os.symlink(f"../../outside/{os.path.basename(p.rw)}/new.txt", p.rw + "/made")
    write(p.rw + "/made", os.O_WRONLY | os.O_CREAT)


@attack("writing/outside-mkdir-by-planted-link")
def _(p):
    os.mkdir(p.rw + "/dirlink/new/")


@attack("writing/outside-mkdir-by-absolute-link", NATIVE)
def _(p):
    os.mkdir(p.rw + "/absdir/new")


@attack("writing/outside-renamed-into")
def _(p):
    os.rename(p.rw + "/file.txt", p.rw + "/dirlink/moved.txt")


@attack("writing/outside-folder-renamed-into")
def _(p):
    os.rename(p.rw + "/dir", p.rw + "/dirlink/moved")


@attack("writing/outside-renamed-by-dotdot")
def _(p):
    os.rename(p.rw + "/file.txt", f"{p.rw}/../../outside/{os.path.basename(p.rw)}/moved.txt")


@attack("writing/outside-unlinked", not_granted_on=["wasmer"])
def _(p):
    os.unlink(p.rw + "/dirlink/secret.txt")


@attack("writing/outside-linked-into", not_granted_on=["javascript", "wasmer"])
def _(p):
    os.link(p.rw + "/file.txt", p.rw + "/dirlink/hard")


@attack("writing/outside-times-by-planted-link", not_granted_on=["javascript", "wasmer", "node-wasi"])
def _(p):
    os.utime(p.rw + "/link", (1, 1))


@attack("writing/outside-times-by-slash", not_granted_on=["javascript", "wasmer", "node-wasi"])
def _(p):
    os.utime(p.rw + "/dirlink/", (1, 1))


@attack("writing/outside-mode-by-planted-link", NATIVE)
def _(p):
    os.chmod(p.rw + "/link", 0o777)


@attack("writing/outside-by-archive")
def _(p):
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(f"../../outside/{os.path.basename(p.rw)}/new.txt")
        archive.addfile(info, io.BytesIO())
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        archive.extraction_filter = None
        for member in archive:
            with open(os.path.join(p.rw, member.name), "wb") as file:
                file.write(b"extracted")


@attack("writing/outside-by-folder-handle", NATIVE)
def _(p):
    write(f"../../outside/{os.path.basename(p.rw)}/new.txt", os.O_WRONLY | os.O_CREAT, dir_fd=folder(p.rw))


@attack("writing/tmp-of-the-host", NATIVE)
def _(p):
    write(p.tmp + "/secret.txt", os.O_WRONLY)
    write(p.secret, os.O_WRONLY)
