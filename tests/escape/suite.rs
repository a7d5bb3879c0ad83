//! From attacks and runtimes to trials.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};

use libtest_mimic::{Arguments, Trial};

use crate::limits::LIMITS;
use crate::runs::{Attack, Ended, Kind, Outcomes, Tools, output};

/// What leaks where pyw's fence is missing, as far as it is known: the suite has to see all of it.
const LEAKS: &[(&str, &[&str])] = &[
    (
        "wasmtime",
        &[
            "writing/open-write-only",
            "writing/open-truncate",
            "writing/truncate",
            "writing/open-create",
            "writing/mkdir",
            "writing/unlink",
            "writing/rename",
            "writing/rename-over",
            "writing/symlink",
            "writing/hard-link",
            "writing/hard-link-out-and-write",
        ],
    ),
    (
        "wasmedge",
        &[
            "writing/create-by-folder-handle",
            "writing/mkdir-by-folder-handle",
            "writing/symlink-by-folder-handle",
            "writing/rename-by-folder-handle",
        ],
    ),
    (
        "wasmer",
        &[
            "writing/open-write-only",
            "writing/open-truncate",
            "writing/mkdir",
            "writing/unlink",
        ],
    ),
    (
        "node",
        &[
            "powers/read",
            "powers/write",
            "powers/kill",
            "powers/program",
        ],
    ),
    ("deno", &["powers/read", "powers/write"]),
    (
        "node-wasi",
        &[
            "writing/open-write-only",
            "writing/truncate",
            "writing/mkdir",
            "writing/unlink",
        ],
    ),
];

/// The least number of attacks that a runtime has to withstand.
const LEAST: usize = 80;

pub fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match prepare() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(why) => {
            eprintln!("escape: {why}");
            ExitCode::FAILURE
        }
    }
}

type Key = (String, Kind);
type Run = Arc<OnceLock<Result<Outcomes, String>>>;

/// Runs, each made when a trial first asks for it.
struct Runs {
    tools: Tools,
    made: Mutex<BTreeMap<Key, Run>>,
}

impl Runs {
    fn get(&self, subject: &str, kind: Kind) -> Result<Outcomes, String> {
        let subject = if kind == Kind::Native {
            "native"
        } else {
            subject
        };
        let run = {
            let mut made = self.made.lock().map_err(|e| e.to_string())?;
            Arc::clone(made.entry((subject.to_owned(), kind)).or_default())
        };
        run.get_or_init(|| self.tools.run(subject, kind)).clone()
    }

    fn ended(&self, subject: &str, kind: Kind, attack: &str) -> Result<Ended, String> {
        let outcomes = self.get(subject, kind)?;
        outcomes
            .get(attack)
            .cloned()
            .ok_or_else(|| format!("{attack} was not run"))
    }

    /// The attack fails, and its control succeeds.
    fn check(&self, subject: &str, attack: &Attack) -> Result<(), String> {
        let tried = if attack.is_power() {
            Kind::Script
        } else {
            Kind::Fenced
        };
        if let Ended::Won(proof) = self.ended(subject, tried, &attack.name)? {
            return Err(format!("the attack got through: {proof}"));
        }
        let kind = match attack.control.as_str() {
            "granted" if attack.is_beyond(subject) => Kind::Native,
            "granted" | "js" => Kind::Granted,
            "unfenced" => Kind::Unfenced,
            _ => Kind::Native,
        };
        match self.ended(subject, kind, &attack.name)? {
            Ended::Won(_) => Ok(()),
            Ended::Failed(words) => Err(format!(
                "so does its control ({kind:?}), which shows nothing: {words}"
            )),
        }
    }

    /// What the run changed nevertheless, and what the next run finds.
    fn untouched(&self, subject: &str) -> Result<(), String> {
        for kind in [Kind::Fenced, Kind::Granted] {
            if let Ended::Won(changed) = self.ended(subject, kind, "store/untouched")? {
                // What was granted may be changed.
                if kind == Kind::Fenced || changed.contains(&*self.tools.store.to_string_lossy()) {
                    return Err(changed);
                }
            }
        }
        let program = "import os, sys, this; print(sorted(os.listdir('/tmp')), 'sitecustomize' in sys.modules, \
                       os.path.getsize('/dev/null'), len(this.s) > 800)";
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|e| e.to_string())?;
        let mut command = self.tools.pyw(home.path());
        command
            .args(["--runtime", subject, "-c", program])
            .current_dir(home.path());
        let said = output(&mut command)?;
        match said.lines().last() {
            Some("[] False 0 True") => Ok(()),
            _ => Err(format!("the next run finds something else: {said}")),
        }
    }

    /// Without the fence, what is known to leak is seen.
    fn detects(&self, subject: &str, leaks: &[&str]) -> Result<(), String> {
        let missed: Vec<_> = leaks
            .iter()
            .filter(|attack| {
                !matches!(
                    self.ended(subject, Kind::Unfenced, attack),
                    Ok(Ended::Won(_))
                )
            })
            .map(|attack| {
                format!(
                    "{attack}: {:?}",
                    self.ended(subject, Kind::Unfenced, attack)
                )
            })
            .collect();
        match missed.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "without the fence these should get through:\n{}",
                missed.join("\n")
            )),
        }
    }
}

fn prepare() -> Result<Vec<Trial>, String> {
    let tools = Tools::find()?;
    let runtimes = tools.runtimes()?;
    let runs = Arc::new(Runs {
        tools,
        made: Mutex::default(),
    });
    let mut trials = Vec::new();
    for runtime in &runtimes {
        let mut count = 0;
        for attack in &runs.tools.attacks {
            if !attack.is_for(runtime) {
                continue;
            }
            count += 1;
            let (runs, runtime, attack) = (Arc::clone(&runs), runtime.clone(), attack.clone());
            trials.push(Trial::test(
                format!("{runtime}::{}", attack.name),
                move || runs.check(&runtime, &attack).map_err(Into::into),
            ));
        }
        if count < LEAST {
            return Err(format!("only {count} attacks for {runtime}"));
        }
        let (all, name) = (Arc::clone(&runs), runtime.clone());
        trials.push(Trial::test(
            format!("{runtime}::store/untouched"),
            move || all.untouched(&name).map_err(Into::into),
        ));
        for (_, leaks) in LEAKS.iter().filter(|(name, _)| name == runtime) {
            let (all, name) = (Arc::clone(&runs), runtime.clone());
            trials.push(Trial::test(
                format!("{runtime}::without-the-fence"),
                move || all.detects(&name, leaks).map_err(Into::into),
            ));
        }
        for limit in LIMITS {
            let (all, name) = (Arc::clone(&runs), runtime.clone());
            trials.push(Trial::test(
                format!("{runtime}::{}", limit.name),
                move || limit.check(&all.tools, &name).map_err(Into::into),
            ));
        }
    }
    Ok(trials)
}
