//! Attacks on what a program may use up: a run each, since it may end with them.

use std::process::Command;
use std::time::Instant;

use crate::runs::Tools;

/// An attack and the code it has to end with, where it is limited; its control ends with 0.
pub struct Limit {
    pub name: &'static str,
    options: &'static [&'static str],
    program: &'static str,
    code: i32,
    /// What has to stand on standard error.
    says: &'static str,
    /// The same act within its bounds.
    control: (&'static [&'static str], &'static str),
}

const ALLOCATE: &str = "b = bytearray(200 << 20); print(len(b))";

/// On wasmer `/` is a tree in the runtime's own memory; where it can't be written, the guest's.
const FILL_ROOT: &str = "try:\n    \
        with open('/x', 'wb', 0) as file:\n        \
            for _ in range(600): file.write(bytes(1 << 20))\n\
    except OSError:\n    \
        data = [bytes(1 << 20) for _ in range(600)]";

const COMPUTE: &str = "while True: pass";

/// Goes on after a signal that Python hears of and after every exception.
const STUBBORN: &str = "import signal, time\n\
    for n in range(1, 32):\n    \
        try: signal.signal(n, signal.SIG_IGN)\n    \
        except (OSError, ValueError, AttributeError): pass\n\
    while True:\n    \
        try: time.sleep(100)\n    \
        except BaseException: pass";

const WRITE: &str = "import os\nwhile True: os.write(1, b'x' * 1000)";

/// On both streams, by Python's own files and below them.
const WRITE_BOTH: &str = "import os, sys\n\
    while True:\n    \
        print('x' * 500, flush=True); print('x' * 500, file=sys.stderr); os.write(2, b'x' * 500)";

const OPEN: &str = "import sys\n\
    files = []\n\
    try:\n    \
        while len(files) < 1000: files.append(open(f'/tmp/{len(files)}', 'w'))\n\
    except OSError: sys.exit(9)";

/// One file after the other. What counts is what lies there: some runtimes tell of an error late.
const FILL: &str = "import os, sys\n\
    try:\n    \
        for i in range(40):\n        \
            with open(f'/tmp/{i}', 'wb', 0) as file: file.write(bytes(1 << 20))\n\
    except OSError: pass\n\
    there = sum(os.stat('/tmp/' + name).st_size for name in os.listdir('/tmp'))\n\
    sys.exit(9 if there <= 8 << 20 else 0)";

/// A file in /tmp whose name is gone takes room as well.
const FILL_UNLINKED: &str = "import os, sys\n\
    files = []\n\
    try:\n    \
        for i in range(40):\n        \
            files.append(open(f'/tmp/{i}', 'w+b', 0))\n        \
            try: os.unlink(f'/tmp/{i}')\n        \
            except OSError: pass\n        \
            files[-1].write(bytes(1 << 20))\n\
    except OSError: pass\n\
    there = 0\n\
    for file in files:\n    \
        try: file.seek(0); there += len(file.read())\n    \
        except OSError: pass\n\
    sys.exit(9 if there <= 8 << 20 else 0)";

/// Whatever can be written: the stand-in for a device, pyw's own channel.
const FILL_ANYTHING: &str = "import os, sys\n\
    filled = []\n\
    for path in '/dev/null /dev/x /.pyw/rc/x /.pyw/rc/code /var/tmp/x /tmp/x'.split():\n    \
        try:\n        \
            with open(path, 'wb', 0) as file:\n            \
                for _ in range(40): file.write(bytes(1 << 20))\n    \
        except OSError: pass\n    \
        try:\n        \
            if os.stat(path).st_size > 8 << 20: filled.append(path)\n    \
        except OSError: pass\n\
    print(filled)\n\
    sys.exit(0 if filled else 9)";

/// Names cost the kernel memory, too.
const NAMES: &str = "import os, sys\n\
    try:\n    \
        for i in range(3000): os.mkdir(f'/tmp/{i}')\n\
    except OSError: sys.exit(9)";

/// All of them.
pub const LIMITS: &[Limit] = &[
    Limit {
        name: "limits/memory",
        options: &["--memory", "100M"],
        program: ALLOCATE,
        code: 122,
        says: "the program ran out of memory: it was given 100 MiB",
        control: (&["--memory", "400M"], ALLOCATE),
    },
    Limit {
        name: "limits/memory-bit-by-bit",
        options: &["--memory", "64M"],
        program: "l = []\nwhile True: l.append(bytes(1 << 20))",
        code: 122,
        says: "the program ran out of memory: it was given 64 MiB",
        control: (
            &["--memory", "64M"],
            "l = [bytes(1 << 20) for _ in range(5)]",
        ),
    },
    Limit {
        name: "limits/memory-of-the-runtime",
        options: &["--memory", "100M"],
        program: FILL_ROOT,
        code: 122,
        says: "the program ran out of memory: it was given 100 MiB",
        control: (&[], FILL_ROOT),
    },
    Limit {
        name: "limits/time-computing",
        options: &["--timeout", "6s"],
        program: COMPUTE,
        code: 124,
        says: "",
        control: (&["--timeout", "60s"], "for i in range(1000): pass"),
    },
    Limit {
        name: "limits/time-sleeping",
        options: &["--timeout", "6s"],
        program: STUBBORN,
        code: 124,
        says: "the program ran longer than 6s",
        control: (&["--timeout", "60s"], "import time; time.sleep(0.1)"),
    },
    Limit {
        name: "limits/processor-time",
        options: &["--cpu-time", "6s"],
        program: COMPUTE,
        code: 120,
        says: "more than 6s of processor time",
        control: (
            &["--cpu-time", "60s"],
            "import time; time.sleep(0.1); sum(range(1000))",
        ),
    },
    Limit {
        name: "limits/output",
        options: &["--output-size", "100K"],
        program: WRITE,
        code: 121,
        says: "the program wrote more than 100 KiB",
        control: (&["--output-size", "100K"], "print('x' * 90000)"),
    },
    Limit {
        name: "limits/output-on-both-streams",
        options: &["--output-size", "100K"],
        program: WRITE_BOTH,
        code: 121,
        says: "the program wrote more than 100 KiB",
        control: (
            &["--output-size", "100K"],
            "import sys; print('x' * 40000); print('x' * 40000, file=sys.stderr)",
        ),
    },
    Limit {
        name: "limits/open-files",
        options: &["--open-files", "80"],
        program: OPEN,
        code: 9,
        says: "",
        control: (&["--open-files", "4000"], OPEN),
    },
    Limit {
        name: "limits/tmp-size",
        options: &["--tmp-size", "8M"],
        program: FILL,
        code: 9,
        says: "",
        control: (&["--tmp-size", "64M"], FILL),
    },
    Limit {
        name: "limits/tmp-size-unlinked",
        options: &["--tmp-size", "8M"],
        program: FILL_UNLINKED,
        code: 9,
        says: "",
        control: (&["--tmp-size", "64M"], FILL_UNLINKED),
    },
    Limit {
        name: "limits/tmp-size-anywhere",
        options: &["--tmp-size", "8M"],
        program: FILL_ANYTHING,
        code: 9,
        says: "",
        control: (&[], FILL_ANYTHING),
    },
    Limit {
        name: "limits/tmp-size-names",
        options: &["--tmp-size", "1M"],
        program: NAMES,
        code: 9,
        says: "",
        control: (&["--tmp-size", "64M"], NAMES),
    },
];

impl Limit {
    /// Tries it on a runtime.
    pub fn check(&self, tools: &Tools, runtime: &str) -> Result<(), String> {
        let (options, program) = self.control;
        let (code, _, err) = run(tools, runtime, options, program)?;
        if code != Some(0) {
            return Err(format!("the control ended with {code:?}: {err}"));
        }
        let start = Instant::now();
        let (code, out, err) = run(tools, runtime, self.options, self.program)?;
        if code != Some(self.code) || !err.contains(self.says) {
            return Err(format!(
                "ended with {code:?} after {:?}, not {}: {out}\n{err}",
                start.elapsed(),
                self.code
            ));
        }
        if start.elapsed().as_secs() > 60 {
            return Err(format!("took {:?}", start.elapsed()));
        }
        Ok(())
    }
}

fn run(
    tools: &Tools,
    runtime: &str,
    options: &[&str],
    program: &str,
) -> Result<(Option<i32>, String, String), String> {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|e| e.to_string())?;
    let mut command: Command = tools.pyw(home.path());
    command
        .args(["--runtime", runtime])
        .args(options)
        .args(["-c", program]);
    let output = command
        .stdin(std::process::Stdio::null())
        .current_dir(home.path())
        .output()
        .map_err(|e| e.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    ))
}
