//! A pseudo-terminal for the programs that want to talk to a person.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{Winsize, tcgetattr};

/// Both sides of a terminal of 80 × 24 characters.
pub struct Terminal {
    /// What the person sees and types.
    pub ours: OwnedFd,
    /// What the program is given.
    pub program: OwnedFd,
}

impl Terminal {
    pub fn open() -> io::Result<Self> {
        let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        // Not every system has a flag for it in `openpt`.
        rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::CLOEXEC)?;
        rustix::pty::grantpt(&ours)?;
        rustix::pty::unlockpt(&ours)?;
        let name = rustix::pty::ptsname(&ours, Vec::new())?;
        let program = rustix::fs::open(
            name.as_c_str(),
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        rustix::termios::tcsetwinsize(
            &program,
            Winsize {
                ws_row: 24,
                ws_col: 80,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )?;
        Ok(Self { ours, program })
    }

    /// One of the program's standard streams.
    pub fn program_side(&self) -> io::Result<Stdio> {
        Ok(self.program.try_clone()?.into())
    }
}

/// A terminal's modes at one time: echo, line editing, signals.
pub struct Modes {
    terminal: OwnedFd,
    then: String,
}

impl Modes {
    pub fn of(terminal: &Terminal) -> io::Result<Self> {
        let terminal = terminal.ours.try_clone()?;
        let then = Self::now(&terminal)?;
        Ok(Self { terminal, then })
    }

    pub fn changed(&self) -> bool {
        Self::now(&self.terminal).is_ok_and(|now| now != self.then)
    }

    fn now(terminal: &OwnedFd) -> io::Result<String> {
        let modes = tcgetattr(terminal)?;
        Ok(format!(
            "{:?} {:?} {:?}",
            modes.input_modes, modes.output_modes, modes.local_modes
        ))
    }
}
