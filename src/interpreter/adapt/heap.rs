//! Memory that the guest's libc gives back.
//!
//! The wrappers take memory by `memory.grow`, so the next part of the guest's heap does not follow
//! on the last one. wasi-libc's allocator (dlmalloc) finds that out when it has got the new part,
//! then wants a larger one that needs no neighbour, and where that is refused gives the first one
//! back by `sbrk` with a negative number. wasi-libc's `sbrk` aborts on that: a program that asks for
//! a little more than there is would trap instead of meeting a MemoryError. Without the wrappers
//! there are no gaps, and nobody calls it so.

use wasm_encoder::{BlockType, Function};
use wasmparser::Operator;

use super::words::{function, when};
use super::{Global, Parts};

/// More bytes than `sbrk` has by any compiler.
const LARGEST: usize = 256;

/// Whether a function from an i32 to an i32 is `sbrk` of wasi-libc: it asks for the size of memory,
/// looks at whether its argument is a number of whole pages, grows memory, and can abort.
pub(super) fn is_sbrk(body: &wasmparser::FunctionBody<'_>) -> wasmparser::Result<bool> {
    if body.as_bytes().len() > LARGEST {
        return Ok(false);
    }
    let (mut size, mut grow, mut pages, mut abort) = (0, 0, false, false);
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        match reader.read()? {
            Operator::MemorySize { mem: 0 } => size += 1,
            Operator::MemoryGrow { mem: 0 } => grow += 1,
            Operator::I32Const { value: 0xffff } => pages = true,
            Operator::Unreachable => abort = true,
            _ => {}
        }
    }
    Ok(size == 1 && grow == 1 && pages && abort)
}

/// ```c
/// char *sbrk(int bytes) {
///     uint32_t now = memory_size << 16;
///     if (now != end) grant = free = 0;    // others have grown memory since
///     if (bytes < 0 && !(bytes & 65535) && (uint32_t)-bytes <= grant) {
///         grant += bytes;
///         free -= bytes;
///         return now - free;
///     }
///     if (bytes <= 0) return inner(bytes) - free;
///     if ((uint32_t)bytes > free) {
///         got = inner(bytes - free);
///         if (got == -1) return -1;
///         got -= free;
///         free = 0;
///     } else {
///         got = now - free;
///         free -= bytes;
///     }
///     grant = bytes;
///     end = memory_size << 16;
///     return got;
/// }
/// ```
///
/// What was given back has never been written to, so it is handed out again as it is.
pub(super) fn sbrk(parts: &Parts) -> Function {
    let (bytes, now, got) = (0, 1, 2);
    let grant = parts.global(Global::HeapGrant);
    let end = parts.global(Global::HeapEnd);
    let free = parts.global(Global::HeapFree);
    function(2, 0, |c| {
        c.memory_size(0).i32_const(16).i32_shl().local_tee(now);
        c.global_get(end).i32_ne();
        when(c, |c| {
            c.i32_const(0).global_set(grant);
            c.i32_const(0).global_set(free);
        });
        c.local_get(bytes).i32_const(0).i32_lt_s();
        c.local_get(bytes).i32_const(0xffff).i32_and().i32_eqz();
        c.i32_and();
        c.i32_const(0).local_get(bytes).i32_sub();
        c.global_get(grant).i32_le_u().i32_and();
        when(c, |c| {
            c.global_get(grant).local_get(bytes).i32_add();
            c.global_set(grant);
            c.global_get(free).local_get(bytes).i32_sub();
            c.global_set(free);
            c.local_get(now).global_get(free).i32_sub().return_();
        });
        c.local_get(bytes).i32_const(0).i32_le_s();
        when(c, |c| {
            c.local_get(bytes).call(parts.inner);
            c.global_get(free).i32_sub().return_();
        });
        c.local_get(bytes).global_get(free).i32_gt_u();
        c.if_(BlockType::Empty);
        {
            c.local_get(bytes).global_get(free).i32_sub();
            c.call(parts.inner);
            c.local_tee(got).i32_const(-1).i32_eq();
            when(c, |c| {
                c.i32_const(-1).return_();
            });
            c.local_get(got).global_get(free).i32_sub().local_set(got);
            c.i32_const(0).global_set(free);
        }
        c.else_();
        {
            c.local_get(now).global_get(free).i32_sub().local_set(got);
            c.global_get(free).local_get(bytes).i32_sub();
            c.global_set(free);
        }
        c.end();
        c.local_get(bytes).global_set(grant);
        c.memory_size(0).i32_const(16).i32_shl().global_set(end);
        c.local_get(got);
    })
}
