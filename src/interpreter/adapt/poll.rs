//! [`Adaptation::PollZero`](super::Adaptation::PollZero) and
//! [`Adaptation::RelativeClock`](super::Adaptation::RelativeClock).

use wasm_encoder::{BlockType, Function, InstructionSink, ValType};

use super::words::{at, for_each, function, when};
use super::{Helper, Parts};

/// Size and fields of a `subscription`.
mod subscription {
    pub const SIZE: i32 = 48;
    /// u8: 0 is a clock.
    pub const TAG: u64 = 8;
    pub const CLOCK_ID: u64 = 16;
    pub const TIMEOUT: u64 = 24;
    /// u16: bit 0 says that the timeout is a point in time.
    pub const FLAGS: u64 = 40;
}

/// More subscriptions than these are passed on as they are: 3 MiB of them, more than there are
/// descriptors.
const MOST_SUBSCRIPTIONS: i32 = 1 << 16;

/// Locals of [`poll`] that its parts share.
mod poll_local {
    /// A subscription of the copy.
    pub const SUB: u32 = 4;
    /// Size in bytes of all subscriptions, and therefore the free place behind the copy.
    pub const BYTES: u32 = 5;
    /// Where the copy is.
    pub const COPY: u32 = 6;
    pub const I: u32 = 7;
    pub const TIME: u32 = 8;
}

/// ```c
/// errno_t poll_oneoff(sub_t *in, event_t *out, uint32_t count, uint32_t *events) {
///     uint32_t bytes = count * 48;
///     if (count <= 65536)
///         for (i = 0; i < bytes; i += 48) {
///             sub = in + i;
///             if (sub->tag == CLOCK && concerns(sub)) goto copy;
///         }
///     return inner(in, out, count, events);
/// copy:
///     char *copy = scratch(bytes + 8);
///     if (!copy) return inner(in, out, count, events);
///     for (i = 0; i < bytes; i += 8) copy[i] = in[i];
///     for (i = 0; i < bytes; i += 48) {
///         sub = copy + i;
///         if (sub->tag == CLOCK && concerns(sub)) change(sub);
///     }
///     return inner(copy, out, count, events);
/// }
/// ```
///
/// The copy of an inner wrapper lies on that of the outer one, which does no harm.
fn poll(
    parts: &Parts,
    concerns: fn(&mut InstructionSink<'_>),
    change: fn(&Parts, &mut InstructionSink<'_>),
) -> Function {
    use poll_local::*;
    let (input, out, count, events) = (0, 1, 2, 3);
    let call = |c: &mut InstructionSink<'_>, input: u32| {
        c.local_get(input).local_get(out);
        c.local_get(count).local_get(events).call(parts.inner);
    };
    let concerned = |c: &mut InstructionSink<'_>, start: u32| {
        c.local_get(start).local_get(I).i32_add().local_tee(SUB);
        c.i32_load8_u(at(subscription::TAG)).i32_eqz();
        c.if_(BlockType::Result(ValType::I32));
        concerns(c);
        c.else_().i32_const(0).end();
    };
    function(4, 1, |c| {
        c.block(BlockType::Empty); // left to make a copy
        c.block(BlockType::Empty); // left when there is nothing to change
        c.local_get(count).i32_const(MOST_SUBSCRIPTIONS).i32_gt_u();
        c.br_if(0);
        c.local_get(count).i32_const(subscription::SIZE).i32_mul();
        c.local_set(BYTES);
        for_each(c, I, BYTES, subscription::SIZE, |c| {
            concerned(c, input);
            // Out of the loop, its block and the inner block.
            c.br_if(3);
        });
        c.end();
        call(c, input);
        c.return_();
        c.end();

        c.local_get(BYTES).i32_const(8).i32_add();
        c.call(parts.helper(Helper::Scratch));
        c.local_tee(COPY).i32_eqz();
        when(c, |c| {
            call(c, input);
            c.return_();
        });
        for_each(c, I, BYTES, 8, |c| {
            c.local_get(COPY).local_get(I).i32_add();
            c.local_get(input).local_get(I).i32_add().i64_load(at(0));
            c.i64_store(at(0));
        });
        for_each(c, I, BYTES, subscription::SIZE, |c| {
            concerned(c, COPY);
            when(c, |c| change(parts, c));
        });
        call(c, COPY);
    })
}

/// `timeout == 0` becomes `timeout = 1`: a nanosecond is the least that ends on wasmer, and as a
/// point in time both have long gone by.
pub(super) fn poll_zero(parts: &Parts) -> Function {
    use poll_local::SUB;
    poll(
        parts,
        |c| {
            c.local_get(SUB).i64_load(at(subscription::TIMEOUT));
            c.i64_eqz();
        },
        |_, c| {
            c.local_get(SUB);
            c.i64_const(1).i64_store(at(subscription::TIMEOUT));
        },
    )
}

/// ```c
/// if (sub->flags & ABSTIME && clock_time_get(sub->clock_id, 1, &now) == 0) {
///     sub->timeout = sub->timeout > now ? sub->timeout - now : 1;
///     sub->flags &= ~ABSTIME;
/// }
/// ```
///
/// At least 1, for 0 is a special case on some runtimes. A clock that cannot be read is left for
/// the runtime to refuse.
pub(super) fn relative_clock(parts: &Parts) -> Function {
    use poll_local::{BYTES, COPY, SUB, TIME};
    poll(
        parts,
        |c| {
            c.local_get(SUB).i32_load16_u(at(subscription::FLAGS));
            c.i32_const(1).i32_and();
        },
        |parts, c| {
            c.local_get(SUB).i32_load(at(subscription::CLOCK_ID));
            c.i64_const(1);
            c.local_get(COPY).local_get(BYTES).i32_add();
            c.call(parts.import("clock_time_get")).i32_eqz();
            when(c, |c| {
                c.local_get(SUB);
                // select(timeout - now, 1, timeout > now)
                c.local_get(SUB).i64_load(at(subscription::TIMEOUT));
                c.local_get(COPY).local_get(BYTES).i32_add().i64_load(at(0));
                c.local_tee(TIME).i64_sub();
                c.i64_const(1);
                c.local_get(SUB).i64_load(at(subscription::TIMEOUT));
                c.local_get(TIME).i64_gt_u();
                c.select();
                c.i64_store(at(subscription::TIMEOUT));
                c.local_get(SUB);
                c.local_get(SUB).i32_load16_u(at(subscription::FLAGS));
                c.i32_const(!1).i32_and();
                c.i32_store16(at(subscription::FLAGS));
            });
        },
    )
}
