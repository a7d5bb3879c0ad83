# What a snapshot has to get right on a runtime before programs are started from it. It prints a
# line at the end, which pyw knows.
import sys


def deeper(depth):
    return deeper(depth + 1)


def check():
    assert sys.argv == ["-c", "one", "two words", ""], sys.argv
    assert __name__ == "__main__" and sys.modules["__main__"].__dict__ is globals()
    assert sys.stdin.read() == "" and not sys.stdout.isatty()
    assert sys.getrecursionlimit() == 1000
    try:
        sys._getframe(2)
    except ValueError:
        pass
    else:
        raise AssertionError("frames of another run")
    try:
        deeper(0)
    except RecursionError as error:
        trace = error.__traceback__
        count = 0
        while trace:
            trace, count = trace.tb_next, count + 1
        # The module is the first one.
        assert count == 999, count
    import collections, gc, random, time, textwrap
    assert gc.collect() >= 0 and time.time() > 1e9 and random.random() != random.random()
    assert textwrap.fill("a b", 2) == "a\nb"
    with open(textwrap.__file__, "rb") as file:
        assert file.read(4)
    try:
        open("/.pyw/no/such/file")
    except FileNotFoundError:
        pass
    assert sum(range(100000)) == 4999950000
    memory = bytearray(1 << 24)
    assert not any(memory[:: 1 << 16])


check()
print("a snapshot works")
