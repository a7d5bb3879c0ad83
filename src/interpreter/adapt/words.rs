//! Small words for the bodies of wrappers.

use wasm_encoder::{BlockType, Function, InstructionSink, MemArg, MemArgTarget, ValType};

/// The size of a `filestat`.
pub(super) const FILESTAT: i32 = 64;

/// `[address + offset]` of any alignment.
pub(in crate::interpreter) fn at(offset: u64) -> MemArg {
    MemArg {
        offset,
        align: 0,
        target: MemArgTarget::Memory(0),
        ordering: None,
    }
}

/// Emits a function body: how many locals of each type it has besides its parameters, and its code.
pub(in crate::interpreter) fn function(
    i32_locals: u32,
    i64_locals: u32,
    code: impl FnOnce(&mut InstructionSink<'_>),
) -> Function {
    let mut function = Function::new([(i32_locals, ValType::I32), (i64_locals, ValType::I64)]);
    let mut sink = function.instructions();
    code(&mut sink);
    sink.end();
    function
}

/// Emits `for (i = 0; i < count; i += step) body`, all unsigned and in locals; `i` must not wrap.
pub(in crate::interpreter) fn for_each(
    c: &mut InstructionSink<'_>,
    i: u32,
    count: u32,
    step: i32,
    body: impl FnOnce(&mut InstructionSink<'_>),
) {
    c.i32_const(0).local_set(i);
    c.block(BlockType::Empty).loop_(BlockType::Empty);
    c.local_get(i).local_get(count).i32_ge_u().br_if(1);
    body(c);
    c.local_get(i).i32_const(step).i32_add().local_set(i);
    c.br(0).end().end();
}

/// Emits `if (<the value on the stack>) body`.
pub(in crate::interpreter) fn when(
    c: &mut InstructionSink<'_>,
    body: impl FnOnce(&mut InstructionSink<'_>),
) {
    c.if_(BlockType::Empty);
    body(c);
    c.end();
}

/// The first bytes of a longer text, to be compared as one number.
pub(in crate::interpreter) fn first_bytes<const N: usize>(text: &str) -> [u8; N] {
    std::array::from_fn(|i| text.as_bytes()[i])
}
