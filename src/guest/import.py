# Runs inside an interpreter that is being imported. The first argument says what to do:
#
#   unpack FOLDER            copies the standard library that is built into the module
#   hook FOLDER FILE KEEP   makes the library run FILE, pyw's bootstrap, at every start; what it
#                           changes of the library is kept in KEEP as it was
#   compile FOLDER I N      byte-compiles every N-th module, from the I-th on, unless that is done;
#                           prints a dot each
#   compile-list FILE       byte-compiles what a JSON list of (source, final path, output) names
#   describe FILE           writes what the interpreter says of itself as JSON
#
# It is started with -I -S -B, so only the standard library is there.

import os
import sys


def unpack(folder):
    """A built-in library is a zip, or a tree, or both, as sys.path tells."""
    import zipfile

    home = sys._stdlib_dir or os.path.dirname(os.__file__)
    target = os.path.join(folder, os.path.basename(home))
    for root, folders, files in os.walk(home):
        out = os.path.join(target, os.path.relpath(root, home))
        os.makedirs(out, exist_ok=True)
        for name in files:
            with open(os.path.join(root, name), "rb") as source:
                data = source.read()
            with open(os.path.join(out, name), "wb") as copy:
                copy.write(data)
    for path in sys.path:
        if path.endswith(".zip") and os.path.isfile(path):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(target)


HOOK = """
import _pyw_start
del _pyw_start, __import__("sys").modules["_pyw_start"]
"""


# An event loop wants a pair of sockets to be woken up by other threads and by signals. There are
# neither in a WASI guest, and most builds have no sockets, so a loop does without where it can't
# get them.
LOOP = """
def _pyw_without_sockets(cls):
    make, close = cls._make_self_pipe, cls._close_self_pipe

    def _make_self_pipe(self):
        try:
            make(self)
        except (AttributeError, OSError):
            self._ssock = self._csock = None

    def _close_self_pipe(self):
        if self._ssock is not None:
            close(self)

    cls._make_self_pipe, cls._close_self_pipe = _make_self_pipe, _close_self_pipe


_pyw_without_sockets(BaseSelectorEventLoop)
del _pyw_without_sockets
"""


def append(folder, module, text, keep):
    """Adds to the end of a module of the library, which may be there as byte code only."""
    import marshal

    path = os.path.join(folder, *module.split("/"))
    if os.path.exists(path):
        copy(path, os.path.join(keep, module))
        with open(path, "a", encoding="utf-8") as out:
            out.write(text)
    elif os.path.exists(path + "c"):
        copy(path + "c", os.path.join(keep, module + "c"))
        with open(path + "c", "rb") as source:
            original = marshal.loads(source.read()[16:])
        code = compile("exec('@')" + text, original.co_filename, "exec", dont_inherit=True)
        write(path + "c", code.replace(
            co_consts=tuple(original if const == "@" else const for const in code.co_consts)))


def copy(path, to):
    os.makedirs(os.path.dirname(to), exist_ok=True)
    with open(path, "rb") as source, open(to, "wb") as out:
        out.write(source.read())


def write(path, code):
    from importlib._bootstrap_external import _code_to_hash_pyc

    with open(path, "wb") as out:
        out.write(_code_to_hash_pyc(code, bytes(8), False))


# What Pyodide's own start would make of `import js`, where no JavaScript was granted: packages that
# look for a browser there find none. pyw's host script takes its place where it was.
NO_JAVASCRIPT = '"""The JavaScript side, which this program was not given."""\n'


def hook(folder, file, keep):
    with open(file, "rb") as source:
        # Without a source beside it, this file is found whatever -O or PYTHONPYCACHEPREFIX say.
        code = compile(source.read(), "<pyw>", "exec", dont_inherit=True)
    write(os.path.join(folder, "_pyw_start.pyc"), code)
    append(folder, "encodings/__init__.py", HOOK, keep)
    append(folder, "asyncio/selector_events.py", LOOP, keep)
    if sys.platform == "emscripten":
        with open(os.path.join(folder, "js.py"), "w", encoding="utf-8") as out:
            out.write(NO_JAVASCRIPT)


def modules(folder):
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        found += [os.path.join(root, name) for name in sorted(files) if name.endswith(".py")]
    return found


def compile_one(source, path, output):
    import importlib.util
    import marshal

    with open(source, "rb") as file:
        data = file.read()
    # Unchecked: the tree never changes, and asking for times costs more than reading.
    head = importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + importlib.util.source_hash(data)
    target = importlib.util.cache_from_source(output)
    try:
        with open(target, "rb") as done:
            if done.read(16) == head:
                sys.stdout.write(".")
                sys.stdout.flush()
                return
    except OSError:
        pass
    try:
        code = compile(data, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, OverflowError, MemoryError):
        # Some libraries carry files that are wrong on purpose, as test data.
        return
    finally:
        sys.stdout.write(".")
        sys.stdout.flush()
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as out:
        out.write(head + marshal.dumps(code))


def compile_all(folder, first, step):
    for path in modules(folder)[first::step]:
        compile_one(path, path, path)


def compile_list(file):
    import json

    with open(file, encoding="utf-8") as listing:
        for source, path, output in json.load(listing):
            compile_one(source, path, output)


def platform_tags():
    """The platform's own tag, and others whose wheels fit. PEP 783 has a tag for an ABI of Emscripten
    builds, which many versions of Emscripten share."""
    import sysconfig

    own = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    abi = sysconfig.get_config_var("PYEMSCRIPTEN_PLATFORM_VERSION")
    return ["pyemscripten_%s_wasm32" % abi, own] if abi else [own]


def describe(file):
    import json
    import platform
    import site
    import sysconfig

    info = sys.implementation.version
    full = "%d.%d.%d" % info[:3]
    if info.releaselevel != "final":
        full += {"alpha": "a", "beta": "b", "candidate": "rc"}[info.releaselevel] + str(info.serial)
    major, minor = info[:2]
    # Only the five names of the standard scheme, and relative, as PEP 711 wants them.
    paths = {}
    root = dict.fromkeys(["base", "platbase", "installed_base", "installed_platbase"], "")
    for key, path in sysconfig.get_paths(vars=root).items():
        paths[key] = path.lstrip("/") or "."
    own, *aliases = platform_tags()
    told = {
        "version": full,
        "banner": sys.version,
        "stdlib": sys._stdlib_dir,
        "prefix": sys.base_prefix,
        "path": sys.path,
        "markers": {
            "implementation_name": sys.implementation.name,
            "implementation_version": full,
            "os_name": os.name,
            "platform_machine": platform.machine(),
            "platform_system": platform.system(),
            "python_full_version": full,
            "platform_python_implementation": platform.python_implementation(),
            "python_version": "%d.%d" % (major, minor),
            "sys_platform": sys.platform,
        },
        "platform": own,
        "aliases": aliases,
        "site": site.getsitepackages()[0],
        "soabi": sysconfig.get_config_var("SOABI") or "",
        "paths": paths,
        "builtin_modules": sorted(sys.builtin_module_names),
    }
    with open(file, "w", encoding="utf-8") as out:
        json.dump(told, out, indent=1, sort_keys=True)


what, *rest = sys.argv[1:]
if what == "unpack":
    unpack(*rest)
elif what == "hook":
    hook(*rest)
elif what == "compile":
    compile_all(rest[0], int(rest[1]), int(rest[2]))
elif what == "compile-list":
    compile_list(*rest)
elif what == "describe":
    describe(*rest)
