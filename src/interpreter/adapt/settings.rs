//! What pyw tells the module for one run, in variables of the environment.

use wasm_encoder::{Function, InstructionSink};

use super::words::{at, first_bytes, for_each, function, when};
use super::{Adaptation, Global, Helper, MEMORY_VAR, MOUNTS_VAR, Parts, TTY_VAR};
use super::{limit, streams, times};

/// Local variables that what reads a value may use.
pub(super) mod local {
    /// The entry, `NAME=VALUE` and a zero; may be changed.
    pub const ENTRY: u32 = 5;
    /// Free to use.
    pub const VALUE: u32 = 6;
}

/// One page, as [`super::memory::fresh`] counts.
const ONE_PAGE: i32 = (1 << 16) - 1;

/// ```c
/// int settings(int) {                      // what it reads lies in globals afterwards
///     if (asked) return 0;
///     asked = 1;
///     char *area = fresh(65535);
///     if (!area || environ_sizes_get(area, area + 4) != 0) return 0;
///     uint32_t names = area[0] * 4, size = names + area[4] + 16;
///     area[0] = area[4] = 0;
///     if (size > 65536) {
///         area = fresh(size);
///         if (!area) return 0;
///     }
///     if (environ_get(area, area + names) == 0) {
///         … what holds without the variables
///         for (i = 0; i < names; i += 4) {
///             char *entry = area[i];
///             … for each variable: if (memcmp(entry, "PYW_XXX=", 8) == 0) …
///         }
///     }
///     for (i = 0; i < size; i += 8) area[i] = 0;
///     return 0;
/// }
/// ```
///
/// Who restricts the guest has to have globals that do so until the environment has been read.
///
/// The 16 bytes more let every entry be read as 8 bytes and one, and the clearing overshoot. The
/// area is left as `memory.grow` gave it: an allocator may come across it and think it new.
pub(super) fn settings(parts: &Parts) -> Function {
    use local::ENTRY;
    let (names, size, area, i) = (1, 2, 3, 4);
    let asked = parts.global(Global::Asked);
    let leave = |c: &mut InstructionSink<'_>| {
        c.i32_const(0).return_();
    };
    function(6, 0, |c| {
        c.global_get(asked);
        when(c, leave);
        c.i32_const(1).global_set(asked);

        c.i32_const(ONE_PAGE).call(parts.helper(Helper::Fresh));
        c.local_tee(area).i32_eqz();
        when(c, leave);
        c.local_get(area);
        c.local_get(area).i32_const(4).i32_add();
        c.call(parts.import("environ_sizes_get"));
        when(c, leave);
        c.local_get(area).i32_load(at(0)).i32_const(2).i32_shl();
        c.local_tee(names).local_get(area).i32_load(at(4));
        c.i32_add().i32_const(16).i32_add().local_set(size);
        c.local_get(area).i64_const(0).i64_store(at(0));
        c.local_get(size).i32_const(ONE_PAGE).i32_gt_u();
        when(c, |c| {
            c.local_get(size).call(parts.helper(Helper::Fresh));
            c.local_tee(area).i32_eqz();
            when(c, leave);
        });

        c.local_get(area);
        c.local_get(area).local_get(names).i32_add();
        c.call(parts.import("environ_get")).i32_eqz();
        when(c, |c| {
            if parts.has(Adaptation::MemoryLimit) {
                limit::unlimited(parts, c);
            }
            if parts.has(Adaptation::ReadOnlyTimes) {
                times::nothing_held(parts, c);
            }
            for_each(c, i, names, 4, |c| {
                c.local_get(area).local_get(i).i32_add().i32_load(at(0));
                c.local_set(ENTRY);
                if parts.has(Adaptation::Tty) {
                    variable(parts, c, TTY_VAR, streams::read_mask);
                }
                if parts.has(Adaptation::MemoryLimit) {
                    variable(parts, c, MEMORY_VAR, limit::read_limit);
                }
                if parts.has(Adaptation::ReadOnlyTimes) {
                    variable(parts, c, MOUNTS_VAR, times::read_mounts);
                }
            });
        });
        for_each(c, i, size, 8, |c| {
            c.local_get(area).local_get(i).i32_add();
            c.i64_const(0).i64_store(at(0));
        });
        c.i32_const(0);
    })
}

/// Emits `if (memcmp(entry, "NAME=", 8) == 0) read`, for a name of 7 letters.
fn variable(
    parts: &Parts,
    c: &mut InstructionSink<'_>,
    name: &str,
    read: fn(&Parts, &mut InstructionSink<'_>),
) {
    let start = i64::from_le_bytes(first_bytes(&format!("{name}=")));
    c.local_get(local::ENTRY).i64_load(at(0));
    c.i64_const(start).i64_eq();
    when(c, |c| read(parts, c));
}
