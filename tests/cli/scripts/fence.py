# Has node do what the program may not, by the JavaScript that it was given.
import sys

import js

process = js.process
print(process.release.name)
fs = process.getBuiltinModule("fs")


def attempt(what, call):
    try:
        call()
        print(what, "worked")
    except Exception as e:
        print(what, e.js_error.code)


secret, folder = sys.argv[1:]
attempt("read", lambda: fs.readFileSync(secret))
attempt("write", lambda: fs.writeFileSync(folder + "/new", "x"))
attempt("list", lambda: fs.readdirSync("/etc"))
# Numbers of errors are libuv's, which are the system's, negative.
names = {-1: "EPERM", 0: "worked"}
tcp = js.Reflect.construct(process.binding("tcp_wrap").TCP, js.Array.of(0))
print("socket", names[tcp.bind("127.0.0.1", 0)])
spawn = process.getBuiltinModule("child_process").spawnSync
print("spawn", spawn(process.execPath).error.code)
# Without pipes, for which it would need sockets.
alone = spawn(process.execPath, js.Array.of("-e", "0"), js.JSON.parse('{"stdio": "ignore"}'))
print("spawn alone", alone.error.code)
attempt("signal", lambda: process.kill(process.ppid, 0))
print(*sorted(js.Object.keys(process.env)))
