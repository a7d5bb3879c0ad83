# pyw's bootstrap. It runs while Python initialises, at the end of importing `encodings`, which
# is the one module that every start imports from a file, also with -I, -S and -E. By then the
# interpreter has decided nothing that depends on the working directory; what follows (the site
# module, finding the script, running it, tracebacks) is CPython's own doing, so no frame and no
# name of pyw's is left for a program to meet.
#
# Only built-in modules can be imported here.


def learn(path):
    """Watches the program's imports. Answers with what is to be called when it ends."""
    import sys

    before = set(sys.modules)
    bootstrap = sys.modules["_frozen_importlib"]
    loading, tell = watch(bootstrap, bootstrap._find_and_load, sys._stdlib_dir)
    for name in set(sys.modules) - before:
        del sys.modules[name]
    # What comes until the program begins, a plain start imports anyway, and a snapshot has it.
    bootstrap._find_and_load = loading
    return lambda: tell(path)


def start():
    import posix
    import sys

    text = posix.environ.pop(b"PYW_START", None)
    for name in (b"PYW_TTY", b"PYW_DIR", b"PYW_MEM"):
        posix.environ.pop(name, None)
    if text is None:
        return
    # Strings and objects of JSON are Python literals as well.
    told = eval(text.decode("utf-8"), {"__builtins__": {}})
    for name, value in told.get("env", {}).items():
        posix.environ[name.encode("utf-8")] = value.encode("utf-8")
        posix.putenv(name.encode("utf-8"), value.encode("utf-8"))
    for name in (b"PYW_START", b"PYW_TTY", b"PYW_DIR", b"PYW_MEM"):
        try:
            posix.unsetenv(name)
        except (AttributeError, OSError):
            pass
    if sys.platform == "emscripten":
        # The new prompt sets the terminal's mode, which this guest can't. Not in `posix.environ`,
        # where a program would see it.
        posix.putenv(b"PYTHON_BASIC_REPL", b"1")
    sys.executable = told["executable"]
    sys._base_executable = told["executable"]
    sys.orig_argv[0] = told["executable"]
    if "argv0" in told:
        # The interpreter makes a script's path absolute before it comes here, when the working
        # directory is still `/`, so it is given an absolute one.
        sys.orig_argv[len(sys.orig_argv) - len(sys.argv)] = told["argv0"]
        sys.argv[0] = told["argv0"]
    if "path0" in told and not sys.flags.safe_path:

        # The interpreter puts it there when all of its own start-up is done, and tells auditors
        # of the program right after that.
        def audit(event, args, told=told):
            if told and event[:12] == "cpython.run_":
                sys.path[0] = told["path0"]
                told.clear()

    else:
        audit = None
    try:
        posix.chdir(told["cwd"])
    except OSError as error:
        note = "pyw: cannot enter the working directory %s: %s\n" % (told["cwd"], error)
        posix.write(2, note.encode("utf-8", "replace"))
        posix._exit(111)
    if audit:
        sys.addaudithook(audit)
    # Called when all that the program registers has been.
    last = []
    if "memory" in told:

        # What nothing caught is still known.
        def ended(path=told["memory"]):
            if isinstance(getattr(sys, "last_value", None), MemoryError):
                try:
                    posix.close(posix.open(path, posix.O_WRONLY | posix.O_CREAT))
                except OSError:
                    pass

        last.append(ended)
    if "learn" in told:
        last.append(learn(told["learn"]))
    if last:
        import atexit

        for function in last:
            atexit.register(function)
        del sys.modules["atexit"]


start()
