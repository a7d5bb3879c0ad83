"""Runs all attacks for a subject in one go and prints what came of each, one JSON text a line."""

import json
import os
import sys

import kit
import environment, exhausting, javascript, network, processes, reading, store, writing  # noqa: E401,F401


def main():
    if sys.argv[1] == "--list":
        print(json.dumps([[n, c, o, e] for n, (_, c, o, e) in kit.ATTACKS.items()]))
        return
    with open(sys.argv[1]) as file:
        told = json.load(file)
    for name in told.pop("attacks"):
        function = kit.ATTACKS[name][0]
        # Said before, too: whoever ends the process in an attack is known by name.
        print(json.dumps([name, None]), flush=True)
        try:
            said = str(function(kit.Place(told, name)))
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        print(json.dumps([name, said[:20000]]), flush=True)
    # Not by way of threads or handlers that an attack left behind.
    sys.stdout.flush()
    os._exit(0)


main()
