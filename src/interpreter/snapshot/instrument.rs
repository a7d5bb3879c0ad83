//! A module whose memory and globals can be captured from the inside, on any runtime.
//!
//! Two imports go through wrappers. `proc_exit` with [`CAPTURE`] as its code writes the globals and
//! the whole memory to stdout instead of ending the program in its usual way. And behind the real
//! preopens there are [`SLOTS`] invented ones, so that libc's table of preopens has room for
//! those of any later run; their names are found again in the image.

use std::collections::BTreeMap;
use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, ConstExpr, Function, FunctionSection, GlobalSection, GlobalType, Module,
    TypeSection, ValType,
};
use wasmparser::{Operator, Parser, ValType as Parsed};

use super::shape::Shape;
use super::{CAPTURE, SLOT_NAME, SLOTS, SnapshotError};
use crate::interpreter::adapt::words::{at, first_bytes, function, when};

use ValType::I32;

/// What the image begins with.
pub(super) const MAGIC: [u8; 8] = *b"PYWIMAGE";
/// Where the globals begin in an image: behind the magic, their number and the number of pages.
pub(super) const GLOBALS_AT: usize = 16;
/// The exit codes of a capture that failed: the image could not be written, or memory not grow.
const NOT_WRITTEN: i32 = 74;
const NO_MEMORY: i32 = 75;
const STDOUT: i32 = 1;
const FIRST_PREOPEN: i32 = 3;

/// Instruments a module.
///
/// # Errors
/// It is malformed or of a kind whose state cannot be captured.
pub(super) fn instrument(module: &[u8]) -> Result<Vec<u8>, SnapshotError> {
    let shape = Shape::read(module)?;
    let mut appended: Vec<(u32, Function)> = Vec::new();
    let mut redirected = BTreeMap::new();
    // write(pointer, length, scratch)
    let write = shape.functions;
    appended.push((
        shape.types,
        write_all(shape.import("fd_write")?, shape.import("proc_exit")?),
    ));
    for (import, body) in [
        ("proc_exit", capture as fn(&Shape, u32, u32) -> Function),
        ("fd_prestat_get", prestat_get),
        ("fd_prestat_dir_name", prestat_dir_name),
    ] {
        let inner = shape.import(import)?;
        let ty = shape.imports[import].1;
        redirected.insert(inner, shape.functions + appended.len() as u32);
        appended.push((ty, body(&shape, inner, write)));
    }
    let mut instrumenter = Instrumenter {
        redirected,
        appended,
    };
    let mut out = Module::new();
    instrumenter
        .parse_core_module(&mut out, Parser::new(0), module)
        .map_err(|error| SnapshotError::Module(error.to_string()))?;
    Ok(out.finish())
}

/// ```c
/// void write(char *from, uint32_t length, char *scratch) {
///     for (; length; from += n, length -= n) {
///         iov = {from, min(length, 1 << 20)};
///         if (fd_write(1, &iov, 1, &n) != 0) proc_exit(NOT_WRITTEN);
///     }
/// }
/// ```
fn write_all(fd_write: u32, exit: u32) -> Function {
    let (from, length, scratch, n) = (0, 1, 2, 3);
    function(1, 0, |c| {
        c.loop_(wasm_encoder::BlockType::Empty);
        c.local_get(length).i32_eqz();
        when(c, |c| {
            c.return_();
        });
        c.local_get(scratch).local_get(from).i32_store(at(0));
        c.local_get(scratch);
        c.local_get(length).i32_const(1 << 20);
        c.local_get(length).i32_const(1 << 20).i32_lt_u().select();
        c.i32_store(at(4));
        c.i32_const(STDOUT).local_get(scratch).i32_const(1);
        c.local_get(scratch).i32_const(8).i32_add().call(fd_write);
        when(c, |c| {
            c.i32_const(NOT_WRITTEN).call(exit);
        });
        c.local_get(scratch).i32_load(at(8)).local_set(n);
        c.local_get(from).local_get(n).i32_add().local_set(from);
        c.local_get(length).local_get(n).i32_sub().local_set(length);
        c.br(0).end();
    })
}

/// ```c
/// void proc_exit(uint32_t code) {
///     if (code != CAPTURE) inner(code);
///     uint32_t pages = memory_size;
///     char *end = pages << 16;             // the image must not change while it is written
///     if (memory_grow(1) == -1) inner(NO_MEMORY);
///     header = end + 16; header->magic, header->globals = n, header->pages = pages, values…
///     write(header, …, end);
///     write(0, end, end);
///     inner(0);
/// }
/// ```
fn capture(shape: &Shape, inner: u32, write: u32) -> Function {
    let (code, end, pages) = (0, 1, 2);
    let header = 16;
    let at_global = |i: usize| (header + GLOBALS_AT + 8 * i) as u64;
    let size = GLOBALS_AT + 8 * shape.mutable.len();
    function(2, 0, |c| {
        c.local_get(code).i32_const(CAPTURE).i32_ne();
        when(c, |c| {
            c.local_get(code).call(inner).unreachable();
        });
        c.memory_size(0).local_tee(pages);
        c.i32_const(16).i32_shl().local_set(end);
        c.i32_const(1).memory_grow(0).i32_const(-1).i32_eq();
        when(c, |c| {
            c.i32_const(NO_MEMORY).call(inner).unreachable();
        });
        c.local_get(end);
        c.i64_const(i64::from_le_bytes(MAGIC));
        c.i64_store(at(header as u64));
        c.local_get(end).i32_const(shape.mutable.len() as i32);
        c.i32_store(at(header as u64 + 8));
        c.local_get(end).local_get(pages);
        c.i32_store(at(header as u64 + 12));
        for (i, (global, ty)) in shape.mutable.iter().enumerate() {
            c.local_get(end).global_get(*global);
            match ty {
                Parsed::I64 => c.i64_store(at(at_global(i))),
                Parsed::F32 => c.f32_store(at(at_global(i))),
                Parsed::F64 => c.f64_store(at(at_global(i))),
                // `Shape::read` lets no other through.
                _ => c.i32_store(at(at_global(i))),
            };
        }
        c.local_get(end).i32_const(header as i32).i32_add();
        c.i32_const(size as i32).local_get(end).call(write);
        c.i32_const(0).local_get(end).local_get(end).call(write);
        c.i32_const(0).call(inner).unreachable();
    })
}

/// ```c
/// errno_t fd_prestat_get(fd_t fd, prestat_t *stat) {
///     errno_t error = inner(fd, stat);
///     if (error == 0 || fd < 3) return error;
///     if (first == 0) first = fd;          // the first descriptor behind the real preopens
///     if (fd < first || fd >= first + SLOTS) return error;
///     *stat = {DIR, 10};
///     return 0;
/// }
/// ```
fn prestat_get(shape: &Shape, inner: u32, _: u32) -> Function {
    let (fd, stat, error) = (0, 1, 2);
    let first = shape.globals;
    function(1, 0, |c| {
        c.local_get(fd).local_get(stat).call(inner);
        c.local_tee(error).i32_eqz();
        c.local_get(fd).i32_const(FIRST_PREOPEN).i32_lt_u().i32_or();
        when(c, |c| {
            c.local_get(error).return_();
        });
        c.global_get(first).i32_eqz();
        when(c, |c| {
            c.local_get(fd).global_set(first);
        });
        c.local_get(fd).global_get(first).i32_sub();
        c.i32_const(SLOTS as i32).i32_ge_u();
        when(c, |c| {
            c.local_get(error).return_();
        });
        c.local_get(stat).i32_const(0).i32_store(at(0));
        c.local_get(stat);
        // Behind a slash and before two digits.
        c.i32_const(SLOT_NAME.len() as i32 + 3).i32_store(at(4));
        c.i32_const(0);
    })
}

/// ```c
/// errno_t fd_prestat_dir_name(fd_t fd, char *name, uint32_t length) {
///     if (first == 0 || fd - first >= SLOTS) return inner(fd, name, length);
///     name = "/pywslotNN";
///     return 0;
/// }
/// ```
fn prestat_dir_name(shape: &Shape, inner: u32, _: u32) -> Function {
    let (fd, name, length, slot) = (0, 1, 2, 3);
    let first = shape.globals;
    let text = format!("/{SLOT_NAME}");
    const {
        assert!(SLOT_NAME.len() == 7 && SLOTS <= 100);
    }
    function(1, 0, |c| {
        c.local_get(fd).global_get(first).i32_sub().local_set(slot);
        c.global_get(first).i32_eqz();
        c.local_get(slot)
            .i32_const(SLOTS as i32)
            .i32_ge_u()
            .i32_or();
        when(c, |c| {
            c.local_get(fd).local_get(name).local_get(length);
            c.call(inner).return_();
        });
        c.local_get(name);
        c.i64_const(i64::from_le_bytes(first_bytes(&text)));
        c.i64_store(at(0));
        c.local_get(name);
        c.local_get(slot).i32_const(10).i32_div_u();
        c.i32_const(i32::from(b'0')).i32_add().i32_store8(at(8));
        c.local_get(name);
        c.local_get(slot).i32_const(10).i32_rem_u();
        c.i32_const(i32::from(b'0')).i32_add().i32_store8(at(9));
        c.i32_const(0);
    })
}

struct Instrumenter {
    /// Which function an index now stands for, where it is another one.
    redirected: BTreeMap<u32, u32>,
    /// Type index and body. The first one has a type that is appended, too.
    appended: Vec<(u32, Function)>,
}

impl Instrumenter {
    fn changes(&self, body: &wasmparser::FunctionBody<'_>) -> wasmparser::Result<bool> {
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            if let Operator::Call { function_index }
            | Operator::ReturnCall { function_index }
            | Operator::RefFunc { function_index } = reader.read()?
                && self.redirected.contains_key(&function_index)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

type Reencoded = Result<(), reencode::Error<Infallible>>;

impl Reencode for Instrumenter {
    type Error = Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error<Infallible>> {
        Ok(*self.redirected.get(&index).unwrap_or(&index))
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Reencoded {
        reencode::utils::parse_type_section(self, types, section)?;
        types.ty().function([I32, I32, I32], []);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Reencoded {
        reencode::utils::parse_function_section(self, functions, section)?;
        for (ty, _) in &self.appended {
            functions.function(*ty);
        }
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Reencoded {
        reencode::utils::parse_global_section(self, globals, section)?;
        let ty = GlobalType {
            val_type: I32,
            mutable: true,
            shared: false,
        };
        globals.global(ty, &ConstExpr::i32_const(0));
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Reencoded {
        for body in section {
            let body = body?;
            if self.changes(&body)? {
                self.parse_function_body(code, body)?;
            } else {
                code.raw(body.as_bytes());
            }
        }
        for (_, body) in &self.appended {
            code.function(body);
        }
        Ok(())
    }

    fn parse_custom_section(
        &mut self,
        _: &mut Module,
        _: wasmparser::CustomSectionReader<'_>,
    ) -> Reencoded {
        // It runs once, for pyw alone.
        Ok(())
    }
}
