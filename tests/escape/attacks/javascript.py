"""Reaching JavaScript where a runtime has it, and through it the host. The module is wasm; this is not."""

from kit import JS, UNFENCED, WON, attack

ON = "javascript"  # on runtimes that have it: node and deno
NODE = "node"  # Deno has no such power to give: its own permissions withhold it


def through(process, p):
    """What an attacker does who has got hold of `process`."""
    fs = process.getBuiltinModule("node:fs")
    return fs.readFileSync(p.secret, "utf8")


def reaches(constructor):
    """The constructor of all functions makes code of text."""
    return evaluates(lambda: constructor("return process")())


def evaluates(act):
    """Without --js node is told not to make code of text; to be told so is to have reached it."""
    try:
        return is_process(act())
    except Exception as error:
        return WON if "Code generation from strings" in str(error) else repr(error)


def is_process(process):
    return WON if process is not None and str(process.pid).isdigit() else "no process"


@attack("javascript/import-js", JS, ON)
def _(p):
    import js

    return is_process(js.process)


@attack("javascript/import-js-again", JS, ON)
def _(p):
    import importlib
    import sys

    kept = sys.modules.pop("js", None)
    try:
        found = importlib.import_module("js")
    finally:
        if kept is not None:
            sys.modules["js"] = kept
    return is_process((kept or found).process)


@attack("javascript/global-this", JS, ON)
def _(p):
    import js

    return is_process(js.globalThis.process)


@attack("javascript/run-js", JS, ON)
def _(p):
    from pyodide.code import run_js

    return evaluates(lambda: run_js("process"))


@attack("javascript/indirect-eval", JS, ON)
def _(p):
    import js

    return evaluates(lambda: js.eval("process"))


@attack("javascript/constructor-of-the-module", JS, ON)
def _(p):
    import pyodide_js

    return reaches(pyodide_js.constructor.constructor)


@attack("javascript/constructor-of-js", JS, ON)
def _(p):
    import js

    return reaches(js.Object.constructor)


@attack("javascript/constructor-of-a-proxy", JS, ON)
def _(p):
    from pyodide.ffi import to_js

    return reaches(to_js([1]).constructor.constructor)


@attack("javascript/constructor-of-a-function", JS, ON)
def _(p):
    from pyodide.ffi import create_proxy, to_js

    function = to_js({"f": create_proxy(lambda: 1)}).constructor
    return reaches(function.constructor)


@attack("javascript/constructor-of-an-error", JS, ON)
def _(p):
    import js

    try:
        js.nothing.at.all()
    except AttributeError:
        pass
    return reaches(js.Error.new("x").constructor.constructor)


@attack("javascript/mounting-the-host", JS, ON)
def _(p):
    import os

    import pyodide_js

    return WON if pyodide_js.mountNodeFS else "nothing mounts"


@attack("javascript/files", JS, ON)
def _(p):
    import js

    return through(js.process, p)


@attack("javascript/private-module", JS, ON)
def _(p):
    import _pyodide_core

    found = [name for name in dir(_pyodide_core) if "Js" in name]
    import js

    return WON if found and js.process else "no"


@attack("javascript/objects-in-memory", JS, ON)
def _(p):
    import gc
    import sys

    for module in list(sys.modules.values()):
        for name in dir(module):
            try:
                value = getattr(module, name)
                if type(value).__name__ == "JsProxy" and hasattr(value, "process"):
                    return is_process(value.process)
            except Exception:
                pass
    for thing in gc.get_objects():
        if type(thing).__name__ == "JsProxy":
            return reaches(thing.constructor.constructor)
    import js

    return is_process(js.process)


@attack("javascript/fetch", JS, ON)
def _(p):
    import js

    return WON if js.fetch else "none"


@attack("javascript/environment", JS, ON)
def _(p):
    import js

    # That there is one is what --js grants; that it holds nothing of the caller's is checked apart.
    return WON if js.process.env is not None else "none"


@attack("javascript/child-process", JS, ON)
def _(p):
    import js

    return WON if js.process.getBuiltinModule("node:child_process") else "none"


@attack("javascript/web-assembly", JS, ON)
def _(p):
    import js

    return WON if js.WebAssembly.Module else "none"


# What follows is run with --js: the program has node's whole process in its hands, and only the fence
# stands between it and the host. The control is node with --js and no fence.


def builtin(name):
    import js

    return js.process.getBuiltinModule("node:" + name)


def sync(name, *args):
    """A call of node's `child_process` or `fs` whose answer is text."""
    return str(getattr(builtin(name[0]), name[1])(*args))


@attack("powers/read", UNFENCED, ON)
def _(p):
    return sync(("fs", "readFileSync"), p.secret, "utf8")


@attack("powers/list", UNFENCED, ON)
def _(p):
    return list(builtin("fs").readdirSync(p.outside))


@attack("powers/read-by-link", UNFENCED, ON)
def _(p):
    return sync(("fs", "readFileSync"), p.rw + "/link", "utf8")


@attack("powers/read-by-proc", UNFENCED, NODE)
def _(p):
    return sync(("fs", "readFileSync"), "/proc/self/root" + p.secret, "utf8")


@attack("powers/write", UNFENCED, ON)
def _(p):
    builtin("fs").writeFileSync(p.secret, "overwritten")


@attack("powers/write-read-only", UNFENCED, ON)
def _(p):
    builtin("fs").writeFileSync(p.ro + "/file.txt", "overwritten")


@attack("powers/truncate-read-only", UNFENCED, ON)
def _(p):
    builtin("fs").truncateSync(p.ro + "/file.txt")


@attack("powers/rename-read-only", UNFENCED, ON)
def _(p):
    builtin("fs").renameSync(p.ro + "/file.txt", p.ro + "/renamed.txt")


@attack("powers/unlink-read-only", UNFENCED, ON)
def _(p):
    builtin("fs").unlinkSync(p.ro + "/file.txt")


@attack("powers/mkdir-outside", UNFENCED, ON)
def _(p):
    builtin("fs").mkdirSync(p.outside + "/new")


@attack("powers/hard-link", UNFENCED, ON)
def _(p):
    builtin("fs").linkSync(p.secret, p.rw + "/hard")
    return sync(("fs", "readFileSync"), p.rw + "/hard", "utf8")


@attack("powers/mode-read-only", UNFENCED, ON)
def _(p):
    builtin("fs").chmodSync(p.ro + "/file.txt", 0o777)


@attack("powers/times-read-only", UNFENCED, ON)
def _(p):
    builtin("fs").utimesSync(p.ro + "/file.txt", 1, 1)


@attack("powers/mode-outside", UNFENCED, ON)
def _(p):
    builtin("fs").chmodSync(p.secret, 0o777)


@attack("powers/times-outside", UNFENCED, ON)
def _(p):
    builtin("fs").utimesSync(p.secret, 1, 1)


@attack("powers/kill", UNFENCED, NODE)
def _(p):
    import js

    js.process.kill(p.victims["powers-kill"], "SIGKILL")


@attack("powers/stop", UNFENCED, NODE)
def _(p):
    import js

    js.process.kill(p.victims["powers-stop"], "SIGSTOP")


@attack("powers/program", UNFENCED, NODE)
def _(p):
    from pyodide.ffi import to_js

    try:
        builtin("child_process").execFileSync("/bin/cp", to_js([p.secret, p.rw + "/out"]))
    except RuntimeError:
        pass  # its answer is a Buffer, which Pyodide does not know
    with open(p.rw + "/out") as file:
        return file.read()


@attack("powers/environment-of-the-victim", UNFENCED, NODE)
def _(p):
    return sync(("fs", "readFileSync"), f"/proc/{p.victim}/environ", "utf8")


@attack("powers/handles", UNFENCED, NODE)
def _(p):
    import js

    got = []
    for fd in range(3, 200):
        try:
            buffer = js.Uint8Array.new(200)
            builtin("fs").readSync(fd, buffer, 0, 200, 0)
            got.append(bytes(buffer.to_py()))
        except Exception:
            pass
    return got


@attack("powers/store", UNFENCED, ON)
def _(p):
    return builtin("fs").readdirSync(p.store).length and WON


@attack("powers/home", UNFENCED, ON)
def _(p):
    return sync(("fs", "readFileSync"), p.home + "/.ssh/id_ed25519", "utf8")
