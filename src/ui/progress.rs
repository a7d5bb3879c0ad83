//! Progress of what takes long: bars on stderr where that is a terminal.
//!
//! Nothing shows for what is over in a moment, so a warm start prints nothing. Elsewhere stderr is
//! the program's alone, and there is one plain line for each operation only if more than usual was
//! asked for.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar appears after this time.
const BAR_AFTER: Duration = Duration::from_millis(300);
/// Without a terminal, a line is printed after this time.
const LINE_AFTER: Duration = Duration::from_secs(1);

/// How much pyw tells about what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// What takes long.
    Normal,
    /// More than most want to know.
    Verbose,
}

static VERBOSITY: AtomicU8 = AtomicU8::new(Verbosity::Normal as u8);
static EVENTFUL: AtomicBool = AtomicBool::new(false);
static BARS: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));

/// Says, once at the start, how much is to be told.
pub fn init(verbosity: Verbosity) {
    VERBOSITY.store(verbosity as u8, Ordering::Relaxed);
}

/// Whether progress and notes are to be left out.
pub fn is_quiet() -> bool {
    VERBOSITY.load(Ordering::Relaxed) == Verbosity::Quiet as u8
}

fn is_verbose() -> bool {
    VERBOSITY.load(Ordering::Relaxed) == Verbosity::Verbose as u8
}

/// Whether there was anything to tell so far: a note, or something that could take long.
pub fn was_eventful() -> bool {
    EVENTFUL.load(Ordering::Relaxed)
}

/// Prints `pyw: TEXT` on stderr, above any bar, unless silence was asked for.
pub fn note(text: &str) {
    EVENTFUL.store(true, Ordering::Relaxed);
    if is_quiet() {
        return;
    }
    // A stderr that is closed must not end the program.
    let print = || {
        let _ = writeln!(std::io::stderr().lock(), "pyw: {text}");
    };
    if on_terminal() {
        BARS.suspend(print);
    } else {
        print();
    }
}

/// Prints `pyw: TEXT` on stderr if more than usual was asked for.
pub fn verbose(text: &str) {
    if is_verbose() {
        note(text);
    }
}

/// One operation that may take long. It ends when this is dropped.
#[derive(Debug)]
pub struct Progress {
    shared: Arc<Mutex<Shared>>,
    // Dropping it ends the thread that waits to show something.
    _alive: Option<Sender<()>>,
}

#[derive(Debug)]
struct Shared {
    what: String,
    unit: Unit,
    total: Option<u64>,
    show: Show,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Bytes,
    Steps,
    None,
}

#[derive(Debug)]
enum Show {
    /// Nothing (any more): silenced, printed, or over.
    Nothing,
    /// A line that is still to be printed.
    Line,
    /// A bar, drawn or about to be.
    Bar(ProgressBar),
}

impl Progress {
    /// A transfer of bytes, as "downloading wasmtime 49.0.4". A known size is said at once.
    pub fn bytes(what: &str, total: Option<u64>) -> Self {
        Self::new(what, Unit::Bytes, total)
    }

    /// A number of like steps, as "unpacking".
    pub fn steps(what: &str, total: u64) -> Self {
        Self::new(what, Unit::Steps, Some(total))
    }

    /// Something of unknown length, as "compiling the interpreter for wasmtime".
    pub fn spinner(what: &str) -> Self {
        Self::new(what, Unit::None, None)
    }

    fn new(what: &str, unit: Unit, total: Option<u64>) -> Self {
        let (show, delay) = if is_quiet() {
            (Show::Nothing, None)
        } else if on_terminal() {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden())
                .with_style(style(unit, total))
                .with_message(what.to_owned());
            (Show::Bar(bar), Some(BAR_AFTER))
        } else if is_verbose() {
            (Show::Line, Some(LINE_AFTER))
        } else {
            (Show::Nothing, None)
        };
        let mut shared = Shared {
            what: what.to_owned(),
            unit,
            total,
            show,
        };
        if unit == Unit::Bytes && total.is_some() {
            shared.print_line();
        }
        let delay = delay.filter(|_| !matches!(shared.show, Show::Nothing));
        let shared = Arc::new(Mutex::new(shared));
        Progress {
            _alive: delay.and_then(|delay| show_after(delay, &shared)),
            shared,
        }
    }

    /// So many more bytes or steps are done.
    pub fn inc(&self, count: u64) {
        self.with_bar(|bar| bar.inc(count));
    }

    /// So many bytes or steps are done in all.
    pub fn set_position(&self, position: u64) {
        self.with_bar(|bar| bar.set_position(position));
    }

    /// Says how much there is in all, once that is known.
    pub fn set_total(&self, total: u64) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.total = Some(total);
        let unit = shared.unit;
        if let Show::Bar(bar) = &shared.show {
            bar.set_length(total);
            bar.set_style(style(unit, Some(total)));
        }
        if unit == Unit::Bytes {
            shared.print_line();
        }
    }

    fn with_bar(&self, action: impl FnOnce(&ProgressBar)) {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Show::Bar(bar) = &shared.show {
            action(bar);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Show::Bar(bar) = std::mem::replace(&mut shared.show, Show::Nothing) {
            bar.finish_and_clear();
            BARS.remove(&bar);
        }
    }
}

impl Shared {
    /// Prints the line, if there is one that was not printed yet.
    fn print_line(&mut self) {
        if !matches!(self.show, Show::Line) {
            return;
        }
        self.show = Show::Nothing;
        match (self.unit, self.total) {
            (Unit::Bytes, Some(total)) => note(&format!("{} ({})", self.what, size(total))),
            _ => note(&self.what),
        }
    }
}

/// Shows what there is to show after a while, unless the operation is over by then.
fn show_after(delay: Duration, shared: &Arc<Mutex<Shared>>) -> Option<Sender<()>> {
    let (alive, over) = mpsc::channel();
    let shared = Arc::clone(shared);
    let wait = move || {
        if over.recv_timeout(delay) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Show::Bar(bar) = &shared.show {
            let bar = BARS.add(bar.clone());
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        shared.print_line();
    };
    // Without a thread to spare there is simply no progress to be seen.
    std::thread::Builder::new().spawn(wait).ok()?;
    Some(alive)
}

fn on_terminal() -> bool {
    static ON_TERMINAL: LazyLock<bool> = LazyLock::new(|| {
        std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    });
    *ON_TERMINAL
}

fn style(unit: Unit, total: Option<u64>) -> ProgressStyle {
    let template = match (unit, total) {
        (Unit::Bytes, Some(_)) => {
            "{spinner} {msg} [{bar:24}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec}"
        }
        (Unit::Bytes, None) => "{spinner} {msg} {decimal_bytes} {decimal_bytes_per_sec}",
        (Unit::Steps, _) => "{spinner} {msg} [{bar:24}] {pos}/{len}",
        (Unit::None, _) => "{spinner} {msg}",
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("=> ")
}

/// A number of bytes as people read it: `999 B`, `17.4 MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        // 999.95 would already be printed as 1000.0.
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (17_400_000, "17.4 MB"),
            (999_960, "1.0 MB"),
            (2 << 30, "2.1 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn templates_are_valid() {
        for (unit, total) in [
            (Unit::Bytes, Some(1)),
            (Unit::Bytes, None),
            (Unit::Steps, Some(1)),
            (Unit::None, None),
        ] {
            let bar = ProgressBar::hidden().with_style(style(unit, total));
            bar.tick();
        }
        let progress = Progress::bytes("downloading nothing", None);
        progress.inc(1);
        progress.set_position(1);
    }
}
