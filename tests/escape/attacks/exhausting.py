"""What a program can use up in passing. Memory and time have runs of their own."""

import os

from kit import NATIVE, WON, attack


@attack("exhausting/threads-of-the-host", NATIVE)
def _(p):
    import threading

    done = []
    threads = [threading.Thread(target=lambda: done.append(1)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return WON if len(done) == 50 else "some"


@attack("exhausting/sparse-file-outside", NATIVE)
def _(p):
    with open(p.outside + "/big", "wb") as file:
        file.truncate(1 << 30)


@attack("exhausting/limits-raised", NATIVE)
def _(p):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return WON
