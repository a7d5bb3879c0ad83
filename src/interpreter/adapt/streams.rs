//! [`Adaptation::Tty`](super::Adaptation::Tty) and
//! [`Adaptation::BrokenPipe`](super::Adaptation::BrokenPipe).

use wasm_encoder::{BlockType, Function};

use super::words::{at, first_bytes, for_each, function, when};
use super::{Global, Helper, Parts, TTY_VAR};

const CHARACTER_DEVICE: i32 = 2;
const UNKNOWN_FILE: i32 = 0;
/// All three streams are left as the runtime says.
const ALL_STREAMS: i32 = 7;

/// ```c
/// int tty_mask(uint64_t *buffer) {         // buffer: 8 bytes of the caller's, given back as found
///     if (mask != -1) return mask;
///     mask = 7;
///     uint64_t saved = *buffer;
///     int error = environ_sizes_get(&buffer->count, &buffer->bytes);
///     uint32_t names = buffer->count * 4, size = names + buffer->bytes + 16;
///     *buffer = saved;
///     if (error) return mask;
///     char **area = fresh(size);
///     if (!area) return mask;
///     if (environ_get(area, area + names) == 0)
///         for (i = 0; i < names; i += 4) {
///             char *entry = area[i];
///             if (memcmp(entry, "PYW_TTY=", 8) == 0 && (unsigned)(entry[8] - '0') <= 7)
///                 mask = entry[8] - '0';
///         }
///     for (i = 0; i < size; i += 8) area[i] = 0;
///     return mask;
/// }
/// ```
///
/// The 16 bytes more let every entry be read as 8 bytes and one, and the clearing overshoot. The
/// area is left as `memory.grow` gave it: an allocator may come across it and think it new.
pub(super) fn tty_mask(parts: &Parts) -> Function {
    let (buffer, names, size, area, i, entry) = (0, 1, 2, 3, 4, 5);
    let saved = 6;
    let mask = parts.global(Global::TtyMask);
    let variable = i64::from_le_bytes(first_bytes(&format!("{TTY_VAR}=")));
    function(5, 1, |c| {
        c.global_get(mask).i32_const(-1).i32_ne();
        when(c, |c| {
            c.global_get(mask).return_();
        });
        c.i32_const(ALL_STREAMS).global_set(mask);

        c.local_get(buffer).i64_load(at(0)).local_set(saved);
        c.local_get(buffer);
        c.local_get(buffer).i32_const(4).i32_add();
        // The error stays on the stack until memory is restored.
        c.call(parts.import("environ_sizes_get"));
        c.local_get(buffer).i32_load(at(0)).i32_const(2).i32_shl();
        c.local_tee(names).local_get(buffer).i32_load(at(4));
        c.i32_add().i32_const(16).i32_add().local_set(size);
        c.local_get(buffer).local_get(saved).i64_store(at(0));
        when(c, |c| {
            c.global_get(mask).return_();
        });

        c.local_get(size).call(parts.helper(Helper::Fresh));
        c.local_tee(area).i32_eqz();
        when(c, |c| {
            c.global_get(mask).return_();
        });
        c.local_get(area);
        c.local_get(area).local_get(names).i32_add();
        c.call(parts.import("environ_get")).i32_eqz();
        when(c, |c| {
            for_each(c, i, names, 4, |c| {
                c.local_get(area).local_get(i).i32_add().i32_load(at(0));
                c.local_tee(entry).i64_load(at(0));
                c.i64_const(variable).i64_eq();
                when(c, |c| {
                    c.local_get(entry).i32_load8_u(at(8));
                    c.i32_const(i32::from(b'0')).i32_sub().local_tee(entry);
                    c.i32_const(ALL_STREAMS).i32_le_u();
                    when(c, |c| {
                        c.local_get(entry).global_set(mask);
                    });
                });
            });
        });
        for_each(c, i, size, 8, |c| {
            c.local_get(area).local_get(i).i32_add();
            c.i64_const(0).i64_store(at(0));
        });
        c.global_get(mask);
    })
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
///     if (error == 0 && fd <= 2 && stat->filetype == CHARACTER_DEVICE
///         && !(tty_mask(stat) >> fd & 1))
///         stat->filetype = UNKNOWN;
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
        c.local_get(stat).call(parts.helper(Helper::TtyMask));
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
