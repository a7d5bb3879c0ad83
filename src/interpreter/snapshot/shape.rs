//! What has to be known about a module before it is instrumented or rebuilt.

use std::collections::BTreeMap;

use wasmparser::{DataKind, ExternalKind, Parser, Payload, TypeRef, ValType};

use super::SnapshotError;
use crate::interpreter::wasm::PREVIEW1;

/// The parts of a core module that matter here.
#[derive(Default)]
pub(super) struct Shape {
    /// Preview 1 functions: the first index and the type under which each is imported.
    pub imports: BTreeMap<String, (u32, u32)>,
    pub types: u32,
    /// Imported and own.
    pub functions: u32,
    /// Imported and own.
    pub globals: u32,
    /// Those of its own that change, in order.
    pub mutable: Vec<(u32, ValType)>,
    /// What segments there are: whether each is passive.
    pub passive: Vec<bool>,
    /// The function that is exported as `_start`.
    pub start: Option<u32>,
    pub tables: u32,
}

impl Shape {
    /// Reads a module.
    ///
    /// # Errors
    /// It is malformed, or keeps state where it cannot be captured.
    pub fn read(module: &[u8]) -> Result<Shape, SnapshotError> {
        let unsuitable = |why: &str| SnapshotError::Module(why.to_owned());
        let mut shape = Shape::default();
        let mut memories = 0;
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(types) => {
                    for group in types {
                        shape.types += group?.types().count() as u32;
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        match import.ty {
                            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                                if import.module == PREVIEW1 {
                                    shape
                                        .imports
                                        .entry(import.name.to_owned())
                                        .or_insert((shape.functions, ty));
                                }
                                shape.functions += 1;
                            }
                            TypeRef::Global(global) => {
                                if global.mutable {
                                    return Err(unsuitable("it imports a global that changes"));
                                }
                                shape.globals += 1;
                            }
                            TypeRef::Memory(_) => {
                                return Err(unsuitable("it imports its memory"));
                            }
                            TypeRef::Table(_) => shape.tables += 1,
                            TypeRef::Tag(_) => {}
                        }
                    }
                }
                Payload::FunctionSection(functions) => shape.functions += functions.count(),
                Payload::TableSection(tables) => shape.tables += tables.count(),
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory?;
                        memories += 1;
                        if memory.memory64
                            || memory.shared
                            || memory.page_size_log2.is_some_and(|log2| log2 != 16)
                        {
                            return Err(unsuitable("its memory is not an ordinary one"));
                        }
                    }
                }
                Payload::GlobalSection(globals) => {
                    for global in globals {
                        let ty = global?.ty;
                        if ty.mutable {
                            if !matches!(
                                ty.content_type,
                                ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64
                            ) {
                                return Err(unsuitable("it has a global that cannot be captured"));
                            }
                            shape.mutable.push((shape.globals, ty.content_type));
                        }
                        shape.globals += 1;
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        if export.name == "_start" && export.kind == ExternalKind::Func {
                            shape.start = Some(export.index);
                        }
                    }
                }
                Payload::DataSection(segments) => {
                    for segment in segments {
                        let passive = matches!(segment?.kind, DataKind::Passive);
                        shape.passive.push(passive);
                    }
                }
                _ => {}
            }
        }
        if memories != 1 {
            return Err(unsuitable("it has not exactly one memory"));
        }
        if shape.mutable.is_empty() {
            return Err(unsuitable("it has no stack pointer"));
        }
        if shape.start.is_none() {
            return Err(unsuitable("it has no `_start`"));
        }
        Ok(shape)
    }

    /// The index of a preview 1 function.
    ///
    /// # Errors
    /// It is not imported.
    pub fn import(&self, name: &str) -> Result<u32, SnapshotError> {
        self.imports
            .get(name)
            .map(|import| import.0)
            .ok_or_else(|| SnapshotError::Module(format!("it does not import `{name}`")))
    }
}
