//! Processes of a test's own: the test program again, doing one task, where it can be killed or
//! mount a disk.
//!
//! A test program that has tasks has a test named `child`, which gives [`child`] a function.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use super::{left_out, names};

/// How the test program is told to be the child.
const ARGUMENTS: [&str; 3] = ["--exact", "child", "--nocapture"];

/// This test program again, to do a task with a folder.
pub fn child_command(task: &str, folder: &Utf8Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    set_up(&mut command, task, folder);
    command.args(ARGUMENTS);
    command
}

fn set_up(command: &mut Command, task: &str, folder: &Utf8Path) {
    command
        .env("PYW_TEST_CHILD", task)
        .env("PYW_TEST_FOLDER", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
}

/// In the child: does what it was started for. In a run of all tests this is nothing.
pub fn child(work: impl FnOnce(&str, &Utf8Path)) {
    let Ok(task) = std::env::var("PYW_TEST_CHILD") else {
        return;
    };
    let folder = Utf8PathBuf::from(std::env::var("PYW_TEST_FOLDER").unwrap());
    work(&task, &folder);
    // So that the parent knows that this was not merely an empty test that passed.
    std::fs::write(folder.join(format!("done-{}", std::process::id())), "").unwrap();
}

/// How many children came to the end of their task.
pub fn done(folder: &Utf8Path) -> usize {
    let names = names(folder);
    names
        .iter()
        .filter(|name| name.starts_with("done-"))
        .count()
}

/// Runs a task of the child after a mount, in a namespace of its own, so that nothing stays mounted
/// whatever happens; or says that this cannot be done here.
pub fn with_mount(mount: &str, task: &str, folder: &Utf8Path, variables: &[(&str, &str)]) {
    let script = format!("{mount} || exit 99; exec \"$0\" \"$@\"");
    // As root a namespace is enough; others need to be root inside a user namespace first.
    for flags in ["-m", "-rm"] {
        let mut command = Command::new("unshare");
        set_up(&mut command, task, folder);
        command.args([flags, "sh", "-c", &script]);
        command
            .arg(std::env::current_exe().unwrap())
            .args(ARGUMENTS);
        let Ok(output) = command.envs(variables.iter().copied()).output() else {
            return left_out(&"there is no unshare");
        };
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(99) && !stderr.starts_with("unshare:") {
            assert!(output.status.success(), "{stderr}");
            assert_eq!(done(folder), 1);
            return;
        }
    }
    left_out(&"mounting is not permitted here");
}

/// A disk of 1 MiB at the store of a scratch folder, for [`with_mount`].
pub const SMALL_DISK: &str = "mount -t tmpfs -o size=1m tmpfs \"$PYW_TEST_FOLDER/store\"";

/// Makes the store of a scratch folder read-only, for [`with_mount`].
pub const READ_ONLY: &str = "cd \"$PYW_TEST_FOLDER\" && mount --bind store store && \
                             mount -o remount,bind,ro store";

/// Waits for something that another process does.
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "no {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Kills it even if the test fails.
pub struct Killed(pub Child);

impl Killed {
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
