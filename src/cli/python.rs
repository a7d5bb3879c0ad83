//! `pyw python list|install|remove|inspect|pack|verify`.

use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::context::Context;
use super::options::{Common, Format, PythonCommand};
use crate::config::Partial;
use crate::error::Error;
use crate::interpreter::choose::Wanted;
use crate::interpreter::pybi::read::Verified;
use crate::interpreter::{self, Interpreter, InterpreterError, Platform, wasm};
use crate::package::pybis::{self, Pybis, WantedPybi};
use crate::package::tags::Tags;
use crate::runtime::Descriptor;
use crate::store::Kind;
use crate::ui::table;

/// Carries the command out.
///
/// # Errors
/// As the parts say.
pub fn execute(command: PythonCommand, common: &Common) -> Result<ExitCode, Error> {
    let offline = common.offline.then_some(true);
    let context = Context::load(Partial {
        offline,
        ..Partial::default()
    })?;
    match command {
        PythonCommand::List { output } => list(&context, output.format)?,
        PythonCommand::Install { which, index } => {
            let found = match index {
                Some(index) => from_index(&context, &which, &index)?,
                None if which.contains("://") => from_url(&context, &which)?,
                None => context.interpreter(&Wanted::parse(&which)?)?,
            };
            anstream::println!(
                "CPython {} is installed as {}",
                found.info.version,
                found.key
            );
        }
        PythonCommand::Remove { name } => remove(&context, &name)?,
        PythonCommand::Inspect { which, output } => inspect(&context, &which, output.format)?,
        PythonCommand::Pack { source, output } => pack(&context, &source, &output)?,
        PythonCommand::Verify { file } => {
            let found = verified(&context.cwd.join(&file))?;
            anstream::println!(
                "{file} is sound: CPython {} for {}, {} files, {} links",
                found.metadata.version,
                found.pybi.tags.join(", "),
                found.files,
                found.links
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A folder for downloads, which goes away with them.
fn passing_folder() -> Result<(tempfile::TempDir, Utf8PathBuf), Error> {
    let failed = |source| InterpreterError::Io {
        action: "make a folder in",
        path: "the temporary folder".into(),
        source,
    };
    let folder = tempfile::Builder::new()
        .prefix("pyw-")
        .tempdir()
        .map_err(failed)?;
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned())
        .map_err(|path| crate::store::StoreError::NotUtf8 { path })?;
    Ok((folder, path))
}

fn from_url(context: &Context, text: &str) -> Result<Interpreter, Error> {
    let (_folder, folder) = passing_folder()?;
    let (path, shown) = pybis::from_url(text, &folder, &context.fetcher)?;
    Ok(interpreter::convert::from_path(
        &path,
        &shown,
        &context.store,
        &context.guest(),
    )?)
}

fn from_index(context: &Context, wanted: &str, index: &str) -> Result<Interpreter, Error> {
    let wanted = WantedPybi::parse(wanted)?;
    let found = Pybis::parse(index, &context.cwd)?.find(&wanted, &context.fetcher)?;
    let (_folder, folder) = passing_folder()?;
    let path = found.get(&folder, &context.fetcher)?;
    let shown = found.origin();
    Ok(interpreter::convert::from_path(
        &path,
        &shown,
        &context.store,
        &context.guest(),
    )?)
}

fn pack(context: &Context, source: &str, output: &str) -> Result<(), Error> {
    let path = context.cwd.join(source);
    let path = match Wanted::parse(source) {
        Ok(Wanted::Path(_)) => path,
        _ if path.exists() => path,
        Ok(wanted) => context.interpreter(&wanted)?.folder,
        Err(error) => match installed_as(context, source) {
            Some(wanted) => context.interpreter(&wanted)?.folder,
            None => return Err(error.into()),
        },
    };
    // Without the `.` of `./python.wasm`, which would stand in messages.
    let path: Utf8PathBuf = path.components().collect();
    let tags = |info: &interpreter::Info| Tags::of_pybi(info).ordered().to_vec();
    let folder = context.cwd.join(output);
    let packed = interpreter::pack::pack(&path, &folder, &context.guest(), &tags)?;
    let shown = packed.strip_prefix(&context.cwd).unwrap_or(&packed);
    anstream::println!("{shown}");
    Ok(())
}

/// What `pyw python list` shows of an installed interpreter is accepted as its name.
fn installed_as(context: &Context, name: &str) -> Option<Wanted> {
    let installed = Interpreter::installed(&context.store);
    let known = installed.iter().any(|found| found.key == name);
    known.then(|| Wanted::Name(name.to_owned()))
}

fn verified(path: &Utf8Path) -> Result<Verified, Error> {
    if !path.is_file() {
        return Err(InterpreterError::NoFile {
            path: path.to_owned(),
        }
        .into());
    }
    let (_folder, folder) = passing_folder()?;
    let file = path.file_name().unwrap_or_default();
    Ok(interpreter::pybi::read::unpack(
        path,
        file,
        &folder.join("tree"),
    )?)
}

#[derive(Serialize)]
struct Listed {
    name: String,
    version: String,
    platform: String,
    installed: bool,
    default: bool,
    /// Optional modules of the standard library that it has, and those that it lacks.
    modules: Option<Vec<String>>,
    lacks: Option<Vec<String>>,
    /// Packages that came with it.
    packages: Vec<String>,
    /// WebAssembly features that not every runtime has.
    features: Vec<String>,
    /// What it imports beyond WASI preview 1, and which known runtimes provide that.
    imports: Vec<String>,
    runtimes: Option<Vec<String>>,
    /// How many times as long as natively loops in pure Python take.
    slowdown: Option<f64>,
    sources: Vec<String>,
    path: Option<String>,
    /// Why it does not work.
    broken: Option<String>,
}

impl Listed {
    fn new(name: &str, version: &str, platform: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            platform: interpreter::pybi::name::canonical(platform),
            installed: false,
            default: false,
            modules: None,
            lacks: None,
            packages: Vec::new(),
            features: Vec::new(),
            imports: Vec::new(),
            runtimes: None,
            slowdown: None,
            sources: Vec::new(),
            path: None,
            broken: None,
        }
    }

    fn with_modules(&mut self, has: Vec<String>) {
        let lacks = interpreter::OPTIONAL
            .iter()
            .map(|(_, name)| *name)
            // New in 3.14.
            .filter(|name| *name != "compression.zstd" || is_since(&self.version, 14))
            .filter(|name| !has.iter().any(|module| module == name));
        self.lacks = Some(lacks.map(str::to_owned).collect());
        self.modules = Some(has);
    }

    fn with_installed(&mut self, found: &Interpreter, runtimes: &[Descriptor]) {
        let info = &found.info;
        self.installed = true;
        self.path = Some(found.folder.to_string());
        self.with_modules(info.optional_modules());
        self.packages.clone_from(&info.packages);
        let rare = info.features.iter().filter(|feature| !feature.is_common());
        self.features = rare.map(|feature| feature.name().to_owned()).collect();
        self.imports = info.imports.iter().map(ToString::to_string).collect();
        if !info.imports.is_empty() {
            let can = runtimes
                .iter()
                .filter(|r| r.provides_all(info.system(), &info.imports));
            self.runtimes = Some(can.map(|r| r.name.clone()).collect());
        }
    }

    fn print(&self) {
        let mut state = Vec::new();
        if self.default {
            state.push("default");
        }
        if self.installed {
            state.push("installed");
        }
        if self.broken.is_some() {
            state.push("does not work");
        }
        let head = format!("{HEAD}{}{HEAD:#}  {}", self.name, state.join(", "));
        anstream::println!("{}", head.trim_end());
        let mut rows = vec![("platform", self.platform.clone())];
        let words = |all: &[String]| match all {
            [] => "-".to_owned(),
            all => all.join(" "),
        };
        if let (Some(has), Some(lacks)) = (&self.modules, &self.lacks) {
            rows.push(("has", words(has)));
            rows.push(("lacks", words(lacks)));
        }
        if !self.packages.is_empty() {
            rows.push(("packages", words(&self.packages)));
        }
        if !self.features.is_empty() {
            rows.push(("needs", self.features.join(" ")));
        }
        if let Some(runtimes) = &self.runtimes {
            rows.push(("imports", self.imports.join(", ")));
            rows.push(("runs on", words(runtimes)));
        }
        if let Some(slowdown) = self.slowdown {
            rows.push((
                "loops",
                format!("take {slowdown} times as long as natively"),
            ));
        }
        if !self.sources.is_empty() {
            rows.push(("from", self.sources.join(", or ")));
        }
        if let Some(broken) = &self.broken {
            rows.push(("because", broken.clone()));
        }
        anstream::print!("{}", table::indented(&rows));
    }
}

const HEAD: anstyle::Style = anstyle::Style::new().bold();

fn is_since(version: &str, minor: u64) -> bool {
    let version: Option<pep440_rs::Version> = version.parse().ok();
    version.is_none_or(|v| v.release().get(1).is_none_or(|own| *own >= minor))
}

fn list(context: &Context, format: Format) -> Result<(), Error> {
    let catalog = interpreter::catalog::entries()?;
    let installed = Interpreter::installed(&context.store);
    let runtimes = context.descriptors()?;
    let mut rows: Vec<Listed> = Vec::new();
    for entry in &catalog {
        let mut row = Listed::new(&entry.name, &entry.version.to_string(), &entry.platform);
        row.default = entry.default;
        row.slowdown = entry.slowdown;
        row.sources = entry.sources.iter().map(ToString::to_string).collect();
        if let Some(modules) = &entry.modules {
            row.with_modules(modules.clone());
        }
        if let Some(found) = installed.iter().find(|i| i.key == entry.key()) {
            row.with_installed(found, &runtimes);
        }
        rows.push(row);
    }
    for found in &installed {
        if !catalog.iter().any(|entry| entry.key() == found.key) {
            let mut row = Listed::new(&found.key, &found.info.version, &found.info.platform);
            row.with_installed(found, &runtimes);
            row.sources = vec![found.info.source.clone()];
            rows.push(row);
        }
    }
    for bad in interpreter::catalog::known_bad_builds()? {
        let mut row = Listed::new(&bad.name, &bad.version, &bad.platform);
        row.broken = Some(format!("{} ({})", bad.reason, bad.see));
        rows.push(row);
    }
    if format == Format::Json {
        return super::print_json(&rows);
    }
    rows.iter().for_each(Listed::print);
    Ok(())
}

fn remove(context: &Context, name: &str) -> Result<(), Error> {
    let installed = Interpreter::installed(&context.store);
    let catalog = interpreter::catalog::entries()?;
    let key = catalog
        .iter()
        .find(|e| e.name == name)
        .map(interpreter::catalog::Entry::key);
    let key = key.unwrap_or_else(|| name.to_owned());
    if !installed.iter().any(|i| i.key == key) {
        return Err(Error::Interpreter(InterpreterError::NotInstalled {
            name: name.to_owned(),
            installed: installed.into_iter().map(|i| i.key).collect(),
        }));
    }
    context.store.remove(Kind::Interpreter, &key)?;
    anstream::println!("removed {name}");
    Ok(())
}

fn inspect(context: &Context, which: &str, format: Format) -> Result<(), Error> {
    // A lone module is looked at without running or importing it.
    let path = Utf8Path::new(which);
    if path.extension() == Some("wasm") && context.cwd.join(path).is_file() {
        let module = wasm::inspect_file(context.cwd.join(path))?;
        if format == Format::Json {
            return super::print_json(&module);
        }
        print_module(&module, Platform::Wasi, &context.descriptors()?);
        return Ok(());
    }
    if path.extension() == Some("pybi") && context.cwd.join(path).is_file() {
        let found = verified(&context.cwd.join(path))?;
        if format == Format::Json {
            return super::print_json(&found);
        }
        print_pybi(&found, &context.descriptors()?);
        return Ok(());
    }
    let wanted = match Wanted::parse(which) {
        Ok(wanted) => wanted,
        Err(error) => installed_as(context, which).ok_or(error)?,
    };
    let found = context.interpreter(&wanted)?;
    if format == Format::Json {
        return super::print_json(&found.info);
    }
    let info = &found.info;
    print_pairs(&[
        ("name", found.key.clone()),
        ("version", info.version.clone()),
        ("build", info.banner.replace('\n', " ")),
        ("platform", info.platform.clone()),
        ("imported from", info.source.clone()),
        ("folder", found.folder.to_string()),
        (
            "standard library",
            format!("{} in the sandbox", info.stdlib),
        ),
        (
            "memory at start",
            crate::sandbox::limits::format_size(info.module_memory),
        ),
        ("sha256 of the module", info.module_sha256.clone()),
        ("built-in modules", info.builtin_modules.join(" ")),
    ]);
    Ok(())
}

fn print_pybi(found: &Verified, runtimes: &[Descriptor]) {
    let (pybi, metadata) = (&found.pybi, &found.metadata);
    let builtin: Vec<String> = pybi.wasm.builtin_modules.iter().cloned().collect();
    print_pairs(&[
        ("name", metadata.name.clone()),
        ("version", metadata.version.to_string()),
        ("platform", pybi.tags.join(", ")),
        ("made by", pybi.generator.clone()),
        ("files", format!("{}, {} links", found.files, found.links)),
        (
            "best wheel tag",
            metadata.wheel_tags.first().cloned().unwrap_or_default(),
        ),
        (
            "library expected at",
            pybi.wasm.library.clone().unwrap_or_default(),
        ),
        ("packages", found.packages.join(" ")),
        ("built-in modules", builtin.join(" ")),
        ("module", found.module.clone().unwrap_or_default()),
    ]);
    if let Some(module) = &found.module_info {
        let platform = Platform::of_tag(pybi.tags.first().map_or("", String::as_str));
        print_module(module, platform, runtimes);
    }
}

fn print_module(module: &wasm::ModuleInfo, platform: Platform, runtimes: &[Descriptor]) {
    let features: Vec<&str> = module.features.iter().map(|f| f.name()).collect();
    let special = match platform {
        Platform::Wasi => module.special_imports(),
        // The JavaScript that comes with it provides what it imports.
        Platform::Emscripten => std::collections::BTreeSet::new(),
    };
    let runs_on: Vec<&str> = runtimes
        .iter()
        .filter(|runtime| runtime.provides_all(platform, &special))
        .map(|runtime| runtime.name.as_str())
        .collect();
    let special: Vec<String> = special.iter().map(ToString::to_string).collect();
    let imports: Vec<String> = module
        .imports
        .iter()
        .map(|(from, names)| format!("{from} ({})", names.len()))
        .collect();
    let memory = match module.memory {
        None => "none".to_owned(),
        Some(memory) => crate::sandbox::limits::format_size(memory.minimum * 65536),
    };
    let usable = match module.require_interpreter(platform) {
        Ok(()) => "yes".to_owned(),
        Err(error) => format!("no: {error}"),
    };
    print_pairs(&[
        ("kind", format!("{:?}", module.kind).to_lowercase()),
        ("imports", imports.join(", ")),
        ("memory at start", memory),
        ("beyond preview 1", special.join(", ")),
        ("provided by", runs_on.join(" ")),
        ("features", features.join(" ")),
        ("can be run", usable),
    ]);
}

fn print_pairs(pairs: &[(&str, String)]) {
    for (name, value) in pairs {
        let value = if value.is_empty() { "-" } else { value };
        anstream::println!("{name:<22}{value}");
    }
}
