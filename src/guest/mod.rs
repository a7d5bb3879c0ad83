//! The Python that pyw runs inside the sandbox, embedded into the binary.

/// The bootstrap: set up by an interpreter's import, run at every start before the program.
pub const START: &str = concat!(include_str!("watch.py"), include_str!("start.py"));

/// What importing an interpreter runs inside it.
pub const IMPORT: &str = include_str!("import.py");

/// What `pyw runtime check` runs to see what a program meets on a runtime.
pub const OBSERVE: &str = include_str!("probes/observe.py");

/// What runs once in an interpreter of which a snapshot is made.
pub const BOOT: &str = include_str!("boot.py");

/// What finds out which modules can be imported in advance.
pub const SCOUT: &str = include_str!("scout.py");

/// What runs first when a snapshot is started.
pub const RESUME: &str = concat!(include_str!("watch.py"), include_str!("resume.py"));

/// What a snapshot has to get right before programs are started from it.
pub const TRIAL: &str = include_str!("trial.py");
/// What [`TRIAL`] prints.
pub const TRIAL_OUTPUT: &str = "a snapshot works\n";

/// What runs where a runtime compiles what is run. It prints nothing.
pub const TRAINING: &str = include_str!("train.py");
