//! Memory of the wrappers' own.

use wasm_encoder::{BlockType, Function, ValType};

use super::words::{function, when};
use super::{Global, Helper, Parts};

/// ```c
/// char *fresh(uint32_t bytes) {            // new zeroed memory, or 0
///     uint32_t page = memory_grow((bytes >> 16) + 1);
///     return page == -1 ? 0 : page << 16;
/// }
/// ```
pub(super) fn fresh(_: &Parts) -> Function {
    let (bytes, page) = (0, 1);
    function(1, 0, |c| {
        c.local_get(bytes).i32_const(16).i32_shr_u();
        c.i32_const(1).i32_add().memory_grow(0).local_tee(page);
        c.i32_const(-1).i32_eq();
        c.if_(BlockType::Result(ValType::I32));
        c.i32_const(0);
        c.else_();
        c.local_get(page).i32_const(16).i32_shl();
        c.end();
    })
}

/// ```c
/// char *scratch(uint32_t bytes) {          // the same area again and again, or 0
///     if (bytes > scratch_size) {
///         char *area = fresh(bytes);
///         if (!area) return 0;
///         scratch_at = area;
///         scratch_size = bytes;
///     }
///     return scratch_at;
/// }
/// ```
///
/// An old libc takes all memory there is for its heap when `malloc` is called for the first time;
/// so what lasts may be taken only in calls that come after that, as a poll does.
/// [`settings`](super::settings::settings) may come earlier and gives its memory up at once.
pub(super) fn scratch(parts: &Parts) -> Function {
    let (bytes, area) = (0, 1);
    let (start, size) = (
        parts.global(Global::ScratchAt),
        parts.global(Global::ScratchSize),
    );
    function(1, 0, |c| {
        c.local_get(bytes).global_get(size).i32_gt_u();
        when(c, |c| {
            c.local_get(bytes).call(parts.helper(Helper::Fresh));
            c.local_tee(area).i32_eqz();
            when(c, |c| {
                c.i32_const(0).return_();
            });
            c.local_get(area).global_set(start);
            c.local_get(bytes).global_set(size);
        });
        c.global_get(start);
    })
}
