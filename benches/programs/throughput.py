"""Pure Python at work, timed inside: prints a JSON object of seconds by name.

Each is a small program of the kind that interpreters are compared with: floating point, integers
and lists, strings, regular expressions, many small objects, dictionaries of rules.
"""

import json
import random
import re
import sys
import time
from itertools import permutations


def bodies(steps):
    """Gravity between five bodies."""
    draw = random.Random(1)
    all_of = [[[draw.random() for _ in range(3)], [0.0] * 3, draw.random()] for _ in range(5)]
    pairs = [(a, b) for i, a in enumerate(all_of) for b in all_of[i + 1 :]]
    for _ in range(steps):
        for (p, v, m), (q, w, n) in pairs:
            dx, dy, dz = p[0] - q[0], p[1] - q[1], p[2] - q[2]
            force = 0.001 / (dx * dx + dy * dy + dz * dz + 0.01) ** 1.5
            v[0] -= dx * n * force
            v[1] -= dy * n * force
            v[2] -= dz * n * force
            w[0] += dx * m * force
            w[1] += dy * m * force
            w[2] += dz * m * force
        for place, speed, _ in all_of:
            for axis in range(3):
                place[axis] += 0.001 * speed[axis]
    return all_of[0][0][0]


def flips(size):
    """The most reversals that bring the first number to its place."""
    most = 0
    for order in permutations(range(size)):
        order, count = list(order), 0
        while order[0]:
            order[: order[0] + 1] = order[order[0] :: -1]
            count += 1
        most = max(most, count)
    return most


def texts(rounds):
    """A document there and back."""
    document = {"rows": [{"id": i, "name": f"row {i}", "tags": ["a", "b"]} for i in range(200)]}
    for _ in range(rounds):
        document = json.loads(json.dumps(document, sort_keys=True))
    return len(document["rows"])


def searches(rounds):
    """Patterns over a page of text."""
    page = "On 2026-11-23 at 10:15 ann@example.com wrote to bob@example.org: see v1.2.3.\n" * 200
    patterns = [r"\d{4}-\d\d-\d\d", r"[\w.]+@[\w.]+\w", r"v(\d+)\.(\d+)\.(\d+)", r"(?i)\bse+\b"]
    return sum(len(re.findall(p, page)) for _ in range(rounds) for p in patterns)


class Task:
    """One of many that pass packets to each other."""

    def __init__(self, number):
        self.number, self.queue, self.done = number, [], 0

    def step(self, tasks):
        if not self.queue:
            return False
        packet = self.queue.pop()
        self.done += 1
        if packet > 0:
            tasks[(self.number * 7 + packet) % len(tasks)].queue.append(packet - 1)
        return True


def tasks(packets):
    """A scheduler with small objects."""
    all_of = [Task(number) for number in range(20)]
    for packet in range(packets):
        all_of[packet % 20].queue.append(packet % 50)
    while any([task.step(all_of) for task in all_of]):
        pass
    return sum(task.done for task in all_of)


def rules(size):
    """Values that follow from each other, until nothing changes."""
    sources = {f"v{i}": (f"v{i - 1}", f"v{i // 2}") for i in range(1, size)}
    values, changed, rounds = {"v0": 1}, True, 0
    while changed:
        changed = False
        rounds += 1
        for name in reversed(sources):
            known = [values[source] for source in sources[name] if source in values]
            new = max(known) + 1 if known else None
            if new is not None and values.get(name) != new and rounds < 60:
                values[name] = new
                changed = True
    return len(values)


CASES = {
    "bodies": lambda: bodies(30_000),
    "flips": lambda: flips(8),
    "texts": lambda: texts(400),
    "searches": lambda: searches(120),
    "tasks": lambda: tasks(25_000),
    "rules": lambda: rules(1_500),
}

took = {}
for name, case in CASES.items():
    start = time.perf_counter()
    case()
    took[name] = time.perf_counter() - start
json.dump(took, sys.stdout)
