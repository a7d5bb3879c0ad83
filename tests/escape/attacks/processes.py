"""Starting processes, and reaching others. The victim is a process of the same user."""

import os
import signal

from kit import NATIVE, WON, attack, read


@attack("processes/fork", NATIVE)
def _(p):
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    return WON if os.waitpid(pid, 0)[0] == pid else "no child"


@attack("processes/posix-spawn", NATIVE)
def _(p):
    out = p.rw + "/out"
    act = (os.POSIX_SPAWN_OPEN, 1, out, os.O_WRONLY | os.O_CREAT, 0o644)
    pid = os.posix_spawn("/bin/cat", ["cat", p.secret], {}, file_actions=[act])
    os.waitpid(pid, 0)
    return read(out)


@attack("processes/subprocess", NATIVE)
def _(p):
    import subprocess

    return subprocess.run(["cat", p.secret], capture_output=True).stdout


@attack("processes/system", NATIVE)
def _(p):
    os.system(f"cat {p.secret} > {p.rw}/out")
    return read(p.rw + "/out")


@attack("processes/popen", NATIVE)
def _(p):
    return os.popen(f"cat {p.secret}").read()


@attack("processes/fork-exec", NATIVE)
def _(p):
    import _posixsubprocess  # noqa: F401
    import subprocess

    return subprocess.check_output("cat " + p.secret, shell=True, executable="/bin/sh")


@attack("processes/exec-in-child", NATIVE)
def _(p):
    child = os.fork()
    if child == 0:
        os.execv("/bin/cp", ["cp", p.secret, p.rw + "/out"])
    # This one: another attack's child may end first.
    os.waitpid(child, 0)
    return read(p.rw + "/out")


@attack("processes/multiprocessing", NATIVE)
def _(p):
    import multiprocessing

    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=lambda: queue.put("x"))
    child.start()
    child.join()
    return WON if queue.get() == "x" else "no"


@attack("processes/libc-system", NATIVE)
def _(p):
    import ctypes

    ctypes.CDLL(None).system(f"cat {p.secret} > {p.rw}/out".encode())
    return read(p.rw + "/out")


@attack("processes/libc-open", NATIVE)
def _(p):
    import ctypes

    libc = ctypes.CDLL(None)
    fd = libc.open(p.secret.encode(), 0)
    buffer = ctypes.create_string_buffer(200)
    libc.read(fd, buffer, 199)
    return buffer.value


@attack("processes/kill", NATIVE)
def _(p):
    os.kill(p.victims["kill"], signal.SIGKILL)


@attack("processes/terminate", NATIVE)
def _(p):
    os.kill(p.victims["terminate"], signal.SIGTERM)


@attack("processes/stop", NATIVE)
def _(p):
    os.kill(p.victims["stop"], signal.SIGSTOP)


@attack("processes/kill-group", NATIVE)
def _(p):
    os.killpg(p.victims["kill-group"], signal.SIGKILL)


@attack("processes/kill-by-handle", NATIVE)
def _(p):
    signal.pidfd_send_signal(os.pidfd_open(p.victims["kill-by-handle"]), signal.SIGKILL)


@attack("processes/kill-by-libc", NATIVE)
def _(p):
    import ctypes

    ctypes.CDLL(None).kill(p.victims["kill-by-libc"], 9)


@attack("processes/priority", NATIVE)
def _(p):
    os.setpriority(os.PRIO_PROCESS, p.victim, 15)
    return WON if os.getpriority(os.PRIO_PROCESS, p.victim) == 15 else "no"


@attack("processes/trace", NATIVE)
def _(p):
    import ctypes

    # PTRACE_SEIZE and PTRACE_DETACH; needs a kernel that lets a parent's relatives trace.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    return WON if libc.ptrace(0x4206, p.victim, None, None) == 0 else ctypes.get_errno()


@attack("processes/memory", NATIVE)
def _(p):
    with open(f"/proc/{p.victim}/maps") as maps:
        for line in maps:
            if "[stack]" in line:
                start, end = (int(x, 16) for x in line.split()[0].split("-"))
    with open(f"/proc/{p.victim}/mem", "rb", 0) as memory:
        memory.seek(start)
        # The environment stands at the end of the stack.
        return memory.read(end - start)[-4000:]


@attack("processes/command-line", NATIVE)
def _(p):
    return WON if "sleep" in read(f"/proc/{p.victim}/cmdline") else "no"


@attack("processes/parent", NATIVE)
def _(p):
    return WON if read(f"/proc/{os.getppid()}/stat") else "no"
