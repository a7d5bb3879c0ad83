// pyw's host script for Node.js: runs a CPython that was built for WASI, in a sandbox that a JSON
// file describes. Started as `node host.mjs SANDBOX.json`; runtimes/README.md has the format.
//
// What the module may call is Node's own WASI, which keeps a program to its mounts only as long as
// that does not try: links lead out of them, as Node's documentation says. pyw's fence around the
// process is what holds.

import * as fs from "node:fs";
import { WASI } from "node:wasi";

function run() {
  const sandbox = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
  const wasi = new WASI({
    version: "preview1",
    args: ["python", ...sandbox.args],
    env: sandbox.env,
    // Numbered in this order, which the wrapper that holds the times of read-only files relies on.
    preopens: Object.fromEntries(sandbox.mounts.map(({ guest, host }) => [guest, host])),
    returnOnExit: true,
  });
  const module = new WebAssembly.Module(fs.readFileSync(sandbox.module));
  return wasi.start(new WebAssembly.Instance(module, wasi.getImportObject()));
}

try {
  process.exit(run());
} catch (error) {
  // The code that pyw has for a runtime that crashed.
  fs.writeSync(2, `pyw: the interpreter crashed: ${error?.message ?? error}\n`);
  process.exit(118);
}
