//! [`Adaptation::Tty`](super::Adaptation::Tty) and
//! [`Adaptation::BrokenPipe`](super::Adaptation::BrokenPipe).

use wasm_encoder::{BlockType, Function, InstructionSink};

use super::settings::local::{ENTRY, VALUE};
use super::words::{at, function, when};
use super::{Global, Helper, Parts};

const CHARACTER_DEVICE: i32 = 2;
const UNKNOWN_FILE: i32 = 0;
/// All three streams are left as the runtime says.
pub(super) const ALL_STREAMS: i32 = 7;

/// ```c
/// if ((unsigned)(entry[8] - '0') <= 7) mask = entry[8] - '0';
/// ```
pub(super) fn read_mask(parts: &Parts, c: &mut InstructionSink<'_>) {
    c.local_get(ENTRY).i32_load8_u(at(8));
    c.i32_const(i32::from(b'0')).i32_sub().local_tee(VALUE);
    c.i32_const(ALL_STREAMS).i32_le_u();
    when(c, |c| {
        c.local_get(VALUE).global_set(parts.global(Global::TtyMask));
    });
}

/// `fd_fdstat_get`: `isatty` in wasi-libc asks it, and calls a terminal what is a character device
/// that cannot seek.
pub(super) fn tty_fdstat(parts: &Parts) -> Function {
    no_tty(parts, 0)
}

/// `fd_filestat_get`: what `os.fstat(0).st_mode` is made from.
pub(super) fn tty_filestat(parts: &Parts) -> Function {
    no_tty(parts, 16)
}

/// ```c
/// errno_t get(fd_t fd, stat_t *stat) {
///     errno_t error = inner(fd, stat);
///     if (error == 0 && fd <= 2 && stat->filetype == CHARACTER_DEVICE) {
///         settings(0);
///         if (!(mask >> fd & 1)) stat->filetype = UNKNOWN;
///     }
///     return error;
/// }
/// ```
fn no_tty(parts: &Parts, filetype: u64) -> Function {
    let (fd, stat, error) = (0, 1, 2);
    function(1, 0, |c| {
        c.block(BlockType::Empty);
        c.local_get(fd).local_get(stat).call(parts.inner);
        c.local_tee(error).br_if(0);
        c.local_get(fd).i32_const(2).i32_gt_u().br_if(0);
        c.local_get(stat).i32_load8_u(at(filetype));
        c.i32_const(CHARACTER_DEVICE).i32_ne().br_if(0);
        c.i32_const(0).call(parts.helper(Helper::Settings)).drop();
        c.global_get(parts.global(Global::TtyMask));
        c.local_get(fd).i32_shr_u().i32_const(1).i32_and().br_if(0);
        c.local_get(stat);
        c.i32_const(UNKNOWN_FILE).i32_store8(at(filetype));
        c.end();
        c.local_get(error);
    })
}

/// ```c
/// errno_t fd_write(int fd, ciovec_t *list, uint32_t count, uint32_t *written) {
///     errno_t error = inner(fd, list, count, written);
///     return error == EIO && (fd == 1 || fd == 2) ? EPIPE : error;
/// }
/// ```
pub(super) fn broken_pipe(parts: &Parts) -> Function {
    let (fd, list, count, written, error) = (0, 1, 2, 3, 4);
    function(1, 0, |c| {
        c.i32_const(EPIPE);
        c.local_get(fd).local_get(list);
        c.local_get(count).local_get(written).call(parts.inner);
        c.local_tee(error);
        c.local_get(error).i32_const(EIO).i32_eq();
        c.local_get(fd).i32_const(1).i32_sub();
        c.i32_const(2).i32_lt_u().i32_and();
        c.select();
    })
}

/// WASI's numbers for errors.
pub(super) const EIO: i32 = 29;
pub(super) const EPIPE: i32 = 64;
