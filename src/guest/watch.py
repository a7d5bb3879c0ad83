# Finds out, in a run that pyw is to learn from, which modules a program imports from the library and
# from its packages, and how long that takes. It stands before the text of start.py and of resume.py.


def watch(bootstrap, load, library):
    """A stand-in for importlib's function `load`, and a function that writes to a file what was learned:
    for each module the microseconds that its import took. What an import of the library's brings along
    is not told of by itself."""
    import posix
    import sys
    import time

    clock = time.perf_counter_ns
    modules = sys.modules
    Module = type(sys)
    most, least = 300, 100  # modules; microseconds, as less is not worth the memory
    seen = {}

    def is_lasting(module):
        if type(module) is not Module:
            return False
        origin = getattr(module.__dict__.get("__spec__"), "origin", None)
        return type(origin) is str and origin.startswith(library)

    def _find_and_load(name, import_):
        nonlocal seen
        if name in modules or len(seen) >= most:
            return load(name, import_)
        outer, seen = seen, {}
        began = clock()
        try:
            module = load(name, import_)
            if is_lasting(module):
                seen = {name: (clock() - began) // 1000}
            return module
        finally:
            outer.update(seen)
            seen = outer

    def tell(path):
        slowest = sorted(seen.items(), key=lambda item: -item[1])[:most]
        lines = ["%d %s\n" % (took, name) for name, took in slowest if took >= least]
        try:
            file = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC)
            posix.write(file, "".join(lines).encode("utf-8", "replace"))
            posix.close(file)
        except OSError:
            pass

    # Under the name of the file in which it takes a place, since CPython leaves such frames out of
    # tracebacks.
    file = bootstrap._find_and_load.__code__.co_filename
    _find_and_load.__code__ = _find_and_load.__code__.replace(co_filename=file)
    return _find_and_load, tell


