# What a runtime runs to find out what to compile, where it compiles what is called: starting, the
# modules that programs import most, and what the interpreter does in most programs.
import importlib
import sys

NAMES = """
abc argparse array ast asyncio base64 bisect calendar codecs collections collections.abc configparser
contextlib copy csv dataclasses datetime decimal difflib enum fnmatch fractions functools getopt glob
gzip hashlib heapq hmac html html.parser http importlib.metadata importlib.resources inspect io
ipaddress itertools json locale logging math numbers operator os pathlib pickle platform pprint queue
random re secrets shlex shutil signal socket sqlite3 statistics string struct subprocess tempfile
textwrap threading time timeit token tokenize traceback types typing unittest urllib.parse
urllib.request uuid warnings weakref xml.etree.ElementTree zipfile zlib zoneinfo
"""


def imports():
    for name in NAMES.split():
        # A build may have been made without it.
        try:
            importlib.import_module(name)
        except ImportError:
            pass


def numbers():
    total = 0
    for i in range(3000):
        total += i * i % 7 - (i >> 1) ^ 3
        total += int(i / 3 + i // 5 + float(i) ** 0.5)
    assert divmod(2**200, 3**50)[0] and round(total / 7, 3) and -abs(complex(1, 2))
    return f"{total:,} {total:x} {3.14159:.3f} {1e100!r} {total / 3:>12.2e}"


def containers():
    for size in range(60):
        counted = {number: str(number) for number in range(size)}
        unique = {text[-1:] for text in counted.values()} | {1} - {2}
        doubled = sorted([text * 2 for text in counted.values()], key=len, reverse=True)
        doubled[1:3] = [*unique, None]
        assert len(doubled) >= size - 2 and (size not in counted)
        first, *rest = doubled
        counted |= dict(zip(rest, range(size)))
        counted.pop(None, None), list(map(str, filter(None, rest))), tuple(reversed(rest))
        any(text for text in rest), max(range(size + 1)), sum(range(size)), enumerate(rest)


def texts():
    text = "Ein Satz über Größe, with\ttabs and 日本 " * 8
    for _ in range(20):
        words = text.split()
        "-".join(word.strip(",").upper().center(12) for word in words)
        text.encode().decode("utf-8", "replace").replace("a", "b").find("日")
        text.startswith("Ein"), text.partition(","), text.title().isalpha(), text[::-2], hash(text + "x")
        "%s %5d %-8r" % (text[:3], 5, "x"), "{0:>{1}}".format("y", 9), repr(text), ascii(text)
    data = bytearray(text.encode())
    data += b"x" * 3
    bytes(memoryview(data)[2:9]).hex(), int.from_bytes(data[:4], "big")


class Base:
    limit = 3

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value == other.value

    def __lt__(self, other):
        return self.value < other.value

    def __hash__(self):
        return hash(self.value)

    @property
    def double(self):
        return self.value * 2

    @classmethod
    def of(cls, *values, **more):
        return [cls(value) for value in values] + [cls(value) for value in more.values()]

    @staticmethod
    def make():
        return Base(0)


class Derived(Base):
    __slots__ = ("extra",)

    def __init__(self, value, extra=None):
        super().__init__(value)
        self.extra = extra

    def __getattr__(self, name):
        raise AttributeError(name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return error[0] is KeyError


def objects():
    for _ in range(60):
        made = sorted(Derived.of(3, 1, 2, more=5))
        assert made[0].double == 2 and not hasattr(made[0], "missing") and made[0] in set(made)
        setattr(made[0], "extra", Base.make())
        isinstance(made[0], Base), issubclass(Derived, Base), type("Made", (Base,), {})(1)
        with Derived(1):
            raise KeyError("passed over")


def control():
    def counter():
        count = 0

        def step():
            nonlocal count
            count += 1
            return count

        return step

    def numbers(limit):
        got = 0
        while True:
            try:
                got = (yield got) or got + 1
            finally:
                got += 0
            if got > limit:
                return got

    def delegated(limit):
        result = yield from numbers(limit)
        yield result

    step = counter()
    for _ in range(60):
        assert list(delegated(5)) and step()
        try:
            [1, 2][step()] if step() % 2 else {}["missing"]
        except (IndexError, KeyError) as error:
            str(error), error.__traceback__.tb_lineno
        match [step(), {"key": "value"}]:
            case [int(number), {"key": value}] if number:
                value
    exec(compile("def made(a, *b, c=1, **d):\n    return a, b, c, d\nmade(1, 2, c=3, e=4)", "made", "exec"), {})


def library():
    import asyncio, copy, dataclasses, datetime, decimal, functools, io, json, logging, os, pathlib
    import pickle, random, re, struct, textwrap, traceback

    value = {"a": [1, 2.5, None, True, "é\n"], "b": {"c": "d" * 40}}
    assert json.loads(json.dumps(value, indent=1)) == copy.deepcopy(value)
    assert pickle.loads(pickle.dumps(value)) == value
    for text in ["foo bar 12", "key = value # comment", "2026-01-01T00:00:00Z"] * 5:
        re.sub(r"(\w+)\s+(?P<second>[a-z=]+)", r"\g<second> \1", text, flags=re.I)
        re.findall(r"\b[^\W\d]+\b|\d{2,4}(?:-\d+)*", text)

    @dataclasses.dataclass(order=True, frozen=True)
    class Point:
        x: int
        y: list = dataclasses.field(default_factory=list)

    assert sorted([Point(2), Point(1)])[0] == Point(1) and repr(Point(3))

    @functools.lru_cache
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    fib(30), functools.reduce(lambda a, b: a ^ b, range(9)), functools.partial(fib, 3)()
    (datetime.datetime(2026, 1, 2) + datetime.timedelta(days=3)).strftime("%Y-%m-%d %H:%M")
    datetime.date.fromisoformat("2026-01-02"), decimal.Decimal("1.10") * 3 / 7
    random.Random(1).shuffle(list(range(20))), struct.unpack("<IhB", struct.pack("<IhB", 1, 2, 3))
    textwrap.fill("words " * 30, 40), pathlib.PurePath("a/b").with_suffix(".c"), os.path.join("a", "b")
    for place in sys.path:
        if os.path.isdir(place):
            os.listdir(place)
    with open(os.__file__, encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number > 200:
                break
            line.rstrip().split(" ")
    stream = io.StringIO()
    logging.basicConfig(stream=stream)
    logging.warning("%s", value)
    print("one", 2, sep=", ", file=stream)
    try:
        raise ValueError("shown")
    except ValueError:
        traceback.print_exc(file=stream)
    try:
        asyncio.run(asyncio.sleep(0))
    except OSError:
        # Where there are no sockets at all.
        pass


imports()
for part in (numbers, containers, texts, objects, control, library):
    part()
