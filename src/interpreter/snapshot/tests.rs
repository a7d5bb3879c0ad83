use wasmi::{Caller, Engine, Extern, Linker, Memory, Store};

use super::build::build;
use super::image::{Image, Layout};
use super::instrument::instrument;
use super::shape::Shape;
use super::{CAPTURE, SLOTS, SnapshotError};
use crate::interpreter::wasm::PREVIEW1;

/// A guest with everything that is looked for in CPython's memory, which lists its preopens as
/// wasi-libc does, tells where things are, and ends by [`CAPTURE`].
const GUEST: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_sizes_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_get"
        (func $prestat (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_dir_name"
        (func $dir_name (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 4)
    (table 2 funcref)
    (elem (i32.const 1) $exec)
    (global $sp (export "sp") (mut i32) (i32.const 1))
    (global $wide (export "wide") (mut i64) (i64.const 1))
    (global $half (export "half") (mut f64) (f64.const 1))
    (global $fixed (export "fixed") i32 (i32.const 9))
    (data $passive "passive")
    ;; The function `exec` and its definition.
    (data (i32.const 264) "\2c\01\00\00")
    (data (i32.const 280) "\01\00\00\00")
    (data (i32.const 300) "\40\01\00\00")
    (data (i32.const 320) "exec\00")
    ;; Two byte arrays: their bytes, twice, and no exports.
    (data (i32.const 528) "\00\00\01\00\00\00\01\00\00\00\00\00")
    (data (i32.const 65536) "PYW-START-BUFFER")
    (data (i32.const 592) "\00\04\00\00\00\04\00\00\00\00\00\00")
    (data (i32.const 1024) "PYW-WHOLE-MEMORY")
    ;; The count of recursions and its limit.
    (data (i32.const 640) "\3a\e2\01\00\41\e2\01\00")
    (data (i32.const 8192)
        "{\"exec\":256,\"code\":700,\"globals\":704,\"buffer\":512,\"memory\":576,"
        "\"capacity\":65536,\"recursion_limit\":123457,\"preopens\":3}\n")
    (func $initialize
        (i32.store (i32.const 1400) (i32.add (i32.load (i32.const 1400)) (i32.const 1))))
    (start $initialize)
    (func (export "_start") (local $fd i32) (local $name i32) (local $entry i32)
        (global.set $sp (i32.const 5000))
        (global.set $wide (i64.const -2))
        (global.set $half (f64.const 0.5))
        (local.set $fd (i32.const 3))
        (local.set $name (i32.const 4096))
        (local.set $entry (i32.const 2048))
        (block $done (loop $next
            (br_if $done (call $prestat (local.get $fd) (i32.const 1200)))
            (drop (call $dir_name (local.get $fd) (local.get $name)
                (i32.load (i32.const 1204))))
            (i32.store (local.get $entry) (i32.add (local.get $name) (i32.const 1)))
            (i32.store offset=4 (local.get $entry) (local.get $fd))
            (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
            (local.set $name (i32.add (local.get $name) (i32.const 16)))
            (local.set $entry (i32.add (local.get $entry) (i32.const 8)))
            (br $next)))
        (i32.store (i32.const 1208) (i32.const 8192))
        (i32.store (i32.const 1212) (i32.const 119))
        (drop (call $write (i32.const 1) (i32.const 1208) (i32.const 1) (i32.const 1216)))
        (call $exit (i32.const 0x50595753)))
    (func $exec (param i32 i32 i32 i32) (result i32)
        (i32.store (i32.const 1300) (local.get 0))
        (i32.store (i32.const 1304) (local.get 1))
        (i32.store (i32.const 1308) (local.get 2))
        (i32.store (i32.const 1312) (local.get 3))
        (memory.init $passive (i32.const 1500) (i32.const 0) (i32.const 7))
        (call $exit (i32.const 7))
        (i32.const 0)))"#;

/// Where things are in the guest.
const EXEC: u32 = 256;
const BUFFER: u32 = 65536;
const TABLE: u32 = 2048;
const PAGE: usize = 65536;

#[derive(Default)]
struct Host {
    args: Vec<String>,
    environ: Vec<String>,
    preopens: Vec<String>,
    stdout: Vec<u8>,
    exited: Option<i32>,
}

type C<'a> = Caller<'a, Host>;

fn memory(caller: &C<'_>) -> Memory {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    memory.unwrap()
}

fn put(caller: &mut C<'_>, at: i32, bytes: &[u8]) {
    memory(caller).write(caller, at as usize, bytes).unwrap();
}

fn sizes(c: &mut C<'_>, list: &[String], count: i32, size: i32) -> i32 {
    put(c, count, &(list.len() as u32).to_le_bytes());
    let bytes: usize = list.iter().map(|text| text.len() + 1).sum();
    put(c, size, &(bytes as u32).to_le_bytes());
    0
}

fn texts(c: &mut C<'_>, list: &[String], pointers: i32, mut text: i32) -> i32 {
    for (i, entry) in list.iter().enumerate() {
        put(c, pointers + 4 * i as i32, &text.to_le_bytes());
        put(c, text, format!("{entry}\0").as_bytes());
        text += entry.len() as i32 + 1;
    }
    0
}

/// A module and how it ended.
struct Ran {
    store: Store<Host>,
    instance: wasmi::Instance,
    error: String,
}

/// Runs `_start`.
fn run(module: &[u8], host: Host) -> Ran {
    wasmparser::Validator::new().validate_all(module).unwrap();
    let engine = Engine::default();
    let mut store = Store::new(&engine, host);
    let mut linker = Linker::<Host>::new(&engine);
    let mut two = |name, function: fn(C<'_>, i32, i32) -> i32| {
        linker.func_wrap(PREVIEW1, name, function).unwrap();
    };
    two("args_sizes_get", |mut c, count, size| {
        let list = c.data().args.clone();
        sizes(&mut c, &list, count, size)
    });
    two("args_get", |mut c, pointers, text| {
        let list = c.data().args.clone();
        texts(&mut c, &list, pointers, text)
    });
    two("environ_sizes_get", |mut c, count, size| {
        let list = c.data().environ.clone();
        sizes(&mut c, &list, count, size)
    });
    two("environ_get", |mut c, pointers, text| {
        let list = c.data().environ.clone();
        texts(&mut c, &list, pointers, text)
    });
    two("fd_prestat_get", |mut c, fd, at| {
        let Some(name) = c.data().preopens.get(fd as usize - 3) else {
            return 8;
        };
        let length = name.len() as u32;
        put(&mut c, at, &[0; 4]);
        put(&mut c, at + 4, &length.to_le_bytes());
        0
    });
    linker
        .func_wrap(
            PREVIEW1,
            "fd_prestat_dir_name",
            |mut c: C<'_>, fd: i32, at: i32, length: i32| {
                let name = c.data().preopens[fd as usize - 3].clone();
                put(&mut c, at, &name.as_bytes()[..length as usize]);
                0
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "fd_write",
            |mut c: C<'_>, fd: i32, iov: i32, count: i32, written: i32| {
                assert_eq!((fd, count), (1, 1));
                let memory = memory(&c);
                let word = |at: usize| {
                    let bytes = memory.data(&c)[at..at + 4].try_into().unwrap();
                    u32::from_le_bytes(bytes) as usize
                };
                let (at, length) = (word(iov as usize), word(iov as usize + 4));
                // Never all at once, as a pipe may do.
                let length = length.min(100_000);
                let bytes = memory.data(&c)[at..at + length].to_vec();
                c.data_mut().stdout.extend(bytes);
                put(&mut c, written, &(length as u32).to_le_bytes());
                0
            },
        )
        .unwrap()
        .func_wrap(PREVIEW1, "proc_exit", |mut c: C<'_>, code: i32| {
            c.data_mut().exited = Some(code);
            Err::<(), _>(wasmi::Error::i32_exit(code))
        })
        .unwrap();
    let module = wasmi::Module::new(&engine, module).unwrap();
    let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
    let start = instance.get_typed_func::<(), ()>(&store, "_start").unwrap();
    let error = start.call(&mut store, ()).unwrap_err().to_string();
    Ran {
        store,
        instance,
        error,
    }
}

impl Ran {
    fn memory(&self) -> &[u8] {
        let memory = self.instance.get_memory(&self.store, "memory").unwrap();
        memory.data(&self.store)
    }

    fn word(&self, at: u32) -> u32 {
        let at = at as usize;
        u32::from_le_bytes(self.memory()[at..at + 4].try_into().unwrap())
    }

    /// The text that ends with a zero.
    fn text(&self, at: u32) -> String {
        let bytes = &self.memory()[at as usize..];
        let end = bytes.iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8(bytes[..end].to_vec()).unwrap()
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn module(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// What an instrumented guest writes.
fn written(text: &str) -> Vec<u8> {
    let host = Host {
        preopens: strings(&["/", "/lib"]),
        ..Host::default()
    };
    let ran = run(&instrument(&module(text)).unwrap(), host);
    assert_eq!(ran.store.data().exited, Some(0));
    ran.store.into_data().stdout
}

fn image() -> Image {
    Image::parse(written(GUEST), &Shape::read(&module(GUEST)).unwrap()).unwrap()
}

/// The message of what must fail.
fn refused<T>(result: Result<T, SnapshotError>) -> String {
    result.err().unwrap().to_string()
}

// --- instrument ---------------------------------------------------------------------------------

#[test]
fn an_image_is_what_the_guest_left() {
    let image = image();
    assert_eq!(image.globals, [5000, -2_i64 as u64, 0.5_f64.to_bits()]);
    assert_eq!(image.memory.len(), 4 * PAGE);
    assert_eq!(image.told.exec, EXEC);
    // The guest's own preopens, and behind them the invented ones.
    let text = |at: usize| {
        let bytes = image.memory[at..at + 16].split(|byte| *byte == 0);
        String::from_utf8(bytes.into_iter().next().unwrap().to_vec()).unwrap()
    };
    assert_eq!(text(4096 + 16), "/lib");
    assert_eq!(text(4096 + 2 * 16), "/pywslot00");
    assert_eq!(text(4096 + 65 * 16), "/pywslot63");
    assert_eq!(text(4096 + 66 * 16), "");
}

#[test]
fn other_ends_are_the_guests_own() {
    assert_eq!(CAPTURE, 0x5059_5753);
    for code in ["0", "3", "0x50595752"] {
        let text = GUEST.replace("(i32.const 0x50595753)", &format!("(i32.const {code})"));
        let ran = run(&instrument(&module(&text)).unwrap(), Host::default());
        let code = i32::from_str_radix(code.trim_start_matches("0x"), 16).unwrap();
        assert_eq!(ran.store.data().exited, Some(code));
        assert_eq!(ran.store.data().stdout.len(), 119);
    }
}

#[test]
fn a_guest_whose_memory_is_full_is_not_captured() {
    let text = GUEST.replace(
        r#"(memory (export "memory") 4)"#,
        r#"(memory (export "memory") 4 4)"#,
    );
    let ran = run(&instrument(&module(&text)).unwrap(), Host::default());
    assert_eq!(ran.store.data().exited, Some(75));
}

#[test]
fn modules_whose_state_cannot_be_captured_say_why() {
    for (from, to, why) in [
        ("\"_start\"", "\"_begin\"", "it has no `_start`"),
        (
            "(memory (export \"memory\") 4)",
            "(memory (export \"memory\") 4 8 shared)",
            "its memory is not an ordinary one",
        ),
        (
            "(memory (export \"memory\") 4)",
            "(memory (export \"memory\") 4) (memory 1)",
            "it has not exactly one memory",
        ),
        (
            "(memory (export",
            "(import \"env\" \"memory\" (memory 4)) (memory (export",
            "it imports its memory",
        ),
        (
            "(memory (export",
            "(import \"env\" \"g\" (global (mut i32))) (memory (export",
            "it imports a global that changes",
        ),
        (
            "(table 2 funcref)",
            "(table 2 funcref) (global (mut funcref) (ref.null func))",
            "it has a global that cannot be captured",
        ),
        (
            "\"fd_prestat_dir_name\"",
            "\"fd_close\"",
            "it does not import `fd_prestat_dir_name`",
        ),
    ] {
        assert!(GUEST.contains(from));
        let text = GUEST.replacen(from, to, 1);
        // Imports come first.
        let text = match to.starts_with("(import") {
            true => {
                let import = to.strip_suffix(" (memory (export").unwrap();
                GUEST.replacen("(module", &format!("(module {import}"), 1)
            }
            false => text,
        };
        let message = refused(instrument(&module(&text)));
        assert_eq!(message, format!("the module is unsuitable: {why}"));
    }
    let message = refused(instrument(b"\0asm\x01\0\0\0\x01\xff"));
    assert!(!message.is_empty());
}

// --- image --------------------------------------------------------------------------------------

#[test]
fn what_is_no_image_says_why() {
    let shape = Shape::read(&module(GUEST)).unwrap();
    let whole = written(GUEST);
    let line = whole.iter().position(|byte| *byte == b'\n').unwrap();
    let parse = |bytes: &[u8]| refused(Image::parse(bytes.to_vec(), &shape));
    let understood = "what was captured is not understood: ";
    let mut other = whole.clone();
    other[line + 1] = b'X';
    let mut globals = whole.clone();
    globals[line + 9] = 2;
    for (bytes, why) in [
        (&b""[..], "it has no first line"),
        (&whole[..line], "it has no first line"),
        (&whole[..=line], "the memory was not written"),
        (&whole[..line + 12], "it is cut off"),
        (&whole[..line + 20], "it is cut off"),
        (&other, "the memory was not written"),
        (&globals, "it has other globals"),
        (
            &whole[..whole.len() - 1],
            "262143 bytes of 4 pages were written",
        ),
    ] {
        assert_eq!(parse(bytes), format!("{understood}{why}"));
    }
    assert!(parse(b"{\"exec\": 1}\n").contains("first line: missing field"));
    assert!(parse(b"Traceback\n").contains("first line: expected value"));
}

#[test]
fn things_are_found_in_an_image() {
    let mut image = image();
    let layout = image.prepare().unwrap();
    assert_eq!(
        layout,
        Layout {
            vectorcall: 1,
            buffer: BUFFER,
            table: TABLE,
            entries: 2 + SLOTS as u32,
        }
    );
    // The byte array covers all memory, and the address of the count stands in the buffer.
    let word = |at: usize| u32::from_le_bytes(image.memory[at..at + 4].try_into().unwrap());
    assert_eq!(
        [584, 588, 592, 596].map(word),
        [0x7fff_fffe, 0x7fff_ffff, 0, 0]
    );
    assert_eq!(word(BUFFER as usize + 28), 640);
}

#[test]
fn what_is_laid_out_otherwise_is_refused() {
    let prepare = |change: &dyn Fn(&mut Image)| {
        let mut image = image();
        change(&mut image);
        let message = refused(image.prepare());
        let why = message.strip_prefix("what was captured is not understood: ");
        why.unwrap_or_else(|| panic!("{message}")).to_owned()
    };
    let set = |at: usize, bytes: &'static [u8]| {
        move |image: &mut Image| image.memory[at..at + bytes.len()].copy_from_slice(bytes)
    };
    let function = "a builtin function is laid out otherwise";
    assert_eq!(prepare(&set(320, b"eval")), function);
    assert_eq!(
        prepare(&set(264, &[0xff; 4])),
        "0xffffffff lies outside of memory"
    );
    let array = "a byte array is laid out otherwise";
    assert_eq!(prepare(&set(65536, b"X")), array);
    assert_eq!(prepare(&set(532, &[0xff; 4])), array);
    assert_eq!(prepare(&set(536, &[1])), array);
    assert_eq!(prepare(&set(1024, b"X")), array);
    let count = "the count of recursions could be in";
    assert_eq!(prepare(&set(644, &[0])), format!("{count} 0 places"));
    assert_eq!(prepare(&set(640, &[0])), format!("{count} 0 places"));
    let twice = b"\x3a\xe2\x01\0\x41\xe2\x01\0";
    assert_eq!(prepare(&set(9000, twice)), format!("{count} 2 places"));
    let table = "libc's table of preopens";
    // An invented name, a pointer to one, a descriptor that does not follow.
    let nowhere = format!("{table} could be in 0 places");
    assert_eq!(prepare(&set(4096 + 32, b"/pywslotXX")), nowhere);
    assert_eq!(prepare(&set(2048 + 16, &[0; 4])), nowhere);
    assert_eq!(prepare(&set(2048 + 28, &[99])), nowhere);
    // A real one that is missing.
    assert_eq!(prepare(&set(2048 + 4, &[9])), format!("{table} has gaps"));
    let first = prepare(&|image| image.told.preopens = 9);
    assert_eq!(first, format!("{table} does not begin with the first one"));
    let copy = prepare(&|image| {
        let table = image.memory[2048..2048 + 66 * 8].to_vec();
        image.memory[10_000..10_000 + table.len()].copy_from_slice(&table);
    });
    assert_eq!(copy, format!("{table} could be in 2 places"));
}

#[test]
fn long_zeros_are_no_part_of_a_segment() {
    let mut image = image();
    image.memory = vec![0; 2 * PAGE];
    assert_eq!(image.segments(), []);
    for at in [100, 200, 4400, 8400, 20_000, 2 * PAGE - 1] {
        image.memory[at] = 1;
    }
    // In blocks of 64 bytes; a gap shorter than 4096 stays.
    let segments = [
        (64, 256),
        (4352, 8448),
        (19_968, 20_032),
        (131_008, 131_072),
    ];
    assert_eq!(image.segments(), segments);
}

// --- build --------------------------------------------------------------------------------------

fn snapshot(text: &str) -> Vec<u8> {
    build(&module(text), &mut image()).unwrap()
}

#[test]
fn a_snapshot_begins_where_the_image_was_taken() {
    let host = Host {
        args: strings(&["python", "-c", "two words", ""]),
        environ: strings(&["A=1", "B="]),
        preopens: strings(&["/", ".", "./a/b", "//tmp", "/x/."]),
        ..Host::default()
    };
    let ran = run(&snapshot(GUEST), host);
    // `exec` ended the program; it got its code and globals.
    assert_eq!(ran.store.data().exited, Some(7));
    assert_eq!(
        [ran.word(1300), ran.word(1308), ran.word(1312)],
        [EXEC, 2, 0]
    );
    let given = ran.word(1304);
    assert_eq!([ran.word(given), ran.word(given + 4)], [700, 704]);
    // Arguments and environment are in the buffer, where resume.py looks for them.
    let head: Vec<u32> = (0..6).map(|i| ran.word(BUFFER + 4 * i)).collect();
    assert_eq!(head[..4], [4, 21, 2, 7]);
    let text = |at: u32, size: u32| &ran.memory()[at as usize..(at + size) as usize];
    assert_eq!(text(head[4], head[1]), b"python\0-c\0two words\0\0");
    assert_eq!(text(head[5], head[3]), b"A=1\0B=\0");
    // libc's table leads to this run's preopens, under the names that libc gives them.
    let names: Vec<String> = (0..66).map(|i| ran.text(ran.word(TABLE + 8 * i))).collect();
    assert_eq!(names[..5], ["", "", "a/b", "tmp", "x/."]);
    assert!(names[5..].iter().all(|name| name == "\u{1}"));
    assert!((0..66).all(|i| ran.word(TABLE + 8 * i + 4) == 3 + i));
    // Initialised once, in the image. Globals go on; code still finds its passive data.
    assert_eq!(ran.word(1400), 1);
    let global = |name| ran.instance.get_global(&ran.store, name).unwrap();
    let [sp, wide, half, fixed] =
        ["sp", "wide", "half", "fixed"].map(|g| global(g).get(&ran.store));
    assert_eq!((sp.i32(), wide.i64()), (Some(5000), Some(-2)));
    assert_eq!(half.f64().map(f64::from), Some(0.5));
    assert_eq!(fixed.i32(), Some(9));
    assert_eq!(ran.text(1500), "passive");
    assert_eq!(ran.memory().len(), 4 * PAGE);
}

#[test]
fn what_does_not_fit_into_the_buffer_gets_new_pages() {
    let long = "x".repeat(100_000);
    let host = Host {
        args: vec!["python".into(), long.clone()],
        preopens: strings(&["/"]),
        ..Host::default()
    };
    let ran = run(&snapshot(GUEST), host);
    assert_eq!(ran.store.data().exited, Some(7));
    let at = ran.word(BUFFER + 16);
    assert!(at as usize >= 4 * PAGE);
    assert_eq!(ran.text(at + 7), long);
    assert_eq!(ran.text(ran.word(TABLE)), "");
    assert_eq!(ran.text(ran.word(TABLE + 8)), "\u{1}");
}

#[test]
fn preopens_whose_names_find_no_room_end_the_run() {
    let host = Host {
        preopens: (0..60).map(|_| "x".repeat(2000)).collect(),
        ..Host::default()
    };
    let ran = run(&snapshot(GUEST), host);
    assert_eq!(ran.store.data().exited, None);
    assert!(ran.error.contains("unreachable"), "{}", ran.error);
}

#[test]
fn a_snapshot_without_passive_data_is_valid() {
    let text = GUEST.replace("(data $passive \"passive\")", "").replace(
        "(memory.init $passive (i32.const 1500) (i32.const 0) (i32.const 7))",
        "",
    );
    let written = written(&text);
    let module = module(&text);
    let mut image = Image::parse(written, &Shape::read(&module).unwrap()).unwrap();
    let ran = run(&build(&module, &mut image).unwrap(), Host::default());
    assert_eq!(ran.store.data().exited, Some(7));
    assert_eq!(ran.word(1400), 1);
}
