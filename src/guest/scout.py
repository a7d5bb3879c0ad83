# Finds out which modules can be part of a snapshot: those whose import comes out the same every
# time and leaves no trace elsewhere. Runs once in an interpreter that is thrown away, so it may
# leave hooks behind.
#
#   scout.py MODULE…
#
# Prints JSON: a line before each import, so that one that never ends can be told; at the end the
# modules, in the order in which they were imported, with the names of globals that hold the working
# directory, and those that are left out, with the reason.

import sys

plain = set(sys.modules)
bootstrap = sys.modules["_frozen_importlib"]
load = bootstrap._find_and_load
native_import = __builtins__.__import__

import gc
import os
import warnings

# Unlike any other text there is.
CWD = os.path.dirname(os.path.abspath(sys.argv[0])) + "/cwd"
wanted = sys.argv[1:]
own = set(sys.modules) - {"gc", "warnings"}  # of this script and of every start
found = {}  # modules by name, in the order of their import
brought = {}
running = []
blamed = {}
asked_cwd = set()
left = {}  # modules by name: what their names led to when their import ended

# What these do at import is made up for by resume.py.
MENDED = {"logging", "random", "rich.style"}

CLOCKS = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns",
          "process_time", "process_time_ns", "localtime", "gmtime", "ctime", "sleep", "strftime",
          "thread_time", "thread_time_ns", "clock_gettime", "clock_gettime_ns", "asctime"}
HARMLESS = {"fspath", "_path_normpath", "_path_splitroot", "_path_splitroot_ex", "strerror",
            "register_at_fork", "waitstatus_to_exitcode", "getcwd", "device_encoding"}
STREAMS = {"isatty", "write", "read", "readline", "readlines"}
ENVIRONMENT = {getattr(os._Environ, name).__code__ for name in (
    "__getitem__", "__setitem__", "__delitem__", "__iter__", "__len__", "copy", "setdefault")}


def blame(reason):
    for name in reversed(running):
        if name in MENDED:
            return
        if name not in own:
            blamed.setdefault(name, reason)
        return


def audit(event, args):
    if not running:
        return
    if event == "open":
        path, mode, flags = args
        if (flags or 0) & 3 or (mode and set(mode) & set("wax+")):
            blame("writes %s" % (path,))
        elif not str(path).startswith(TREES):
            blame("reads %s" % (path,))
    elif event.partition(".")[0] in ("socket", "subprocess", "shutil", "ftplib", "urllib", "signal",
                                     "mmap", "fcntl", "ctypes", "resource", "sqlite3", "glob"):
        blame(event)
    elif event.startswith("os.") and event not in ("os.listdir", "os.scandir"):
        blame(event)
    elif event in ("sys.addaudithook", "sys.setprofile", "sys.settrace", "_thread.start_new_thread",
                   "builtins.input", "gc.get_objects", "cpython.PyInterpreterState_Clear"):
        blame(event)


def profile(frame, event, arg):
    if event == "c_call":
        if frame.f_code.co_filename.startswith("<frozen importlib") or not running:
            return
        module, name = getattr(arg, "__module__", None), arg.__name__
        if name == "getcwd":
            asked_cwd.add(running[-1])
        if module == "time" and name in CLOCKS:
            blame("reads the clock: %s" % name)
        elif module == "posix" and name not in HARMLESS and not name.startswith("W"):
            blame("asks the system: %s" % name)
        elif module == "builtins" and name in ("print", "input"):
            blame(name)
        elif module in ("_signal", "_random", "faulthandler") and name != "getsignal":
            blame("%s.%s" % (module, name))
        elif module is None:
            me = type(getattr(arg, "__self__", None))
            if name in STREAMS and me.__module__ == "_io" and arg.__self__ in streams:
                blame("uses a standard stream: %s" % name)
            elif name in ("now", "utcnow", "today"):
                blame("reads the clock: %s" % name)
            elif me.__module__ in ("random", "_random"):
                blame("random numbers")
    elif event == "call" and frame.f_code in ENVIRONMENT:
        blame("looks at the environment")


class Arguments(list):
    def __getitem__(self, at):
        blame("looks at sys.argv")
        return list.__getitem__(self, at)

    def __iter__(self):
        blame("looks at sys.argv")
        return list.__iter__(self)

    def __len__(self):
        blame("looks at sys.argv")
        return list.__len__(self)


def state():
    """What an import could change for everybody."""
    return (tuple(sys.meta_path), tuple(sys.path_hooks), tuple(sys.path), sys.excepthook,
            sys.displayhook, sys.unraisablehook, sys.breakpointhook, tuple(warnings.filters),
            sys.getrecursionlimit(), gc.get_threshold(), gc.isenabled(), id(sys.stdout),
            id(sys.stderr), id(sys.stdin), tuple(map(id, vars(__builtins__).values())))


def names_of(module):
    return {key: id(value) for key, value in list(getattr(module, "__dict__", {}).items())
            if key[:2] != "__"}


def note(name):
    if running and running[-1] != name:
        brought.setdefault(running[-1], {})[name] = None


def noting_load(name, import_):
    note(name)
    running.append(name)
    before = state()
    try:
        module = load(name, import_)
        found.setdefault(name, module)
        left.setdefault(name, names_of(module))
        if state() != before:
            blame("changes the interpreter for others")
        return module
    finally:
        for other in [other for other in sys.modules if other not in own and other not in found]:
            if other not in running:
                found[other] = sys.modules[other]
                note(other)
        running.pop()


def noting_import(name, globals=None, locals=None, fromlist=(), level=0):
    result = native_import(name, globals, locals, fromlist, level)
    if running:
        if level:
            name = bootstrap._resolve_name(name, bootstrap._calc___package__(globals), level)
        note(name)
        for each in fromlist or ():
            if "%s.%s" % (name, each) in sys.modules:
                note("%s.%s" % (name, each))
    return result


def import_all():
    for name in wanted:
        os.write(1, b'\n{"importing":"%s"}\n' % name.encode())
        try:
            bootstrap._gcd_import(name)
        except BaseException as error:
            blamed.setdefault(name, "%s: %s" % (type(error).__name__, error))


def blame_patches():
    """Modules that have other names than when their import ended were changed by somebody: by one of
    those that import them, and are no part of the library."""
    for name, names in left.items():
        if hasattr(sys.modules.get(name), "__getattr__"):
            # It makes names when it is asked for them.
            continue
        changed = [key for key, value in names_of(sys.modules.get(name)).items()
                   if names.get(key) != value and "%s.%s" % (name, key) not in sys.modules]
        for other, asked in brought.items() if changed else ():
            if (name in asked and other.partition(".")[0] not in sys.stdlib_module_names
                    and other.partition(".")[0] != name.partition(".")[0]):
                blamed.setdefault(other, "changes %s.%s" % (name, changed[0]))


def places_of_cwd():
    """Globals that are the working directory, for resume.py to change. Where a module keeps more
    than that, all that asked for it are blamed."""
    places = {}
    owners = {id(module.__dict__): name for name, module in found.items()
              if hasattr(module, "__dict__")}
    if not asked_cwd:
        return places
    for holder in gc.get_objects():
        if holder is globals():
            continue
        for value in gc.get_referents(holder):
            if type(value) is str and value.startswith(CWD):
                owner = owners.get(id(holder))
                if owner is None or value != CWD:
                    for name in asked_cwd - own:
                        blamed.setdefault(name, "keeps the working directory")
                    continue
                for key, one in list(holder.items()):
                    if one is value and key not in places.setdefault(owner, []):
                        places[owner].append(key)
    return places


def left_out():
    """The blamed ones and all that rely on them."""
    out = dict(blamed)
    again = True
    while again:
        again = False
        for name, names in brought.items():
            if name not in out:
                for other in names:
                    if other in out:
                        out[name] = "imports %s" % other
                        again = True
                        break
    return out


TREES = tuple(path for path in sys.path[1:] if path)
streams = [sys.stdin, sys.stdout, sys.stderr, sys.stdin.buffer, sys.stdout.buffer,
           sys.stderr.buffer]
del sys.path[0]
sys.dont_write_bytecode = True
os.chdir(CWD)
sys.argv = Arguments([""])
bootstrap._find_and_load, __builtins__.__import__ = noting_load, noting_import
sys.addaudithook(audit)
sys.setprofile(profile)
for each in ("os", "io", "builtins", "abc", "codecs", "site", "time", "stat", "posixpath"):
    left[each] = names_of(sys.modules[each])
import_all()
sys.setprofile(None)
blame_patches()
bootstrap._find_and_load, __builtins__.__import__ = load, native_import
running.append("__main__")
places = places_of_cwd()
out = left_out()
import json

kept = [[name, places.get(name, [])] for name in found if name not in out and name not in own]
sys.stdout.write(json.dumps({"modules": kept, "left_out": out}))
