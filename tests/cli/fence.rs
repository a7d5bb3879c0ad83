//! The fence by itself: native Python as the runtime, which by itself is held by nothing. Every
//! attempt is made without the fence as well, where it must succeed.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use pyw::launch;
use pyw::plan::{Confinement, Plan, Watch};
use pyw::sandbox::IsolationLevel;

use crate::store::on_path;

/// What native Python needs to start: the folders of its installation and of the system.
fn confinement(python: &str) -> Confinement {
    let prefix = Utf8PathBuf::from(python);
    let prefix = prefix.parent().and_then(|bin| bin.parent()).unwrap();
    Confinement {
        execute: [
            "/lib",
            "/lib64",
            "/usr/lib",
            "/usr/bin",
            "/bin",
            prefix.as_str(),
        ]
        .map(Utf8PathBuf::from)
        .into(),
        calls: true,
        ..Confinement::default()
    }
}

/// Native Python itself: what stands on PATH may be a script.
fn python() -> Utf8PathBuf {
    let found = on_path("python3").expect("python3 on PATH");
    let ask = "import os, sys; print(os.path.realpath(sys.executable), end='')";
    let told = std::process::Command::new(found).args(["-c", ask]).output();
    String::from_utf8(told.unwrap().stdout).unwrap().into()
}

/// Runs code on native Python and tells what it wrote to stderr.
fn run(code: &str, fenced: bool) -> Result<(), String> {
    let python = python();
    let plan = Plan {
        runtime: "python".into(),
        version: None,
        isolation: IsolationLevel::Process,
        args: ["-I", "-S", "-B", "-c", code].map(str::to_owned).into(),
        env: BTreeMap::new(),
        process_stack: None,
        data: None,
        open_files: None,
        fence: fenced.then(|| confinement(python.as_str())),
        scratch: None,
        watch: Watch::default(),
        grants: Vec::new(),
        program: python,
    };
    launch::capture(&plan, &|| {})
}

/// The code goes through without the fence, and ends in this error of the system's inside it.
fn refused(code: &str, error: &str) {
    if let Err(said) = run(code, false) {
        panic!("without the fence, {code:?} fails as well: {said}");
    }
    match run(code, true) {
        Ok(()) => panic!("{code:?} went through the fence"),
        Err(said) => assert!(said.contains(error), "{code:?}: {said}"),
    }
}

/// The code goes through, fence or not.
fn allowed(code: &str) {
    run(code, true).unwrap_or_else(|said| panic!("{code:?}: {said}"));
}

const DENIED: &str = "Operation not permitted";

#[test]
fn no_socket_reaches_anybody() {
    for kind in ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"] {
        refused(
            &format!("import socket; socket.socket(socket.{kind}, socket.SOCK_DGRAM)"),
            DENIED,
        );
    }
    allowed("import socket; a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'");
}

#[test]
fn no_process_is_started_or_signalled() {
    refused("import os; os.fork() or os._exit(0)", DENIED);
    refused("import os; os.kill(os.getppid(), 0)", DENIED);
    refused(
        "import subprocess; subprocess.run(['/bin/true'], check=True)",
        DENIED,
    );
    allowed("import os; os.kill(os.getpid(), 0)");
    allowed("import threading; t = threading.Thread(target=int); t.start(); t.join()");
}

/// Calls that no module of Python makes, by their numbers on x86-64.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_kernels_doors_are_shut() {
    let call = |number: i64, arguments: &str| {
        format!(
            "import ctypes, os\n\
             libc = ctypes.CDLL(None, use_errno=True)\n\
             done = libc.syscall({number}, {arguments})\n\
             code = ctypes.get_errno()\n\
             # Whatever else is wrong with the call, the kernel has looked at it.\n\
             if done == -1 and code in (1, 38): raise OSError(code, os.strerror(code))"
        )
    };
    for (number, arguments) in [
        (libc::SYS_ptrace, "0, 0, 0, 0"),
        (libc::SYS_io_uring_setup, "0, 0"),
        (libc::SYS_keyctl, "-1, 0, 0, 0, 0"),
        (libc::SYS_userfaultfd, "-1"),
        (libc::SYS_unshare, "0"),
        (libc::SYS_setns, "-1, 0"),
        (libc::SYS_process_vm_readv, "0, 0, 0, 0, 0, -1"),
        (libc::SYS_pidfd_open, "-1, 0"),
        (libc::SYS_shmget, "-1, 0, 0"),
    ] {
        // A process may trace its parent's child but once; numbers that mean nothing do no harm.
        refused(&call(number, arguments), DENIED);
    }
    // A call of the x32 convention: `socket`.
    let said = run(&call(0x4000_0000 + libc::SYS_socket, "2, 1, 0"), true).unwrap_err();
    assert!(said.contains(DENIED), "{said}");
    refused(&call(libc::SYS_clone3, "0, 0"), "Function not implemented");
}

/// Typing into the terminal that the caller shares.
#[test]
fn nothing_is_typed_into_the_terminal() {
    let type_in = |request: &str| {
        format!(
            "import fcntl, os, sys\n\
             try: fcntl.ioctl(0, {request}, b'x')\n\
             except OSError as e:\n\x20   if e.errno == 1: raise"
        )
    };
    // Standard input is no terminal here, which the kernel says only when it was asked.
    refused(&type_in("0x5412"), DENIED);
    refused(&type_in("0x541c"), DENIED);
}

#[test]
fn other_files_are_out_of_reach() {
    refused("open('/etc/hostname').read()", "Permission denied");
    refused("import os; os.listdir('/proc')", "Permission denied");
}

/// A descriptor that pyw was started with is not the runtime's.
#[test]
fn no_descriptor_is_inherited() {
    let file = std::fs::File::open("/etc/hostname").unwrap();
    let copy = rustix::io::fcntl_dupfd_cloexec(&file, 900).unwrap();
    rustix::io::fcntl_setfd(&copy, rustix::io::FdFlags::empty()).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&copy);
    let look = |number| {
        format!(
            "import os\ntry: os.fstat({number})\nexcept OSError: pass\nelse: raise SystemExit('open')"
        )
    };
    run(&look(number), false).unwrap();
    // Started by a shell, it has one, so that the test can fail.
    let status = std::process::Command::new("/bin/sh")
        .args(["-c", "exec \"$0\" -c \"$1\" 9</etc/hostname"])
        .args([python().as_str(), &look(9)])
        .stderr(std::process::Stdio::null())
        .status();
    assert_eq!(status.unwrap().code(), Some(1));
}
