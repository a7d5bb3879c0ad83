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
//! What comes from `memory.grow` is a gap between two parts of the guest's heap, so wherever anything
//! is appended, `sbrk` of the guest's libc is made to cope with that; see `heap`.
//!
//! A new adaptation is a variant of [`Adaptation`] and a row of `WRAPPERS` with the function that
//! emits its body, in the file of its family.
//!
//! An adapted module keeps state in globals (for instance whether stdin is a terminal, once it was
//! asked). A snapshot would freeze that, so adapt a snapshot; do not take one of an adapted module.

mod exit_code;
mod folders;
mod heap;
mod limit;
mod memory;
mod poll;
mod settings;
mod stack;
mod streams;
mod times;
pub(in crate::interpreter) mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, ConstExpr, Function, FunctionSection, GlobalSection, GlobalType, Instruction,
    Module, SectionId, TypeSection, ValType,
};
use wasmparser::{ExternalKind, Operator, Parser, Payload, TypeRef};

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
    /// Without the variable nothing changes.
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
    /// For wasmtime and WasmEdge, on which a program can set the times of what it may only read
    /// (no fence covers that: Landlock knows no right for it). [`MOUNTS_VAR`] has one character for
    /// each preopen from descriptor 3 on, `w` where it may be written; setting the times of all else
    /// is refused as Landlock refuses other changes. Without the variable nothing changes. Only for
    /// runtimes that number preopens in the order of their command line.
    ReadOnlyTimes,
    /// For wasmer, which has a single preopen, so that descriptors don't tell where they lead, and
    /// on which setting times by a path changes nothing on the host, but by an opened file does.
    /// Only the times of a file that was opened for writing can then be set, which the fence lets
    /// no file be that may only be read. Not together with [`Adaptation::ReadOnlyTimes`].
    OpenedTimes,
    /// For wasmer and wazero, which have no limit on memory. [`MEMORY_VAR`] says how many pages of
    /// 64 KiB there may be; growing beyond fails, as where a runtime refuses it. Without the
    /// variable nothing changes. What is in the module's code no program can get round.
    MemoryLimit,
    /// For wasmer, whose `path_remove_directory` finds a folder that was there before only once it
    /// has been looked at. So it is looked at.
    StatBeforeRmdir,
    /// For builds of CPython with a C stack of less than 8 MiB, which endless recursion through
    /// methods overflows before Python notices, so that it traps and no RecursionError is raised.
    /// They get one of 8 MiB, if memory can grow by that. The runtime's own stack has to suffice as
    /// well. Nothing changes where the stack is larger or cannot be told for certain.
    Stack,
}

/// Changes whenever adapted modules come out differently, so that older ones are not used.
pub const FORMAT: u32 = 3;

/// Where a folder has to be mounted, writable, for [`Adaptation::ExitCode`].
pub const EXIT_CODE_MOUNT: &str = "/.pyw/rc";
/// The file in [`EXIT_CODE_MOUNT`] that holds the code.
pub const EXIT_CODE_FILE: &str = "code";
/// The environment variable of [`Adaptation::Tty`].
pub const TTY_VAR: &str = "PYW_TTY";
/// The environment variable of [`Adaptation::ReadOnlyTimes`].
pub const MOUNTS_VAR: &str = "PYW_DIR";
/// The environment variable of [`Adaptation::MemoryLimit`].
pub const MEMORY_VAR: &str = "PYW_MEM";
/// All environment variables of adaptations. The program sees them in its environment; the
/// bootstrap has to take them away.
pub const VARIABLES: [&str; 3] = [TTY_VAR, MOUNTS_VAR, MEMORY_VAR];

impl Adaptation {
    /// All of them.
    pub const ALL: [Adaptation; 10] = [
        Adaptation::ExitCode,
        Adaptation::Tty,
        Adaptation::PollZero,
        Adaptation::RelativeClock,
        Adaptation::BrokenPipe,
        Adaptation::ReadOnlyTimes,
        Adaptation::OpenedTimes,
        Adaptation::MemoryLimit,
        Adaptation::StatBeforeRmdir,
        Adaptation::Stack,
    ];

    /// The name used in runtime descriptors.
    pub fn name(self) -> &'static str {
        match self {
            Adaptation::ExitCode => "exit-code",
            Adaptation::Tty => "tty",
            Adaptation::PollZero => "poll-zero",
            Adaptation::RelativeClock => "relative-clock",
            Adaptation::BrokenPipe => "broken-pipe",
            Adaptation::ReadOnlyTimes => "read-only-times",
            Adaptation::OpenedTimes => "opened-times",
            Adaptation::MemoryLimit => "memory-limit",
            Adaptation::StatBeforeRmdir => "stat-before-rmdir",
            Adaptation::Stack => "stack",
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
        body: exit_code::exit_code,
    },
    Wrapper {
        adaptation: Adaptation::Tty,
        import: "fd_fdstat_get",
        needs: &["environ_sizes_get", "environ_get"],
        body: streams::tty_fdstat,
    },
    Wrapper {
        adaptation: Adaptation::Tty,
        import: "fd_filestat_get",
        needs: &["environ_sizes_get", "environ_get"],
        body: streams::tty_filestat,
    },
    Wrapper {
        adaptation: Adaptation::PollZero,
        import: "poll_oneoff",
        needs: &[],
        body: poll::poll_zero,
    },
    Wrapper {
        adaptation: Adaptation::RelativeClock,
        import: "poll_oneoff",
        needs: &["clock_time_get"],
        body: poll::relative_clock,
    },
    Wrapper {
        adaptation: Adaptation::BrokenPipe,
        import: "fd_write",
        needs: &[],
        body: streams::broken_pipe,
    },
    Wrapper {
        adaptation: Adaptation::ReadOnlyTimes,
        import: "path_open",
        needs: &["environ_sizes_get", "environ_get"],
        body: times::path_open,
    },
    Wrapper {
        adaptation: Adaptation::ReadOnlyTimes,
        import: "fd_close",
        needs: &["environ_sizes_get", "environ_get"],
        body: times::fd_close,
    },
    Wrapper {
        adaptation: Adaptation::ReadOnlyTimes,
        import: "fd_renumber",
        needs: &["environ_sizes_get", "environ_get"],
        body: times::fd_renumber,
    },
    Wrapper {
        adaptation: Adaptation::ReadOnlyTimes,
        import: "fd_filestat_set_times",
        needs: &["environ_sizes_get", "environ_get", "fd_filestat_get"],
        body: times::fd_set_times,
    },
    Wrapper {
        adaptation: Adaptation::ReadOnlyTimes,
        import: "path_filestat_set_times",
        needs: &["environ_sizes_get", "environ_get", "path_filestat_get"],
        body: times::path_set_times,
    },
    Wrapper {
        adaptation: Adaptation::OpenedTimes,
        import: "path_open",
        needs: &[],
        body: times::path_open_writing,
    },
    Wrapper {
        adaptation: Adaptation::OpenedTimes,
        import: "fd_close",
        needs: &[],
        body: times::fd_close,
    },
    Wrapper {
        adaptation: Adaptation::OpenedTimes,
        import: "fd_renumber",
        needs: &[],
        body: times::fd_renumber,
    },
    Wrapper {
        adaptation: Adaptation::OpenedTimes,
        import: "fd_filestat_set_times",
        needs: &["fd_filestat_get"],
        body: times::fd_set_times,
    },
    Wrapper {
        adaptation: Adaptation::StatBeforeRmdir,
        import: "path_remove_directory",
        needs: &["path_filestat_get"],
        body: folders::remove_directory,
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
    ("fd_close", &[I32], &[I32]),
    ("fd_renumber", &[I32, I32], &[I32]),
    ("fd_filestat_set_times", &[I32, I64, I64, I32], &[I32]),
    (
        "path_filestat_set_times",
        &[I32, I32, I32, I32, I64, I64, I32],
        &[I32],
    ),
    ("path_remove_directory", &[I32, I32, I32], &[I32]),
    ("path_filestat_get", &[I32, I32, I32, I32, I32], &[I32]),
];

/// A function that wrappers share: which adaptations it is there for, and how its body is made.
struct Shared {
    helper: Helper,
    /// None: for all of them.
    adaptations: &'static [Adaptation],
    body: Emit,
}

/// Functions that wrappers share, in the order in which they are appended.
const HELPERS: &[Shared] = &[
    Shared {
        helper: Helper::Fresh,
        adaptations: &[],
        body: memory::fresh,
    },
    Shared {
        helper: Helper::Scratch,
        adaptations: &[],
        body: memory::scratch,
    },
    Shared {
        helper: Helper::SlotGet,
        adaptations: times::ADAPTATIONS,
        body: times::slot_get,
    },
    Shared {
        helper: Helper::SlotSet,
        adaptations: times::ADAPTATIONS,
        body: times::slot_set,
    },
    Shared {
        helper: Helper::Find,
        adaptations: times::ADAPTATIONS,
        body: times::find,
    },
    Shared {
        helper: Helper::List,
        adaptations: times::ADAPTATIONS,
        body: times::list,
    },
    Shared {
        helper: Helper::Strike,
        adaptations: times::ADAPTATIONS,
        body: times::strike,
    },
    Shared {
        helper: Helper::Settings,
        adaptations: &[
            Adaptation::Tty,
            Adaptation::ReadOnlyTimes,
            Adaptation::MemoryLimit,
        ],
        body: settings::settings,
    },
    Shared {
        helper: Helper::Grow,
        adaptations: &[Adaptation::MemoryLimit, Adaptation::Stack],
        body: limit::grow,
    },
    Shared {
        helper: Helper::Size,
        adaptations: &[Adaptation::Stack],
        body: stack::size,
    },
];

/// A function that wrappers share; each takes an i32 and returns one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Helper {
    /// [`memory::fresh`].
    Fresh,
    /// [`memory::scratch`].
    Scratch,
    /// [`settings::settings`].
    Settings,
    /// [`times::slot_get`].
    SlotGet,
    /// [`times::slot_set`].
    SlotSet,
    /// [`times::find`].
    Find,
    /// [`times::list`].
    List,
    /// [`times::strike`].
    Strike,
    /// [`limit::grow`].
    Grow,
    /// [`stack::size`].
    Size,
}

/// A global that wrappers share; each is a mutable i32.
#[derive(Clone, Copy)]
enum Global {
    /// Where the scratch area begins.
    ScratchAt,
    /// How many bytes it has.
    ScratchSize,
    /// Whether the environment was asked for the settings.
    Asked,
    /// Which streams are terminals, or may be.
    TtyMask,
    /// Whether times are held in what can only be read.
    TimesHeld,
    /// How many descriptors are listed.
    SlotCount,
    /// What [`times::slot_set`] sets.
    SlotValue,
    /// How many pages there may be.
    MemoryLimit,
    /// How many pages the guest began with, until it has asked for more; then -1.
    FirstSize,
    /// The least that the stack pointer may be.
    StackLow,
    /// How many bytes the guest's libc got last, and has not given back.
    HeapGrant,
    /// Where memory ended then.
    HeapEnd,
    /// How many bytes at that end it has given back.
    HeapFree,
}

/// The globals' initial values, in the order of their appending. Behind them come
/// [`times::SLOTS`], where [`times`] needs them.
const GLOBALS: [(Global, i32); 13] = [
    (Global::ScratchAt, 0),
    (Global::ScratchSize, 0),
    (Global::Asked, 0),
    (Global::TtyMask, streams::ALL_STREAMS),
    (Global::TimesHeld, 1),
    (Global::SlotCount, 0),
    (Global::SlotValue, 0),
    (Global::MemoryLimit, 0),
    (Global::FirstSize, -1),
    (Global::StackLow, 0),
    (Global::HeapGrant, 0),
    (Global::HeapEnd, 0),
    (Global::HeapFree, 0),
];

/// Re-encodes a core module with the chosen adaptations, and without its debug information (which
/// runtimes carry around, and whose addresses would no longer be true).
///
/// An import that the module lacks needs no wrapper. With nothing to change, only the debug
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
    let mut chosen: BTreeSet<_> = wrappers.iter().map(|w| w.adaptation).collect();
    if adaptations.contains(&Adaptation::MemoryLimit) && shape.has_code && shape.memory.is_some() {
        let adaptation = Adaptation::MemoryLimit;
        shape.check_imports(adaptation, &["environ_sizes_get", "environ_get"])?;
        shape.check_memory()?;
        chosen.insert(adaptation);
    }
    let start = match adaptations.contains(&Adaptation::Stack) {
        true => shape.start_of_small_stack(module)?,
        false => None,
    };
    if start.is_some() {
        chosen.insert(Adaptation::Stack);
    }
    let heap = match chosen.is_empty() {
        true => None,
        false => shape.sbrk(module)?,
    };
    let mut adapter = Adapter::new(&shape, wrappers, &chosen, start, heap);
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
    /// The type index of each function of its own.
    own_types: Vec<u32>,
    /// The function that is exported as `_start`.
    start: Option<u32>,
    /// Parameters and results of each function type.
    types: Vec<Option<wasmparser::FuncType>>,
    functions: u32,
    globals: u32,
    imported_globals: u32,
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
                            TypeRef::Global(_) => {
                                shape.globals += 1;
                                shape.imported_globals += 1;
                            }
                            TypeRef::Memory(memory) => {
                                shape.memory.get_or_insert(memory);
                            }
                            TypeRef::Table(_) | TypeRef::Tag(_) => {}
                        }
                    }
                }
                Payload::FunctionSection(functions) => {
                    shape.functions = shape.functions.saturating_add(functions.count());
                    shape.own_types = functions.into_iter().collect::<Result<_, _>>()?;
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
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        if export.name == "_start" && export.kind == ExternalKind::Func {
                            shape.start = Some(export.index);
                        }
                    }
                }
                Payload::CodeSectionStart { .. } => shape.has_code = true,
                _ => {}
            }
        }
        Ok(shape)
    }

    /// The function and its type that [`stack::start`] can wrap, where the stack is one for it.
    fn start_of_small_stack(&self, module: &[u8]) -> Result<Option<(u32, u32)>, WasmError> {
        let Some(start) = self.start else {
            return Ok(None);
        };
        let own = start.checked_sub(self.import_types.len() as u32);
        let index = own.and_then(|own| self.own_types.get(own as usize));
        let plain = |ty: &wasmparser::FuncType| ty.params().is_empty() && ty.results().is_empty();
        let ty = index.and_then(|index| self.types.get(*index as usize)?.as_ref());
        let (Some(index), true) = (index, ty.is_some_and(plain)) else {
            return Ok(None);
        };
        let (Some(memory), Ok(())) = (self.memory, self.check_memory()) else {
            return Ok(None);
        };
        // Imported ones would be the first.
        if self.imported_globals > 0 {
            return Ok(None);
        }
        let mut search = stack::Search::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::GlobalSection(globals) => {
                    if let Some(first) = globals.into_iter().next() {
                        let first = first?;
                        search.first_global(first.ty, &first.init_expr);
                    }
                }
                // Others could then change it.
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        let first = export.index == stack::STACK_POINTER;
                        if first && export.kind == ExternalKind::Global {
                            return Ok(None);
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => search.body(&body)?,
                _ => {}
            }
        }
        Ok(search.found(memory.initial).then_some((start, *index)))
    }

    /// The function and its type that [`heap::sbrk`] can wrap, if there is one.
    fn sbrk(&self, module: &[u8]) -> Result<Option<(u32, u32)>, WasmError> {
        if self.check_memory().is_err() {
            return Ok(None);
        }
        let mut found = Vec::new();
        let mut own = self.own_types.iter().zip(self.import_types.len() as u32..);
        for payload in Parser::new(0).parse_all(module) {
            if let Payload::CodeSectionEntry(body) = payload?
                && let Some((ty, function)) = own.next()
                && let Some(Some(signature)) = self.types.get(*ty as usize)
                && same_types(signature.params(), &[I32])
                && same_types(signature.results(), &[I32])
                && heap::is_sbrk(&body)?
            {
                found.push((function, *ty));
            }
        }
        // Of several, nobody knows which one the heap is made by.
        Ok(match found.as_slice() {
            [one] => Some(*one),
            _ => None,
        })
    }

    /// Whether a wrapper can stand in this module: what it calls is there, has the standard's
    /// signature, and memory is as its loads and stores expect.
    fn check(&self, wrapper: &Wrapper) -> Result<(), Problem> {
        self.check_imports(wrapper.adaptation, &[wrapper.import])?;
        self.check_imports(wrapper.adaptation, wrapper.needs)?;
        self.check_memory()
    }

    fn check_imports(
        &self,
        adaptation: Adaptation,
        imports: &[&'static str],
    ) -> Result<(), Problem> {
        for &import in imports {
            let Some(indices) = self.imports.get(import) else {
                return Err(Problem::MissingImport {
                    adaptation: adaptation.name(),
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
        Ok(())
    }

    fn check_memory(&self) -> Result<(), Problem> {
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

/// What an emitted body has to know.
struct Parts<'a> {
    /// Those that have something to do in this module.
    adaptations: &'a BTreeSet<Adaptation>,
    /// The function that the wrapper wraps: the import, or a wrapper nearer to the runtime.
    inner: u32,
    /// Imported preview 1 functions.
    imports: BTreeMap<&'static str, u32>,
    /// The helpers that are there.
    helpers: BTreeMap<Helper, u32>,
    first_global: u32,
}

impl Parts<'_> {
    fn has(&self, adaptation: Adaptation) -> bool {
        self.adaptations.contains(&adaptation)
    }

    /// The import `name`. Only what the wrapper lists in `needs` is asked for.
    fn import(&self, name: &str) -> u32 {
        self.imports[name]
    }

    /// The helper. Only what `HELPERS` lists before, or for the wrapper, is asked for.
    fn helper(&self, helper: Helper) -> u32 {
        self.helpers[&helper]
    }

    fn global(&self, global: Global) -> u32 {
        self.first_global + global as u32
    }

    fn first_slot(&self) -> u32 {
        self.first_global + GLOBALS.len() as u32
    }
}

/// The re-encoder: everything stays as it is, but for the appended parts and for who is called.
struct Adapter {
    /// Which function an index now stands for, where it is another one.
    redirected: BTreeMap<u32, u32>,
    /// What `memory.grow` becomes a call of.
    grow: Option<u32>,
    /// What `memory.size` becomes a call of.
    size: Option<u32>,
    /// The global that new stack pointers are compared with.
    low: Option<u32>,
    /// The appended functions: type index and body.
    appended: Vec<(u32, Function)>,
    /// Whether the globals have to be put into a section of their own.
    new_global_section: bool,
    /// How many globals are appended for [`times`].
    slots: u32,
}

impl Adapter {
    fn new(
        shape: &Shape,
        wrappers: Vec<&Wrapper>,
        adaptations: &BTreeSet<Adaptation>,
        start: Option<(u32, u32)>,
        heap: Option<(u32, u32)>,
    ) -> Adapter {
        let mut adapter = Adapter {
            redirected: BTreeMap::new(),
            grow: None,
            size: None,
            low: None,
            appended: Vec::new(),
            new_global_section: false,
            slots: 0,
        };
        if adaptations.is_empty() {
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
            adaptations,
            inner: 0,
            imports: known.collect(),
            helpers: BTreeMap::new(),
            first_global: shape.globals,
        };
        if parts.has(Adaptation::ReadOnlyTimes) || parts.has(Adaptation::OpenedTimes) {
            adapter.slots = times::SLOTS;
        }
        for shared in HELPERS {
            let wanted = shared.adaptations.iter().any(|a| parts.has(*a));
            if shared.adaptations.is_empty() || wanted {
                let index = shape.functions + adapter.appended.len() as u32;
                adapter.appended.push((helper_type, (shared.body)(&parts)));
                parts.helpers.insert(shared.helper, index);
            }
        }
        adapter.grow = parts.helpers.get(&Helper::Grow).copied();
        adapter.size = parts.helpers.get(&Helper::Size).copied();
        if let Some((start, ty)) = start {
            adapter.low = Some(parts.global(Global::StackLow));
            parts.inner = start;
            let index = shape.functions + adapter.appended.len() as u32;
            adapter.appended.push((ty, stack::start(&parts)));
            adapter.redirected.insert(start, index);
        }
        if let Some((sbrk, ty)) = heap {
            parts.inner = sbrk;
            let index = shape.functions + adapter.appended.len() as u32;
            adapter.appended.push((ty, heap::sbrk(&parts)));
            adapter.redirected.insert(sbrk, index);
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
        for _ in 0..self.slots {
            globals.global(ty, &ConstExpr::i32_const(-1));
        }
    }

    /// Whether a function body comes out differently.
    fn changes(&self, body: &wasmparser::FunctionBody<'_>) -> wasmparser::Result<bool> {
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let changed = match reader.read()? {
                Operator::Call { function_index }
                | Operator::ReturnCall { function_index }
                | Operator::RefFunc { function_index } => {
                    self.redirected.contains_key(&function_index)
                }
                Operator::MemoryGrow { mem: 0 } => self.grow.is_some(),
                Operator::MemorySize { mem: 0 } => self.size.is_some(),
                Operator::GlobalSet {
                    global_index: stack::STACK_POINTER,
                } => self.low.is_some(),
                _ => false,
            };
            if changed {
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

    fn instruction<'a>(
        &mut self,
        operator: Operator<'a>,
    ) -> Result<Instruction<'a>, reencode::Error<Infallible>> {
        match (operator, self.grow) {
            (Operator::MemoryGrow { mem: 0 }, Some(grow)) => Ok(Instruction::Call(grow)),
            (operator, _) => reencode::utils::instruction(self, operator),
        }
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Reencoded {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut reader = body.get_operators_reader()?;
        let mut last = stack::Last::default();
        while !reader.eof() {
            let operator = reader.read()?;
            let next = last.then(&operator);
            let moved = match operator {
                Operator::GlobalSet {
                    global_index: stack::STACK_POINTER,
                } if !last.raised => self.low,
                _ => None,
            };
            if let (Operator::MemorySize { mem: 0 }, Some(size)) = (&operator, self.size) {
                // It takes an argument as all helpers do.
                function.instruction(&Instruction::I32Const(0));
                function.instruction(&Instruction::Call(size));
            } else {
                function.instruction(&self.instruction(operator)?);
            }
            for instruction in moved.into_iter().flat_map(stack::check) {
                function.instruction(&instruction);
            }
            last = next;
        }
        code.function(&function);
        Ok(())
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
        module: &mut Module,
        section: wasmparser::CustomSectionReader<'_>,
    ) -> Reencoded {
        keep_custom(module, &section);
        Ok(())
    }
}

/// Copies a custom section, unless it tells of places in the code, which may be other ones now.
pub(super) fn keep_custom(module: &mut Module, section: &wasmparser::CustomSectionReader<'_>) {
    let name = section.name();
    // Debugging information, branch hints.
    if !name.starts_with(".debug_") && !name.starts_with("metadata.code.") {
        // As it is, also `name`: what it says of an import is still true of the import.
        module.section(&wasm_encoder::CustomSection {
            name: name.into(),
            data: section.data().into(),
        });
    }
}

#[cfg(test)]
mod tests;
