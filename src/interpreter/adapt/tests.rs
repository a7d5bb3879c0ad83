use super::streams::{EIO, EPIPE};
use super::*;
use wasmi::{Caller, Engine, Extern, Linker, Memory, Store};

/// A WASI of a few functions, that notes what it is asked.
#[derive(Default)]
struct Host {
    /// Names of the preopened folders, from descriptor 3.
    preopens: Vec<&'static str>,
    environ: Vec<&'static str>,
    /// What `clock_time_get` answers; `None` is an error.
    now: Option<u64>,
    /// The (timeout, flags) of each subscription, call by call.
    polled: Vec<Vec<(u64, u16)>>,
    /// `path_open`: descriptor, path, oflags, rights.
    opened: Vec<(i32, String, i32, i64)>,
    /// `fd_write`: descriptor, bytes.
    written: Vec<(i32, Vec<u8>)>,
    environ_reads: u32,
    /// The descriptor that `path_open` gives; 0 is 77.
    opens: i32,
    /// Descriptors whose times were set.
    set_times: Vec<i32>,
    /// `path_filestat_get`: descriptor and path.
    looked_at: Vec<(i32, String)>,
    exited: Option<i32>,
}

const EBADF: i32 = 8;
const EINVAL: i32 = 28;
const ENOENT: i32 = 44;
const EACCES: i32 = 2;

fn memory(caller: &Caller<'_, Host>) -> Memory {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    memory.unwrap()
}

fn bytes(caller: &Caller<'_, Host>, at: i32, length: usize) -> Vec<u8> {
    memory(caller).data(caller)[at as usize..][..length].to_vec()
}

fn int(caller: &Caller<'_, Host>, at: i32) -> i32 {
    i32::from_le_bytes(bytes(caller, at, 4).try_into().unwrap())
}

fn put(caller: &mut Caller<'_, Host>, at: i32, bytes: &[u8]) {
    memory(caller).write(caller, at as usize, bytes).unwrap();
}

/// Instantiates a module with that WASI.
fn start(module: &[u8], host: Host) -> (Store<Host>, wasmi::Instance) {
    type C<'a> = Caller<'a, Host>;
    let engine = Engine::default();
    let mut store = Store::new(&engine, host);
    let mut linker = Linker::<Host>::new(&engine);
    linker
        .func_wrap(PREVIEW1, "proc_exit", |mut c: C<'_>, code: i32| {
            c.data_mut().exited = Some(code);
            Err::<(), _>(wasmi::Error::i32_exit(code))
        })
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "fd_prestat_get",
            |mut c: C<'_>, fd: i32, p: i32| {
                let Some(name) = c.data().preopens.get(fd as usize - 3) else {
                    return EBADF;
                };
                let length = name.len() as u32;
                put(&mut c, p, &[0, 0, 0, 0]);
                put(&mut c, p + 4, &length.to_le_bytes());
                0
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "fd_prestat_dir_name",
            |mut c: C<'_>, fd: i32, p: i32, length: i32| {
                let name = c.data().preopens[fd as usize - 3];
                put(&mut c, p, &name.as_bytes()[..length as usize]);
                0
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "path_open",
            #[allow(clippy::too_many_arguments)]
            |mut c: C<'_>,
             fd: i32,
             _: i32,
             path: i32,
             length: i32,
             oflags: i32,
             rights: i64,
             _: i64,
             _: i32,
             opened: i32| {
                let path = bytes(&c, path, length as usize);
                let path = String::from_utf8(path).unwrap();
                c.data_mut().opened.push((fd, path, oflags, rights));
                let new = if c.data().opens == 0 {
                    77
                } else {
                    c.data().opens
                };
                put(&mut c, opened, &new.to_le_bytes());
                0
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "fd_write",
            |mut c: C<'_>, fd: i32, iov: i32, count: i32, error: i32| {
                // A write of -1 buffers is one that a test wants to fail.
                if count == -1 {
                    return error;
                }
                let data = bytes(&c, int(&c, iov), int(&c, iov + 4) as usize);
                c.data_mut().written.push((fd, data));
                0
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "fd_fdstat_get",
            |mut c: C<'_>, fd: i32, p: i32| match fd {
                9 => EBADF,
                _ => {
                    put(&mut c, p, &[if fd == 4 { 4 } else { 2 }; 24]);
                    0
                }
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "fd_filestat_get",
            |mut c: C<'_>, fd: i32, p: i32| {
                if fd == 9 {
                    return EBADF;
                }
                put(&mut c, p, &[2; 64]);
                0
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "path_filestat_get",
            |mut c: C<'_>, fd: i32, _: i32, path: i32, length: i32, p: i32| {
                let text = String::from_utf8(bytes(&c, path, length as usize)).unwrap();
                c.data_mut().looked_at.push((fd, text));
                put(&mut c, p, &[2; 64]);
                if int(&c, path) == 0 { ENOENT } else { 0 }
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "path_remove_directory",
            |c: C<'_>, fd: i32, path: i32, length: i32| {
                let text = String::from_utf8(bytes(&c, path, length as usize)).unwrap();
                assert_eq!(c.data().looked_at, [(fd, text)]);
                ENOENT
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "fd_close",
            |_: C<'_>, fd: i32| {
                if fd == 9 { EBADF } else { 0 }
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "fd_renumber",
            |_: C<'_>, from: i32, _: i32| {
                if from == 9 { EBADF } else { 0 }
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "fd_filestat_set_times",
            |mut c: C<'_>, fd: i32, accessed: i64, modified: i64, flags: i32| {
                assert_eq!((accessed, modified, flags), (11, 12, 5));
                c.data_mut().set_times.push(fd);
                0
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "path_filestat_set_times",
            |mut c: C<'_>,
             fd: i32,
             follow: i32,
             path: i32,
             length: i32,
             accessed: i64,
             modified: i64,
             flags: i32| {
                let paths = (follow, path, length);
                assert_eq!((paths, accessed, modified, flags), ((1, 64, 4), 11, 12, 5));
                c.data_mut().set_times.push(fd);
                0
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "environ_sizes_get",
            |mut c: C<'_>, count: i32, size: i32| {
                let environ = &c.data().environ;
                let total = environ.iter().map(|e| e.len() + 1).sum::<usize>() as u32;
                let entries = environ.len() as u32;
                put(&mut c, count, &entries.to_le_bytes());
                put(&mut c, size, &total.to_le_bytes());
                0
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "environ_get",
            |mut c: C<'_>, pointers: i32, mut text: i32| {
                c.data_mut().environ_reads += 1;
                for (i, entry) in c.data().environ.clone().iter().enumerate() {
                    put(&mut c, pointers + 4 * i as i32, &text.to_le_bytes());
                    put(&mut c, text, format!("{entry}\0").as_bytes());
                    text += entry.len() as i32 + 1;
                }
                0
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "poll_oneoff",
            |mut c: C<'_>, input: i32, _: i32, count: i32, events: i32| {
                let mut seen = Vec::new();
                for i in 0..count.min(100) {
                    let sub = bytes(&c, input + 48 * i, 48);
                    seen.push((
                        u64::from_le_bytes(sub[24..32].try_into().unwrap()),
                        u16::from_le_bytes(sub[40..42].try_into().unwrap()),
                    ));
                }
                c.data_mut().polled.push(seen);
                put(&mut c, events, &count.to_le_bytes());
                0
            },
        )
        .unwrap()
        .func_wrap(
            PREVIEW1,
            "clock_time_get",
            |mut c: C<'_>, _: i32, _: i64, p: i32| match c.data().now {
                Some(now) => {
                    put(&mut c, p, &now.to_le_bytes());
                    0
                }
                None => EINVAL,
            },
        )
        .unwrap();
    let module = wasmi::Module::new(&engine, module).unwrap();
    let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
    (store, instance)
}

/// A guest that imports what CPython does and lets the test call it.
const GUEST: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_dir_name"
        (func (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_fdstat_get"
        (func $fdstat (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_filestat_get"
        (func $filestat (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get"
        (func (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_renumber"
        (func $renumber (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_filestat_set_times"
        (func $fd_times (param i32 i64 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_filestat_set_times"
        (func $path_times (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_filestat_get"
        (func (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_remove_directory"
        (func $rmdir (param i32 i32 i32) (result i32)))
    (type $exiting (func (param i32)))
    (memory (export "memory") 1)
    (table 1 funcref)
    (elem (i32.const 0) $proc_exit)
    (elem declare func $proc_exit)
    (func (export "exit") (param i32) (call $proc_exit (local.get 0)))
    (func (export "exit_by_table") (param i32)
        (call_indirect (type $exiting) (local.get 0) (i32.const 0)))
    (func (export "exit_by_reference") (param i32)
        (table.set (i32.const 0) (ref.func $proc_exit))
        (call_indirect (type $exiting) (local.get 0) (i32.const 0)))
    (func (export "fdstat") (param i32 i32) (result i32)
        (call $fdstat (local.get 0) (local.get 1)))
    (func (export "filestat") (param i32 i32) (result i32)
        (call $filestat (local.get 0) (local.get 1)))
    (func (export "poll") (param i32 i32 i32 i32) (result i32)
        (call $poll (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
    (func (export "write_failing") (param i32 i32) (result i32)
        (call $write (local.get 0) (i32.const 0) (i32.const -1) (local.get 1)))
    (func (export "open") (param i32) (result i32)
        (call $open (local.get 0) (i32.const 0) (i32.const 64) (i32.const 4) (i32.const 0)
            (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 128)))
    (func (export "open_with") (param i32 i64) (result i32)
        (call $open (local.get 0) (i32.const 0) (i32.const 64) (i32.const 4) (i32.const 0)
            (local.get 1) (i64.const 0) (i32.const 0) (i32.const 128)))
    (func (export "close") (param i32) (result i32) (call $close (local.get 0)))
    (func (export "renumber") (param i32 i32) (result i32)
        (call $renumber (local.get 0) (local.get 1)))
    (func (export "fd_times") (param i32) (result i32)
        (call $fd_times (local.get 0) (i64.const 11) (i64.const 12) (i32.const 5)))
    (func (export "path_times") (param i32) (result i32)
        (call $path_times (local.get 0) (i32.const 1) (i32.const 64) (i32.const 4)
            (i64.const 11) (i64.const 12) (i32.const 5)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "rmdir") (param i32) (result i32)
        (call $rmdir (local.get 0) (i32.const 64) (i32.const 4)))
    (func (export "pages") (result i32) (memory.size)))"#;

fn adapted(text: &str, adaptations: &[Adaptation]) -> Vec<u8> {
    let module = wat::parse_str(text).unwrap();
    let set = adaptations.iter().copied().collect();
    let output = adapt(&module, &set).unwrap();
    validate(&output);
    output
}

fn validate(module: &[u8]) {
    wasmparser::Validator::new().validate_all(module).unwrap();
}

fn call<P: wasmi::WasmParams, R: wasmi::WasmResults>(
    (store, instance): &mut (Store<Host>, wasmi::Instance),
    name: &str,
    params: P,
) -> Result<R, wasmi::Error> {
    let function = instance.get_typed_func::<P, R>(&*store, name).unwrap();
    function.call(store, params)
}

fn guest_memory(guest: &mut (Store<Host>, wasmi::Instance)) -> &mut [u8] {
    let memory = guest.1.get_memory(&guest.0, "memory").unwrap();
    memory.data_mut(&mut guest.0)
}

fn exit(name: &str, code: i32, preopens: &[&'static str]) -> Host {
    let host = Host {
        preopens: preopens.to_vec(),
        ..Host::default()
    };
    let mut guest = start(&adapted(GUEST, &[Adaptation::ExitCode]), host);
    call::<_, ()>(&mut guest, name, code).unwrap_err();
    guest.0.into_data()
}

#[test]
fn names_are_those_of_serde() {
    for adaptation in Adaptation::ALL {
        let json = serde_json::to_string(&adaptation).unwrap();
        assert_eq!(json, format!("\"{}\"", adaptation.name()));
    }
}

#[test]
fn every_choice_of_adaptations_gives_a_valid_module() {
    for bits in 0..1 << Adaptation::ALL.len() {
        let chosen = Adaptation::ALL.into_iter().enumerate();
        let chosen = chosen.filter(|(i, _)| bits & (1 << i) != 0);
        adapted(GUEST, &chosen.map(|(_, a)| a).collect::<Vec<_>>());
    }
}

#[test]
fn every_wrapper_knows_its_signatures() {
    for wrapper in WRAPPERS {
        for import in [wrapper.import].iter().chain(wrapper.needs) {
            assert!(SIGNATURES.iter().any(|(name, ..)| name == import));
        }
    }
}

#[test]
fn small_exit_codes_pass() {
    for code in [0, 1, 125] {
        let host = exit("exit", code, &["/.pyw/rc"]);
        assert_eq!(host.exited, Some(code));
        assert!(host.written.is_empty());
    }
}

#[test]
fn large_exit_codes_are_written_down() {
    for (code, name) in [
        (126, "exit"),
        (200, "exit_by_table"),
        (255, "exit_by_reference"),
        (-1, "exit"),
    ] {
        let host = exit(name, code, &["/", "/.pyw/rx", "/.pyw/rc", "/tmp"]);
        assert_eq!(host.exited, Some(1));
        // CREAT | TRUNC, and the right FD_WRITE.
        assert_eq!(host.opened, [(5, "code".to_string(), 9, 64)]);
        assert_eq!(host.written, [(77, code.to_le_bytes().to_vec())]);
    }
}

#[test]
fn without_the_mount_exit_codes_pass() {
    for preopens in [&[][..], &["/", "/.pyw/rc2", "/.pyw/rx"]] {
        let host = exit("exit", 200, preopens);
        assert_eq!(host.exited, Some(200));
        assert!(host.opened.is_empty());
    }
}

/// The filetypes of descriptors 0 to 2, and how often the environment was read.
fn filetypes(environ: &[&'static str]) -> ([u8; 3], [u8; 3], u32) {
    let host = Host {
        environ: environ.to_vec(),
        ..Host::default()
    };
    let mut guest = start(&adapted(GUEST, &[Adaptation::Tty]), host);
    let mut found = ([0; 3], [0; 3]);
    for fd in 0..3 {
        let error: i32 = call(&mut guest, "fdstat", (fd, 512)).unwrap();
        assert_eq!(error, 0);
        found.0[fd as usize] = guest_memory(&mut guest)[512];
        // The rest is as the runtime wrote it.
        assert_eq!(guest_memory(&mut guest)[513..536], [2; 23]);
        let _: i32 = call(&mut guest, "filestat", (fd, 512)).unwrap();
        found.1[fd as usize] = guest_memory(&mut guest)[528];
    }
    // Memory that was taken for the environment is clean again.
    assert!(guest_memory(&mut guest)[1 << 16..].iter().all(|b| *b == 0));
    (found.0, found.1, guest.0.into_data().environ_reads)
}

#[test]
fn streams_that_are_no_terminal_are_told_so() {
    let env = ["A=1", "PYW_TTYX=0", "PYW_TTY=2", "Z"];
    assert_eq!(filetypes(&env), ([0, 2, 0], [0, 2, 0], 1));
    assert_eq!(filetypes(&["PYW_TTY=0"]), ([0; 3], [0; 3], 1));
    assert_eq!(filetypes(&["PYW_TTY=5"]), ([2, 0, 2], [2, 0, 2], 1));
    assert_eq!(filetypes(&["PYW_TTY=7"]), ([2; 3], [2; 3], 1));
}

#[test]
fn without_the_variable_streams_stay() {
    for env in [&[][..], &["PYW_TTY"], &["PYW_TTY="], &["PYW_TTY=8"], &["A"]] {
        assert_eq!(filetypes(env).0, [2; 3], "{env:?}");
    }
}

#[test]
fn a_large_environment_is_read() {
    let long: &'static str = Box::leak(format!("A={}", "x".repeat(200_000)).into());
    assert_eq!(filetypes(&[long, "PYW_TTY=1"]).0, [2, 0, 0]);
}

#[test]
fn other_descriptors_and_errors_stay() {
    let host = Host {
        environ: vec!["PYW_TTY=0"],
        ..Host::default()
    };
    let mut guest = start(&adapted(GUEST, &[Adaptation::Tty]), host);
    for (fd, error, filetype) in [(3, 0, 2), (4, 0, 4), (9, EBADF, 4)] {
        let got: i32 = call(&mut guest, "fdstat", (fd, 64)).unwrap();
        assert_eq!((got, guest_memory(&mut guest)[64]), (error, filetype));
    }
    assert_eq!(guest.0.data().environ_reads, 0);
}

/// Polls with subscriptions of (tag, timeout, flags); what the runtime saw of each.
fn poll_with(
    adaptations: &[Adaptation],
    now: Option<u64>,
    subscriptions: &[(u8, u64, u16)],
) -> Vec<(u64, u16)> {
    let host = Host {
        now,
        ..Host::default()
    };
    let mut guest = start(&adapted(GUEST, adaptations), host);
    let mut input = Vec::new();
    for (tag, timeout, flags) in subscriptions {
        let mut sub = [0xaa; 48];
        sub[8] = *tag;
        sub[16..20].copy_from_slice(&1u32.to_le_bytes());
        sub[24..32].copy_from_slice(&timeout.to_le_bytes());
        sub[40..42].copy_from_slice(&flags.to_le_bytes());
        input.extend(sub);
    }
    let mut pages = 0;
    // Twice: the scratch area has to serve again.
    for round in 0..2 {
        guest_memory(&mut guest)[1024..][..input.len()].copy_from_slice(&input);
        let count = subscriptions.len() as i32;
        let error: i32 = call(&mut guest, "poll", (1024, 8192, count, 512)).unwrap();
        assert_eq!(error, 0);
        let memory = guest_memory(&mut guest);
        assert_eq!(memory[512..516], count.to_le_bytes());
        assert_eq!(memory[1024..][..input.len()], input, "the caller's memory");
        assert!(memory[..512].iter().all(|byte| *byte == 0));
        let size: i32 = call(&mut guest, "pages", ()).unwrap();
        assert!(round == 0 || size == pages, "memory leaks");
        pages = size;
    }
    let mut polled = guest.0.into_data().polled;
    assert_eq!(polled[0], polled[1]);
    polled.remove(0)
}

#[test]
fn a_timeout_of_zero_becomes_one() {
    let poll = |subs: &[_]| poll_with(&[Adaptation::PollZero], None, subs);
    assert_eq!(poll(&[(0, 0, 0)]), [(1, 0)]);
    assert_eq!(poll(&[(0, 0, 1)]), [(1, 1)]);
    assert_eq!(poll(&[(0, 7, 0)]), [(7, 0)]);
    // Descriptors have no timeout, whatever stands there.
    assert_eq!(
        poll(&[(1, 0, 0), (0, 0, 0), (2, 0, 0), (0, 9, 1), (0, 0, 0)]),
        [(0, 0), (1, 0), (0, 0), (9, 1), (1, 0)]
    );
    assert_eq!(poll(&[(1, 0, 0)]), [(0, 0)]);
    assert_eq!(poll(&[]), []);
}

#[test]
fn points_in_time_become_durations() {
    let poll = |now, subs: &[_]| poll_with(&[Adaptation::RelativeClock], now, subs);
    assert_eq!(poll(Some(100), &[(0, 150, 1)]), [(50, 0)]);
    assert_eq!(poll(Some(100), &[(0, 100, 1)]), [(1, 0)]);
    assert_eq!(poll(Some(100), &[(0, 3, 1)]), [(1, 0)]);
    assert_eq!(poll(Some(1), &[(0, u64::MAX, 1)]), [(u64::MAX - 1, 0)]);
    assert_eq!(
        poll(Some(100), &[(1, 5, 1), (0, 0, 0), (0, 101, 1)]),
        [(5, 1), (0, 0), (1, 0)]
    );
    // A clock that cannot be read is the runtime's to refuse.
    assert_eq!(poll(None, &[(0, 150, 1)]), [(150, 1)]);
}

#[test]
fn wrappers_of_one_import_work_together() {
    let both = [Adaptation::PollZero, Adaptation::RelativeClock];
    assert_eq!(
        poll_with(
            &both,
            Some(100),
            &[(0, 0, 0), (0, 150, 1), (0, 0, 1), (1, 0, 0)]
        ),
        [(1, 0), (50, 0), (1, 0), (0, 0)]
    );
}

#[test]
fn an_error_on_an_output_stream_is_a_broken_pipe() {
    let mut guest = start(&adapted(GUEST, &[Adaptation::BrokenPipe]), Host::default());
    let mut write = |fd| call::<_, i32>(&mut guest, "write_failing", (fd, EIO)).unwrap();
    assert_eq!(
        [write(0), write(1), write(2), write(3)],
        [EIO, EPIPE, EPIPE, EIO]
    );
    let mut other = |error| call::<_, i32>(&mut guest, "write_failing", (1, error)).unwrap();
    assert_eq!([other(0), other(8)], [0, 8]);
}

#[test]
fn absurd_counts_reach_the_runtime() {
    let mut guest = start(&adapted(GUEST, &[Adaptation::PollZero]), Host::default());
    let error: i32 = call(&mut guest, "poll", (1024, 8192, -1, 512)).unwrap();
    assert_eq!(error, 0);
    assert_eq!(guest.0.data().polled[0].len(), 0);
}

#[test]
fn a_module_without_the_import_only_loses_its_debug_information() {
    let mut module = wat::parse_str(r#"(module $m (func $f (export "_start")))"#).unwrap();
    let original = module.clone();
    for name in [".debug_info", ".debug_str"] {
        module.extend([0, name.len() as u8 + 4, name.len() as u8]);
        module.extend(name.as_bytes());
        module.extend([1, 2, 3]);
    }
    let all = Adaptation::ALL.into_iter().collect();
    assert_eq!(adapt(&module, &all).unwrap(), original);
}

#[test]
fn a_missing_section_of_globals_is_added_where_it_belongs() {
    for rest in [
        r#"(func (export "_start") (call $exit (i32.const 0)))"#,
        r#"(func (call $exit (i32.const 0)))"#,
        r#"(func $f (call $exit (i32.const 0))) (start $f)"#,
        r#"(table 1 funcref) (elem (i32.const 0) $exit) (func) (data "x")"#,
        r#"(global i32 (i32.const 1)) (func (call $exit (global.get 0)))"#,
        r#"(table 1 funcref (ref.func $exit)) (func)"#,
    ] {
        let text = format!(
            r#"(module (import "wasi_snapshot_preview1" "poll_oneoff"
                (func $poll (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory 1) (func $p (drop (call $poll
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
            {rest})"#
        );
        adapted(&text, &[Adaptation::PollZero]);
    }
}

#[test]
fn what_cannot_be_adapted_says_why() {
    let problem = |text: &str| {
        let module = wat::parse_str(text).unwrap();
        let all = Adaptation::ALL.into_iter().collect();
        adapt(&module, &all).unwrap_err().problem
    };
    let import = r#"import "wasi_snapshot_preview1" "#;
    assert!(matches!(
        problem(&format!(
            r#"(module ({import} "proc_exit" (func (param i32))) (memory 1) (func))"#
        )),
        Problem::MissingImport {
            adaptation: "exit-code",
            import: "fd_prestat_get"
        }
    ));
    assert!(matches!(
        problem(&format!(
            r#"(module ({import} "proc_exit" (func (param i64))) (memory 1) (func))"#
        )),
        Problem::ImportType("proc_exit")
    ));
    assert!(matches!(
        problem(&GUEST.replace(r#""memory") 1"#, r#""memory") 0"#)),
        Problem::UnsuitableMemory
    ));
    assert!(matches!(problem("(component)"), Problem::Component));
}

#[test]
fn no_bytes_make_it_panic() {
    let original = wat::parse_str(GUEST).unwrap();
    let all = Adaptation::ALL.into_iter().collect();
    for at in 0..original.len() {
        let _ = adapt(&original[..at], &all);
        for change in [1, 0x80, 0xff] {
            let mut bytes = original.clone();
            bytes[at] ^= change;
            let _ = adapt(&bytes, &all);
        }
    }
}

/// A guest with [`Adaptation::ReadOnlyTimes`] and a path in its memory.
struct Times(Store<Host>, wasmi::Instance);

impl Times {
    fn start(environ: &[&'static str]) -> Times {
        Times::with(Adaptation::ReadOnlyTimes, environ)
    }

    fn with(adaptation: Adaptation, environ: &[&'static str]) -> Times {
        let host = Host {
            environ: environ.to_vec(),
            ..Host::default()
        };
        let (store, instance) = start(&adapted(GUEST, &[adaptation]), host);
        let mut times = Times(store, instance);
        times.path(b"file");
        times
    }

    fn path(&mut self, path: &[u8; 4]) {
        let memory = self.1.get_memory(&self.0, "memory").unwrap();
        memory.write(&mut self.0, 64, path).unwrap();
    }

    fn call<P: wasmi::WasmParams>(&mut self, name: &str, params: P) -> i32 {
        let function = self.1.get_typed_func::<P, i32>(&self.0, name).unwrap();
        function.call(&mut self.0, params).unwrap()
    }

    /// Opens something from `fd` that gets the number `new`.
    fn open(&mut self, fd: i32, new: i32) {
        self.0.data_mut().opens = new;
        assert_eq!(self.call("open", fd), 0);
    }

    /// Whether times can be set, by descriptor and by path alike.
    fn set(&mut self, fd: i32) -> bool {
        self.0.data_mut().set_times.clear();
        let answers = [self.call("fd_times", fd), self.call("path_times", fd)];
        let set = &self.0.data().set_times;
        match answers {
            [0, 0] => assert_eq!(*set, [fd, fd]),
            _ => {
                assert_eq!(answers, [EACCES, EACCES]);
                assert!(set.is_empty());
            }
        }
        answers[0] == 0
    }
}

#[test]
fn times_are_set_only_where_writing_is_granted() {
    let mut guest = Times::start(&["A=1", "PYW_DIR=rwrw"]);
    for (fd, set) in [
        (0, true),
        (1, true),
        (2, true),
        (3, false),
        (4, true),
        (5, false),
        (6, true),
        (7, false),
        (-1, false),
    ] {
        assert_eq!(guest.set(fd), set, "{fd}");
    }
    assert_eq!(guest.0.data().environ_reads, 1);
}

#[test]
fn what_is_opened_is_as_what_it_was_opened_from() {
    let mut guest = Times::start(&["PYW_DIR=rw"]);
    // Numbers as random as WasmEdge's, and through several folders.
    guest.open(4, 123_456_789);
    guest.open(123_456_789, -7);
    guest.open(3, 50);
    guest.open(50, 51);
    assert!(guest.set(123_456_789) && guest.set(-7));
    assert!(!guest.set(50) && !guest.set(51));
    // Numbers are used again.
    assert_eq!(guest.call("close", -7), 0);
    assert!(!guest.set(-7));
    guest.open(3, -7);
    assert!(!guest.set(-7) && guest.set(123_456_789) && guest.set(4));
    assert_eq!(guest.call("close", 50), 0);
    guest.open(123_456_789, 50);
    assert!(guest.set(50));
    // Also without having been closed, as the module sees it.
    guest.open(3, 50);
    assert!(!guest.set(50));
}

#[test]
fn renumbering_takes_the_times_along() {
    let mut guest = Times::start(&["PYW_DIR=rw"]);
    guest.open(3, 10);
    guest.open(4, 11);
    assert_eq!(guest.call("renumber", (10, 1)), 0);
    assert!(!guest.set(1) && !guest.set(10));
    assert_eq!(guest.call("renumber", (11, 10)), 0);
    assert!(guest.set(10) && !guest.set(11));
    assert_eq!(guest.call("renumber", (10, 10)), 0);
    assert!(guest.set(10));
    assert_eq!(guest.call("renumber", (9, 10)), EBADF);
    assert!(guest.set(10));
}

#[test]
fn other_errors_come_before_the_refusal() {
    let mut guest = Times::start(&["PYW_DIR=rw"]);
    assert_eq!(guest.call("fd_times", 9), EBADF);
    guest.path(&[0; 4]);
    assert_eq!(guest.call("path_times", 3), ENOENT);
    assert!(guest.0.data().set_times.is_empty());
}

#[test]
fn without_the_variable_times_are_the_runtimes() {
    let mut guest = Times::start(&["PYW_DIRS=r"]);
    guest.open(3, 9);
    assert!(guest.set(3));
    let mut none = Times::start(&["PYW_DIR="]);
    assert!(none.set(1) && !none.set(3));
}

#[test]
fn a_full_list_withholds() {
    let mut guest = Times::start(&["PYW_DIR=w"]);
    let last = 100 + times::SLOTS as i32 - 4;
    for fd in 100..last + 10 {
        guest.open(3, fd);
    }
    assert!(guest.set(100) && guest.set(last - 1) && !guest.set(last));
    for fd in 100..last {
        assert_eq!(guest.call("close", fd), 0);
    }
    assert!(!guest.set(100) && guest.set(3));
    guest.open(3, 100);
    assert!(guest.set(100));
}

#[test]
fn times_of_what_was_opened_for_writing_are_set() {
    let mut guest = Times::with(Adaptation::OpenedTimes, &["PYW_DIR=w"]);
    let mut open = |rights: i64, new| {
        guest.0.data_mut().opens = new;
        assert_eq!(guest.call("open_with", (3, rights)), 0);
        guest.call("fd_times", new)
    };
    // FD_READ, FD_WRITE, both, and FD_WRITE again.
    assert_eq!(open(2, 50), EACCES);
    assert_eq!(open(64, 51), 0);
    assert_eq!(open(66, 50), 0);
    assert_eq!(open(2, 51), EACCES);
    assert_eq!(guest.call("fd_times", 50), 0);
    assert_eq!(guest.call("close", 50), 0);
    assert_eq!(guest.call("fd_times", 50), EACCES);
    // Paths are the runtime's.
    assert_eq!(guest.call("path_times", 3), 0);
    assert_eq!(guest.0.data().environ_reads, 0);
}

/// The result of growing by so many pages, one after the other, and how many there are then.
fn grow(environ: &[&'static str], steps: &[i32]) -> (Vec<i32>, i32) {
    let host = Host {
        environ: environ.to_vec(),
        ..Host::default()
    };
    let mut guest = start(&adapted(GUEST, &[Adaptation::MemoryLimit]), host);
    let mut grow = |pages: &i32| call(&mut guest, "grow", *pages).unwrap();
    let results = steps.iter().map(&mut grow).collect();
    (results, call(&mut guest, "pages", ()).unwrap())
}

#[test]
fn memory_grows_up_to_the_limit() {
    // One page was there, and one more holds the environment.
    let limit = ["PYW_ME=1", "PYW_MEM=12", "Z=1"];
    assert_eq!(grow(&limit, &[0, 4, 7, 6, 1]), (vec![2, 2, -1, 6, -1], 12));
    assert_eq!(grow(&limit, &[-1, 0x7fff_ffff, 11, 10]).0, [-1, -1, -1, 2]);
    // More than there is already.
    assert_eq!(grow(&["PYW_MEM=1"], &[1, 0]), (vec![-1, 2], 2));
    assert_eq!(grow(&["PYW_MEM="], &[1]).0, [-1]);
}

#[test]
fn without_the_variable_memory_grows() {
    assert_eq!(grow(&["A=1"], &[100, 70_000]), (vec![2, -1], 102));
}

#[test]
fn a_folder_is_looked_at_before_it_is_removed() {
    let mut guest = Times::with(Adaptation::StatBeforeRmdir, &[]);
    assert_eq!(guest.call("rmdir", 5), ENOENT);
    assert_eq!(guest.0.data().looked_at, [(5, "file".to_string())]);
}

/// A guest with a stack of 64 KiB below its data, as LLVM lays it out, and a C function that calls
/// itself.
const STACK: &str = r#"(module
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func (param i32 i32) (result i32)))
    (memory (export "memory") 3)
    (global $sp (mut i32) (i32.const 65536))
    (func (export "_start") (drop (call $deep (i32.const 1))))
    (func $deep (export "deep") (param $n i32) (result i32) (local $frame i32)
        (global.set $sp (local.tee $frame (i32.sub (global.get $sp) (i32.const 16384))))
        (i64.store (local.get $frame) (i64.const -1))
        (i64.store offset=16376 (local.get $frame) (i64.const -1))
        (if (local.get $n) (then
            (local.set $n (call $deep (i32.sub (local.get $n) (i32.const 1))))))
        (global.set $sp (i32.add (local.get $frame) (i32.const 16384)))
        (local.get $n))
    (func (export "sp") (result i32) (global.get $sp))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "size") (result i32) (memory.size)))"#;

fn start_stack(text: &str, adaptations: &[Adaptation]) -> Times {
    let host = Host {
        environ: vec!["PYW_MEM=100"],
        ..Host::default()
    };
    let (store, instance) = start(&adapted(text, adaptations), host);
    let mut guest = Times(store, instance);
    let function = guest.1.get_typed_func::<(), ()>(&guest.0, "_start");
    function.unwrap().call(&mut guest.0, ()).unwrap();
    guest
}

#[test]
fn a_small_stack_is_replaced() {
    let mut guest = start_stack(STACK, &[Adaptation::Stack]);
    let pages = stack::PAGES;
    assert_eq!(guest.call("sp", ()), (3 + pages) << 16);
    // As if nothing had grown, until the guest asks for more.
    assert_eq!(guest.call("size", ()), 3);
    assert_eq!(guest.call("deep", 500), 0);
    let memory = guest.1.get_memory(&guest.0, "memory").unwrap();
    memory.write(&mut guest.0, 65536, &[7; 65536 * 2]).unwrap();
    // Too deep is a trap, and nothing below the stack was written.
    let deep = guest
        .1
        .get_typed_func::<i32, i32>(&guest.0, "deep")
        .unwrap();
    let error = deep.call(&mut guest.0, 520).unwrap_err();
    assert!(error.to_string().contains("unreachable"), "{error}");
    let data = memory.data(&guest.0);
    assert!(data[65536..3 << 16].iter().all(|byte| *byte == 7));
    assert_eq!(guest.call("grow", 1), 3 + pages);
    assert_eq!(guest.call("size", ()), 4 + pages);
}

#[test]
fn a_stack_stays_where_memory_is_short() {
    let mut guest = start_stack(STACK, &[Adaptation::Stack, Adaptation::MemoryLimit]);
    assert_eq!(guest.call("sp", ()), 65536);
    // One page was taken for the environment.
    assert_eq!(guest.call("size", ()), 4);
    assert_eq!(guest.call("deep", 2), 0);
    let deep = guest
        .1
        .get_typed_func::<i32, i32>(&guest.0, "deep")
        .unwrap();
    assert!(deep.call(&mut guest.0, 5).is_err());
}

#[test]
fn what_is_no_small_stack_stays() {
    for (from, to) in [
        ("i32.const 65536", "i32.const 9000000"),
        ("i32.const 65536", "i32.const 65530"),
        ("i32.const 65536", "i32.const 0"),
        ("(mut i32) (i32.const 65536)", "(mut i64) (i64.const 65536)"),
        ("i32.const 16384))))", "i32.const -16384))))"),
        ("(global $sp (mut", r#"(global $sp (export "sp2") (mut"#),
        (
            "(memory (export",
            r#"(import "env" "g" (global (mut i32))) (memory (export"#,
        ),
        (
            r#""_start") (drop"#,
            r#""_start") (result i32) (i32.const 1) (drop"#,
        ),
        (r#""_start""#, r#""_begin""#),
    ] {
        assert!(STACK.contains(from));
        let text = STACK.replace(from, to);
        let text = match to.contains("i64") {
            true => text
                .replace(
                    "(global.get $sp) (i32",
                    "(i32.wrap_i64 (global.get $sp)) (i32",
                )
                .replace(
                    "(global.set $sp (",
                    "(global.set $sp (i64.const 0)) (drop (",
                )
                .replace(
                    "(result i32) (global.get $sp)",
                    "(global.get $sp) drop i32.const 0",
                ),
            false => text,
        };
        let Ok(module) = wat::parse_str(&text) else {
            panic!("{text}");
        };
        let all = [Adaptation::Stack].into_iter().collect();
        let output = adapt(&module, &all).unwrap();
        let none = adapt(&module, &BTreeSet::new()).unwrap();
        assert_eq!(output, none, "{to}");
    }
}

/// A guest with `sbrk` as wasi-libc has it, `poll` to grow memory behind its back, and at most 10
/// pages.
const HEAP: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1 10)
    (func (export "poll") (drop (call $poll (i32.const 0) (i32.const 0) (i32.const 1)
        (i32.const 0))))
    (func $sbrk (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then
            (return (i32.shl (memory.size) (i32.const 16)))))
        (if (i32.eqz (i32.or
            (i32.and (local.get 0) (i32.const 65535))
            (i32.lt_s (local.get 0) (i32.const 0)))) (then
            (local.set 0 (memory.grow (i32.shr_u (local.get 0) (i32.const 16))))
            (if (i32.eq (local.get 0) (i32.const -1)) (then (return (i32.const -1))))
            (return (i32.shl (local.get 0) (i32.const 16)))))
        unreachable)
    (func (export "heap") (param i32) (result i32)
        (i32.shr_s (call $sbrk (i32.shl (local.get 0) (i32.const 16))) (i32.const 16)))
    (func (export "pages") (result i32) (memory.size)))"#;

/// What `sbrk` answers to each of these numbers of pages, in pages; none where it aborts.
fn heap(text: &str, steps: &[i32]) -> Vec<Option<i32>> {
    let host = Host::default();
    let mut guest = start(&adapted(text, &[Adaptation::PollZero]), host);
    let each = |pages: &i32| match pages {
        // A poll, for which the wrapper takes a page.
        99 => call(&mut guest, "poll", ()).map(|()| 99).ok(),
        pages => call(&mut guest, "heap", *pages).ok(),
    };
    steps.iter().map(each).collect()
}

#[test]
fn what_the_heap_gives_back_it_gets_again() {
    let some = |answers: &[i32]| answers.iter().copied().map(Some).collect::<Vec<_>>();
    // As dlmalloc does where the heap has a gap and memory is short: 5 pages, 6 more, all back; then
    // 8 at once, then what there is.
    let gap = [2, 99, 5, 6, -5, 0, 8, 4, 0, 1, 1, 1];
    let answers = [1, 99, 4, -1, 4, 4, -1, 4, 8, 8, 9, -1];
    assert_eq!(heap(HEAP, &gap), some(&answers));
    // Part of it, and more than that.
    assert_eq!(heap(HEAP, &[4, -1, 0, 3, 0]), some(&[1, 4, 4, 4, 7]));
    // What lies below a page of the wrappers is not handed out.
    assert_eq!(heap(HEAP, &[4, -4, 99, 0, 2]), some(&[1, 1, 99, 6, 6]));
    // More than was got last, or what is no longer the end.
    for steps in [[2, 1, -2], [2, -2, -1], [2, 99, -2]] {
        assert_eq!(heap(HEAP, &steps)[2], None);
    }
}

#[test]
fn what_is_not_sbrk_for_certain_stays() {
    let other = r#"(func (param i32) (result i32)
        (drop (memory.size)) (drop (memory.grow (i32.const 65535))) unreachable)
        (func (export "pages")"#;
    for (from, to) in [
        ("(i32.const 65535)", "(i32.const 4095)"),
        (
            "(memory.size) (i32.const 16)",
            "(i32.const 3) (i32.const 16)",
        ),
        (r#"(func (export "pages")"#, other),
    ] {
        assert!(HEAP.contains(from));
        let answers = heap(&HEAP.replacen(from, to, 1), &[2, 0, -2]);
        assert_eq!(answers, [Some(1), Some(3), None], "{to}");
    }
}
