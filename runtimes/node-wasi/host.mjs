// pyw's host script for Node.js: runs a CPython that was built for WASI, in a sandbox that a JSON
// file describes. Started as `node host.mjs SANDBOX.json`; runtimes/README.md has the format.
//
// What the module may call is Node's own WASI, which keeps a program to its mounts only as long as
// that does not try: links lead out of them, as Node's documentation says. pyw's fence around the
// process is what holds.

import * as fs from "node:fs";
import { WASI } from "node:wasi";

/** The number at a place of a module, and the place behind it. */
function number(module, at) {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = module[at++];
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [value, at];
  }
}

function encoded(value) {
  const bytes = [];
  for (; value >= 0x80; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return [...bytes, value];
}

/** The module with a maximum for its memory, which V8 holds: growing beyond it fails. */
function limited(module, bytes) {
  let at = 8;
  while (at < module.length) {
    const [size, start] = number(module, at + 1);
    if (module[at] === 5) {
      const [count, kind] = number(module, start);
      // Of 32-bit addresses, shared with nobody.
      if (count !== 1 || module[kind] > 1) break;
      const [least, behind] = number(module, kind + 1);
      const most = module[kind] === 1 ? number(module, behind)[0] : Infinity;
      const content = [1, 1, ...encoded(least), ...encoded(Math.min(most, Math.floor(bytes / 65536)))];
      const section = [5, ...encoded(content.length), ...content];
      return Buffer.concat([module.subarray(0, at), Buffer.from(section), module.subarray(start + size)]);
    }
    at = start + size;
  }
  throw new Error("the module has no memory of its own that could be limited");
}

const sandbox = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));

const wasi = new WASI({
  version: "preview1",
  args: ["python", ...sandbox.args],
  env: sandbox.env,
  // Numbered in this order, on which the wrapper relies that holds the times of read-only files.
  preopens: Object.fromEntries(sandbox.mounts.map(({ guest, host }) => [guest, host])),
  returnOnExit: true,
});

function run() {
  const bytes = fs.readFileSync(sandbox.module);
  const module = new WebAssembly.Module(sandbox.memory === null ? bytes : limited(bytes, sandbox.memory));
  return wasi.start(new WebAssembly.Instance(module, wasi.getImportObject()));
}

try {
  process.exit(run());
} catch (error) {
  // The code that pyw has for a runtime that crashed.
  fs.writeSync(2, `pyw: the interpreter crashed: ${error?.message ?? error}\n`);
  process.exit(118);
}
