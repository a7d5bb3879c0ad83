//! One case on one subject: building the command, running it, and judging what came of it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::case::{Case, Code, NativeSwitch, Signal, Step};
use crate::content::excerpt;
use crate::place::{Names, Place, Snapshot, changes};
use crate::process::{Action, Script, run};
use crate::subject::{Native, Pyw, Start};

/// Variables that native Python and pyw's caller have in every trial. The locale is set because Python otherwise
/// sets one in its own environment.
const ENV: [(&str, &str); 1] = [("LANG", "C.UTF-8")];

/// Runs a case on native Python. An error says what differs.
pub fn on_native(case: &Case, native: &Native) -> Result<(), String> {
    let changed = match &case.native {
        NativeSwitch::Run(_) => crate::case::Native::default(),
        NativeSwitch::Different(native) => (**native).clone(),
    };
    let mut as_native = case.clone();
    as_native.program = changed.program.unwrap_or(as_native.program);
    as_native.cwd = changed.cwd.unwrap_or(as_native.cwd);
    as_native.stdout = changed.stdout.unwrap_or(as_native.stdout);
    as_native.stderr = changed.stderr.unwrap_or(as_native.stderr);
    as_native.code = changed.code.unwrap_or(as_native.code);
    as_native.env = changed.env.unwrap_or(as_native.env);
    as_often_as_needed(case, || {
        let place = Place::new(case.place, &case.files)?;
        let mut command = Command::new(&native.executable);
        command.env_clear();
        judge(&as_native, &place, command, false)
    })
}

/// Runs a case with pyw on a runtime. An error says what differs.
pub fn on_runtime(case: &Case, pyw: &Pyw, runtime: &str, start: Start) -> Result<(), String> {
    as_often_as_needed(case, || {
        let place = Place::new(case.place, &case.files)?;
        let mut command = pyw.command(&place.home, &place.tmp);
        command.args(["--runtime", runtime]);
        command.args(start.options());
        command.args(case.options.iter().map(|option| place.names.fill(option)));
        judge(case, &place, command, true)
    })
}

/// Once; or twice, where the two must not write the same.
fn as_often_as_needed(
    case: &Case,
    once: impl Fn() -> Result<Vec<u8>, String>,
) -> Result<(), String> {
    let first = once()?;
    if case.varies && once()? == first {
        return Err(format!(
            "{}\n  - both runs wrote {}",
            case.about,
            excerpt(&first, 0)
        ));
    }
    Ok(())
}

/// Runs the command with the case's program, compares, and gives what it wrote. A sandbox must also leave
/// everything as it was.
fn judge(
    case: &Case,
    place: &Place,
    mut command: Command,
    sandboxed: bool,
) -> Result<Vec<u8>, String> {
    let names = &place.names;
    for arg in &case.program {
        command.arg(OsString::from_vec(arg.bytes(names)?));
    }
    command
        .envs(ENV)
        .envs(
            case.env
                .iter()
                .map(|(name, value)| (name, names.fill(value))),
        )
        .current_dir(names.work.join(names.fill(&case.cwd)));
    let script = Script {
        stdin: case.stdin.bytes(names)?,
        stdin_is: case.stdin_is,
        stdout_is: case.stdout_is,
        aside: place.aside.clone(),
        terminal: case.terminal.clone(),
        dialog: case
            .dialog
            .iter()
            .map(|step| action(step, names))
            .collect::<Result<_, _>>()?,
        limit: Duration::from_secs(case.timeout),
    };
    let before = place.snapshot();
    let shown = shell(&command);
    let mark = names.work.parent().unwrap().to_str().unwrap().to_owned();
    let ran = run(command, script, &mark)?;

    let mut wrong = ran.troubles.clone();
    if !ran.ended_with(case.code) {
        wrong.push(match ran.status {
            Some(status) => format!("ended with {status}, expected {:?}", case.code),
            None => format!("did not end, expected {:?}", case.code),
        });
    }
    if !case.varies {
        wrong.extend(case.stdout.mismatch("stdout", &ran.stdout, names)?);
    }
    wrong.extend(case.stderr.mismatch("stderr", &ran.stderr, names)?);
    let expected = place.expected(before, &case.after)?;
    let mut after = place.snapshot();
    if sandboxed {
        // Nobody tidies up after SIGKILL, but processes must not outlive it.
        if case.code != Code::Signal(Signal::Kill) {
            wrong.extend(
                place
                    .leftovers()
                    .iter()
                    .map(|path| format!("left {} behind", path.display())),
            );
        }
    } else {
        // Native Python may leave byte code beside modules; only what the case names is of interest.
        let named = place.expected(Snapshot::new(), &case.after)?;
        after.retain(|path, _| expected.contains_key(path) || named.contains_key(path));
    }
    wrong.extend(changes(&expected, &after));
    if wrong.is_empty() {
        return Ok(ran.stdout);
    }
    Err(format!(
        "{}\n  {shown}\n  - {}",
        case.about,
        wrong.join("\n  - ")
    ))
}

fn action(step: &Step, names: &Names) -> Result<Action, String> {
    Ok(match step {
        Step::See(content) => Action::See(content.bytes(names)?),
        Step::Say(content) => Action::Say(content.bytes(names)?),
        Step::Signal(signal) => Action::Signal(signal.number()),
        Step::Close(stream) => Action::Close(*stream),
        Step::Pause(millis) => Action::Pause(Duration::from_millis(*millis)),
    })
}

/// The command as a person would type it.
fn shell(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    let quoted =
        shlex::try_join(words.iter().map(AsRef::as_ref)).unwrap_or_else(|_| format!("{words:?}"));
    let cwd = command.get_current_dir().unwrap_or(Path::new("."));
    format!("$ {quoted}   # in {}", cwd.display())
}
