//! `pyw --help` and `pyw help TOPIC`.

use clap::CommandFactory as _;

use super::options::{Manage, RunOptions};
use crate::error::{Code, Error};
use crate::sandbox::IsolationLevel;

const INTRO: &str = "\
Run a Python program in a WebAssembly sandbox.

Usage: pyw [OPTIONS] SCRIPT [ARGS…]      a file, a folder with __main__.py, or a zip
       pyw [OPTIONS] -c CODE [ARGS…]
       pyw [OPTIONS] -m MODULE [ARGS…]
       pyw [OPTIONS] - [ARGS…]           the program comes from stdin
       pyw [OPTIONS]                     the interactive prompt
       pyw COMMAND …                     management

Single letters are CPython's own options and go to it: -b -B -d -E -i -I -O -OO -P -q -s -S -u -v
-V -W ARG -x -X OPT, clusters such as -Im too. Everything behind the program is the program's.

Unless told otherwise, the program sees its own folder and the current one, read-only, and a
private /tmp. It has no network, and of the environment only TERM, COLORTERM, NO_COLOR,
FORCE_COLOR, LANG, LC_* and TZ.
";

const EXAMPLES: &str = "\
Examples:
  pyw app.py --its-own-option
  pyw --mount data --mount out:rw app.py        data read-only, out writable
  pyw --mount ~/photos:/photos --env API_KEY app.py
  pyw --runtime wasmedge --timeout 10s -c 'print(1)'
  pyw --with rich --with 'httpx>=0.27' app.py   besides what app.py's own header (PEP 723) names
  pyw --with pycodestyle --entry pycodestyle app.py
  pyw --dry-run app.py                          what would be run, and who enforces what
";

/// Prints a topic, or the overview.
///
/// # Errors
/// There is no such topic.
pub fn print(topic: Option<&str>) -> Result<(), Error> {
    match topic {
        None | Some("run") => anstream::print!("{}", overview()),
        Some("exit-codes") => anstream::print!("{}", exit_codes()),
        Some("isolation") => anstream::print!("{}", isolation()),
        Some("config") => anstream::print!("{CONFIG}"),
        Some(other) => {
            let mut command = Manage::command();
            // Gives the commands their full names and the options that all of them take.
            command.build();
            let Some(sub) = command.find_subcommand_mut(other) else {
                return Err(Error::Usage {
                    message: format!(
                        "there is no help on `{other}`; topics are run, isolation, exit-codes, config, \
                         and \
                         the commands"
                    ),
                    see: "pyw --help".into(),
                });
            };
            anstream::print!("{}", sub.render_help().ansi());
        }
    }
    Ok(())
}

fn overview() -> String {
    let mut options = RunOptions::command()
        .help_template("{all-args}")
        .disable_help_flag(true)
        .term_width(100)
        .render_help()
        .ansi()
        .to_string();
    options.truncate(options.trim_end().len());
    // clap leaves room for a short option, of which pyw has none.
    let options = options.replace("\n      ", "\n  ");
    let manage = Manage::command();
    let commands: Vec<String> = manage
        .get_subcommands()
        .map(|c| {
            let about = c.get_about().map(ToString::to_string).unwrap_or_default();
            format!("  {:<9}{about}\n", c.get_name())
        })
        .collect();
    format!(
        "{INTRO}\n{options}\n\nCommands (a script of such a name is run as ./NAME):\n{}\n{EXAMPLES}",
        commands.concat()
    )
}

fn exit_codes() -> String {
    let mut out = String::from(
        "The program's own exit code is pyw's. When pyw itself fails, a message on stderr begins \
         with\n`pyw: ` and the code is one of these:\n\n",
    );
    for (code, meaning) in Code::ALL {
        out.push_str(&format!("  {:>3}  {meaning}\n", *code as u8));
    }
    out.push_str(
        "\nA program that is ended by a signal ends pyw by the same one, so that a shell shows 130 \
         for\nCtrl-C and 143 for SIGTERM.\n",
    );
    out
}

fn isolation() -> String {
    let mut out = String::from(
        "What stands between a program and the host has a name, which --dry-run and -v tell:\n\n",
    );
    for level in IsolationLevel::ALL {
        out.push_str(&format!("  {:<8} {}\n", level.name(), level.meaning()));
    }
    out.push_str(
        "\nA program is run with `strong` or not at all, where the system has the whole fence (Linux \
         6.2 and\nnewer, with Landlock and seccomp), and with `runtime` elsewhere. Node is no sandbox: \
         it reaches\n`process`, which you accept by naming it, or an interpreter for Emscripten; a \
         project or a script\ncannot. --require-isolation LEVEL, PYW_ISOLATION and the key \
         `isolation` of the configuration insist\non a level, or accept a lower one. A project's \
         file may only ask for more than yours.\n",
    );
    out
}

const CONFIG: &str = "\
Settings come from, each going before the ones above it:

  the user's file     config.toml in pyw's configuration folder, or what PYW_CONFIG names
  the project's file  pyw.toml, or [tool.pyw] in pyproject.toml, in the nearest folder upwards
  the environment     PYW_RUNTIME, PYW_RUNTIMES, PYW_PYTHON, PYW_SNAPSHOTS, PYW_STORE, PYW_OFFLINE,
                      PYW_NETWORK, PYW_MEMORY, PYW_STACK, PYW_TIMEOUT, PYW_CPU_TIME,
                      PYW_OUTPUT_SIZE, PYW_TMP_SIZE, PYW_OPEN_FILES, PYW_ISOLATION, and
                      PYW_RUNTIME_<NAME> for paths
  the command line

Keys: runtime, runtimes, python, snapshots, store, offline, network, memory, stack, timeout,
cpu-time, output-size, tmp-size, open-files, isolation, cwd, mounts, env, and the table [paths] with
the path of a runtime by its name. A project, and a script in the [tool.pyw] of its header, may
choose a runtime and an interpreter, set limits and variables, and ask for mounts, for your
variables and for the network; you alone can grant that, by the command line, your own file or
`pyw trust`.

`pyw config show` prints each value and where it comes from.
";
