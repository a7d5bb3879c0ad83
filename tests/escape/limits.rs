//! Attacks on memory and time: a run each, since it may end with them.

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

/// All of them.
pub const LIMITS: &[Limit] = &[
    Limit {
        name: "limits/memory",
        options: &["--memory", "100M"],
        program: ALLOCATE,
        code: 1,
        says: "MemoryError",
        control: (&["--memory", "400M"], ALLOCATE),
    },
    Limit {
        name: "limits/memory-bit-by-bit",
        options: &["--memory", "64M"],
        program: "l = []\nwhile True: l.append(bytes(1 << 20))",
        code: 1,
        says: "MemoryError",
        control: (
            &["--memory", "64M"],
            "l = [bytes(1 << 20) for _ in range(5)]",
        ),
    },
    Limit {
        name: "limits/time-computing",
        options: &["--timeout", "6s"],
        program: "while True: pass",
        code: 124,
        says: "",
        control: (&["--timeout", "60s"], "for i in range(1000): pass"),
    },
    Limit {
        name: "limits/time-sleeping",
        options: &["--timeout", "6s"],
        program: "import time; time.sleep(100)",
        code: 124,
        says: "",
        control: (&["--timeout", "60s"], "import time; time.sleep(0.1)"),
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
