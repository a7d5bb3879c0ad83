//! [`Adaptation::MemoryLimit`], and what else growing memory means.

use wasm_encoder::{BlockType, Function, InstructionSink};

use super::settings::local::{ENTRY, VALUE};
use super::words::{at, function, when};
use super::{Adaptation, Global, Helper, Parts};

/// All pages that a 32-bit memory can have, which is no limit.
const ALL_PAGES: i32 = 1 << 16;

/// ```c
/// int grow(uint32_t pages) {               // stands for every `memory.grow` of the guest's
///     settings(0);
///     if (pages && (uint64_t)memory_size + pages > limit) return -1;
///     first_size = -1;                     // for `stack`
///     return memory_grow(pages);
/// }
/// ```
///
/// The wrappers' own few pages count, but are never refused: without them a wrapper could not do
/// what the guest relies on.
pub(super) fn grow(parts: &Parts) -> Function {
    let pages = 0;
    function(0, 0, |c| {
        if parts.has(Adaptation::MemoryLimit) {
            c.i32_const(0).call(parts.helper(Helper::Settings)).drop();
            c.memory_size(0).i64_extend_i32_u();
            c.local_get(pages).i64_extend_i32_u().i64_add();
            c.global_get(parts.global(Global::MemoryLimit));
            c.i64_extend_i32_u().i64_gt_u();
            c.local_get(pages).i32_const(0).i32_ne().i32_and();
            when(c, |c| {
                c.i32_const(-1).return_();
            });
        }
        c.i32_const(-1).global_set(parts.global(Global::FirstSize));
        c.local_get(pages).memory_grow(0);
    })
}

/// What holds without the variable.
pub(super) fn unlimited(parts: &Parts, c: &mut InstructionSink<'_>) {
    c.i32_const(ALL_PAGES);
    c.global_set(parts.global(Global::MemoryLimit));
}

/// ```c
/// entry += 8;
/// for (limit = 0; (unsigned)(value = *entry - '0') <= 9; entry++) limit = limit * 10 + value;
/// ```
pub(super) fn read_limit(parts: &Parts, c: &mut InstructionSink<'_>) {
    let limit = parts.global(Global::MemoryLimit);
    c.i32_const(0).global_set(limit);
    c.block(BlockType::Empty).loop_(BlockType::Empty);
    c.local_get(ENTRY).i32_load8_u(at(8));
    c.i32_const(i32::from(b'0')).i32_sub().local_tee(VALUE);
    c.i32_const(9).i32_gt_u().br_if(1);
    c.global_get(limit).i32_const(10).i32_mul();
    c.local_get(VALUE).i32_add().global_set(limit);
    c.local_get(ENTRY).i32_const(1).i32_add().local_set(ENTRY);
    c.br(0).end().end();
}
