//! [`Adaptation::Stack`](super::Adaptation::Stack).

use wasm_encoder::{BlockType, Function, Instruction};
use wasmparser::{ConstExpr, GlobalType, Operator};

use super::words::{function, when};
use super::{Global, Helper, Parts};

/// Pages of the new stack: 8 MiB, as much as a native program has on Linux. Those that are never
/// reached cost nothing but addresses.
pub(super) const PAGES: i32 = 128;

/// How much of it is kept free below, for functions that call no other and therefore use some
/// bytes below the stack pointer without a word.
const RESERVE: i32 = 4096;

/// What `ld` of LLVM calls `__stack_pointer`: the first global, a mutable i32 that begins at the
/// stack's upper end.
#[derive(Default)]
pub(super) struct Search {
    /// Where it begins, if the first global can be it.
    top: Option<u32>,
    /// Functions that name the global.
    users: u32,
    /// Functions that begin a frame by it.
    framers: u32,
}

impl Search {
    /// Notes the first global of the module's own.
    pub fn first_global(&mut self, ty: GlobalType, value: &ConstExpr<'_>) {
        let mut reader = value.get_operators_reader();
        if ty.mutable
            && ty.content_type == wasmparser::ValType::I32
            && let Ok(Operator::I32Const { value }) = reader.read()
            && let Ok(top) = u32::try_from(value)
            && top > 0
            && top.is_multiple_of(16)
        {
            self.top = Some(top);
        }
    }

    /// Notes how a function uses the first global.
    pub fn body(&mut self, body: &wasmparser::FunctionBody<'_>) -> wasmparser::Result<()> {
        if self.top.is_none() {
            return Ok(());
        }
        let (mut uses, mut frames) = (false, false);
        let mut seen = Seen::Else;
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let operator = reader.read()?;
            if let Operator::GlobalGet { global_index } | Operator::GlobalSet { global_index } =
                operator
            {
                uses |= global_index == STACK_POINTER;
            }
            seen = match (operator, seen) {
                (Operator::GlobalGet { global_index }, _) if global_index == STACK_POINTER => {
                    Seen::Pointer
                }
                // Optimizers write `x - 16` as `x + -16`.
                (Operator::I32Const { value }, Seen::Pointer) => Seen::Size(value),
                (Operator::I32Sub, Seen::Size(size)) => {
                    frames |= size > 0;
                    Seen::Else
                }
                (Operator::I32Add, Seen::Size(size)) => {
                    frames |= size < 0;
                    Seen::Else
                }
                _ => Seen::Else,
            };
        }
        self.users += u32::from(uses);
        self.framers += u32::from(frames);
        Ok(())
    }

    /// Whether the first global is the stack pointer without doubt, of a stack that is smaller
    /// than the new one would be, in a memory of so many pages.
    pub fn found(&self, pages: u64) -> bool {
        self.top.is_some_and(|top| {
            u64::from(top) <= pages << 16 && top < (PAGES as u32) << 16
        })
            // Almost every function that has to do with it begins a frame; the others hand it on.
            && self.framers > 0
            && self.framers >= self.users / 2
    }
}

/// How much of `global.get 0; i32.const SIZE; i32.sub` has been read.
#[derive(Clone, Copy)]
enum Seen {
    Else,
    Pointer,
    Size(i32),
}

/// The last two instructions, to tell whether a new stack pointer can be a lower one.
#[derive(Clone, Copy, Default)]
pub(super) struct Last {
    /// A constant that is no negative number.
    constant: bool,
    /// Such a constant, added to something.
    pub raised: bool,
}

impl Last {
    pub fn then(self, operator: &Operator<'_>) -> Last {
        Last {
            constant: matches!(operator, Operator::I32Const { value } if *value >= 0),
            raised: self.constant && matches!(operator, Operator::I32Add),
        }
    }
}

/// ```c
/// void _start(void) {
///     uint32_t size = memory_size, page = grow(PAGES);
///     if (page != -1) {
///         first_size = size;
///         low = (page << 16) + RESERVE;
///         stack_pointer = (page + PAGES) << 16;
///     }
///     inner();
/// }
/// ```
pub(super) fn start(parts: &Parts) -> Function {
    let (size, page) = (0, 1);
    function(2, 0, |c| {
        c.memory_size(0).local_set(size);
        c.i32_const(PAGES).call(parts.helper(Helper::Grow));
        c.local_tee(page).i32_const(-1).i32_ne();
        when(c, |c| {
            c.local_get(size)
                .global_set(parts.global(Global::FirstSize));
            c.local_get(page).i32_const(16).i32_shl();
            c.i32_const(RESERVE).i32_add();
            c.global_set(parts.global(Global::StackLow));
            c.local_get(page).i32_const(PAGES).i32_add();
            c.i32_const(16).i32_shl().global_set(STACK_POINTER);
        });
        c.call(parts.inner);
    })
}

/// The first global.
pub(super) const STACK_POINTER: u32 = 0;

/// ```c
/// uint32_t size(int) { return first_size == -1 ? memory_size : first_size; }
/// ```
///
/// It stands for every `memory.size` of the guest's. An old libc takes all memory there is for its
/// heap when `malloc` is called for the first time, and a stack in it would be overwritten; so the
/// guest sees the memory that it came with until it asks for more. What it then gets lies behind
/// the stack, and allocators cope with such a gap: any other part of a program may grow memory.
pub(super) fn size(parts: &Parts) -> Function {
    let first = parts.global(Global::FirstSize);
    function(0, 0, |c| {
        c.memory_size(0).global_get(first);
        c.global_get(first).i32_const(-1).i32_eq().select();
    })
}

/// `if (stack_pointer < low) unreachable;`, which follows each change of the stack pointer that can
/// be a step down.
///
/// The stack that came with the module ends where memory does, so that what overflows it traps.
/// The new one has the heap below.
pub(super) fn check(low: u32) -> [Instruction<'static>; 6] {
    [
        Instruction::GlobalGet(STACK_POINTER),
        Instruction::GlobalGet(low),
        Instruction::I32LtU,
        Instruction::If(BlockType::Empty),
        Instruction::Unreachable,
        Instruction::End,
    ]
}
