//! [`Adaptation::ReadOnlyTimes`] and [`Adaptation::OpenedTimes`].
//!
//! The module keeps a list of the descriptors whose times may be set: the standard streams, the
//! preopens that may be written, and what was opened from one of the list; or what was opened for
//! writing. All others are refused, also where the list is full: to forget one costs a program a
//! change of times, but no one gets what was withheld.
//!
//! The list lies in globals, which no instruction of the guest's names, and not in memory: a
//! program can bring the interpreter to write where it should not, with made-up bytecode for one.
//! Globals have no index that could be computed, hence [`slot_get`] and [`slot_set`]. Nothing is
//! assumed of how a runtime numbers what is opened.

use wasm_encoder::{BlockType, Function, InstructionSink};

use super::settings::local::{ENTRY, VALUE};
use super::words::{FILESTAT, at, function, when};
use super::{Adaptation, Global, Helper, Parts};

/// Those that need the list.
pub(super) const ADAPTATIONS: &[Adaptation] = &[Adaptation::ReadOnlyTimes, Adaptation::OpenedTimes];

/// How many descriptors the list holds.
pub(super) const SLOTS: u32 = 1024;

/// WASI's number for "permission denied", which is what Landlock's refusals are.
const EACCES: i32 = 2;

// ---- the list ----------------------------------------------------------------------------------

/// Emits a jump to the code for slot number `<the value of local>`; `code` has to leave. Behind it
/// follows what is to be done for numbers beyond the list.
fn switch(c: &mut InstructionSink<'_>, local: u32, code: impl Fn(&mut InstructionSink<'_>, u32)) {
    for _ in 0..=SLOTS {
        c.block(BlockType::Empty);
    }
    c.local_get(local);
    c.br_table((0..SLOTS).collect::<Vec<_>>(), SLOTS);
    for slot in 0..SLOTS {
        c.end();
        code(c, slot);
    }
    c.end();
}

/// ```c
/// int slot_get(uint32_t slot) { return slots[slot]; }
/// ```
pub(super) fn slot_get(parts: &Parts) -> Function {
    let first = parts.first_slot();
    function(0, 0, |c| {
        switch(c, 0, |c, slot| {
            c.global_get(first + slot).return_();
        });
        c.i32_const(-1);
    })
}

/// ```c
/// int slot_set(uint32_t slot) { slots[slot] = value; return 0; }
/// ```
pub(super) fn slot_set(parts: &Parts) -> Function {
    let first = parts.first_slot();
    let value = parts.global(Global::SlotValue);
    function(0, 0, |c| {
        switch(c, 0, |c, slot| {
            c.global_get(value).global_set(first + slot);
            c.i32_const(0).return_();
        });
        c.i32_const(0);
    })
}

/// ```c
/// int find(int fd) {                       // its place in the list, or -1
///     for (int slot = count; slot-- > 0;)
///         if (slot_get(slot) == fd) return slot;
///     return -1;
/// }
/// ```
pub(super) fn find(parts: &Parts) -> Function {
    let (fd, slot) = (0, 1);
    function(1, 0, |c| {
        c.global_get(parts.global(Global::SlotCount))
            .local_set(slot);
        c.block(BlockType::Empty).loop_(BlockType::Empty);
        c.local_get(slot).i32_eqz().br_if(1);
        c.local_get(slot).i32_const(1).i32_sub().local_tee(slot);
        c.call(parts.helper(Helper::SlotGet));
        c.local_get(fd).i32_ne().br_if(0);
        c.local_get(slot).return_();
        c.end().end();
        c.i32_const(-1);
    })
}

/// ```c
/// int list(int fd) {                       // where it isn't listed, and there is room
///     if (find(fd) == -1 && count < SLOTS) {
///         value = fd;
///         slot_set(count++);
///     }
///     return 0;
/// }
/// ```
pub(super) fn list(parts: &Parts) -> Function {
    let fd = 0;
    let count = parts.global(Global::SlotCount);
    function(0, 0, |c| {
        c.local_get(fd).call(parts.helper(Helper::Find));
        c.i32_const(-1).i32_eq();
        c.global_get(count).i32_const(SLOTS as i32).i32_lt_u();
        c.i32_and();
        when(c, |c| {
            c.local_get(fd).global_set(parts.global(Global::SlotValue));
            c.global_get(count).call(parts.helper(Helper::SlotSet));
            c.drop();
            c.global_get(count).i32_const(1).i32_add();
            c.global_set(count);
        });
        c.i32_const(0);
    })
}

/// ```c
/// int strike(int fd) {                     // where it is listed; the last takes its place
///     int slot = find(fd);
///     if (slot != -1) {
///         value = slot_get(--count);
///         slot_set(slot);
///     }
///     return 0;
/// }
/// ```
pub(super) fn strike(parts: &Parts) -> Function {
    let (fd, slot) = (0, 1);
    let count = parts.global(Global::SlotCount);
    function(1, 0, |c| {
        c.local_get(fd).call(parts.helper(Helper::Find));
        c.local_tee(slot).i32_const(-1).i32_ne();
        when(c, |c| {
            c.global_get(count).i32_const(1).i32_sub();
            c.global_set(count);
            c.global_get(count).call(parts.helper(Helper::SlotGet));
            c.global_set(parts.global(Global::SlotValue));
            c.local_get(slot).call(parts.helper(Helper::SlotSet)).drop();
        });
        c.i32_const(0);
    })
}

// ---- what the list begins with -----------------------------------------------------------------

/// What holds without the variable. Until the environment has been read, all is refused.
pub(super) fn nothing_held(parts: &Parts, c: &mut InstructionSink<'_>) {
    c.i32_const(0).global_set(parts.global(Global::TimesHeld));
}

/// ```c
/// held = 1;
/// count = 0;
/// list(0), list(1), list(2);
/// for (value = 3; entry[8] != 0; value++, entry++)
///     if (entry[8] == 'w') list(value);
/// ```
pub(super) fn read_mounts(parts: &Parts, c: &mut InstructionSink<'_>) {
    c.i32_const(1).global_set(parts.global(Global::TimesHeld));
    c.i32_const(0).global_set(parts.global(Global::SlotCount));
    for stream in 0..3 {
        c.i32_const(stream).call(parts.helper(Helper::List)).drop();
    }
    c.i32_const(3).local_set(VALUE);
    c.block(BlockType::Empty).loop_(BlockType::Empty);
    c.local_get(ENTRY).i32_load8_u(at(8)).i32_eqz().br_if(1);
    c.local_get(ENTRY).i32_load8_u(at(8));
    c.i32_const(i32::from(b'w')).i32_eq();
    when(c, |c| {
        c.local_get(VALUE).call(parts.helper(Helper::List)).drop();
    });
    c.local_get(VALUE).i32_const(1).i32_add().local_set(VALUE);
    c.local_get(ENTRY).i32_const(1).i32_add().local_set(ENTRY);
    c.br(0).end().end();
}

/// Emits `settings(0); if (held) body`, or only the body where no setting says so.
fn when_held(
    parts: &Parts,
    c: &mut InstructionSink<'_>,
    body: impl FnOnce(&mut InstructionSink<'_>),
) {
    if !parts.has(Adaptation::ReadOnlyTimes) {
        return body(c);
    }
    c.i32_const(0).call(parts.helper(Helper::Settings)).drop();
    c.global_get(parts.global(Global::TimesHeld));
    when(c, body);
}

// ---- who keeps the list ------------------------------------------------------------------------

/// ```c
/// errno_t path_open(fd_t fd, …, fd_t *opened) {
///     errno_t error = inner(fd, …, opened);
///     if (error == 0 && held) {
///         strike(*opened);
///         if (find(fd) != -1) list(*opened);
///     }
///     return error;
/// }
/// ```
pub(super) fn path_open(parts: &Parts) -> Function {
    opening(parts, |c| {
        let fd = 0;
        c.local_get(fd).call(parts.helper(Helper::Find));
        c.i32_const(-1).i32_ne();
    })
}

/// The same, but what is listed is what was opened with the right FD_WRITE.
pub(super) fn path_open_writing(parts: &Parts) -> Function {
    opening(parts, |c| {
        let rights = 5;
        c.local_get(rights).i64_const(1 << 6).i64_and();
        c.i64_eqz().i32_eqz();
    })
}

fn opening(parts: &Parts, listed: impl FnOnce(&mut InstructionSink<'_>)) -> Function {
    let (opened, error) = (8, 9);
    function(1, 0, |c| {
        for parameter in 0..=opened {
            c.local_get(parameter);
        }
        c.call(parts.inner).local_tee(error).i32_eqz();
        when(c, |c| {
            when_held(parts, c, |c| {
                c.local_get(opened).i32_load(at(0));
                c.call(parts.helper(Helper::Strike)).drop();
                listed(c);
                when(c, |c| {
                    c.local_get(opened).i32_load(at(0));
                    c.call(parts.helper(Helper::List)).drop();
                });
            });
        });
        c.local_get(error);
    })
}

/// ```c
/// errno_t fd_close(fd_t fd) {
///     if (held) strike(fd);
///     return inner(fd);
/// }
/// ```
///
/// Also where closing fails, for a descriptor may be gone even so.
pub(super) fn fd_close(parts: &Parts) -> Function {
    let fd = 0;
    function(0, 0, |c| {
        when_held(parts, c, |c| {
            c.local_get(fd).call(parts.helper(Helper::Strike)).drop();
        });
        c.local_get(fd).call(parts.inner);
    })
}

/// ```c
/// errno_t fd_renumber(fd_t from, fd_t to) {
///     errno_t error = inner(from, to);
///     if (error == 0 && held) {
///         int listed = find(from) != -1;
///         strike(from), strike(to);
///         if (listed) list(to);
///     }
///     return error;
/// }
/// ```
pub(super) fn fd_renumber(parts: &Parts) -> Function {
    let (from, to, error, listed) = (0, 1, 2, 3);
    function(2, 0, |c| {
        c.local_get(from).local_get(to).call(parts.inner);
        c.local_tee(error).i32_eqz();
        when(c, |c| {
            when_held(parts, c, |c| {
                c.local_get(from).call(parts.helper(Helper::Find));
                c.i32_const(-1).i32_ne().local_set(listed);
                c.local_get(from).call(parts.helper(Helper::Strike)).drop();
                c.local_get(to).call(parts.helper(Helper::Strike)).drop();
                c.local_get(listed);
                when(c, |c| {
                    c.local_get(to).call(parts.helper(Helper::List)).drop();
                });
            });
        });
        c.local_get(error);
    })
}

// ---- who asks it -------------------------------------------------------------------------------

/// ```c
/// if (held && find(fd) == -1) {
///     char *stat = scratch(64);
///     errno_t error = stat ? look(…, stat) : 0;
///     return error ? error : EACCES;
/// }
/// ```
///
/// What is wrong besides is said first, as where a file system is read-only: that there is no such
/// file or descriptor.
fn refused(
    parts: &Parts,
    c: &mut InstructionSink<'_>,
    stat: u32,
    look: impl FnOnce(&mut InstructionSink<'_>),
) {
    let fd = 0;
    when_held(parts, c, |c| {
        c.local_get(fd).call(parts.helper(Helper::Find));
        c.i32_const(-1).i32_eq();
        when(c, |c| {
            c.i32_const(FILESTAT).call(parts.helper(Helper::Scratch));
            c.local_tee(stat);
            when(c, |c| {
                look(c);
                // The place of the pointer, which has been used.
                c.local_tee(stat);
                when(c, |c| {
                    c.local_get(stat).return_();
                });
            });
            c.i32_const(EACCES).return_();
        });
    });
}

/// `fd_filestat_set_times`.
pub(super) fn fd_set_times(parts: &Parts) -> Function {
    let (fd, accessed, modified, flags, stat) = (0, 1, 2, 3, 4);
    function(1, 0, |c| {
        refused(parts, c, stat, |c| {
            c.local_get(fd).local_get(stat);
            c.call(parts.import("fd_filestat_get"));
        });
        c.local_get(fd).local_get(accessed).local_get(modified);
        c.local_get(flags).call(parts.inner);
    })
}

/// `path_filestat_set_times`.
pub(super) fn path_set_times(parts: &Parts) -> Function {
    let (fd, follow, path, length, last, stat) = (0, 1, 2, 3, 6, 7);
    function(1, 0, |c| {
        refused(parts, c, stat, |c| {
            c.local_get(fd).local_get(follow).local_get(path);
            c.local_get(length).local_get(stat);
            c.call(parts.import("path_filestat_get"));
        });
        for parameter in fd..=last {
            c.local_get(parameter);
        }
        c.call(parts.inner);
    })
}
