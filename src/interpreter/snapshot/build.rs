//! A module that begins where another one was captured.
//!
//! Its code is the same; its memory and globals begin with what was captured. `_start` no longer
//! initialises anything: it reads arguments and environment into a buffer, points libc's table of
//! preopens to those of this run, and has the captured `exec` call the resuming script.

use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, MemorySection, Module, TypeSection, ValType,
};
use wasmparser::{Parser, ValType as Parsed};

use super::SnapshotError;
use super::image::{Image, Layout};
use super::shape::Shape;
use crate::interpreter::adapt::words::{at, function, when};

use ValType::I32;

/// The start of the buffer: where each number stands that the first instructions leave there, or
/// need themselves. resume.py reads the first ones.
mod head {
    pub const ARGUMENTS: u32 = 0;
    pub const ARGUMENTS_SIZE: u32 = 4;
    pub const VARIABLES: u32 = 8;
    pub const VARIABLES_SIZE: u32 = 12;
    pub const ARGUMENTS_AT: u32 = 16;
    pub const VARIABLES_AT: u32 = 20;
    // 28 is `RECURSION_AT`; 24 is free.
    pub const PRESTAT: u32 = 32;
    /// A name that no path begins with.
    pub const NO_NAME: u32 = 40;
    /// What `exec` is called with.
    pub const CALL: u32 = 48;
    /// Where the next name goes, and where there is no more room.
    pub const CURSOR: u32 = 56;
    pub const LIMIT: u32 = 60;
    pub const SIZE: u32 = 64;
}

/// Room that is left in the buffer for the names of preopens.
const FOR_NAMES: u32 = 32 * 1024;

/// Builds the snapshot of a module from its image.
///
/// # Errors
/// The image is not what was expected.
pub(super) fn build(module: &[u8], image: &mut Image) -> Result<Vec<u8>, SnapshotError> {
    let shape = Shape::read(module)?;
    let layout = image.prepare()?;
    if shape.tables == 0 || shape.passive.is_empty() {
        let what = "it has no table or no data".to_owned();
        return Err(SnapshotError::Module(what));
    }
    let preopen = shape.functions;
    let start = preopen + 1;
    let bodies = vec![
        (shape.types, point_preopen(&shape, &layout)?),
        (shape.types + 1, begin(&shape, image, &layout, preopen)?),
        (shape.types + 1, function(0, 0, |_| {})),
    ];
    let mut builder = Builder {
        shape: &shape,
        image,
        segments: image.segments(),
        bodies,
        start,
        globals: 0,
    };
    let mut out = Module::new();
    builder
        .parse_core_module(&mut out, Parser::new(0), module)
        .map_err(|error| SnapshotError::Module(error.to_string()))?;
    Ok(out.finish())
}

/// ```c
/// void point(fd_t fd, struct { char *name; int fd; } *entry) {
///     entry->name = "\1";
///     if (fd_prestat_get(fd, &stat) != 0) return;
///     if (cursor + stat.length + 1 > limit) abort();
///     if (fd_prestat_dir_name(fd, cursor, stat.length) != 0) return;
///     cursor[stat.length] = 0;
///     name = cursor; cursor += stat.length + 1;
///     for (;;)                             // as libc does
///         if (*name == '/') name++;
///         else if (name[0] == '.' && name[1] == '/') name += 2;
///         else if (name[0] == '.' && !name[1]) name++;
///         else break;
///     entry->name = name;
/// }
/// ```
fn point_preopen(shape: &Shape, layout: &Layout) -> Result<Function, SnapshotError> {
    let (fd, entry, name) = (0, 1, 2);
    let get = shape.import("fd_prestat_get")?;
    let dir_name = shape.import("fd_prestat_dir_name")?;
    let here = |offset: u32| (layout.buffer + offset) as i32;
    let length = here(head::PRESTAT + 4);
    let is = |c: &mut wasm_encoder::InstructionSink<'_>, offset, byte: u8| {
        c.local_get(name).i32_load8_u(at(offset));
        c.i32_const(i32::from(byte)).i32_eq();
    };
    Ok(function(1, 0, |c| {
        c.local_get(entry);
        c.i32_const(here(head::NO_NAME)).i32_store(at(0));
        c.local_get(fd).i32_const(here(head::PRESTAT)).call(get);
        when(c, |c| {
            c.return_();
        });
        c.i32_const(here(head::CURSOR)).i32_load(at(0));
        c.local_tee(name).i32_const(length).i32_load(at(0));
        c.i32_add().i32_const(1).i32_add();
        c.i32_const(here(head::LIMIT)).i32_load(at(0)).i32_gt_u();
        when(c, |c| {
            c.unreachable();
        });
        c.local_get(fd).local_get(name);
        c.i32_const(length).i32_load(at(0)).call(dir_name);
        when(c, |c| {
            c.return_();
        });
        c.local_get(name).i32_const(length).i32_load(at(0));
        c.i32_add().i32_const(0).i32_store8(at(0));
        c.i32_const(here(head::CURSOR));
        c.local_get(name).i32_const(length).i32_load(at(0));
        c.i32_add().i32_const(1).i32_add().i32_store(at(0));
        c.block(BlockType::Empty).loop_(BlockType::Empty);
        is(c, 0, b'/');
        c.if_(BlockType::Empty);
        c.local_get(name).i32_const(1).i32_add().local_set(name);
        c.br(1).end();
        is(c, 0, b'.');
        c.i32_eqz().br_if(1);
        is(c, 1, b'/');
        c.if_(BlockType::Empty);
        c.local_get(name).i32_const(2).i32_add().local_set(name);
        c.br(1).end();
        is(c, 1, 0);
        c.if_(BlockType::Empty);
        c.local_get(name).i32_const(1).i32_add().local_set(name);
        c.br(1).end();
        c.end().end();
        c.local_get(entry).local_get(name).i32_store(at(0));
    }))
}

/// ```c
/// void _start(void) {
///     args_sizes_get(&arguments, &arguments_size);
///     environ_sizes_get(&variables, &variables_size);
///     size = (arguments + variables) * 4 + arguments_size + variables_size;
///     if (size > CAPACITY - FOR_NAMES) {
///         lists = memory_size << 16;
///         if (memory_grow((size >> 16) + 2) == -1) abort();
///         limit = memory_size << 16;
///     } else {
///         lists = buffer + 64;
///         limit = buffer + CAPACITY;
///     }
///     arguments_at = lists + arguments * 4;
///     args_get(lists, arguments_at);
///     lists = (arguments_at + arguments_size + 3) & -4;
///     variables_at = lists + variables * 4;
///     environ_get(lists, variables_at);
///     cursor = variables_at + variables_size;
///     for (i = 0; i < entries; i++) point(first + i, &table[i]);
///     exec_vectorcall(exec, {code, globals}, 2, 0);
///     abort();
/// }
/// ```
fn begin(
    shape: &Shape,
    image: &Image,
    layout: &Layout,
    preopen: u32,
) -> Result<Function, SnapshotError> {
    use head::*;
    let args_sizes = shape.import("args_sizes_get")?;
    let args_get = shape.import("args_get")?;
    let environ_sizes = shape.import("environ_sizes_get")?;
    let environ_get = shape.import("environ_get")?;
    let (lists, size, i) = (0, 1, 2);
    let told = &image.told;
    let here = |offset: u32| (layout.buffer + offset) as i32;
    let vectorcall_type = shape.types + 2;
    type Sink<'a, 'b> = &'a mut wasm_encoder::InstructionSink<'b>;
    let load = |c: Sink<'_, '_>, offset| {
        c.i32_const(here(offset)).i32_load(at(0));
    };
    Ok(function(3, 0, |c| {
        c.i32_const(here(ARGUMENTS)).i32_const(here(ARGUMENTS_SIZE));
        c.call(args_sizes).drop();
        c.i32_const(here(VARIABLES)).i32_const(here(VARIABLES_SIZE));
        c.call(environ_sizes).drop();
        load(c, ARGUMENTS);
        load(c, VARIABLES);
        c.i32_add().i32_const(2).i32_shl();
        load(c, ARGUMENTS_SIZE);
        c.i32_add();
        load(c, VARIABLES_SIZE);
        c.i32_add().local_tee(size);
        c.i32_const((told.capacity - FOR_NAMES - SIZE) as i32);
        c.i32_gt_u().if_(BlockType::Empty);
        {
            c.memory_size(0).i32_const(16).i32_shl().local_set(lists);
            c.local_get(size).i32_const(16).i32_shr_u();
            c.i32_const(2).i32_add().memory_grow(0);
            c.i32_const(-1).i32_eq();
            when(c, |c| {
                c.unreachable();
            });
            c.i32_const(here(LIMIT));
            c.memory_size(0).i32_const(16).i32_shl().i32_store(at(0));
        }
        c.else_();
        {
            c.i32_const(here(SIZE)).local_set(lists);
            c.i32_const(here(LIMIT)).i32_const(here(told.capacity));
            c.i32_store(at(0));
        }
        c.end();
        c.i32_const(here(ARGUMENTS_AT)).local_get(lists);
        load(c, ARGUMENTS);
        c.i32_const(2).i32_shl().i32_add().i32_store(at(0));
        c.local_get(lists);
        load(c, ARGUMENTS_AT);
        c.call(args_get).drop();
        load(c, ARGUMENTS_AT);
        load(c, ARGUMENTS_SIZE);
        c.i32_add().i32_const(3).i32_add().i32_const(-4).i32_and();
        c.local_set(lists);
        c.i32_const(here(VARIABLES_AT)).local_get(lists);
        load(c, VARIABLES);
        c.i32_const(2).i32_shl().i32_add().i32_store(at(0));
        c.local_get(lists);
        load(c, VARIABLES_AT);
        c.call(environ_get).drop();
        c.i32_const(here(CURSOR));
        load(c, VARIABLES_AT);
        load(c, VARIABLES_SIZE);
        c.i32_add().i32_store(at(0));
        c.i32_const(here(NO_NAME)).i32_const(1).i32_store(at(0));

        c.i32_const(0).local_set(i);
        c.loop_(BlockType::Empty);
        c.local_get(i).i32_const(told.preopens as i32).i32_add();
        c.local_get(i).i32_const(3).i32_shl();
        c.i32_const(layout.table as i32).i32_add();
        c.call(preopen);
        c.local_get(i).i32_const(1).i32_add().local_tee(i);
        c.i32_const(layout.entries as i32).i32_lt_u().br_if(0);
        c.end();

        c.i32_const(here(CALL)).i32_const(told.code as i32);
        c.i32_store(at(0));
        c.i32_const(here(CALL)).i32_const(told.globals as i32);
        c.i32_store(at(4));
        c.i32_const(told.exec as i32).i32_const(here(CALL));
        c.i32_const(2).i32_const(0);
        c.i32_const(layout.vectorcall as i32);
        c.call_indirect(0, vectorcall_type);
        c.drop().unreachable();
    }))
}

struct Builder<'a> {
    shape: &'a Shape,
    image: &'a Image,
    /// Of the image.
    segments: Vec<(usize, usize)>,
    /// What is appended: type index and body.
    bodies: Vec<(u32, Function)>,
    /// The new `_start`; behind it stands a function that does nothing.
    start: u32,
    /// How many globals that change have been written.
    globals: usize,
}

impl Builder<'_> {
    /// The segments of memory. Passive ones keep their numbers, since code names them.
    fn data(&self, section: &mut DataSection, passive: &[Vec<u8>]) {
        for bytes in passive {
            section.passive(bytes.iter().copied());
        }
        for (start, end) in &self.segments {
            section.active(
                0,
                &ConstExpr::i32_const(*start as i32),
                self.image.memory[*start..*end].iter().copied(),
            );
        }
    }

    fn has_passive(&self) -> bool {
        self.shape.passive.contains(&true)
    }
}

type Reencoded = Result<(), reencode::Error<Infallible>>;

impl Reencode for Builder<'_> {
    type Error = Infallible;

    fn parse_custom_section(
        &mut self,
        module: &mut Module,
        section: wasmparser::CustomSectionReader<'_>,
    ) -> Reencoded {
        crate::interpreter::adapt::keep_custom(module, &section);
        Ok(())
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Reencoded {
        reencode::utils::parse_type_section(self, types, section)?;
        types.ty().function([I32, I32], []);
        types.ty().function([], []);
        types.ty().function([I32, I32, I32, I32], [I32]);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Reencoded {
        reencode::utils::parse_function_section(self, functions, section)?;
        for (ty, _) in &self.bodies {
            functions.function(*ty);
        }
        Ok(())
    }

    fn parse_memory_section(
        &mut self,
        memories: &mut MemorySection,
        section: wasmparser::MemorySectionReader<'_>,
    ) -> Reencoded {
        for memory in section {
            let mut memory = self.memory_type(memory?)?;
            memory.minimum = (self.image.memory.len() >> 16) as u64;
            memories.memory(memory);
        }
        Ok(())
    }

    fn parse_global(
        &mut self,
        globals: &mut GlobalSection,
        global: wasmparser::Global<'_>,
    ) -> Reencoded {
        let ty = self.global_type(global.ty)?;
        let value = if global.ty.mutable {
            let bits = self.image.globals[self.globals];
            self.globals += 1;
            match global.ty.content_type {
                Parsed::I64 => ConstExpr::i64_const(bits as i64),
                Parsed::F32 => ConstExpr::f32_const(f32::from_bits(bits as u32).into()),
                Parsed::F64 => ConstExpr::f64_const(f64::from_bits(bits).into()),
                // `Shape::read` lets no other through.
                _ => ConstExpr::i32_const(bits as u32 as i32),
            }
        } else {
            self.const_expr(global.init_expr)?
        };
        globals.global(ty, &value);
        Ok(())
    }

    fn parse_export(
        &mut self,
        exports: &mut ExportSection,
        export: wasmparser::Export<'_>,
    ) -> Reencoded {
        if export.name == "_start" {
            exports.export("_start", ExportKind::Func, self.start);
            return Ok(());
        }
        reencode::utils::parse_export(self, exports, export)
    }

    fn start_section(&mut self, _: u32) -> Result<u32, reencode::Error<Infallible>> {
        // What it would initialise is in the image.
        Ok(self.start + 1)
    }

    fn data_count(&mut self, _: u32) -> Result<u32, reencode::Error<Infallible>> {
        let kept = match self.has_passive() {
            true => self.shape.passive.len(),
            false => 0,
        };
        Ok((kept + self.segments.len()) as u32)
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Reencoded {
        for body in section {
            code.raw(body?.as_bytes());
        }
        for (_, body) in &self.bodies {
            code.function(body);
        }
        Ok(())
    }

    fn parse_data_section(
        &mut self,
        data: &mut DataSection,
        section: wasmparser::DataSectionReader<'_>,
    ) -> Reencoded {
        let mut passive = Vec::new();
        if self.has_passive() {
            for segment in section {
                let segment = segment?;
                passive.push(match segment.kind {
                    wasmparser::DataKind::Passive => segment.data.to_vec(),
                    wasmparser::DataKind::Active { .. } => Vec::new(),
                });
            }
        }
        self.data(data, &passive);
        Ok(())
    }
}
