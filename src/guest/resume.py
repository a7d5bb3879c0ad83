# The first Python that runs when a snapshot is started, in place of CPython's own start-up: it
# makes of the captured interpreter one that was started just now, with the arguments, environment
# and streams of this run, and runs the program as CPython's main function would.
#
# boot.py has put its modules into the namespace of this file; nothing is imported by name here.

Module = type(sys)
streams = sys.stdin, sys.stdout, sys.stderr
kept = []


def number(at):
    return int.from_bytes(memory[at:at + 4], "little")


def store(at, value):
    memory[at:at + 4] = value.to_bytes(4, "little")


def header(at):
    return int.from_bytes(buffer[at:at + 4], "little")


# --- importing from the stash -------------------------------------------------------------------

checked = [None, {}]  # the path that was looked at, and when each of its own folders changed
finders = tuple(sys.meta_path)
hooks = tuple(sys.path_hooks)
searched = {name.partition(".")[0] for name, module in stash.items()
            if getattr(getattr(module, "__spec__", None), "has_location", False)}


def fresh_entries():
    """The part of `sys.path` before the library's; None when the library would not be found."""
    path = sys.path
    if path[-len(base):] == base:
        return path[:-len(base)]
    for at in range(len(path)):
        if path[at] == base[0]:
            return path[:at] if path[at:at + len(base)] == base else None
    return None


def changed(entry):
    try:
        return posix.stat(entry or ".").st_mtime_ns
    except OSError:
        return None


def shadowed(entry):
    """Whether a folder or archive has a module of a name that the stash has, too."""
    finder = external.PathFinder._path_importer_cache(entry)
    if finder is None:
        return False
    if isinstance(finder, external.FileFinder):
        try:
            names = {name.partition(".")[0] for name in posix.listdir(entry or ".")}
        except OSError:
            return False
        names &= searched
    else:
        names = searched
    for name in names:
        spec = finder.find_spec(name)
        if spec is not None and spec.loader is not None:
            return True
    return False


def usable():
    """Whether what is in the stash is what an import would find now."""
    if not present.items() <= sys.modules.items():
        # A program's own module in the place of one that was there is one for those that import it.
        return False
    if tuple(sys.meta_path) != finders or tuple(sys.path_hooks) != hooks:
        return False
    entries = fresh_entries()
    if entries is None:
        return False
    times = {entry: changed(entry) for entry in entries}
    if times != checked[1]:
        for entry in entries:
            if times[entry] is not None and shadowed(entry):
                return False
        checked[1] = times
    return True


def follow(name, begun, ended):
    """Lists what an import of a module brings along, in the order in which these imports end."""
    begun.add(name)
    for other in (name.rpartition(".")[0], *brought.get(name, ())):
        if other in stash and other not in begun:
            follow(other, begun, ended)
    ended.append(name)
    return ended


def hand_on(name):
    """Does what an import of a module does. For most of what comes with it, to put it there is all.
    Answers whether it did: not where the program has put something there before."""
    fresh = {one: stash[one] for one in orders[name] if one not in present}
    if not sys.modules.keys().isdisjoint(fresh):
        return False
    sys.modules.update(fresh)
    present.update(fresh)
    if not eventful.isdisjoint(fresh):
        for one, module in fresh.items():
            if one in eventful:
                complete(one, module)
    return True


def complete(name, module):
    for key in places.get(name, ()):
        setattr(module, key, posix.getcwd())
    for function, args, kwargs in exits.get(name, ()):
        atexit.register(function, *args, **kwargs)
    if name in detached:
        parent, _, child = name.rpartition(".")
        above = sys.modules.get(parent)
        if above is not None and getattr(above, "__dict__", {}).get(child) is not module:
            try:
                setattr(above, child, module)
            except AttributeError:
                pass
    if name in mends:
        mends[name](module)


def mend_logging(logging):
    now = sys.modules["time"]
    exact = isinstance(logging._startTime, int)
    logging._startTime = now.time_ns() if exact else now.time()


def mend_rich_style(style):
    # Not every release counts from a random number.
    if hasattr(style, "_id_generator") and hasattr(style, "getrandbits"):
        style._id_generator = type(style._id_generator)(style.getrandbits(24))


# What is to be done anew for modules whose import looks at what every run has anew. scout.py knows
# them as well.
mends = {
    "logging": mend_logging,
    "random": lambda random: random.seed(),
    "rich.style": mend_rich_style,
}


present = {name: module for name, module in plain.items() if name != "__main__"}
orders = {name: tuple(follow(name, set(), [])) for name in stash}
eventful = {*detached, *places, *exits, *mends}


LOAD = """
def _find_and_load(name, import_):
    if name in stash and name not in present:
        if usable() and hand_on(name):
            return modules[name]
        stash.clear()
    return load(name, import_)
"""


def install():
    """Puts the stash in front of imports that find nothing in `sys.modules`. Answers with the globals of
    the function that does it."""
    scope = {"stash": stash, "present": present, "usable": usable, "hand_on": hand_on, "modules": sys.modules,
             "load": bootstrap._find_and_load}
    # Under the name of the function that it stands for, since CPython leaves such frames out of
    # tracebacks.
    exec(compile(LOAD, bootstrap._find_and_load.__code__.co_filename, "exec"), scope)
    bootstrap._find_and_load = scope["_find_and_load"]
    return scope


def learn(path):
    """Watches imports that the stash has no answer to. Tells of them in the end."""
    importing["load"], tell = watch(bootstrap, importing["load"], sys._stdlib_dir)
    return lambda: tell(path)


def take(name):
    """Imports a module that a plain start of this kind has imported."""
    if name in stash and name not in present:
        hand_on(name)


# --- the interpreter's own state ----------------------------------------------------------------


def hide(function):
    """Makes frames of a function ones that have not begun, which tracebacks and `sys._getframe` pass
    over."""
    code = function.__code__
    at = id(code)
    body = memory[at:at + 512].find(code._co_code_adaptive[:32])
    # Before the code stand the first instruction that counts, and a pointer.
    if body > 60 and number(at + body - 8) < 64:
        store(at + body - 8, 0x3FFFFFFF)


def cut(frame):
    """Makes a frame the first one: below it is what was captured."""
    inner = number(id(frame) + 12)
    if number(inner + 24) == id(frame):
        store(inner + 4, 0)


def set_flag(name, value):
    """Changes a field of `sys.flags`. The values are immortal, so nobody counts references."""
    at = flags.get(name)
    if at is not None:
        store(id(sys.flags) + 12 + 4 * at, id(value))


def count_recursion(levels):
    """Counts as if the program's were the first frame; `levels` are of C."""
    sys.setrecursionlimit(recursion_limit)
    at = header(28)
    if at:
        # This function and the one that it calls give theirs back.
        store(at, recursion_limit - 2)
        store(at + 8, number(at + 8) + levels)


def environment(text, count):
    """Sets the variables, and answers with what pyw tells."""
    environ = posix.environ
    for name in list(environ):
        posix.unsetenv(name)
    environ.clear()
    told = None
    for entry in text.split(b"\0")[:count]:
        name, equals, value = entry.partition(b"=")
        if not equals or not name or name in environ:
            continue
        if name == b"PYW_START":
            # Strings and objects of JSON are Python literals as well.
            told = eval(value.decode("utf-8"), {"__builtins__": {}})
        elif name not in (b"PYW_TTY", b"PYW_DIR", b"PYW_MEM"):
            environ[name] = value
            posix.putenv(name, value)
    told = told or {}
    for name, value in told.get("env", {}).items():
        name, value = name.encode("utf-8"), value.encode("utf-8")
        environ[name] = value
        posix.putenv(name, value)
    return told


def open_streams(unbuffered):
    try:
        name = locale.setlocale(locale.LC_CTYPE, "")
    except locale.Error:
        name = "C"
    lenient = name in ("C", "POSIX", "C.UTF-8", "C.utf8", "UTF-8")
    errors = "surrogateescape" if lenient else "strict"
    for fd, text, mode, handler in (
        (0, streams[0], "r", errors),
        (1, streams[1], "w", errors),
        (2, streams[2], "w", "backslashreplace"),
    ):
        buffered = text.buffer
        name = ("stdin", "stdout", "stderr")[fd]
        try:
            # A new one: the old one remembers whether what it was could be rewound.
            raw = type(buffered.raw)(fd, mode + "b", closefd=False)
        except OSError:
            setattr(sys, name, None)
            setattr(sys, "__%s__" % name, None)
            continue
        raw.name = "<%s>" % name
        terminal = raw.isatty()
        if unbuffered and fd:
            # It would close what is below it when it goes.
            kept.append(buffered)
            buffered = raw
        else:
            buffered.__init__(raw, getattr(raw, "_blksize", 8192))
        lines = not unbuffered and (terminal or fd == 2)
        text.__init__(buffered, "utf-8", handler, "\n", lines, unbuffered)
        text.mode = mode


# --- running the program ------------------------------------------------------------------------


def main_module(loader):
    main = Module("__main__")
    scope = main.__dict__
    scope["__builtins__"] = builtins
    scope["__loader__"] = loader
    scope["__annotations__"] = {}
    sys.modules["__main__"] = main
    return scope


def run_code(text):
    scope = main_module(bootstrap.BuiltinImporter)
    text += "\n"
    code = compile(text, "<string>", "exec", 0, True)
    register = getattr(linecache, "_register_code", None)
    if register:
        take("linecache")
        register(code, text, "<string>")
    count_recursion(2)
    exec(code, scope)


def run_module(name, alter):
    main_module(bootstrap.BuiltinImporter)
    take("runpy")
    count_recursion(1)
    runpy._run_module_as_main(name, alter)


def run_file(path):
    scope = main_module(None)
    try:
        with open_code(path) as file:
            text = file.read()
    except OSError as error:
        note = "%s: can't open file %r: [Errno %d] %s\n" % (
            sys.executable, path, error.errno, os.strerror(error.errno))
        sys.stderr.write(note)
        return 2
    if text[:4] == magic and path.endswith(".pyc"):
        code = loads(text[16:])
        loader = external.SourcelessFileLoader
    else:
        code = None
        loader = external.SourceFileLoader
    scope["__file__"] = path
    scope["__cached__"] = None
    scope["__loader__"] = loader("__main__", path)
    if code is None:
        code = compile(text, path, "exec", 0, True)
    del text
    count_recursion(2)
    try:
        exec(code, scope)
    finally:
        flush_quietly()


def run_stdin():
    scope = main_module(bootstrap.BuiltinImporter)
    scope["__file__"] = "<stdin>"
    scope["__cached__"] = None
    code = compile(sys.stdin.buffer.read(), "<stdin>", "exec", 0, True)
    count_recursion(2)
    try:
        exec(code, scope)
    finally:
        flush_quietly()


def flush_quietly():
    """What CPython does behind a program that comes from a file, before it prints a traceback."""
    for stream in (sys.stderr, sys.stdout):
        try:
            stream.flush()
        except BaseException:
            pass


def exit_code(value):
    """What `sys.exit` was given, as the system gets it."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value & 0xFFFFFFFF
    try:
        sys.stdout.flush()
    except BaseException:
        pass
    try:
        sys.stderr.write("%s\n" % (value,))
    except BaseException:
        pass
    return 1


def report(error):
    trace = error.__traceback__
    # Only where hiding the frames did not work.
    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    error.__traceback__ = trace
    sys.last_exc = error
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    try:
        sys.excepthook(type(error), error, trace)
    except SystemExit as other:
        return exit_code(other.code)
    except BaseException as other:
        sys.stderr.write("Error in sys.excepthook:\n")
        sys.__excepthook__(type(other), other, other.__traceback__.tb_next)
        sys.stderr.write("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, trace)
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def unraisable(error, where):
    sys.unraisablehook(UnraisableArgs((type(error), error, None, None, where)))


def flush():
    failed = False
    out, err = sys.stdout, sys.stderr
    if out is not None and not closed(out):
        try:
            out.flush()
        except BaseException as error:
            unraisable(error, out)
            failed = True
    if err is not None and not closed(err):
        try:
            err.flush()
        except BaseException:
            failed = True
    return failed


def closed(stream):
    try:
        return stream.closed
    except BaseException:
        return False


def finish(code, starved, tell):
    """Ends the process as `Py_FinalizeEx` would: what was captured is left alone. `starved` is the file
    to make where nothing caught a MemoryError, `tell` what is to be called last."""
    threading = sys.modules.get("threading")
    if threading is not None:
        try:
            threading._shutdown()
        except BaseException as error:
            unraisable(error, threading)
    atexit._run_exitfuncs()
    if tell:
        tell()
    if starved and isinstance(getattr(sys, "last_value", None), MemoryError):
        try:
            posix.close(posix.open(starved, posix.O_WRONLY | posix.O_CREAT))
        except OSError:
            pass
    if flush():
        code = 120
    sys.modules.pop("__main__", None)
    for name in ("last_exc", "last_value", "last_type", "last_traceback"):
        if hasattr(sys, name):
            delattr(sys, name)
    gc.collect()
    try:
        objects = gc.get_objects()
    except MemoryError:
        objects = ()
    for each in objects:
        if isinstance(each, writers):
            try:
                each.flush()
            except BaseException:
                pass
    if flush():
        code = 120
    # It takes a signed number.
    posix._exit(code - (1 << 32) if code >= 1 << 31 else code)


def options(args):
    """Reads Python's options as far as they don't ask for another start; pyw knows which those are.
    Answers with the place of the program among the arguments, what it is (`c`, `m` or nothing),
    its text, and the set of the options' letters."""
    letters = set()
    at = 1
    while at < len(args):
        arg = args[at]
        if arg == "-" or not arg.startswith("-"):
            break
        at += 1
        if arg == "--":
            break
        for place, letter in enumerate(arg[1:], 2):
            if letter in "cm":
                text = arg[place:]
                if not text:
                    text = args[at]
                    at += 1
                return at, letter, text, letters
            letters.add(letter)
    return at, "", None, letters


def apply_options(letters):
    ignore = "E" in letters or "I" in letters
    variable = (lambda name: "") if ignore else (lambda name: posix.environ.get(name, b""))
    no_bytecode = "B" in letters or bool(variable(b"PYTHONDONTWRITEBYTECODE"))
    safe = "P" in letters or "I" in letters
    sys.dont_write_bytecode = no_bytecode
    if letters or no_bytecode:
        set_flag("dont_write_bytecode", int(no_bytecode))
        set_flag("ignore_environment", int(ignore))
        set_flag("isolated", int("I" in letters))
        set_flag("safe_path", safe)
        set_flag("quiet", int("q" in letters))
        if "s" in letters or "I" in letters:
            set_flag("no_user_site", 1)
            site.ENABLE_USER_SITE = False
    return safe, "u" in letters or bool(variable(b"PYTHONUNBUFFERED"))


def resume():
    count, text = header(0), header(16)
    args = bytes(memory[text:text + header(4)]).split(b"\0")[:count]
    args = [os.fsdecode(arg) for arg in args]
    text = header(20)
    told = environment(bytes(memory[text:text + header(12)]), header(8))
    at, kind, text, letters = options(args)
    safe, unbuffered = apply_options(letters)
    open_streams(unbuffered)
    if "executable" in told:
        sys.executable = sys._base_executable = args[0] = told["executable"]
    sys.orig_argv[:] = args
    path = sys.path
    path[:] = base
    if "cwd" in told:
        try:
            posix.chdir(told["cwd"])
        except OSError as error:
            note = "pyw: cannot enter the working directory %s: %s\n" % (told["cwd"], error)
            posix.write(2, note.encode("utf-8", "replace"))
            posix._exit(111)
    if "site" in told:
        site.addsitedir(told["site"], set(path))
        site.execsitecustomize()
        if site.ENABLE_USER_SITE:
            site.execusercustomize()
    argv = sys.argv
    if kind:
        argv[:] = ["-" + kind] + args[at:]
    else:
        argv[:] = args[at:] or [""]
        if "argv0" in told:
            sys.orig_argv[at] = argv[0] = told["argv0"]
    tell = learn(told["learn"]) if "learn" in told else None
    cut(sys._getframe())
    for function in (resume, run_code, run_module, run_file, run_stdin):
        hide(function)
    code = 0
    try:
        if kind == "c":
            if not safe:
                path.insert(0, "")
            run_code(text)
        elif kind == "m":
            if not safe:
                path.insert(0, told.get("path0", "/"))
            run_module(text, True)
        elif at < count and args[at] != "-":
            file = args[at]
            if external.PathFinder._path_importer_cache(file) is not None:
                path.insert(0, file)
                run_module("__main__", False)
            else:
                if not safe:
                    path.insert(0, told.get("path0", file.rpartition("/")[0] or "/"))
                code = run_file(file) or 0
        else:
            if not safe:
                path.insert(0, "")
            run_stdin()
    except SystemExit as error:
        code = exit_code(error.code)
    except BaseException as error:
        code = report(error)
    finish(code, told.get("memory"), tell)


import io
import marshal

open_code = io.open_code
loads = marshal.loads
magic = external.MAGIC_NUMBER
writers = (io.BufferedWriter, io.BufferedRandom, io.TextIOWrapper)
del io, marshal
