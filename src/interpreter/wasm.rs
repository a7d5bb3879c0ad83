//! What a wasm file is: the facts that decide whether, and how, it can be run as an interpreter.
//!
//! A file reaches pyw from an archive, a download or a path typed by a person, so any bytes at all
//! may come in. [`inspect`] answers with facts or with an error that says what the file looks like
//! instead; [`ModuleInfo::require_interpreter`] then judges the facts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::platform::Platform;
use serde::{Deserialize, Serialize};
use wasmparser::{
    BlockType, CompositeInnerType, ElementItems, FuncValidatorAllocations, MemoryType, Parser,
    Payload, TypeRef, ValidPayload, Validator, VisitOperator, VisitSimdOperator, WasmFeatures,
};

use crate::error::Code;

/// The import module of WASI preview 1.
pub const PREVIEW1: &str = "wasi_snapshot_preview1";

/// What stands at the start of every wasm binary.
const MAGIC: &[u8; 4] = b"\0asm";
/// Version 1, layer 0: a core module.
const CORE_MODULE: [u8; 4] = [1, 0, 0, 0];

/// Why a wasm file cannot be used, and which file.
#[derive(Debug, thiserror::Error)]
#[error("{}{problem}", Prefix(.path))]
pub struct WasmError {
    /// The file, where the bytes came from one.
    pub path: Option<PathBuf>,
    /// What is wrong with it. Part of this error's own message, so not its source.
    pub problem: Problem,
}

/// The `PATH: ` before a message, or nothing.
struct Prefix<'a>(&'a Option<PathBuf>);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(path) => write!(f, "{}: ", path.display()),
            None => Ok(()),
        }
    }
}

/// What can be wrong with a wasm file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file could not be read.
    #[error("cannot be read: {0}")]
    Read(std::io::Error),
    /// It does not start like wasm.
    #[error("not a WebAssembly module: it {0}")]
    NotWasm(Resembles),
    /// It starts well but ends too early.
    #[error("the WebAssembly module is cut off after {length} bytes")]
    Truncated {
        /// How many bytes there are.
        length: usize,
    },
    /// A component of the component model (WASI 0.2 and later).
    #[error("a WebAssembly component, but pyw needs a core module for WASI preview 1")]
    Component,
    /// A core module of a version that does not exist yet.
    #[error("a WebAssembly module of version {0}, but only version 1 is known")]
    Version(u32),
    /// Invalid WebAssembly.
    #[error("malformed WebAssembly at byte {offset:#x}: {message}")]
    Malformed {
        /// Where in the file.
        offset: u64,
        /// What the parser or validator says.
        message: String,
    },
    /// A reactor: functions to call, but no program to start.
    #[error("a WebAssembly library (reactor) without a `_start` function, not a program")]
    Reactor,
    /// Made by Emscripten, which needs a JavaScript host.
    #[error("an Emscripten module, which needs its own JavaScript host, not a WASI program")]
    Emscripten,
    /// A sound WASI program, but not Python.
    #[error("a WASI program, but it does not seem to hold CPython")]
    NotPython,
    /// An adaptation needs a function that the module does not import.
    #[error("cannot be adapted ({adaptation}): it does not import `{import}`")]
    MissingImport {
        /// The adaptation's name.
        adaptation: &'static str,
        /// The preview 1 function that is needed.
        import: &'static str,
    },
    /// A preview 1 function is imported with another signature than the standard's.
    #[error("cannot be adapted: it imports `{0}` with another signature than WASI preview 1 has")]
    ImportType(&'static str),
    /// Adaptations hold for a 32-bit memory of ordinary pages only.
    #[error("cannot be adapted: it has no ordinary 32-bit memory of at least one page")]
    UnsuitableMemory,
    /// The re-encoder knows less than the validator.
    #[error("cannot be adapted: {0}")]
    Reencode(String),
}

/// What a file that is not wasm looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resembles {
    /// No bytes at all.
    Empty,
    /// A zip archive: a wheel, a pybi.
    Zip,
    /// gzip, perhaps a `.tar.gz`.
    Gzip,
    /// xz, zstd or bzip2.
    Compressed,
    /// A tar archive.
    Tar,
    /// An ELF executable, or a module that wasmtime precompiled.
    Elf,
    /// A Mach-O executable.
    MachO,
    /// A Windows executable.
    Pe,
    /// A module that wasmer precompiled.
    Wasmu,
    /// WebAssembly's text format.
    Wat,
    /// A web page, as a failed download leaves behind.
    Html,
    /// A pointer file of Git LFS.
    LfsPointer,
    /// A script that begins with `#!`.
    Script,
    /// Some other text.
    Text,
    /// Nothing known.
    Unknown,
}

impl Resembles {
    /// Guesses from the first bytes.
    fn guess(bytes: &[u8]) -> Resembles {
        let head = &bytes[..bytes.len().min(512)];
        let starts: &[(&[u8], Resembles)] = &[
            (b"PK\x03\x04", Resembles::Zip),
            (b"PK\x05\x06", Resembles::Zip),
            (b"\x1f\x8b", Resembles::Gzip),
            (b"\xfd7zXZ", Resembles::Compressed),
            (b"\x28\xb5\x2f\xfd", Resembles::Compressed),
            (b"BZh", Resembles::Compressed),
            (b"\x7fELF", Resembles::Elf),
            (b"\xcf\xfa\xed\xfe", Resembles::MachO),
            (b"\xca\xfe\xba\xbe", Resembles::MachO),
            (b"wasmer", Resembles::Wasmu),
            (b"#!", Resembles::Script),
            (b"version https://git-lfs", Resembles::LfsPointer),
        ];
        if head.is_empty() {
            return Resembles::Empty;
        }
        if let Some((_, what)) = starts.iter().find(|(start, _)| head.starts_with(start)) {
            return *what;
        }
        if head.get(257..262) == Some(b"ustar") {
            return Resembles::Tar;
        }
        // The 512-byte cut may fall into a character, so only a bad byte before that counts.
        let text = match std::str::from_utf8(head) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => "",
        };
        if text.is_empty() || text.contains('\0') {
            return if head.starts_with(b"MZ") {
                Resembles::Pe
            } else {
                Resembles::Unknown
            };
        }
        let text = text
            .trim_start_matches('\u{feff}')
            .trim_start()
            .to_ascii_lowercase();
        if text.starts_with("(module") || text.starts_with(";;") {
            Resembles::Wat
        } else if text.starts_with("<!doctype") || text.starts_with("<html") {
            Resembles::Html
        } else {
            Resembles::Text
        }
    }
}

impl fmt::Display for Resembles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resembles::Empty => "is empty",
            Resembles::Zip => "looks like a zip archive",
            Resembles::Gzip => "looks like gzip data",
            Resembles::Compressed => "looks like compressed data",
            Resembles::Tar => "looks like a tar archive",
            Resembles::Elf => "looks like an ELF file (a Linux program or a precompiled module)",
            Resembles::MachO => "looks like a macOS program",
            Resembles::Pe => "looks like a Windows program",
            Resembles::Wasmu => "looks like a module precompiled by wasmer",
            Resembles::Wat => "looks like WebAssembly text",
            Resembles::Html => "looks like a web page",
            Resembles::LfsPointer => "is a Git LFS pointer, not the file itself",
            Resembles::Script => "looks like a script",
            Resembles::Text => "looks like text",
            Resembles::Unknown => "does not begin with the bytes `\\0asm`",
        })
    }
}

impl From<Problem> for WasmError {
    fn from(problem: Problem) -> Self {
        WasmError {
            path: None,
            problem,
        }
    }
}

impl From<wasmparser::BinaryReaderError> for Problem {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Problem::Malformed {
            offset: error.offset(),
            message: error.message().to_string(),
        }
    }
}

impl From<wasmparser::BinaryReaderError> for WasmError {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Problem::from(error).into()
    }
}

impl WasmError {
    /// Says which file the error is about.
    pub fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The exit code this failure ends with.
    pub fn code(&self) -> Code {
        match &self.problem {
            Problem::Read(error) if error.kind() == std::io::ErrorKind::NotFound => Code::NotFound,
            Problem::Read(_) => Code::Storage,
            _ => Code::Interpreter,
        }
    }

    /// What the user could do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match &self.problem {
            Problem::NotWasm(Resembles::Zip) => {
                "if it is a pybi or another archive of an interpreter, import it with `pyw python`"
            }
            Problem::NotWasm(Resembles::Gzip | Resembles::Compressed | Resembles::Tar) => {
                "unpack it and name the `.wasm` file in it"
            }
            Problem::NotWasm(Resembles::Elf | Resembles::Wasmu) => {
                "name the `.wasm` file; pyw precompiles it by itself where the runtime can"
            }
            Problem::NotWasm(Resembles::Wat) => "translate it with `wat2wasm` first",
            Problem::NotWasm(Resembles::Html) => "the download went wrong; open its address again",
            Problem::NotWasm(Resembles::LfsPointer) => "fetch the file with `git lfs pull`",
            Problem::NotWasm(Resembles::Script | Resembles::Text) => {
                "this is the place of the interpreter, a `.wasm` file, not of a program"
            }
            Problem::Truncated { .. } => "download or copy the file again",
            Problem::Component => {
                "take a CPython built for `wasm32-wasip1` (or `wasm32-wasi`), not for wasip2"
            }
            Problem::Reactor => {
                "take the build that has a command line, usually named `python.wasm`"
            }
            Problem::Emscripten => {
                "import the whole package (for instance pyodide's), not the file"
            }
            Problem::NotPython => "name a CPython built for `wasm32-wasip1`",
            _ => return None,
        };
        Some(hint.to_string())
    }
}

/// How a module is meant to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A program: it exports `_start`.
    Command,
    /// A library: no `_start`, so a runtime would start it, do nothing and report success.
    Reactor,
    /// Compiled by Emscripten for a JavaScript host (it imports functions from `env` or `a`).
    Emscripten,
}

/// A post-MVP feature of WebAssembly, named as in LLVM's `target_features` where it has a name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Feature {
    BulkMemory,
    CustomPageSizes,
    ExceptionHandling,
    FunctionReferences,
    Gc,
    LegacyExceptions,
    Memory64,
    MultiMemory,
    Multivalue,
    MutableGlobals,
    NontrappingFptoint,
    ReferenceTypes,
    RelaxedSimd,
    SignExt,
    Simd128,
    StackSwitching,
    TailCall,
    Threads,
    WideArithmetic,
    /// Something newer than any runtime is likely to have.
    Experimental,
}

impl Feature {
    /// Its name, as in pybis and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BulkMemory => "bulk-memory",
            Self::CustomPageSizes => "custom-page-sizes",
            Self::ExceptionHandling => "exception-handling",
            Self::FunctionReferences => "function-references",
            Self::Gc => "gc",
            Self::LegacyExceptions => "legacy-exceptions",
            Self::Memory64 => "memory64",
            Self::MultiMemory => "multi-memory",
            Self::Multivalue => "multivalue",
            Self::MutableGlobals => "mutable-globals",
            Self::NontrappingFptoint => "nontrapping-fptoint",
            Self::ReferenceTypes => "reference-types",
            Self::RelaxedSimd => "relaxed-simd",
            Self::SignExt => "sign-ext",
            Self::Simd128 => "simd128",
            Self::StackSwitching => "stack-switching",
            Self::TailCall => "tail-call",
            Self::Threads => "threads",
            Self::WideArithmetic => "wide-arithmetic",
            Self::Experimental => "experimental",
        }
    }

    /// Whether every runtime that pyw knows has it switched on: what WebAssembly 2.0 has.
    #[must_use]
    pub fn is_common(self) -> bool {
        matches!(
            self,
            Self::BulkMemory
                | Self::Multivalue
                | Self::MutableGlobals
                | Self::NontrappingFptoint
                | Self::ReferenceTypes
                | Self::SignExt
                | Self::Simd128
        )
    }
}

/// The size of a module's memory, in pages of 64 KiB (unless it uses custom page sizes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What it starts with. A runtime with a lower limit cannot start it.
    pub minimum: u64,
    /// What it may grow to.
    pub maximum: Option<u64>,
}

impl From<MemoryType> for Memory {
    fn from(memory: MemoryType) -> Self {
        Memory {
            minimum: memory.initial,
            maximum: memory.maximum,
        }
    }
}

/// The facts about a valid core module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// How it is meant to be started.
    pub kind: Kind,
    /// Imported names by import module.
    pub imports: BTreeMap<String, BTreeSet<String>>,
    /// Exported names.
    pub exports: BTreeSet<String>,
    /// Its first memory, own or imported.
    pub memory: Option<Memory>,
    /// The features that it uses, found by going through its code: a runtime without one of them
    /// cannot load it.
    pub features: BTreeSet<Feature>,
    /// What its `target_features` section says it was compiled *for*: names with `+` only. A
    /// module need not use them all.
    pub target_features: BTreeSet<String>,
    /// Whether it seems to hold CPython: an export named `Py_…`, or data with at least three of
    /// the strings that every CPython carries (see [`PYTHON_MARKS`]). A guess, good enough to
    /// catch a wrong file early; the proof is to run it.
    pub python: bool,
}

/// Strings in the data of any CPython: names of C functions in its fatal errors, of variables it
/// reads, of modules it cannot start without. Three of them are asked for, so that a program which
/// merely starts a Python, or mentions one, is not taken for it.
pub const PYTHON_MARKS: [&[u8]; 5] = [
    b"PYTHONHOME",
    b"PyImport_",
    b"Py_Initialize",
    b"importlib._bootstrap",
    b"__build_class__",
];

impl ModuleInfo {
    /// Whether this is a CPython that a runtime for this platform can run as a program; else why
    /// not. What it imports beyond preview 1 is between it and a runtime.
    pub fn require_interpreter(&self, platform: Platform) -> Result<(), WasmError> {
        let problem = match self.kind {
            Kind::Emscripten if platform == Platform::Emscripten && self.python => return Ok(()),
            Kind::Emscripten if platform == Platform::Emscripten => Problem::NotPython,
            Kind::Emscripten => Problem::Emscripten,
            Kind::Reactor => Problem::Reactor,
            Kind::Command if !self.python => Problem::NotPython,
            Kind::Command => return Ok(()),
        };
        Err(problem.into())
    }
}

/// Reads a file and [`inspect`]s it; the error names the file.
pub fn inspect_file(path: impl AsRef<Path>) -> Result<ModuleInfo, WasmError> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|error| WasmError::from(Problem::Read(error)).at(path));
    inspect(&bytes?).map_err(|error| error.at(path))
}

/// Validates a core module and gathers the facts about it. Any bytes may be given.
///
/// Reactors, Emscripten modules and programs that are not Python are described too;
/// [`ModuleInfo::require_interpreter`] turns them down.
pub fn inspect(bytes: &[u8]) -> Result<ModuleInfo, WasmError> {
    check_envelope(bytes)?;
    let mut facts = Facts::default();
    let mut allocations = FuncValidatorAllocations::default();
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        facts.read(&payload)?;
        if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
            let mut function = function.into_validator(std::mem::take(&mut allocations));
            function.validate(&body)?;
            allocations = function.into_allocations();
            facts.read_code(&body)?;
        }
    }
    Ok(facts.finish())
}

/// Tells apart what is not a core module at all, and finds a cut-off end, which a validator would
/// report as one of many odd errors.
fn check_envelope(bytes: &[u8]) -> Result<(), Problem> {
    let truncated = Problem::Truncated {
        length: bytes.len(),
    };
    let known = bytes.len().min(MAGIC.len());
    if known == 0 || bytes[..known] != MAGIC[..known] {
        return Err(Problem::NotWasm(Resembles::guess(bytes)));
    }
    let Some(version) = bytes.get(4..8) else {
        return Err(truncated);
    };
    if version != CORE_MODULE {
        return Err(match (version[2..4] == [0, 0], version) {
            (true, &[a, b, ..]) => Problem::Version(u16::from_le_bytes([a, b]).into()),
            _ => Problem::Component,
        });
    }
    // Sections: one byte of id, the length as LEB128, the content.
    let mut rest = &bytes[8..];
    let (mut functions, mut code, mut data_count, mut data) = (false, false, false, false);
    while let [id, tail @ ..] = rest {
        // The validator has a better message for an unknown section.
        if *id > 13 {
            return Ok(());
        }
        let mut length = 0u64;
        let mut used = 0;
        loop {
            let Some(byte) = tail.get(used) else {
                return Err(truncated);
            };
            length |= u64::from(byte & 0x7f) << (7 * used);
            used += 1;
            if byte & 0x80 == 0 {
                break;
            }
            if used == 5 {
                return Ok(());
            }
        }
        let content = &tail[used..];
        if length > content.len() as u64 {
            return Err(truncated);
        }
        let (content, next) = content.split_at(length as usize);
        let filled = content.first().is_some_and(|count| *count != 0);
        match id {
            3 => functions = filled,
            10 => code = true,
            11 => data = true,
            12 => data_count = filled,
            _ => {}
        }
        rest = next;
    }
    // Cut off exactly between two sections: what was announced is missing.
    if (functions && !code) || (data_count && !data) {
        return Err(truncated);
    }
    Ok(())
}

/// What has been seen so far of a module.
#[derive(Default)]
struct Facts {
    imports: BTreeMap<String, BTreeSet<String>>,
    imports_functions_of_a_js_host: bool,
    exports: BTreeSet<String>,
    memory: Option<Memory>,
    features: BTreeSet<Feature>,
    operators: Operators,
    target_features: BTreeSet<String>,
    python_marks: [bool; PYTHON_MARKS.len()],
}

impl Facts {
    /// Takes what matters from one section.
    fn read(&mut self, payload: &Payload<'_>) -> Result<(), wasmparser::BinaryReaderError> {
        match payload {
            Payload::TypeSection(types) => {
                for group in types.clone() {
                    for ty in group?.into_types() {
                        match ty.composite_type.inner {
                            CompositeInnerType::Func(ty) if ty.results().len() > 1 => {
                                self.features.insert(Feature::Multivalue);
                            }
                            CompositeInnerType::Func(_) => {}
                            CompositeInnerType::Cont(_) => {
                                self.features.insert(Feature::StackSwitching);
                            }
                            _ => {
                                self.features.insert(Feature::Gc);
                            }
                        }
                    }
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    let import = import?;
                    match import.ty {
                        // Emscripten's release builds shorten the module's name to `a`.
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => {
                            self.imports_functions_of_a_js_host |=
                                matches!(import.module, "env" | "a");
                        }
                        TypeRef::Memory(memory) => self.read_memory(memory),
                        TypeRef::Global(global) if global.mutable => {
                            self.features.insert(Feature::MutableGlobals);
                        }
                        TypeRef::Tag(_) => {
                            self.features.insert(Feature::ExceptionHandling);
                        }
                        _ => {}
                    }
                    let names = self.imports.entry(import.module.to_string()).or_default();
                    names.insert(import.name.to_string());
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports.clone() {
                    self.exports.insert(export?.name.to_string());
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    self.read_memory(memory?);
                }
            }
            Payload::TagSection(tags) if tags.count() > 0 => {
                self.features.insert(Feature::ExceptionHandling);
            }
            Payload::ElementSection(elements) => {
                for element in elements.clone() {
                    if let ElementItems::Expressions(..) = element?.items {
                        self.features.insert(Feature::ReferenceTypes);
                    }
                }
            }
            Payload::DataCountSection { .. } => {
                self.features.insert(Feature::BulkMemory);
            }
            Payload::DataSection(segments) => {
                for segment in segments.clone() {
                    let data = segment?.data;
                    for (mark, seen) in PYTHON_MARKS.iter().zip(&mut self.python_marks) {
                        *seen = *seen || contains(data, mark);
                    }
                }
            }
            Payload::CustomSection(section) if section.name() == "target_features" => {
                self.target_features = target_features(section.data()).unwrap_or_default();
            }
            _ => {}
        }
        Ok(())
    }

    fn read_memory(&mut self, memory: MemoryType) {
        if self.memory.is_some() {
            self.features.insert(Feature::MultiMemory);
        }
        self.memory.get_or_insert(memory.into());
        let features = [
            (memory.memory64, Feature::Memory64),
            (memory.shared, Feature::Threads),
            (
                memory.page_size_log2.is_some_and(|log2| log2 != 16),
                Feature::CustomPageSizes,
            ),
        ];
        let used = features.into_iter().filter(|(used, _)| *used);
        self.features.extend(used.map(|(_, feature)| feature));
    }

    /// Notes the instructions of one function.
    fn read_code(
        &mut self,
        body: &wasmparser::FunctionBody<'_>,
    ) -> Result<(), wasmparser::BinaryReaderError> {
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            reader.visit_operator(&mut self.operators)?;
        }
        Ok(())
    }

    fn finish(mut self) -> ModuleInfo {
        self.features.extend(self.operators.features());
        let marks = self.python_marks.iter().filter(|seen| **seen).count();
        let python = marks >= 3 || self.exports.iter().any(|name| name.starts_with("Py_"));
        let kind = if self.exports.contains("_start") && !self.imports_functions_of_a_js_host {
            Kind::Command
        } else if self.imports_functions_of_a_js_host {
            Kind::Emscripten
        } else {
            Kind::Reactor
        };
        ModuleInfo {
            kind,
            imports: self.imports,
            exports: self.exports,
            memory: self.memory,
            features: self.features,
            target_features: self.target_features,
            python,
        }
    }
}

/// Whether `needle` stands in `haystack`. Data segments have many megabytes, so only places with
/// the right first byte are compared.
fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else {
        return true;
    };
    let mut haystack = haystack;
    while let Some(at) = haystack.iter().position(|byte| byte == first) {
        haystack = &haystack[at + 1..];
        if haystack.starts_with(rest) {
            return true;
        }
    }
    false
}

/// Reads a `target_features` section: a vector of a prefix (`+` used, `-` forbidden) and a name.
fn target_features(data: &[u8]) -> Result<BTreeSet<String>, wasmparser::BinaryReaderError> {
    let mut reader = wasmparser::BinaryReader::new(data, 0);
    let mut names = BTreeSet::new();
    for _ in 0..reader.read_var_u32()? {
        let prefix = reader.read_u8()?;
        let name = reader.read_string()?;
        if prefix == b'+' {
            names.insert(name.to_string());
        }
    }
    Ok(names)
}

/// Which proposals the instructions seen so far belong to, as a set of bits.
#[derive(Default)]
struct Operators {
    seen: u32,
}

/// The bit of each of wasmparser's groups of instructions.
#[allow(non_upper_case_globals)]
mod group {
    pub const mvp: u32 = 0;
    pub const bulk_memory: u32 = 1 << 0;
    pub const exceptions: u32 = 1 << 1;
    pub const function_references: u32 = 1 << 2;
    pub const gc: u32 = 1 << 3;
    pub const legacy_exceptions: u32 = 1 << 4;
    pub const saturating_float_to_int: u32 = 1 << 5;
    pub const reference_types: u32 = 1 << 6;
    pub const relaxed_simd: u32 = 1 << 7;
    pub const sign_extension: u32 = 1 << 8;
    pub const simd: u32 = 1 << 9;
    pub const stack_switching: u32 = 1 << 10;
    pub const tail_call: u32 = 1 << 11;
    pub const threads: u32 = 1 << 12;
    pub const wide_arithmetic: u32 = 1 << 13;
    pub const multivalue: u32 = 1 << 14;
    pub const acquire_release_atomics: u32 = 1 << 15;
    pub const custom_descriptors: u32 = 1 << 15;
    pub const memory_control: u32 = 1 << 15;
    pub const shared_everything_threads: u32 = 1 << 15;
}

impl Operators {
    fn features(&self) -> impl Iterator<Item = Feature> + use<> {
        let seen = self.seen;
        [
            (group::bulk_memory, Feature::BulkMemory),
            (group::exceptions, Feature::ExceptionHandling),
            (group::function_references, Feature::FunctionReferences),
            (group::gc, Feature::Gc),
            (group::legacy_exceptions, Feature::LegacyExceptions),
            (group::saturating_float_to_int, Feature::NontrappingFptoint),
            (group::reference_types, Feature::ReferenceTypes),
            (group::relaxed_simd, Feature::RelaxedSimd),
            (group::sign_extension, Feature::SignExt),
            (group::simd, Feature::Simd128),
            (group::stack_switching, Feature::StackSwitching),
            (group::tail_call, Feature::TailCall),
            (group::threads, Feature::Threads),
            (group::wide_arithmetic, Feature::WideArithmetic),
            (group::multivalue, Feature::Multivalue),
            (group::memory_control, Feature::Experimental),
        ]
        .into_iter()
        .filter(move |(bit, _)| seen & bit != 0)
        .map(|(_, feature)| feature)
    }
}

/// Looks for block types that take parameters or give several results.
fn block_bits(block: BlockType) -> u32 {
    match block {
        BlockType::FuncType(_) => group::multivalue,
        _ => 0,
    }
}

macro_rules! note_operator {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($rest:tt)*))*) => {
        $(
            fn $visit(&mut self $($(, $arg: $ty)*)?) {
                $($(note_operator!(block self $arg $arg);)*)?
                self.seen |= group::$proposal;
            }
        )*
    };
    (block $self:ident blockty $arg:ident) => { $self.seen |= block_bits($arg); };
    (block $self:ident $other:ident $arg:ident) => { let _ = $arg; };
}

impl<'a> VisitOperator<'a> for Operators {
    type Output = ();

    fn simd_visitor(&mut self) -> Option<&mut dyn VisitSimdOperator<'a, Output = ()>> {
        Some(self)
    }

    wasmparser::for_each_visit_operator!(note_operator);
}

impl VisitSimdOperator<'_> for Operators {
    wasmparser::for_each_visit_simd_operator!(note_operator);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small command with a little of every section.
    const COMMAND: &str = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (type $unary (func (param i32) (result i32)))
        (table 2 funcref)
        (memory (export "memory") 3 9)
        (global $sp (mut i32) (i32.const 1024))
        (elem (i32.const 0) $extend $exit)
        (func $extend (type $unary) (i32.extend8_s (local.get 0)))
        (func (export "_start")
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 2))
            (drop (call_indirect (type $unary) (i32.const 3) (i32.const 0)))
            (call $exit (i32.const 0)))
        (data (i32.const 16) "PYTHONHOME\00PyImport_ImportModule\00")
        (data (i32.const 99) "importlib._bootstrap"))"#;

    fn wasm(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    fn problem(bytes: &[u8]) -> Problem {
        inspect(bytes).unwrap_err().problem
    }

    #[test]
    fn a_command_is_described() {
        let info = inspect(&wasm(COMMAND)).unwrap();
        assert_eq!(info.kind, Kind::Command);
        assert_eq!(info.imports.len(), 1);
        assert!(info.imports[PREVIEW1].contains("proc_exit"));
        assert!(info.exports.contains("memory"));
        assert_eq!(
            info.memory,
            Some(Memory {
                minimum: 3,
                maximum: Some(9)
            })
        );
        assert_eq!(
            info.features,
            [Feature::BulkMemory, Feature::SignExt].into()
        );
        assert!(info.python);
        info.require_interpreter(Platform::Wasi).unwrap();
    }

    #[test]
    fn features_are_found_where_they_hide() {
        for (text, feature) in [
            (r#"(module (tag))"#, Feature::ExceptionHandling),
            (
                r#"(module (func (try_table (catch_all 0))))"#,
                Feature::ExceptionHandling,
            ),
            (r#"(module (memory i64 1))"#, Feature::Memory64),
            (r#"(module (memory 1 2 shared))"#, Feature::Threads),
            (r#"(module (memory 1) (memory 1))"#, Feature::MultiMemory),
            (
                r#"(module (func (result i32 i32) i32.const 1 i32.const 2))"#,
                Feature::Multivalue,
            ),
            (
                r#"(module (func (drop (v128.const i64x2 1 2))))"#,
                Feature::Simd128,
            ),
            (r#"(module (func $f (return_call $f)))"#, Feature::TailCall),
            (r#"(module (type (struct)))"#, Feature::Gc),
            (
                r#"(module (func (drop (i32.trunc_sat_f32_s (f32.const 1)))))"#,
                Feature::NontrappingFptoint,
            ),
        ] {
            let info = inspect(&wasm(text)).unwrap();
            assert!(info.features.contains(&feature), "{text}: {info:?}");
        }
    }

    #[test]
    fn target_features_are_read() {
        let mut bytes = wasm("(module)");
        let section = b"\x0ftarget_features\x02+\x08sign-ext-\x07atomics";
        bytes.extend([0, section.len() as u8]);
        bytes.extend(section);
        let info = inspect(&bytes).unwrap();
        assert_eq!(info.target_features, ["sign-ext".to_string()].into());
    }

    #[test]
    fn what_is_not_a_python_command_is_told_apart() {
        let judge = |text: &str| {
            let error = inspect(&wasm(text))
                .unwrap()
                .require_interpreter(Platform::Wasi);
            let error = error.unwrap_err();
            assert!(error.hint().is_some());
            assert_eq!(error.code(), Code::Interpreter);
            error.problem
        };
        assert!(matches!(
            judge(r#"(module (func (export "_initialize")))"#),
            Problem::Reactor
        ));
        assert!(matches!(
            judge(r#"(module (func (export "_start")))"#),
            Problem::NotPython
        ));
        assert!(matches!(
            judge(
                r#"(module (import "env" "emscripten_get_now" (func))
                    (import "wasi_snapshot_preview1" "fd_close" (func)))"#
            ),
            Problem::Emscripten
        ));
        // The memory of a program with threads comes from `env`, which makes it no Emscripten one.
        let threads = r#"(module (import "env" "memory" (memory 1 2 shared))
            (func (export "_start")))"#;
        assert!(matches!(judge(threads), Problem::NotPython));
    }

    #[test]
    fn what_is_not_wasm_is_named() {
        let tar = {
            let mut tar = vec![b'x'; 512];
            tar[257..262].copy_from_slice(b"ustar");
            tar
        };
        let cases: &[(&[u8], Resembles)] = &[
            (b"", Resembles::Empty),
            (b"PK\x03\x04rest", Resembles::Zip),
            (b"\x1f\x8b\x08", Resembles::Gzip),
            (b"\x7fELF\x02\x01\x01", Resembles::Elf),
            (b"MZ\x90\0\x03\0", Resembles::Pe),
            (b"(module (func))", Resembles::Wat),
            (b"<!DOCTYPE html><title>404", Resembles::Html),
            (b"#!/bin/sh\n", Resembles::Script),
            (b"print('hello')\n", Resembles::Text),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                Resembles::LfsPointer,
            ),
            (b"\xff\xfe\x00\x01", Resembles::Unknown),
            (&tar, Resembles::Tar),
        ];
        for (bytes, expected) in cases {
            let Problem::NotWasm(what) = problem(bytes) else {
                panic!("{expected:?} was taken for wasm");
            };
            assert_eq!(what, *expected);
        }
        // A cut within the last character of the part that is looked at.
        let text = "ä".repeat(400);
        assert_eq!(Resembles::guess(&text.as_bytes()[1..]), Resembles::Unknown);
        assert_eq!(
            Resembles::guess(format!("x{text}").as_bytes()),
            Resembles::Text
        );
    }

    #[test]
    fn components_and_unknown_versions_are_named() {
        assert!(matches!(problem(&wasm("(component)")), Problem::Component));
        assert!(matches!(problem(b"\0asm\x02\0\0\0"), Problem::Version(2)));
    }

    #[test]
    fn malformed_wasm_says_where() {
        let mut bytes = wasm(COMMAND);
        let at = bytes.windows(7).position(|w| w == b"\x06_start").unwrap();
        bytes[at + 7] = 9;
        let error = inspect(&bytes).unwrap_err();
        assert!(matches!(error.problem, Problem::Malformed { .. }));
        let text = error.at("some/python.wasm").to_string();
        assert!(text.starts_with("some/python.wasm: malformed WebAssembly at byte 0x"));
    }

    #[test]
    fn a_file_is_named_in_the_error() {
        let error = inspect_file("no/such/python.wasm").unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
        assert!(error.to_string().starts_with("no/such/python.wasm: "));
    }

    #[test]
    fn a_cut_off_module_is_truncated_at_every_length() {
        let bytes = wasm(COMMAND);
        for length in 1..bytes.len() {
            match inspect(&bytes[..length]) {
                Err(error) => assert!(
                    matches!(error.problem, Problem::Truncated { .. }),
                    "at {length}: {error}"
                ),
                // Between two sections nothing may be missing yet, for all one can know; and what
                // comes last, the names, is optional.
                Ok(info) => assert!(!info.python || bytes[length] == 0, "at {length}"),
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let original = wasm(COMMAND);
        // xorshift: the same sequence on every machine, so that a failure can be repeated.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        for _ in 0..20_000 {
            let mut bytes = original.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                match random(4) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes[at] ^= 1 << random(8),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, random(256) as u8),
                }
            }
            if let Err(error) = inspect(&bytes) {
                let _ = (error.to_string(), error.hint(), error.code());
            }
        }
    }
}
