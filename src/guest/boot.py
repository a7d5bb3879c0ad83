# Runs once in an instrumented interpreter, is captured at its last line, and never ends.
#
#   boot.py RESUME [MODULE[=NAME,…]…]
#
# RESUME is the file resume.py; the modules, which scout.py has chosen, are imported so that later
# runs find them ready, and the names are those of their globals that hold the working directory.
# What the capture needs to know of the memory's layout is printed as a line of JSON before it.
#
# A program must find `sys.modules` as after a plain start. So whatever is imported here is taken
# out again and kept in a stash, from which resume.py hands it on when it is asked for, together
# with what its import had brought along.

import sys

plain = dict(sys.modules)
bootstrap = plain["_frozen_importlib"]
builtins = plain["builtins"]
load = bootstrap._find_and_load
native_import = builtins.__import__
brought = {}  # module: what its import asked for, in order
running = []  # modules whose import is under way
noticed = set(plain)
exits = {}  # module: what its import registered for the end


def note(name):
    if running and running[-1] != name:
        brought.setdefault(running[-1], {})[name] = None


def noting_load(name, import_):
    note(name)
    running.append(name)
    try:
        return load(name, import_)
    finally:
        # Some modules put others into `sys.modules` themselves.
        for other in [other for other in sys.modules if other not in noticed]:
            if other == name or other not in running:
                noticed.add(other)
            if other not in running:
                note(other)
        running.pop()


def noting_import(name, globals=None, locals=None, fromlist=(), level=0):
    found = native_import(name, globals, locals, fromlist, level)
    if running:
        if level:
            name = bootstrap._resolve_name(name, bootstrap._calc___package__(globals), level)
        note(name)
        for each in fromlist or ():
            if "%s.%s" % (name, each) in sys.modules:
                note("%s.%s" % (name, each))
    return found


def noting_register(function, /, *args, **kwargs):
    if not running:
        return register(function, *args, **kwargs)
    exits.setdefault(running[-1], []).append((function, args, kwargs))
    return function


bootstrap._find_and_load = noting_load
builtins.__import__ = noting_import

import _locale
import atexit
import gc
import linecache
import os
import posix
import runpy
import site
import zipimport
import _frozen_importlib_external as external

register = atexit.register


def warm(path):
    """Lists the library's folders, which a start would do otherwise."""
    for entry in path:
        try:
            external.PathFinder.find_spec("no_such_module", [entry])
        except Exception:
            pass
    for entry in [entry for entry in sys.path_importer_cache if entry not in path]:
        del sys.path_importer_cache[entry]


def closure(name):
    """All that comes with a module."""
    found, left = set(), [name]
    while left:
        for other in brought.get(left.pop(), ()):
            if other not in found:
                found.add(other)
                left.append(other)
    return found


def stash_modules():
    """Takes what was imported out of `sys.modules`. Answers with that, and with the names of those that
    were taken out of their packages as well."""
    detached = set()
    stash = {name: module for name, module in sys.modules.items() if name not in plain}
    closures = {}
    for name, module in stash.items():
        del sys.modules[name]
        parent, dot, child = name.rpartition(".")
        parent = plain.get(parent) or stash.get(parent)
        if dot and getattr(parent, "__dict__", {}).get(child) is module:
            # Unless it comes with its parent.
            above = name.rpartition(".")[0]
            if above not in closures:
                closures[above] = closure(above) if above in stash else ()
            if name not in closures[above]:
                delattr(parent, child)
                detached.add(name)
    return stash, detached


def fill_holes():
    """Takes what is free between the objects, so that those of a program go where nothing is yet: each
    page of the image is copied when it is first written to, and a hundred were for their holes alone."""
    held = []
    # Twice, for the list leaves holes as well when it grows.
    for _ in range(2):
        end = id(bytes(1 << 20))
        for size in [1 << power for power in range(19, 10, -1)] + list(range(1024, 0, -8)):
            while True:
                piece = bytes(size) if size > 8 else object()
                if id(piece) > end:
                    break
                held.append(piece)
    return held


class Unraisable(Exception):
    def __del__(self):
        raise self


def unraisable_type():
    """The type of what `sys.unraisablehook` is given; it has no name."""
    found = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda args: found.append(type(args))
    Unraisable()
    sys.unraisablehook = hook
    return found[0]


def prepare(file, wanted):
    base = sys.path[1:]
    memory = bytearray(b"PYW-WHOLE-MEMORY")
    buffer = bytearray(1 << 16)
    buffer[:16] = b"PYW-START-BUFFER"
    places = {}
    atexit.register = noting_register
    sys.dont_write_bytecode = True
    posix.chdir(file.rpartition("/")[0] + "/cwd")
    for each in wanted:
        name, equals, names = each.partition("=")
        try:
            bootstrap._gcd_import(name)
        except ImportError:
            # It comes with another one, which puts it there.
            continue
        if equals:
            places[name] = tuple(names.split(","))
    posix.chdir("/")
    sys.dont_write_bytecode = False
    atexit.register = register
    bootstrap._find_and_load, builtins.__import__ = load, native_import
    with open(file, encoding="utf-8") as source:
        text = source.read()
    given = {
        "__builtins__": builtins,
        "UnraisableArgs": unraisable_type(),
        "atexit": atexit,
        "base": base,
        "bootstrap": bootstrap,
        "brought": {name: tuple(names) for name, names in brought.items()},
        "buffer": buffer,
        "builtins": builtins,
        "exits": exits,
        "external": external,
        "gc": gc,
        "linecache": linecache,
        "locale": _locale,
        "memory": memory,
        "os": os,
        "places": places,
        "plain": plain,
        "posix": posix,
        "runpy": runpy,
        "site": site,
        "sys": sys,
        "zipimport": zipimport,
        "flags": {field.split("=")[0]: at for at, field in enumerate(
            repr(sys.flags).partition("(")[2].rstrip(")").split(", "))},
        "recursion_limit": sys.getrecursionlimit(),
    }
    given["stash"], given["detached"] = stash_modules()
    exec(compile(text, "<pyw>", "exec", dont_inherit=True), given)
    given["importing"] = given["install"]()
    warm(base)
    linecache.clearcache()
    code = compile("resume()", "<pyw>", "exec", dont_inherit=True)
    told = {
        "exec": id(exec),
        "code": id(code),
        "globals": id(given),
        "buffer": id(buffer),
        "memory": id(memory),
        "capacity": len(buffer),
        "recursion_limit": 123457,
        "preopens": 3,
    }
    return told, code, given


told, code, given = prepare(sys.argv[1], sys.argv[2:])
del sys.argv[:], sys.path[0]
# It keeps its place among the others.
sys.modules["__main__"] = None
gc.collect()
gc.collect()
given["held"] = fill_holes()
gc.freeze()
text = "{%s}\n" % ", ".join('"%s": %d' % pair for pair in told.items())
# Recognisable, to find where the interpreter counts.
sys.setrecursionlimit(told["recursion_limit"])
posix.write(1, text.encode())
posix._exit(0x50595753)
