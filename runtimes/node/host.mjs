// pyw's host script for Node.js: runs a CPython that was built for Emscripten, in a sandbox that a
// JSON file describes. Started as `node host.mjs SANDBOX.json`; runtimes/README.md has the format.
//
// It starts CPython's own `main` and nothing of Pyodide's JavaScript interface, so that a program
// finds options, tracebacks and exit codes as natively, and no JavaScript. The wasm module reaches
// its host only through functions that are imported into it: those that are not listed in ALLOWED
// are replaced, the file system is one folder tree made of the mounts, and V8 is told not to
// compile strings. With --js the first and the last of these do not hold. What this cannot hold,
// pyw's fence around the process does.
//
// What V8 made of module and JavaScript in one run of Python's can be written to a file, from which
// later runs begin: they take half the time.

import * as fs from "node:fs";
import * as path from "node:path";
import { isatty } from "node:tty";
import { pathToFileURL } from "node:url";
import * as v8 from "node:v8";
import * as vm from "node:vm";

const sandbox = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));

// JavaScript's clock has the process's time zone, which is the program's. Without one it is UTC, as
// on every other runtime.
process.env.TZ = sandbox.env.TZ || "UTC";

// --- errors -------------------------------------------------------------------------------------

/** Errors of the host that Emscripten knows under another name. */
const RENAMED = { ENOTSUP: "EOPNOTSUPP", UNKNOWN: "EIO" };

let FS;
let codes;
let HEAPU8;

const fail = (code) => {
  throw new FS.ErrnoError(codes[code] ?? codes.EIO);
};

/** Runs a call of the host's; its errors become the guest's. */
function host(call) {
  try {
    return call();
  } catch (error) {
    if (error instanceof FS.ErrnoError || typeof error.code !== "string") throw error;
    return fail(RENAMED[error.code] ?? error.code);
  }
}

// --- the file system ----------------------------------------------------------------------------

const S_IFDIR = 0o040000;
const S_IFCHR = 0o020000;

/** The mounts by guest path. A path with `..` is another spelling, which is resolved here anyway. */
const mounts = new Map(
  sandbox.mounts
    .filter(({ guest }) => !guest.split("/").includes(".."))
    .map(({ guest, host, access }) => [guest, { host, writable: access === "write" }]),
);

const inside = (guest, name) => (guest === "/" ? `/${name}` : `${guest}/${name}`);

/** Names below a guest path that lead to mounts. */
function leading(guest) {
  const prefix = inside(guest, "");
  const names = new Set();
  for (const mounted of mounts.keys()) {
    if (mounted !== guest && mounted.startsWith(prefix)) {
      names.add(mounted.slice(prefix.length).split("/")[0]);
    }
  }
  return names;
}

/** Milliseconds with a fraction: a Date would cut times off. */
const moment = (nanoseconds) => ({ getTime: () => Number(nanoseconds) / 1e6 });

function attributes(stat) {
  return {
    dev: Number(stat.dev),
    ino: Number(stat.ino),
    mode: Number(stat.mode),
    nlink: Number(stat.nlink),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    rdev: Number(stat.rdev),
    size: Number(stat.size),
    atime: moment(stat.atimeNs),
    mtime: moment(stat.mtimeNs),
    ctime: moment(stat.ctimeNs),
    blksize: Number(stat.blksize),
    blocks: Number(stat.blocks),
  };
}

const look = (file) => host(() => fs.lstatSync(file, { bigint: true }));

/** What folders that are no folder of the host's say of themselves. */
function imagined(node) {
  const now = moment(0);
  return {
    dev: 0, ino: node.id, mode: node.mode, nlink: 1, uid: 0, gid: 0, rdev: node.rdev ?? 0,
    size: 0, atime: now, mtime: now, ctime: now, blksize: 4096, blocks: 0,
  };
}

/**
 * A file system node. Nodes are made anew for each look-up and never kept, for the host may change
 * at any time: a kept one could take for a folder what has become a link that leads out.
 */
function node(parent, name, mode, extra) {
  const made = new FS.FSNode(parent, name, mode, 0);
  Object.assign(made, { node_ops: nodeOps, stream_ops: streamOps }, extra);
  return made;
}

function lookup(parent, name) {
  const guest = inside(parent.guest, name);
  const mount = mounts.get(guest);
  if (guest === "/dev") {
    return node(parent, name, S_IFDIR | 0o755, { guest, devices: true });
  }
  if (parent.devices) {
    if (name !== "null") fail("ENOENT");
    const rdev = FS.makedev(1, 3);
    return node(parent, name, S_IFCHR | 0o666, { guest, rdev, stream_ops: FS.chrdev_stream_ops });
  }
  if (mount) {
    return node(parent, name, Number(look(mount.host).mode), { guest, mount: parent.mount, at: mount, host: mount.host });
  }
  if (parent.host !== undefined) {
    const file = path.join(parent.host, name);
    try {
      return node(parent, name, Number(look(file).mode), { guest, at: parent.at, host: file });
    } catch (error) {
      if (error.errno !== codes.ENOENT) throw error;
    }
  }
  if (leading(guest).size === 0) fail("ENOENT");
  return node(parent, name, S_IFDIR | 0o755, { guest });
}

/** The host path of a node that is to be changed. */
function changing(what) {
  if (!what.at?.writable || what.host === undefined) fail("EROFS");
  return what.host;
}

/** The host path of a name that is to be made, changed or removed. */
function changingIn(parent, name) {
  if (mounts.has(inside(parent.guest, name))) fail("EBUSY");
  return path.join(changing(parent), name);
}

const seconds = (time) => time / 1000;

/** The file that was made last: Emscripten sets its mode once more. */
let made;

/** The mode of a new file. With --js the fence permits no change of modes; the file keeps its own. */
function settle(target, mode, chmod) {
  try {
    chmod(target, mode);
  } catch (error) {
    if (!sandbox.js || error.code !== "EPERM") throw error;
  }
}

/** Changes what chmod, utime, truncate and chown ask for, by path or by descriptor. */
function change(attr, target, { chmod, utimes, truncate }, stat) {
  host(() => {
    if (attr.mode !== undefined && attr.mode !== null) {
      const fresh = target === made;
      made = undefined;
      if (fresh) settle(target, attr.mode & 0o7777, chmod);
      else chmod(target, attr.mode & 0o7777);
    }
    if (typeof (attr.atime ?? attr.mtime) === "number") {
      const now = stat(target);
      utimes(target, seconds(attr.atime ?? now.atimeMs), seconds(attr.mtime ?? now.mtimeMs));
    }
    if (attr.size !== undefined && attr.size !== null) truncate(target, attr.size);
  });
}

const BY_PATH = { chmod: fs.chmodSync, utimes: fs.utimesSync, truncate: fs.truncateSync };
const BY_LINK = { chmod: fs.chmodSync, utimes: fs.lutimesSync, truncate: fs.truncateSync };
const BY_DESCRIPTOR = { chmod: fs.fchmodSync, utimes: fs.futimesSync, truncate: fs.ftruncateSync };

const nodeOps = {
  lookup,
  getattr(what) {
    return what.host === undefined ? imagined(what) : attributes(look(what.host));
  },
  setattr(what, attr) {
    const file = changing(what);
    if (attr.mode !== undefined && attr.dontFollow && FS.isLink(what.mode)) fail("EOPNOTSUPP");
    change(attr, file, FS.isLink(what.mode) ? BY_LINK : BY_PATH, fs.lstatSync);
  },
  mknod(parent, name, mode) {
    const file = changingIn(parent, name);
    if (!FS.isDir(mode) && !FS.isFile(mode)) fail("EPERM");
    host(() => {
      if (FS.isDir(mode)) fs.mkdirSync(file, mode & 0o7777);
      // Emscripten asks for all rights here and takes back what is too much, if it can.
      else fs.closeSync(fs.openSync(file, "wx", mode & (sandbox.js ? 0o666 : 0o7777)));
    });
    made = file;
    return lookup(parent, name);
  },
  rename(old, newParent, newName) {
    const from = changingIn(old.parent, old.name);
    const to = changingIn(newParent, newName);
    if (old.at !== newParent.at) fail("EXDEV");
    host(() => fs.renameSync(from, to));
  },
  unlink(parent, name) {
    const file = changingIn(parent, name);
    host(() => fs.unlinkSync(file));
  },
  rmdir(parent, name) {
    const file = changingIn(parent, name);
    host(() => fs.rmdirSync(file));
  },
  readdir(what) {
    if (what.devices) return [".", "..", "null"];
    const found = what.host === undefined ? leading(what.guest) : host(() => fs.readdirSync(what.host));
    return [".", "..", ...found];
  },
  symlink(parent, name, target) {
    const file = changingIn(parent, name);
    host(() => fs.symlinkSync(target, file));
  },
  readlink(what) {
    return host(() => fs.readlinkSync(what.host));
  },
};

const { O_ACCMODE, FLAGS } = (() => {
  const of = fs.constants;
  // Emscripten's numbers are Linux's. What is left out was done before open is called.
  return {
    O_ACCMODE: 3,
    FLAGS: [
      [0o2000, of.O_APPEND],
      [0o10000, of.O_DSYNC ?? 0],
      [0o4010000, of.O_SYNC ?? 0],
    ],
  };
})();

const streamOps = {
  open(stream) {
    const what = stream.node;
    const wanted = stream.flags & O_ACCMODE;
    if (what.host === undefined) return;
    if (wanted !== 0 || stream.flags & 0o1000) changing(what);
    let flags = [fs.constants.O_RDONLY, fs.constants.O_WRONLY, fs.constants.O_RDWR][wanted] ?? 0;
    // The last part of the path was looked at a moment ago; it must not have become a link.
    flags |= fs.constants.O_NOFOLLOW ?? 0;
    for (const [guest, own] of FLAGS) if ((stream.flags & guest) === guest) flags |= own;
    stream.nfd = host(() => fs.openSync(what.host, flags));
    stream.shared.refcount = 1;
  },
  close(stream) {
    if (stream.nfd !== undefined && --stream.shared.refcount === 0) {
      host(() => fs.closeSync(stream.nfd));
    }
  },
  dup(stream) {
    stream.shared.refcount++;
  },
  getattr(stream) {
    if (stream.nfd === undefined) return imagined(stream.node);
    return attributes(host(() => fs.fstatSync(stream.nfd, { bigint: true })));
  },
  setattr(stream, attr) {
    changing(stream.node);
    change(attr, stream.nfd, BY_DESCRIPTOR, fs.fstatSync);
  },
  read(stream, buffer, offset, length, position) {
    return host(() => fs.readSync(stream.nfd, buffer, offset, length, position));
  },
  write(stream, buffer, offset, length, position) {
    return host(() => fs.writeSync(stream.nfd, buffer, offset, length, position));
  },
  llseek(stream, offset, whence) {
    let position = offset;
    if (whence === 1) position += stream.position;
    else if (whence === 2) position += host(() => fs.fstatSync(stream.nfd)).size;
    if (position < 0) fail("EINVAL");
    return position;
  },
  fsync(stream) {
    if (stream.nfd !== undefined) host(() => fs.fsyncSync(stream.nfd));
  },
};

// --- the standard streams -----------------------------------------------------------------------

const pause = (() => {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  return (milliseconds) => Atomics.wait(cell, 0, 0, milliseconds);
})();

/** Repeats a call on a stream that somebody made non-blocking, as a terminal's other users may. */
function patiently(call) {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (error.code === "EOF") return 0;
      if (error.code !== "EAGAIN") throw error;
      pause(10);
    }
  }
}

/** Descriptor 0, 1 or 2 as it was inherited. */
function standard(fd) {
  const stat = host(() => fs.fstatSync(fd, { bigint: true }));
  const what = new FS.FSNode(null, `standard${fd}`, Number(stat.mode), 0);
  what.node_ops = { getattr: () => attributes(host(() => fs.fstatSync(fd, { bigint: true }))) };
  const stream_ops = {
    open() {},
    close(stream) {
      if (--stream.shared.refcount === 0) host(() => fs.closeSync(fd));
    },
    dup(stream) {
      stream.shared.refcount++;
    },
    getattr: () => what.node_ops.getattr(),
    setattr: () => fail("EPERM"),
    read(stream, buffer, offset, length) {
      return host(() => patiently(() => fs.readSync(fd, buffer, offset, length, null)));
    },
    write(stream, buffer, offset, length) {
      return host(() => patiently(() => fs.writeSync(fd, buffer, offset, length, null)));
    },
    llseek: () => fail("ESPIPE"),
    fsync: () => {},
  };
  const made = FS.createStream(
    { node: what, path: `/dev/${["stdin", "stdout", "stderr"][fd]}`, flags: fd === 0 ? 0 : 1, position: 0,
      seekable: false, stream_ops, getdents: null },
    fd,
  );
  made.shared.refcount = 1;
  if (isatty(fd)) made.tty = { ops: { ioctl_tcgets: () => TERMIOS, ioctl_tcsets: () => 0, ioctl_tiocgwinsz: () => sandbox.terminal ?? [0, 0] } };
}

/** A terminal as it is at first. Its modes cannot be changed. */
const TERMIOS = { c_iflag: 0o26400, c_oflag: 0o5, c_cflag: 0o277, c_lflag: 0o105073, c_cc: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22] };


// --- what the module may call -------------------------------------------------------------------

/** Functions of Emscripten's C library and of CPython that do what a sandboxed program may do. */
const ALLOWED = new Set(
  `
  __assert_fail _abort_js exit proc_exit __call_sighandler _setitimer_js
  _Py_emscripten_runtime _Py_CheckEmscriptenSignals_Helper _PyEM_TrampolineCall_JS
  emscripten_runtime_keepalive_push emscripten_runtime_keepalive_pop
  _emscripten_runtime_keepalive_clear emscripten_exit_with_live_runtime
  ffi_call_js ffi_closure_alloc_js ffi_closure_free_js ffi_prep_closure_loc_js
  _dlopen_js _dlsym_js _dlsym_catchup_js
  emscripten_get_heap_max emscripten_resize_heap _munmap_js _msync_js _mmap_js
  emscripten_date_now emscripten_get_now clock_res_get clock_time_get
  _tzset_js _timegm_js _mktime_js _localtime_js _gmtime_js
  _emscripten_get_progname environ_sizes_get environ_get random_get
  _emscripten_lookup_name getprotobyname
  fd_close fd_read fd_write fd_sync fd_fdstat_get fd_seek fd_pread fd_pwrite
  __syscall_getuid32_js __syscall_umask_js __syscall_ioctl __syscall_fcntl64 __syscall_openat
  __syscall_faccessat __syscall_chdir __syscall_chmod __syscall_fchownat __syscall_dup
  __syscall_dup3 __syscall_fchdir __syscall_fchmod __syscall_fchmodat2 __syscall_fchown32
  __syscall_fdatasync __syscall_fstat64 __syscall_stat64 __syscall_newfstatat __syscall_lstat64
  __syscall_ftruncate64 __syscall_getcwd __syscall_getdents64 __syscall_mkdirat
  __syscall_mknodat __syscall_pipe __syscall_poll __syscall_fadvise64 __syscall_fallocate
  __syscall_readlinkat __syscall_unlinkat __syscall_rmdir __syscall_renameat __syscall_statfs64
  __syscall_fstatfs64 __syscall_symlinkat __syscall_truncate64 __syscall_utimensat
  `.split(/\s+/).filter(Boolean),
);

/** Whether the module has set itself up, so that what it calls from now on a program may have asked for. */
let open = false;

/** Not reached by any way that CPython offers: a program that gets here has searched for it. */
function withheld(name, call) {
  return (...args) => {
    if (!open) return call(...args);
    throw new Error(`the program called ${name}, a function of JavaScript's that it was not given`);
  };
}

/** Puts what was not granted out of the module's reach, and mends what Emscripten does badly. */
function restrict(imports) {
  const all = imports.env;
  if (!sandbox.js) {
    for (const name of Object.keys(all)) {
      if (!ALLOWED.has(name)) all[name] = Object.assign(withheld(name, all[name]), { sig: all[name].sig });
    }
  }
  const replace = (name, call) => {
    all[name] = Object.assign(call, { sig: all[name]?.sig });
  };
  // There is no network and there are no other processes.
  for (const name of Object.keys(all)) {
    if (/^__syscall_(accept4|bind|connect|getpeername|getsockname|getsockopt|listen|recvfrom|recvmsg|sendmsg|sendto|socket)$/.test(name)) {
      replace(name, () => -codes.EACCES);
    }
  }
  // What CPython offers for looking into a browser's console.
  for (const name of ["emscripten_debugger", "emscripten_log_impl_js"]) replace(name, () => {});
  // Emscripten calls UTC by its distance from itself.
  const tzset = all._tzset_js;
  replace("_tzset_js", (timezone, daylight, ...names) => {
    tzset(timezone, daylight, ...names);
    if (process.env.TZ === "UTC") for (const at of names) HEAPU8().set([85, 84, 67, 0], at);
  });
  replace("_emscripten_system", (command) => (command ? -codes.ENOSYS : 0));
  const NOT_FOUND = -2; // EAI_NONAME
  replace("getaddrinfo", () => NOT_FOUND);
  replace("getnameinfo", () => NOT_FOUND);
  // Pyodide's own sockets, which are asked first.
  for (const name of ["_maybe_connect_async", "_maybe_recvfrom_async", "_maybe_sendto_async", "_maybe_poll_async"]) {
    replace(name, () => null);
  }
  for (const name of ["_try_fcntl64", "_try_shutdown"]) replace(name, () => 0);
  // Emscripten's never waits. What a program polls does not change while it waits, for it has no
  // other thread; standard input counts as ready.
  const poll = all.__syscall_poll;
  replace("__syscall_poll", (fds, count, timeout) => {
    const ready = poll(fds, count, timeout);
    if (ready === 0 && timeout !== 0) pause(timeout < 0 ? Infinity : timeout);
    return ready;
  });
  // Sleeping asks for the time until it has come. Nothing else asks for this clock twice in a row.
  const now = all.emscripten_get_now;
  let last = -1;
  let row = 0;
  replace("emscripten_get_now", () => {
    let time = now();
    row = time - last < 0.1 ? row + 1 : 0;
    if (row > 1) {
      pause(Math.min(2, row * 0.1));
      time = now();
    }
    last = time;
    return time;
  });
}

/** Writes the limit into the module's own description of its memory, so that V8 holds it. */
function limitMemory(module, bytes) {
  const pages = Math.floor(bytes / 65536);
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = module[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < module.length) {
    const section = module[at++];
    const end = number() + at;
    if (section === 5) {
      if (number() === 1 && module[at++] === 1) {
        number();
        const start = at;
        if (pages <= number()) {
          // As long as the number that stood there, so that nothing moves.
          for (let i = start, rest = pages; i < at; i++, rest = Math.floor(rest / 128)) {
            module[i] = (rest % 128) | (i + 1 < at ? 0x80 : 0);
          }
        }
        return;
      }
      throw new Error("the module's memory is not one that can be limited");
    }
    at = end;
  }
  throw new Error("the module has no memory of its own to be limited");
}

// --- code that was made ahead ---------------------------------------------------------------------

/** Whether V8 compiles text is part of what code is made for, and --js runs have it otherwise. */
const TEXT = "disallow-code-generation-from-strings";

/** V8 has no other name for these two: its own tests use them. */
const { serialize, deserialize } = (() => {
  if (sandbox.compile === null && sandbox.compiled === null) return {};
  const call = (name, args) => new vm.Script(`(function (${args}) { return %${name}(${args}) })`).runInThisContext();
  v8.setFlagsFromString("--allow-natives-syntax");
  const both = { serialize: call("SerializeWasmModule", "module"), deserialize: call("DeserializeWasmModule", "code, bytes") };
  // Nothing that is read later on may have such calls in it.
  v8.setFlagsFromString("--no-allow-natives-syntax");
  return both;
})();

/**
 * Does something with the flags that V8 writes into code and wants to find again. Before V8 13 it
 * finds a flag changed that was changed and changed back, so whoever makes and whoever takes do so.
 */
function withFlags(call) {
  for (const flag of ["--no-liftoff", "--liftoff", `--${TEXT}`]) v8.setFlagsFromString(flag);
  try {
    return call();
  } finally {
    if (sandbox.js) v8.setFlagsFromString(`--no-${TEXT}`);
  }
}

/** What was made ahead: machine code of the module, and V8's cache of the JavaScript. */
let ahead;

function read(name) {
  const file = fs.openSync(name);
  const part = () => {
    const length = Buffer.alloc(8);
    fs.readSync(file, length);
    const bytes = new Uint8Array(Number(length.readBigUInt64LE()));
    if (fs.readSync(file, bytes) !== bytes.length) throw new Error(`${name} is cut off`);
    return bytes;
  };
  const parts = { module: part(), script: part() };
  fs.closeSync(file);
  return parts;
}

/** Writes what `read` reads. */
function save(module, script) {
  const parts = withFlags(() => [Buffer.from(serialize(module)), script.createCachedData()]);
  const file = fs.openSync(sandbox.compile, "wx", 0o600);
  for (const part of parts) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(part.length));
    fs.writeFileSync(file, length);
    fs.writeFileSync(file, part);
  }
  fs.closeSync(file);
}

/**
 * The module. What is compiled to be saved is optimised at once; of it, only what is called. Code that
 * was made without --memory serves with it: it asks the memory for its size, and V8 for more of it.
 */
function compiled(bytes) {
  if (ahead !== undefined) {
    const module = withFlags(() => deserialize(ahead.module.buffer, bytes));
    if (module === undefined) throw new Error(`V8 refuses ${sandbox.compiled}`);
    return module;
  }
  if (sandbox.compile !== null) v8.setFlagsFromString("--no-liftoff");
  return new WebAssembly.Module(bytes);
}

/**
 * Emscripten's part. V8 keeps code of scripts but not of modules that have been run, so that it is
 * made a script of, where code is kept or was.
 */
async function loader(file) {
  if (ahead === undefined && sandbox.compile === null) {
    return { create: (await import(pathToFileURL(file).href)).default };
  }
  const text = fs.readFileSync(file, "utf8");
  const exported = /\bexport default (\w+);?\s*$/.exec(text);
  if (exported === null) throw new Error(`${file} exports something else than one function`);
  // What only modules have: Node.js 20 gives it to no script that comes out of a cache.
  const body = text.slice(0, exported.index).replaceAll("import.meta", "meta").replaceAll(/\bimport\(/g, "load(");
  const script = withFlags(() => new vm.Script(`(function (meta, load) { "use strict"; ${body}; return ${exported[1]} })`, {
    filename: file,
    cachedData: ahead?.script,
  }));
  if (script.cachedDataRejected) throw new Error(`V8 refuses ${sandbox.compiled}`);
  const make = script.runInThisContext();
  return { create: make({ url: pathToFileURL(file).href }, (name) => import(name)), script };
}

// --- running ------------------------------------------------------------------------------------

const folder = path.dirname(sandbox.module);

function prepare(module) {
  FS = module.FS;
  codes = module.ERRNO_CODES;
  HEAPU8 = () => module.HEAPU8;
  // One tree of folders instead of Emscripten's own in memory, which no limit would hold.
  const root = mounts.get("/");
  FS.root = null;
  FS.mount({ mount: (mount) => Object.assign(node(null, "/", S_IFDIR | 0o755, { guest: "/", at: root, host: root?.host }), { mount }) }, {}, "/");
  FS.lookupNode = (parent, name) => {
    const refused = FS.mayLookup(parent);
    if (refused) throw new FS.ErrnoError(refused);
    return parent.node_ops.lookup(parent, name);
  };
  streamOps.mmap = module.NODEFS.stream_ops.mmap;
  streamOps.msync = module.NODEFS.stream_ops.msync;
  for (const fd of [0, 1, 2]) standard(fd);
  for (const name of ["USER", "LOGNAME", "PATH", "PWD", "HOME", "LANG", "_"]) module.ENV[name] = undefined;
  Object.assign(module.ENV, sandbox.env);
}

/** The module as V8 has it. */
let held;

function instantiate(imports, done) {
  const marker = Symbol("no value");
  restrict(imports);
  imports.env.Jsv_GetError_import = () => marker;
  imports.env.JsvError_Check = (value) => Number(value === marker);
  const bytes = fs.readFileSync(sandbox.module);
  if (sandbox.memory !== null) limitMemory(bytes, sandbox.memory);
  held = compiled(bytes);
  done(new WebAssembly.Instance(held, imports), held);
  return {};
}

/** Has Pyodide set up its own modules, `js`, `pyodide_js` and `pyodide`. */
function grantJavaScript(api) {
  // Pyodide would catch what goes to stderr meanwhile, in a device for which there is no place.
  api.capture_stderr = () => {};
  api.restore_stderr = () => "";
  api.finalizeBootstrap();
  // pyw's library has an empty module of that name.
  const [failed, said] = api.rawRun(`
import sys
from _pyodide._importhook import jsfinder
sys.modules["js"] = jsfinder.jsproxies["js"]
del sys, jsfinder
`);
  if (failed) throw new Error(said);
}

async function main() {
  if (sandbox.compiled !== null) ahead = read(sandbox.compiled);
  const { create, script } = await loader(path.join(folder, "python.mjs"));
  const config = { jsglobals: sandbox.js ? globalThis : Object.create(null), env: {}, args: [], indexURL: `${folder}/` };
  let ended;
  const module = await create({
    // What is answered while Python starts, as `-V`, or is wrong, ends it before its program.
    onExit: (code) => {
      ended ??= code;
    },
    API: { config, runtimeEnv: { IN_NODE: true, IN_NODE_ESM: true }, lockFilePromise: Promise.resolve("{}") },
    arguments: sandbox.args,
    thisProgram: "python",
    noFSInit: true,
    noImageDecoding: true,
    noAudioDecoding: true,
    locateFile: (name) => {
      throw new Error(`${name} is not there`);
    },
    preRun: [prepare],
    // The kernel decides, who knows the user.
    onRuntimeInitialized: () => {
      FS.ignorePermissions = true;
      open = true;
    },
    instantiateWasm: instantiate,
  });
  if (ended !== undefined) return ended;
  if (sandbox.js) grantJavaScript(module.API);
  const code = module._Py_RunMain();
  if (sandbox.compile !== null && code === 0) save(held, script);
  return code;
}

main().then(
  (code) => process.exit(code),
  (error) => {
    if (error?.name === "ExitStatus") process.exit(error.status);
    // The code that pyw has for a runtime that crashed.
    fs.writeSync(2, `pyw: the interpreter crashed: ${error?.message ?? error}\n`);
    process.exit(118);
  },
);
