//! Copies of an interpreter's module in which some WASI calls go through wrappers.
//!
//! Runtimes differ in small ways that a program could notice: exit codes that are cut short, pipes
//! that claim to be terminals, sleeps that are refused or never end. Python code can hide some of
//! that, but C code below it cannot be reached from there, and a program would find patched
//! modules. So the quirk is smoothed over *below* Python: [`adapt`] appends small functions to the
//! module and lets everything in it that meant an import call them instead.
//!
//! The guest finds its memory as it left it. What has to be changed in an argument is changed in a
//! copy, and room for that comes from `memory.grow`, not from the guest; only the wrapper of
//! `proc_exit`, after which nothing of the guest runs, takes what is there.
//!
//! A new adaptation is a variant of [`Adaptation`] and a row of `WRAPPERS` with the function that
//! emits its body.
//!
//! An adapted module keeps state in globals (for instance whether stdin is a terminal, once it was
//! asked). A snapshot would freeze that, so adapt a snapshot; do not take one of an adapted module.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Function, FunctionSection, GlobalSection, GlobalType,
    InstructionSink, MemArg, MemArgTarget, Module, SectionId, TypeSection, ValType,
};
use wasmparser::{Operator, Parser, Payload, TypeRef};

use super::wasm::{PREVIEW1, Problem, WasmError};

/// A quirk of some runtime that can be smoothed over inside the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adaptation {
    /// For wasmtime, which turns an exit code above 125 into 1 and prints an error with a backtrace
    /// on stderr. The module then writes such a code, 4 bytes little-endian, into the file
    /// [`EXIT_CODE_FILE`] of the folder mounted at [`EXIT_CODE_MOUNT`], and exits with 1. Where no
    /// preopen has exactly that name nothing changes: so it is without the mount, and always on
    /// WasmEdge (its preopens have no leading `/`) and wasmer (it has one preopen, `/`), which pass
    /// codes on as they are. So a code in the file is the true one, and without a file the
    /// runtime's is.
    ExitCode,
    /// For wasmer, to which every standard stream is a terminal, so that `cmd | python` starts the
    /// REPL (and for WasmEdge and wazero, to which `/dev/null` is one). The environment variable [`TTY_VAR`]
    /// says which streams are: the sum of 1 for stdin, 2 for stdout and 4 for stderr. For the others
    /// a character device becomes a file of unknown type, which is what wasmtime says of a pipe.
    /// Without the variable nothing changes. The program sees the variable in its environment; the
    /// bootstrap has to take it away.
    Tty,
    /// For wasmer, which waits for ever in a `poll_oneoff` with a clock whose timeout is 0, so that
    /// `import selectors` hangs. Such a timeout becomes 1 ns.
    PollZero,
    /// For wazero, which refuses a `poll_oneoff` until an absolute time, so that `time.sleep` fails.
    /// The time becomes a duration from now.
    RelativeClock,
    /// For wasmtime, to which a pipe that nobody reads any more is an I/O error like any other, so
    /// that Python raises a bare `OSError`. On stdout and stderr that error becomes a broken pipe,
    /// which is by far the most frequent reason for it there.
    BrokenPipe,
}

/// Changes whenever adapted modules come out differently, so that older ones are not used.
pub const FORMAT: u32 = 1;

/// Where a folder has to be mounted, writable, for [`Adaptation::ExitCode`].
pub const EXIT_CODE_MOUNT: &str = "/.pyw/rc";
/// The file in [`EXIT_CODE_MOUNT`] that holds the code.
pub const EXIT_CODE_FILE: &str = "code";
/// The environment variable of [`Adaptation::Tty`].
pub const TTY_VAR: &str = "PYW_TTY";

impl Adaptation {
    /// All of them.
    pub const ALL: [Adaptation; 5] = [
        Adaptation::ExitCode,
        Adaptation::Tty,
        Adaptation::PollZero,
        Adaptation::RelativeClock,
        Adaptation::BrokenPipe,
    ];

    /// The name used in runtime descriptors.
    pub fn name(self) -> &'static str {
        match self {
            Adaptation::ExitCode => "exit-code",
            Adaptation::Tty => "tty",
            Adaptation::PollZero => "poll-zero",
            Adaptation::RelativeClock => "relative-clock",
            Adaptation::BrokenPipe => "broken-pipe",
        }
    }
}

/// What makes a function's body.
type Emit = fn(&Parts) -> Function;

/// One wrapper: which import it stands in front of, and how its body is made.
struct Wrapper {
    adaptation: Adaptation,
    /// The preview 1 function that it wraps. Its own signature is the wrapper's.
    import: &'static str,
    /// Preview 1 functions that the body calls besides.
    needs: &'static [&'static str],
    body: Emit,
}

/// All wrappers. Of two around the same import, the first one is nearer to the runtime.
const WRAPPERS: &[Wrapper] = &[
    Wrapper {
        adaptation: Adaptation::ExitCode,
        import: "proc_exit",
        needs: &[
            "fd_prestat_get",
            "fd_prestat_dir_name",
            "path_open",
            "fd_write",
        ],
        body: exit_code,
    },
    Wrapper {
        adaptation: Adaptation::Tty,
        import: "fd_fdstat_get",
        needs: &["environ_sizes_get", "environ_get"],
        body: tty_fdstat,
    },
    Wrapper {
        adaptation: Adaptation::Tty,
        import: "fd_filestat_get",
        needs: &["environ_sizes_get", "environ_get"],
        body: tty_filestat,
    },
    Wrapper {
        adaptation: Adaptation::PollZero,
        import: "poll_oneoff",
        needs: &[],
        body: poll_zero,
    },
    Wrapper {
        adaptation: Adaptation::RelativeClock,
        import: "poll_oneoff",
        needs: &["clock_time_get"],
        body: relative_clock,
    },
    Wrapper {
        adaptation: Adaptation::BrokenPipe,
        import: "fd_write",
        needs: &[],
        body: broken_pipe,
    },
];

use ValType::{I32, I64};

/// The signatures of the preview 1 functions that wrappers stand for or call.
const SIGNATURES: &[(&str, &[ValType], &[ValType])] = &[
    ("proc_exit", &[I32], &[]),
    ("fd_prestat_get", &[I32, I32], &[I32]),
    ("fd_prestat_dir_name", &[I32, I32, I32], &[I32]),
    (
        "path_open",
        &[I32, I32, I32, I32, I32, I64, I64, I32, I32],
        &[I32],
    ),
    ("fd_write", &[I32, I32, I32, I32], &[I32]),
    ("fd_fdstat_get", &[I32, I32], &[I32]),
    ("fd_filestat_get", &[I32, I32], &[I32]),
    ("environ_sizes_get", &[I32, I32], &[I32]),
    ("environ_get", &[I32, I32], &[I32]),
    ("poll_oneoff", &[I32, I32, I32, I32], &[I32]),
    ("clock_time_get", &[I32, I64, I32], &[I32]),
];

/// Functions that wrappers share, in the order in which they are appended.
const HELPERS: [(Helper, Emit); 3] = [
    (Helper::Fresh, fresh),
    (Helper::Scratch, scratch),
    (Helper::TtyMask, tty_mask),
];

/// A function that wrappers share; each takes an i32 and returns one.
#[derive(Clone, Copy)]
enum Helper {
    /// [`fresh`].
    Fresh,
    /// [`scratch`].
    Scratch,
    /// [`tty_mask`].
    TtyMask,
}

/// A global that wrappers share; each is a mutable i32.
#[derive(Clone, Copy)]
enum Global {
    /// Where the scratch area begins.
    ScratchAt,
    /// How many bytes it has.
    ScratchSize,
    /// What [`tty_mask`] found, or -1 before it looked.
    TtyMask,
}

/// The globals' initial values, in the order of their appending.
const GLOBALS: [(Global, i32); 3] = [
    (Global::ScratchAt, 0),
    (Global::ScratchSize, 0),
    (Global::TtyMask, -1),
];

/// Re-encodes a core module with the chosen adaptations, and without its debug information (which
/// runtimes carry around, and whose addresses would no longer be true).
///
/// An import that the module lacks needs no wrapper. With nothing to wrap, only the debug
/// information goes.
pub fn adapt(module: &[u8], adaptations: &BTreeSet<Adaptation>) -> Result<Vec<u8>, WasmError> {
    let shape = Shape::read(module)?;
    let wrappers: Vec<&Wrapper> = WRAPPERS
        .iter()
        .filter(|wrapper| adaptations.contains(&wrapper.adaptation))
        .filter(|wrapper| shape.has_code && shape.imports.contains_key(wrapper.import))
        .collect();
    for wrapper in &wrappers {
        shape.check(wrapper)?;
    }
    let mut adapter = Adapter::new(&shape, wrappers);
    let mut output = Module::new();
    adapter
        .parse_core_module(&mut output, Parser::new(0), module)
        .map_err(|error| match error {
            reencode::Error::ParseError(error) => Problem::from(error),
            other => Problem::Reencode(other.to_string()),
        })?;
    Ok(output.finish())
}

/// What has to be known about a module before it is re-encoded.
#[derive(Default)]
struct Shape {
    /// Preview 1 functions: the indices under which each is imported.
    imports: BTreeMap<String, Vec<u32>>,
    /// The type index of each imported function.
    import_types: Vec<u32>,
    /// Parameters and results of each function type.
    types: Vec<Option<wasmparser::FuncType>>,
    functions: u32,
    globals: u32,
    has_code: bool,
    has_globals: bool,
    memory: Option<wasmparser::MemoryType>,
}

impl Shape {
    fn read(module: &[u8]) -> Result<Shape, WasmError> {
        let mut shape = Shape::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::Version {
                    encoding: wasmparser::Encoding::Component,
                    ..
                } => return Err(Problem::Component.into()),
                Payload::TypeSection(types) => {
                    for group in types {
                        shape.types.extend(group?.into_types().map(|ty| {
                            match ty.composite_type.inner {
                                wasmparser::CompositeInnerType::Func(ty) => Some(ty),
                                _ => None,
                            }
                        }));
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        match import.ty {
                            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                                if import.module == PREVIEW1 {
                                    let indices =
                                        shape.imports.entry(import.name.to_string()).or_default();
                                    indices.push(shape.functions);
                                }
                                shape.functions += 1;
                                shape.import_types.push(ty);
                            }
                            TypeRef::Global(_) => shape.globals += 1,
                            TypeRef::Memory(memory) => {
                                shape.memory.get_or_insert(memory);
                            }
                            TypeRef::Table(_) | TypeRef::Tag(_) => {}
                        }
                    }
                }
                Payload::FunctionSection(functions) => {
                    shape.functions = shape.functions.saturating_add(functions.count());
                }
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        shape.memory.get_or_insert(memory?);
                    }
                }
                Payload::GlobalSection(globals) => {
                    shape.has_globals = true;
                    shape.globals = shape.globals.saturating_add(globals.count());
                }
                Payload::CodeSectionStart { .. } => shape.has_code = true,
                _ => {}
            }
        }
        Ok(shape)
    }

    /// Whether a wrapper can stand in this module: what it calls is there, has the standard's
    /// signature, and memory is as its loads and stores expect.
    fn check(&self, wrapper: &Wrapper) -> Result<(), Problem> {
        for &import in [wrapper.import].iter().chain(wrapper.needs) {
            let Some(indices) = self.imports.get(import) else {
                return Err(Problem::MissingImport {
                    adaptation: wrapper.adaptation.name(),
                    import,
                });
            };
            let expected = SIGNATURES.iter().find(|(name, ..)| *name == import);
            let (_, params, results) = expected.ok_or(Problem::ImportType(import))?;
            for index in indices {
                let ty = self.import_types.get(*index as usize);
                let ty = ty.and_then(|ty| self.types.get(*ty as usize)?.as_ref());
                let same = ty.is_some_and(|ty| {
                    same_types(ty.params(), params) && same_types(ty.results(), results)
                });
                if !same {
                    return Err(Problem::ImportType(import));
                }
            }
        }
        let ordinary = self.memory.is_some_and(|memory| {
            !memory.memory64
                && memory.initial >= 1
                && memory.page_size_log2.is_none_or(|log2| log2 == 16)
        });
        if ordinary {
            Ok(())
        } else {
            Err(Problem::UnsuitableMemory)
        }
    }
}

fn same_types(actual: &[wasmparser::ValType], expected: &[ValType]) -> bool {
    actual.len() == expected.len()
        && actual.iter().zip(expected).all(|pair| {
            matches!(
                pair,
                (wasmparser::ValType::I32, ValType::I32) | (wasmparser::ValType::I64, ValType::I64)
            )
        })
}

/// The indices that an emitted body needs.
struct Parts {
    /// The function that the wrapper wraps: the import, or a wrapper nearer to the runtime.
    inner: u32,
    /// Imported preview 1 functions.
    imports: BTreeMap<&'static str, u32>,
    first_helper: u32,
    first_global: u32,
}

impl Parts {
    /// The import `name`. Only what the wrapper lists in `needs` is asked for.
    fn import(&self, name: &str) -> u32 {
        self.imports[name]
    }

    fn helper(&self, helper: Helper) -> u32 {
        self.first_helper + helper as u32
    }

    fn global(&self, global: Global) -> u32 {
        self.first_global + global as u32
    }
}

/// The re-encoder: everything stays as it is, but for the appended parts and for who is called.
struct Adapter {
    /// Which function an index now stands for, where it is another one.
    redirected: BTreeMap<u32, u32>,
    /// The appended functions: type index and body.
    appended: Vec<(u32, Function)>,
    /// Whether the globals have to be put into a section of their own.
    new_global_section: bool,
}

impl Adapter {
    fn new(shape: &Shape, wrappers: Vec<&Wrapper>) -> Adapter {
        let mut adapter = Adapter {
            redirected: BTreeMap::new(),
            appended: Vec::new(),
            new_global_section: false,
        };
        if wrappers.is_empty() {
            return adapter;
        }
        adapter.new_global_section = !shape.has_globals;
        // The helpers' type is appended, too.
        let helper_type = shape.types.len() as u32;
        let known = SIGNATURES.iter().filter_map(|(name, ..)| {
            let index = shape.imports.get(*name)?.first()?;
            Some((*name, *index))
        });
        let mut parts = Parts {
            inner: 0,
            imports: known.collect(),
            first_helper: shape.functions,
            first_global: shape.globals,
        };
        let tty = wrappers.iter().any(|w| w.adaptation == Adaptation::Tty);
        for (helper, body) in HELPERS {
            // `tty_mask` calls imports that need not be there if nobody calls it.
            if tty || !matches!(helper, Helper::TtyMask) {
                adapter.appended.push((helper_type, body(&parts)));
            }
        }
        for wrapper in wrappers {
            let indices = &shape.imports[wrapper.import];
            let import = indices[0];
            parts.inner = *adapter.redirected.get(&import).unwrap_or(&import);
            let index = shape.functions + adapter.appended.len() as u32;
            let ty = shape.import_types[import as usize];
            adapter.appended.push((ty, (wrapper.body)(&parts)));
            for import in indices {
                adapter.redirected.insert(*import, index);
            }
        }
        adapter
    }

    fn append_globals(&self, globals: &mut GlobalSection) {
        let ty = GlobalType {
            val_type: ValType::I32,
            mutable: true,
            shared: false,
        };
        for (_, value) in GLOBALS {
            globals.global(ty, &ConstExpr::i32_const(value));
        }
    }

    /// Whether a function body mentions a redirected function.
    fn mentions_redirected(&self, body: &wasmparser::FunctionBody<'_>) -> wasmparser::Result<bool> {
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

impl Reencode for Adapter {
    type Error = Infallible;

    /// The one place where functions are redirected: calls, `ref.func`, elements, exports.
    fn function_index(&mut self, index: u32) -> Result<u32, reencode::Error<Infallible>> {
        Ok(*self.redirected.get(&index).unwrap_or(&index))
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Reencoded {
        reencode::utils::parse_type_section(self, types, section)?;
        if !self.appended.is_empty() {
            types.ty().function([ValType::I32], [ValType::I32]);
        }
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
        if !self.appended.is_empty() {
            self.append_globals(globals);
        }
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Reencoded {
        // Global stands before these; one of them always comes, since there is code.
        let later = matches!(
            before,
            Some(
                SectionId::Export
                    | SectionId::Start
                    | SectionId::Element
                    | SectionId::DataCount
                    | SectionId::Code
            )
        );
        if later && std::mem::take(&mut self.new_global_section) {
            let mut globals = GlobalSection::new();
            self.append_globals(&mut globals);
            module.section(&globals);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Reencoded {
        for body in section {
            let body = body?;
            // Almost all bodies stay byte for byte: quicker, and nothing can be lost.
            if self.mentions_redirected(&body)? {
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
        module: &mut Module,
        section: wasmparser::CustomSectionReader<'_>,
    ) -> Reencoded {
        // Branch hints hold offsets into bodies, which may be other ones now.
        let name = section.name();
        if !name.starts_with(".debug_") && !name.starts_with("metadata.code.") {
            // As it is, also `name`: what it says of an import is still true of the import.
            module.section(&wasm_encoder::CustomSection {
                name: name.into(),
                data: section.data().into(),
            });
        }
        Ok(())
    }
}

// ---- small words for the bodies below ----------------------------------------------------------

/// `[address + offset]` of any alignment.
fn at(offset: u64) -> MemArg {
    MemArg {
        offset,
        align: 0,
        target: MemArgTarget::Memory(0),
        ordering: None,
    }
}

/// Emits a function body: how many locals of each type it has besides its parameters, and its code.
fn function(
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
fn for_each(
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
fn when(c: &mut InstructionSink<'_>, body: impl FnOnce(&mut InstructionSink<'_>)) {
    c.if_(BlockType::Empty);
    body(c);
    c.end();
}

// ---- memory of the wrappers' own ---------------------------------------------------------------

/// ```c
/// char *fresh(uint32_t bytes) {            // new zeroed memory, or 0
///     uint32_t page = memory_grow((bytes >> 16) + 1);
///     return page == -1 ? 0 : page << 16;
/// }
/// ```
fn fresh(_: &Parts) -> Function {
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
/// so what lasts may be taken only in calls that come after that, as a poll does. [`tty_mask`] may
/// come earlier and gives its memory up at once.
fn scratch(parts: &Parts) -> Function {
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

// ---- exit-code ---------------------------------------------------------------------------------

/// The largest exit code that every runtime passes on.
const LARGEST_COMMON_CODE: i32 = 125;

/// ```c
/// void proc_exit(uint32_t code) {
///     if (code > 125) {
///         for (fd_t fd = 3; fd_prestat_get(fd, &prestat) == 0; fd++) {
///             if (prestat.tag != DIR || prestat.name_length != 8) continue;
///             if (fd_prestat_dir_name(fd, name, 8) != 0) continue;
///             if (memcmp(name, "/.pyw/rc", 8) != 0) continue;
///             memcpy(path, "code", 4);
///             if (path_open(fd, 0, path, 4, CREAT | TRUNC, FD_WRITE, 0, 0, &file) != 0) break;
///             value = code;
///             iov = {&value, 4};
///             if (fd_write(file, &iov, 1, &written) != 0) break;
///             code = 1;
///             break;
///         }
///     }
///     inner(code);
/// }
/// ```
///
/// Nothing of the guest runs after this, so its first page serves for the variables: a program
/// that ends because memory is used up has no other.
fn exit_code(parts: &Parts) -> Function {
    let (code, fd) = (0, 1);
    // Not at 0, which a runtime might take for a null pointer.
    let (prestat, name, path, file) = (64, 72, 80, 88);
    let (iov, value, written) = (96, 104, 108);
    let (next, found) = (0, 1);
    const {
        assert!(EXIT_CODE_MOUNT.len() == 8 && EXIT_CODE_FILE.len() == 4);
    }
    let mount = i64::from_le_bytes(first_bytes(EXIT_CODE_MOUNT));
    let file_name = i32::from_le_bytes(first_bytes(EXIT_CODE_FILE));
    function(1, 0, |c| {
        c.local_get(code).i32_const(LARGEST_COMMON_CODE).i32_gt_u();
        when(c, |c| {
            c.i32_const(2).local_set(fd);
            // `found` leaves the search, `next` goes on with it.
            c.block(BlockType::Empty).loop_(BlockType::Empty);
            c.local_get(fd).i32_const(1).i32_add().local_tee(fd);
            c.i32_const(prestat).call(parts.import("fd_prestat_get"));
            c.br_if(found);
            // A tag of 0 is a directory, the only kind there is.
            c.i32_const(prestat).i32_load8_u(at(0)).br_if(next);
            c.i32_const(prestat).i32_load(at(4)).i32_const(8).i32_ne();
            c.br_if(next);
            c.local_get(fd).i32_const(name).i32_const(8);
            c.call(parts.import("fd_prestat_dir_name")).br_if(next);
            c.i32_const(name).i64_load(at(0)).i64_const(mount).i64_ne();
            c.br_if(next);

            c.i32_const(path).i32_const(file_name).i32_store(at(0));
            c.local_get(fd).i32_const(0).i32_const(path).i32_const(4);
            // oflags CREAT | TRUNC; rights FD_WRITE, none inherited; fdflags none.
            c.i32_const(1 | 8).i64_const(1 << 6).i64_const(0);
            c.i32_const(0).i32_const(file);
            c.call(parts.import("path_open")).br_if(found);

            c.i32_const(value).local_get(code).i32_store(at(0));
            c.i32_const(iov).i32_const(value).i32_store(at(0));
            c.i32_const(iov).i32_const(4).i32_store(at(4));
            c.i32_const(file).i32_load(at(0));
            c.i32_const(iov).i32_const(1).i32_const(written);
            c.call(parts.import("fd_write")).br_if(found);
            c.i32_const(1).local_set(code);
            c.end().end();
        });
        c.local_get(code).call(parts.inner);
    })
}

/// The first bytes of a longer text, to be compared as one number.
fn first_bytes<const N: usize>(text: &str) -> [u8; N] {
    std::array::from_fn(|i| text.as_bytes()[i])
}

// ---- tty ---------------------------------------------------------------------------------------

const CHARACTER_DEVICE: i32 = 2;
const UNKNOWN_FILE: i32 = 0;
/// All three streams are left as the runtime says.
const ALL_STREAMS: i32 = 7;

/// ```c
/// int tty_mask(uint64_t *buffer) {         // buffer: 8 bytes of the caller's, given back as found
///     if (mask != -1) return mask;
///     mask = 7;
///     uint64_t saved = *buffer;
///     int error = environ_sizes_get(&buffer->count, &buffer->bytes);
///     uint32_t names = buffer->count * 4, size = names + buffer->bytes + 16;
///     *buffer = saved;
///     if (error) return mask;
///     char **area = fresh(size);
///     if (!area) return mask;
///     if (environ_get(area, area + names) == 0)
///         for (i = 0; i < names; i += 4) {
///             char *entry = area[i];
///             if (memcmp(entry, "PYW_TTY=", 8) == 0 && (unsigned)(entry[8] - '0') <= 7)
///                 mask = entry[8] - '0';
///         }
///     for (i = 0; i < size; i += 8) area[i] = 0;
///     return mask;
/// }
/// ```
///
/// The 16 bytes more let every entry be read as 8 bytes and one, and the clearing overshoot. The
/// area is left as `memory.grow` gave it: an allocator may come across it and think it new.
fn tty_mask(parts: &Parts) -> Function {
    let (buffer, names, size, area, i, entry) = (0, 1, 2, 3, 4, 5);
    let saved = 6;
    let mask = parts.global(Global::TtyMask);
    let variable = i64::from_le_bytes(first_bytes(&format!("{TTY_VAR}=")));
    function(5, 1, |c| {
        c.global_get(mask).i32_const(-1).i32_ne();
        when(c, |c| {
            c.global_get(mask).return_();
        });
        c.i32_const(ALL_STREAMS).global_set(mask);

        c.local_get(buffer).i64_load(at(0)).local_set(saved);
        c.local_get(buffer);
        c.local_get(buffer).i32_const(4).i32_add();
        // The error stays on the stack until memory is restored.
        c.call(parts.import("environ_sizes_get"));
        c.local_get(buffer).i32_load(at(0)).i32_const(2).i32_shl();
        c.local_tee(names).local_get(buffer).i32_load(at(4));
        c.i32_add().i32_const(16).i32_add().local_set(size);
        c.local_get(buffer).local_get(saved).i64_store(at(0));
        when(c, |c| {
            c.global_get(mask).return_();
        });

        c.local_get(size).call(parts.helper(Helper::Fresh));
        c.local_tee(area).i32_eqz();
        when(c, |c| {
            c.global_get(mask).return_();
        });
        c.local_get(area);
        c.local_get(area).local_get(names).i32_add();
        c.call(parts.import("environ_get")).i32_eqz();
        when(c, |c| {
            for_each(c, i, names, 4, |c| {
                c.local_get(area).local_get(i).i32_add().i32_load(at(0));
                c.local_tee(entry).i64_load(at(0));
                c.i64_const(variable).i64_eq();
                when(c, |c| {
                    c.local_get(entry).i32_load8_u(at(8));
                    c.i32_const(i32::from(b'0')).i32_sub().local_tee(entry);
                    c.i32_const(ALL_STREAMS).i32_le_u();
                    when(c, |c| {
                        c.local_get(entry).global_set(mask);
                    });
                });
            });
        });
        for_each(c, i, size, 8, |c| {
            c.local_get(area).local_get(i).i32_add();
            c.i64_const(0).i64_store(at(0));
        });
        c.global_get(mask);
    })
}

/// `fd_fdstat_get`: `isatty` in wasi-libc asks it, and calls a terminal what is a character device
/// that cannot seek.
fn tty_fdstat(parts: &Parts) -> Function {
    no_tty(parts, 0)
}

/// `fd_filestat_get`: what `os.fstat(0).st_mode` is made from.
fn tty_filestat(parts: &Parts) -> Function {
    no_tty(parts, 16)
}

/// ```c
/// errno_t get(fd_t fd, stat_t *stat) {
///     errno_t error = inner(fd, stat);
///     if (error == 0 && fd <= 2 && stat->filetype == CHARACTER_DEVICE
///         && !(tty_mask(stat) >> fd & 1))
///         stat->filetype = UNKNOWN;
///     return error;
/// }
/// ```
fn no_tty(parts: &Parts, filetype: u64) -> Function {
    let (fd, stat, error) = (0, 1, 2);
    function(1, 0, |c| {
        c.block(BlockType::Empty);
        c.local_get(fd).local_get(stat).call(parts.inner);
        c.local_tee(error).br_if(0);
        c.local_get(fd).i32_const(2).i32_gt_u().br_if(0);
        c.local_get(stat).i32_load8_u(at(filetype));
        c.i32_const(CHARACTER_DEVICE).i32_ne().br_if(0);
        c.local_get(stat).call(parts.helper(Helper::TtyMask));
        c.local_get(fd).i32_shr_u().i32_const(1).i32_and().br_if(0);
        c.local_get(stat);
        c.i32_const(UNKNOWN_FILE).i32_store8(at(filetype));
        c.end();
        c.local_get(error);
    })
}

// ---- broken-pipe -------------------------------------------------------------------------------

/// ```c
/// errno_t fd_write(int fd, ciovec_t *list, uint32_t count, uint32_t *written) {
///     errno_t error = inner(fd, list, count, written);
///     return error == EIO && (fd == 1 || fd == 2) ? EPIPE : error;
/// }
/// ```
fn broken_pipe(parts: &Parts) -> Function {
    let (fd, list, count, written, error) = (0, 1, 2, 3, 4);
    function(1, 0, |c| {
        c.i32_const(EPIPE);
        c.local_get(fd).local_get(list);
        c.local_get(count).local_get(written).call(parts.inner);
        c.local_tee(error);
        c.local_get(error).i32_const(EIO).i32_eq();
        c.local_get(fd).i32_const(1).i32_sub();
        c.i32_const(2).i32_lt_u().i32_and();
        c.select();
    })
}

// ---- poll-zero, relative-clock -----------------------------------------------------------------

/// WASI's numbers for errors.
const EIO: i32 = 29;
const EPIPE: i32 = 64;

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
fn poll_zero(parts: &Parts) -> Function {
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
fn relative_clock(parts: &Parts) -> Function {
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

#[cfg(test)]
mod tests {
    use super::*;
    use wasmi::{Caller, Engine, Extern, Linker, Memory, Store};

    /// A WASI of a few functions, that notes what it is asked.
    #[derive(Default)]
    struct Host {
        /// Names of the preopened folders, from descriptor 3.
        preopens: Vec<&'static str>,
        environ: Vec<&'static str>,
        /// What `clock_time_get` answers; `None` is an error.
        now: Option<u64>,
        /// The (timeout, flags) of each subscription, call by call.
        polled: Vec<Vec<(u64, u16)>>,
        /// `path_open`: descriptor, path, oflags, rights.
        opened: Vec<(i32, String, i32, i64)>,
        /// `fd_write`: descriptor, bytes.
        written: Vec<(i32, Vec<u8>)>,
        environ_reads: u32,
        exited: Option<i32>,
    }

    const EBADF: i32 = 8;
    const EINVAL: i32 = 28;

    fn memory(caller: &Caller<'_, Host>) -> Memory {
        let memory = caller.get_export("memory").and_then(Extern::into_memory);
        memory.unwrap()
    }

    fn bytes(caller: &Caller<'_, Host>, at: i32, length: usize) -> Vec<u8> {
        memory(caller).data(caller)[at as usize..][..length].to_vec()
    }

    fn int(caller: &Caller<'_, Host>, at: i32) -> i32 {
        i32::from_le_bytes(bytes(caller, at, 4).try_into().unwrap())
    }

    fn put(caller: &mut Caller<'_, Host>, at: i32, bytes: &[u8]) {
        memory(caller).write(caller, at as usize, bytes).unwrap();
    }

    /// Instantiates a module with that WASI.
    fn start(module: &[u8], host: Host) -> (Store<Host>, wasmi::Instance) {
        type C<'a> = Caller<'a, Host>;
        let engine = Engine::default();
        let mut store = Store::new(&engine, host);
        let mut linker = Linker::<Host>::new(&engine);
        linker
            .func_wrap(PREVIEW1, "proc_exit", |mut c: C<'_>, code: i32| {
                c.data_mut().exited = Some(code);
                Err::<(), _>(wasmi::Error::i32_exit(code))
            })
            .unwrap()
            .func_wrap(
                PREVIEW1,
                "fd_prestat_get",
                |mut c: C<'_>, fd: i32, p: i32| {
                    let Some(name) = c.data().preopens.get(fd as usize - 3) else {
                        return EBADF;
                    };
                    let length = name.len() as u32;
                    put(&mut c, p, &[0, 0, 0, 0]);
                    put(&mut c, p + 4, &length.to_le_bytes());
                    0
                },
            )
            .unwrap()
            .func_wrap(
                PREVIEW1,
                "fd_prestat_dir_name",
                |mut c: C<'_>, fd: i32, p: i32, length: i32| {
                    let name = c.data().preopens[fd as usize - 3];
                    put(&mut c, p, &name.as_bytes()[..length as usize]);
                    0
                },
            )
            .unwrap()
            .func_wrap(
                PREVIEW1,
                "path_open",
                #[allow(clippy::too_many_arguments)]
                |mut c: C<'_>,
                 fd: i32,
                 _: i32,
                 path: i32,
                 length: i32,
                 oflags: i32,
                 rights: i64,
                 _: i64,
                 _: i32,
                 opened: i32| {
                    let path = bytes(&c, path, length as usize);
                    let path = String::from_utf8(path).unwrap();
                    c.data_mut().opened.push((fd, path, oflags, rights));
                    put(&mut c, opened, &[77, 0, 0, 0]);
                    0
                },
            )
            .unwrap()
            .func_wrap(
                PREVIEW1,
                "fd_write",
                |mut c: C<'_>, fd: i32, iov: i32, count: i32, error: i32| {
                    // A write of -1 buffers is one that a test wants to fail.
                    if count == -1 {
                        return error;
                    }
                    let data = bytes(&c, int(&c, iov), int(&c, iov + 4) as usize);
                    c.data_mut().written.push((fd, data));
                    0
                },
            )
            .unwrap()
            .func_wrap(
                PREVIEW1,
                "fd_fdstat_get",
                |mut c: C<'_>, fd: i32, p: i32| match fd {
                    9 => EBADF,
                    _ => {
                        put(&mut c, p, &[if fd == 4 { 4 } else { 2 }; 24]);
                        0
                    }
                },
            )
            .unwrap()
            .func_wrap(
                PREVIEW1,
                "fd_filestat_get",
                |mut c: C<'_>, _: i32, p: i32| {
                    put(&mut c, p, &[2; 64]);
                    0
                },
            )
            .unwrap()
            .func_wrap(
                PREVIEW1,
                "environ_sizes_get",
                |mut c: C<'_>, count: i32, size: i32| {
                    let environ = &c.data().environ;
                    let total = environ.iter().map(|e| e.len() + 1).sum::<usize>() as u32;
                    let entries = environ.len() as u32;
                    put(&mut c, count, &entries.to_le_bytes());
                    put(&mut c, size, &total.to_le_bytes());
                    0
                },
            )
            .unwrap()
            .func_wrap(
                PREVIEW1,
                "environ_get",
                |mut c: C<'_>, pointers: i32, mut text: i32| {
                    c.data_mut().environ_reads += 1;
                    for (i, entry) in c.data().environ.clone().iter().enumerate() {
                        put(&mut c, pointers + 4 * i as i32, &text.to_le_bytes());
                        put(&mut c, text, format!("{entry}\0").as_bytes());
                        text += entry.len() as i32 + 1;
                    }
                    0
                },
            )
            .unwrap()
            .func_wrap(
                PREVIEW1,
                "poll_oneoff",
                |mut c: C<'_>, input: i32, _: i32, count: i32, events: i32| {
                    let mut seen = Vec::new();
                    for i in 0..count.min(100) {
                        let sub = bytes(&c, input + 48 * i, 48);
                        seen.push((
                            u64::from_le_bytes(sub[24..32].try_into().unwrap()),
                            u16::from_le_bytes(sub[40..42].try_into().unwrap()),
                        ));
                    }
                    c.data_mut().polled.push(seen);
                    put(&mut c, events, &count.to_le_bytes());
                    0
                },
            )
            .unwrap()
            .func_wrap(
                PREVIEW1,
                "clock_time_get",
                |mut c: C<'_>, _: i32, _: i64, p: i32| match c.data().now {
                    Some(now) => {
                        put(&mut c, p, &now.to_le_bytes());
                        0
                    }
                    None => EINVAL,
                },
            )
            .unwrap();
        let module = wasmi::Module::new(&engine, module).unwrap();
        let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
        (store, instance)
    }

    /// A guest that imports what CPython does and lets the test call it.
    const GUEST: &str = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_get" (func (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_dir_name"
            (func (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
            (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_fdstat_get"
            (func $fdstat (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_filestat_get"
            (func $filestat (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_get" (func (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff"
            (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get"
            (func (param i32 i64 i32) (result i32)))
        (type $exiting (func (param i32)))
        (memory (export "memory") 1)
        (table 1 funcref)
        (elem (i32.const 0) $proc_exit)
        (elem declare func $proc_exit)
        (func (export "exit") (param i32) (call $proc_exit (local.get 0)))
        (func (export "exit_by_table") (param i32)
            (call_indirect (type $exiting) (local.get 0) (i32.const 0)))
        (func (export "exit_by_reference") (param i32)
            (table.set (i32.const 0) (ref.func $proc_exit))
            (call_indirect (type $exiting) (local.get 0) (i32.const 0)))
        (func (export "fdstat") (param i32 i32) (result i32)
            (call $fdstat (local.get 0) (local.get 1)))
        (func (export "filestat") (param i32 i32) (result i32)
            (call $filestat (local.get 0) (local.get 1)))
        (func (export "poll") (param i32 i32 i32 i32) (result i32)
            (call $poll (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
        (func (export "write_failing") (param i32 i32) (result i32)
            (call $write (local.get 0) (i32.const 0) (i32.const -1) (local.get 1)))
        (func (export "pages") (result i32) (memory.size)))"#;

    fn adapted(text: &str, adaptations: &[Adaptation]) -> Vec<u8> {
        let module = wat::parse_str(text).unwrap();
        let set = adaptations.iter().copied().collect();
        let output = adapt(&module, &set).unwrap();
        validate(&output);
        output
    }

    fn validate(module: &[u8]) {
        wasmparser::Validator::new().validate_all(module).unwrap();
    }

    fn call<P: wasmi::WasmParams, R: wasmi::WasmResults>(
        (store, instance): &mut (Store<Host>, wasmi::Instance),
        name: &str,
        params: P,
    ) -> Result<R, wasmi::Error> {
        let function = instance.get_typed_func::<P, R>(&*store, name).unwrap();
        function.call(store, params)
    }

    fn guest_memory(guest: &mut (Store<Host>, wasmi::Instance)) -> &mut [u8] {
        let memory = guest.1.get_memory(&guest.0, "memory").unwrap();
        memory.data_mut(&mut guest.0)
    }

    fn exit(name: &str, code: i32, preopens: &[&'static str]) -> Host {
        let host = Host {
            preopens: preopens.to_vec(),
            ..Host::default()
        };
        let mut guest = start(&adapted(GUEST, &[Adaptation::ExitCode]), host);
        call::<_, ()>(&mut guest, name, code).unwrap_err();
        guest.0.into_data()
    }

    #[test]
    fn names_are_those_of_serde() {
        for adaptation in Adaptation::ALL {
            let json = serde_json::to_string(&adaptation).unwrap();
            assert_eq!(json, format!("\"{}\"", adaptation.name()));
        }
    }

    #[test]
    fn every_choice_of_adaptations_gives_a_valid_module() {
        for bits in 0..1 << Adaptation::ALL.len() {
            let chosen = Adaptation::ALL.into_iter().enumerate();
            let chosen = chosen.filter(|(i, _)| bits & (1 << i) != 0);
            adapted(GUEST, &chosen.map(|(_, a)| a).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_wrapper_knows_its_signatures() {
        for wrapper in WRAPPERS {
            for import in [wrapper.import].iter().chain(wrapper.needs) {
                assert!(SIGNATURES.iter().any(|(name, ..)| name == import));
            }
        }
    }

    #[test]
    fn small_exit_codes_pass() {
        for code in [0, 1, 125] {
            let host = exit("exit", code, &["/.pyw/rc"]);
            assert_eq!(host.exited, Some(code));
            assert!(host.written.is_empty());
        }
    }

    #[test]
    fn large_exit_codes_are_written_down() {
        for (code, name) in [
            (126, "exit"),
            (200, "exit_by_table"),
            (255, "exit_by_reference"),
            (-1, "exit"),
        ] {
            let host = exit(name, code, &["/", "/.pyw/rx", "/.pyw/rc", "/tmp"]);
            assert_eq!(host.exited, Some(1));
            // CREAT | TRUNC, and the right FD_WRITE.
            assert_eq!(host.opened, [(5, "code".to_string(), 9, 64)]);
            assert_eq!(host.written, [(77, code.to_le_bytes().to_vec())]);
        }
    }

    #[test]
    fn without_the_mount_exit_codes_pass() {
        for preopens in [&[][..], &["/", "/.pyw/rc2", "/.pyw/rx"]] {
            let host = exit("exit", 200, preopens);
            assert_eq!(host.exited, Some(200));
            assert!(host.opened.is_empty());
        }
    }

    /// The filetypes of descriptors 0 to 2, and how often the environment was read.
    fn filetypes(environ: &[&'static str]) -> ([u8; 3], [u8; 3], u32) {
        let host = Host {
            environ: environ.to_vec(),
            ..Host::default()
        };
        let mut guest = start(&adapted(GUEST, &[Adaptation::Tty]), host);
        let mut found = ([0; 3], [0; 3]);
        for fd in 0..3 {
            let error: i32 = call(&mut guest, "fdstat", (fd, 512)).unwrap();
            assert_eq!(error, 0);
            found.0[fd as usize] = guest_memory(&mut guest)[512];
            // The rest is as the runtime wrote it.
            assert_eq!(guest_memory(&mut guest)[513..536], [2; 23]);
            let _: i32 = call(&mut guest, "filestat", (fd, 512)).unwrap();
            found.1[fd as usize] = guest_memory(&mut guest)[528];
        }
        // Memory that was taken for the environment is clean again.
        assert!(guest_memory(&mut guest)[1 << 16..].iter().all(|b| *b == 0));
        (found.0, found.1, guest.0.into_data().environ_reads)
    }

    #[test]
    fn streams_that_are_no_terminal_are_told_so() {
        let env = ["A=1", "PYW_TTYX=0", "PYW_TTY=2", "Z"];
        assert_eq!(filetypes(&env), ([0, 2, 0], [0, 2, 0], 1));
        assert_eq!(filetypes(&["PYW_TTY=0"]), ([0; 3], [0; 3], 1));
        assert_eq!(filetypes(&["PYW_TTY=5"]), ([2, 0, 2], [2, 0, 2], 1));
        assert_eq!(filetypes(&["PYW_TTY=7"]), ([2; 3], [2; 3], 1));
    }

    #[test]
    fn without_the_variable_streams_stay() {
        for env in [&[][..], &["PYW_TTY"], &["PYW_TTY="], &["PYW_TTY=8"], &["A"]] {
            assert_eq!(filetypes(env).0, [2; 3], "{env:?}");
        }
    }

    #[test]
    fn a_large_environment_is_read() {
        let long: &'static str = Box::leak(format!("A={}", "x".repeat(200_000)).into());
        assert_eq!(filetypes(&[long, "PYW_TTY=1"]).0, [2, 0, 0]);
    }

    #[test]
    fn other_descriptors_and_errors_stay() {
        let host = Host {
            environ: vec!["PYW_TTY=0"],
            ..Host::default()
        };
        let mut guest = start(&adapted(GUEST, &[Adaptation::Tty]), host);
        for (fd, error, filetype) in [(3, 0, 2), (4, 0, 4), (9, EBADF, 4)] {
            let got: i32 = call(&mut guest, "fdstat", (fd, 64)).unwrap();
            assert_eq!((got, guest_memory(&mut guest)[64]), (error, filetype));
        }
        assert_eq!(guest.0.data().environ_reads, 0);
    }

    /// Polls with subscriptions of (tag, timeout, flags); what the runtime saw of each.
    fn poll_with(
        adaptations: &[Adaptation],
        now: Option<u64>,
        subscriptions: &[(u8, u64, u16)],
    ) -> Vec<(u64, u16)> {
        let host = Host {
            now,
            ..Host::default()
        };
        let mut guest = start(&adapted(GUEST, adaptations), host);
        let mut input = Vec::new();
        for (tag, timeout, flags) in subscriptions {
            let mut sub = [0xaa; 48];
            sub[8] = *tag;
            sub[16..20].copy_from_slice(&1u32.to_le_bytes());
            sub[24..32].copy_from_slice(&timeout.to_le_bytes());
            sub[40..42].copy_from_slice(&flags.to_le_bytes());
            input.extend(sub);
        }
        let mut pages = 0;
        // Twice: the scratch area has to serve again.
        for round in 0..2 {
            guest_memory(&mut guest)[1024..][..input.len()].copy_from_slice(&input);
            let count = subscriptions.len() as i32;
            let error: i32 = call(&mut guest, "poll", (1024, 8192, count, 512)).unwrap();
            assert_eq!(error, 0);
            let memory = guest_memory(&mut guest);
            assert_eq!(memory[512..516], count.to_le_bytes());
            assert_eq!(memory[1024..][..input.len()], input, "the caller's memory");
            assert!(memory[..512].iter().all(|byte| *byte == 0));
            let size: i32 = call(&mut guest, "pages", ()).unwrap();
            assert!(round == 0 || size == pages, "memory leaks");
            pages = size;
        }
        let mut polled = guest.0.into_data().polled;
        assert_eq!(polled[0], polled[1]);
        polled.remove(0)
    }

    #[test]
    fn a_timeout_of_zero_becomes_one() {
        let poll = |subs: &[_]| poll_with(&[Adaptation::PollZero], None, subs);
        assert_eq!(poll(&[(0, 0, 0)]), [(1, 0)]);
        assert_eq!(poll(&[(0, 0, 1)]), [(1, 1)]);
        assert_eq!(poll(&[(0, 7, 0)]), [(7, 0)]);
        // Descriptors have no timeout, whatever stands there.
        assert_eq!(
            poll(&[(1, 0, 0), (0, 0, 0), (2, 0, 0), (0, 9, 1), (0, 0, 0)]),
            [(0, 0), (1, 0), (0, 0), (9, 1), (1, 0)]
        );
        assert_eq!(poll(&[(1, 0, 0)]), [(0, 0)]);
        assert_eq!(poll(&[]), []);
    }

    #[test]
    fn points_in_time_become_durations() {
        let poll = |now, subs: &[_]| poll_with(&[Adaptation::RelativeClock], now, subs);
        assert_eq!(poll(Some(100), &[(0, 150, 1)]), [(50, 0)]);
        assert_eq!(poll(Some(100), &[(0, 100, 1)]), [(1, 0)]);
        assert_eq!(poll(Some(100), &[(0, 3, 1)]), [(1, 0)]);
        assert_eq!(poll(Some(1), &[(0, u64::MAX, 1)]), [(u64::MAX - 1, 0)]);
        assert_eq!(
            poll(Some(100), &[(1, 5, 1), (0, 0, 0), (0, 101, 1)]),
            [(5, 1), (0, 0), (1, 0)]
        );
        // A clock that cannot be read is the runtime's to refuse.
        assert_eq!(poll(None, &[(0, 150, 1)]), [(150, 1)]);
    }

    #[test]
    fn wrappers_of_one_import_work_together() {
        let both = [Adaptation::PollZero, Adaptation::RelativeClock];
        assert_eq!(
            poll_with(
                &both,
                Some(100),
                &[(0, 0, 0), (0, 150, 1), (0, 0, 1), (1, 0, 0)]
            ),
            [(1, 0), (50, 0), (1, 0), (0, 0)]
        );
    }

    #[test]
    fn an_error_on_an_output_stream_is_a_broken_pipe() {
        let mut guest = start(&adapted(GUEST, &[Adaptation::BrokenPipe]), Host::default());
        let mut write = |fd| call::<_, i32>(&mut guest, "write_failing", (fd, EIO)).unwrap();
        assert_eq!(
            [write(0), write(1), write(2), write(3)],
            [EIO, EPIPE, EPIPE, EIO]
        );
        let mut other = |error| call::<_, i32>(&mut guest, "write_failing", (1, error)).unwrap();
        assert_eq!([other(0), other(8)], [0, 8]);
    }

    #[test]
    fn absurd_counts_reach_the_runtime() {
        let mut guest = start(&adapted(GUEST, &[Adaptation::PollZero]), Host::default());
        let error: i32 = call(&mut guest, "poll", (1024, 8192, -1, 512)).unwrap();
        assert_eq!(error, 0);
        assert_eq!(guest.0.data().polled[0].len(), 0);
    }

    #[test]
    fn a_module_without_the_import_only_loses_its_debug_information() {
        let mut module = wat::parse_str(r#"(module $m (func $f (export "_start")))"#).unwrap();
        let original = module.clone();
        for name in [".debug_info", ".debug_str"] {
            module.extend([0, name.len() as u8 + 4, name.len() as u8]);
            module.extend(name.as_bytes());
            module.extend([1, 2, 3]);
        }
        let all = Adaptation::ALL.into_iter().collect();
        assert_eq!(adapt(&module, &all).unwrap(), original);
    }

    #[test]
    fn a_missing_section_of_globals_is_added_where_it_belongs() {
        for rest in [
            r#"(func (export "_start") (call $exit (i32.const 0)))"#,
            r#"(func (call $exit (i32.const 0)))"#,
            r#"(func $f (call $exit (i32.const 0))) (start $f)"#,
            r#"(table 1 funcref) (elem (i32.const 0) $exit) (func) (data "x")"#,
            r#"(global i32 (i32.const 1)) (func (call $exit (global.get 0)))"#,
            r#"(table 1 funcref (ref.func $exit)) (func)"#,
        ] {
            let text = format!(
                r#"(module (import "wasi_snapshot_preview1" "poll_oneoff"
                    (func $poll (param i32 i32 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory 1) (func $p (drop (call $poll
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
                {rest})"#
            );
            adapted(&text, &[Adaptation::PollZero]);
        }
    }

    #[test]
    fn what_cannot_be_adapted_says_why() {
        let problem = |text: &str| {
            let module = wat::parse_str(text).unwrap();
            let all = Adaptation::ALL.into_iter().collect();
            adapt(&module, &all).unwrap_err().problem
        };
        let import = r#"import "wasi_snapshot_preview1" "#;
        assert!(matches!(
            problem(&format!(
                r#"(module ({import} "proc_exit" (func (param i32))) (memory 1) (func))"#
            )),
            Problem::MissingImport {
                adaptation: "exit-code",
                import: "fd_prestat_get"
            }
        ));
        assert!(matches!(
            problem(&format!(
                r#"(module ({import} "proc_exit" (func (param i64))) (memory 1) (func))"#
            )),
            Problem::ImportType("proc_exit")
        ));
        assert!(matches!(
            problem(&GUEST.replace(r#""memory") 1"#, r#""memory") 0"#)),
            Problem::UnsuitableMemory
        ));
        assert!(matches!(problem("(component)"), Problem::Component));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let original = wat::parse_str(GUEST).unwrap();
        let all = Adaptation::ALL.into_iter().collect();
        for at in 0..original.len() {
            let _ = adapt(&original[..at], &all);
            for change in [1, 0x80, 0xff] {
                let mut bytes = original.clone();
                bytes[at] ^= change;
                let _ = adapt(&bytes, &all);
            }
        }
    }
}
