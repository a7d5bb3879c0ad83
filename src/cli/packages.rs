//! The packages of a program: from options to a [`Brief`], and from there to an environment.

use camino::{Utf8Path, Utf8PathBuf};

use super::context::{Context, HeaderOf};
use super::options::{PackageOptions, Subject};
use super::split::Program;
use crate::error::Error;
use crate::interpreter::Interpreter;
use crate::package::blueprint::{self, DrawnFrom};
use crate::package::brief::Surroundings;
use crate::package::distribution::Distribution;
use crate::package::environment::{self, Bytecode, Contents, Environment};
use crate::package::project::Project;
use crate::package::resolution::{Prereleases, parse_upload_before};
use crate::package::script::{self, ScriptError};
use crate::package::{Brief, Index, PackageError};
use crate::sandbox::mount::guest_path_of;
use crate::store::indexes::{IndexArguments, IndexSettings};
use crate::store::usage::Use;
use crate::ui::progress;

/// The packages of a program, on disk.
#[derive(Debug)]
pub struct Provided {
    /// The tree.
    pub environment: Environment,
    /// Folders of this machine that it makes importable.
    pub roots: Vec<Utf8PathBuf>,
    /// Keeps the tree from being pruned.
    pub held: Use,
    /// The file that its versions were read from, where nothing else decides about them.
    pub resolution: Option<Utf8PathBuf>,
    /// The files in which indexes were looked for, there or not.
    pub looked_for: Vec<Utf8PathBuf>,
}

/// The header of the script at this path; `None` where there is nothing that could have one.
///
/// # Errors
/// The script cannot be read, or its header is wrong.
pub fn header(path: &Utf8Path) -> Result<Option<HeaderOf>, ScriptError> {
    // Whatever else it is, running it will tell.
    if !path.is_file() {
        return Ok(None);
    }
    Ok(Some(HeaderOf {
        path: path.to_owned(),
        scan: script::read(path)?,
    }))
}

/// What the program of a run is to have.
///
/// # Errors
/// The header, the project, a file or an option is wrong.
pub fn brief_of_run(
    program: &Program,
    script: Option<&HeaderOf>,
    is_command: bool,
    options: &PackageOptions,
    context: &Context,
) -> Result<Brief, Error> {
    let around = surroundings(context);
    let mut brief = Brief::default();
    let mut wants_project = is_command || asks_for_project(options);
    if let Some(script) = script {
        brief.add_script(&script.path, &script.scan, &around)?;
    }
    wants_project |= matches!(program, Program::Module(_));
    if wants_project && !options.no_project {
        add_project(&mut brief, options, context)?;
    }
    finish(brief, options, context)
}

/// What the subject of a management command is to have.
///
/// # Errors
/// As [`brief_of_run`]; there is no such script or project.
pub fn brief_of_subject(
    subject: &Subject,
    script: Option<&HeaderOf>,
    context: &Context,
) -> Result<Brief, Error> {
    let around = surroundings(context);
    let options = &subject.packages;
    let mut brief = Brief::default();
    let target = subject.target.as_deref().map(Utf8Path::new);
    match target {
        Some(path) if context.cwd.join(path).is_dir() => {
            let project = Project::read(&context.cwd.join(path))?;
            brief.add_project(&project, &options.extra, &options.group, &around)?;
        }
        Some(path) => {
            match script {
                Some(script) => brief.add_script(&script.path, &script.scan, &around)?,
                None => {
                    return Err(crate::request::RequestError::NoScript {
                        path: path.to_string(),
                    }
                    .into());
                }
            }
            if asks_for_project(options) {
                add_project(&mut brief, options, context)?;
            }
        }
        None if !options.no_project => add_project(&mut brief, options, context)?,
        None => {}
    }
    finish(brief, options, context)
}

/// Whether the options make sense with a project only.
fn asks_for_project(options: &PackageOptions) -> bool {
    options.project.is_some() || !options.extra.is_empty() || !options.group.is_empty()
}

fn surroundings(context: &Context) -> Surroundings<'_> {
    Surroundings {
        cwd: &context.cwd,
        home: context.home.as_deref(),
    }
}

fn add_project(
    brief: &mut Brief,
    options: &PackageOptions,
    context: &Context,
) -> Result<(), Error> {
    let around = surroundings(context);
    let found = match &options.project {
        Some(folder) => Some(Project::read(&context.cwd.join(folder))?),
        None => Project::find(&context.cwd, context.home.as_deref())?,
    };
    match found {
        Some(project) => brief.add_project(&project, &options.extra, &options.group, &around),
        None if asks_for_project(options) => Err(Error::usage(format!(
            "--extra and --group are about a project, and there is no pyproject.toml in {} or \
             above it",
            context.cwd
        ))),
        None => Ok(()),
    }
}

/// Adds what does not come from a script or project.
fn finish(mut brief: Brief, options: &PackageOptions, context: &Context) -> Result<Brief, Error> {
    let around = surroundings(context);
    for text in &options.with {
        brief.add_requirement(text, &around)?;
    }
    for file in &options.with_requirements {
        brief.add_file(file, &around)?;
    }
    for file in &options.constraints {
        brief.add_constraints(file)?;
    }
    let mut index = IndexArguments {
        index_url: options.index_url.clone(),
        extra_index_url: options.extra_index_url.clone(),
        find_links: options.find_links.clone(),
        no_index: options.no_index,
        pyodide_packages: options.pyodide_packages.clone(),
    };
    // What the command line says goes before what files say.
    index.merge(std::mem::take(&mut brief.index));
    brief.index = index;
    if options.pre {
        brief.prereleases = Prereleases::Allowed;
    }
    if let Some(text) = &options.upload_before {
        let time = parse_upload_before(text).map_err(|problem| PackageError::Setting {
            setting: "--upload-before".to_owned(),
            problem,
        })?;
        brief.upload_before = Some(time);
    }
    brief.locked = options.locked;
    brief.set_upgrade(options.upgrade, &options.upgrade_package)?;
    brief.check()?;
    Ok(brief)
}

/// The indexes that a brief's packages come from, and what was built along with its interpreter.
///
/// # Errors
/// A setting that names one is wrong.
pub fn index(context: &Context, brief: &Brief, interpreter: &Interpreter) -> Result<Index, Error> {
    let settings = IndexSettings::from_process(&brief.index)?;
    let place = settings.pyodide_packages.as_ref();
    let place = place.map(|setting| setting.value.clone());
    // Who wants no index wants nothing else that was not named.
    let distribution = match (&place, &settings.index) {
        (None, None) => Distribution::default(),
        _ => Distribution::of(interpreter, place)?,
    };
    let index = Index::new(settings, context.fetcher.clone(), &context.store)
        .with_distribution(distribution);
    Ok(match brief.upgrade {
        crate::package::resolution::Upgrade::None => index,
        _ => index.with_refresh(),
    })
}

/// Puts the packages of a brief on disk; `None` if it asks for nothing.
///
/// # Errors
/// They cannot be had together, downloaded or installed.
pub fn provide(
    context: &Context,
    brief: &Brief,
    interpreter: &Interpreter,
    bytecode: Bytecode,
) -> Result<Option<Provided>, Error> {
    if brief.is_empty() {
        return Ok(None);
    }
    let index = index(context, brief, interpreter)?;
    let blueprint = blueprint::draw(brief, interpreter, &index, &context.store)?;
    let from = match &blueprint.drawn_from {
        DrawnFrom::Lock(path) => format!("as {path} has them"),
        DrawnFrom::Record(_) => "as they were chosen before".to_owned(),
        DrawnFrom::Indexes => "chosen now".to_owned(),
    };
    progress::verbose(&format!("{} packages, {from}", blueprint.wheels.len()));
    // The current folder is importable by itself.
    let importable = blueprint.roots.iter().all(|root| *root == context.cwd);
    if blueprint.wheels.is_empty() && importable {
        return Ok(None);
    }
    let guests: Vec<String> = blueprint
        .roots
        .iter()
        .map(|root| guest_path_of(root))
        .collect();
    let contents = Contents {
        wheels: &blueprint.wheels,
        roots: &guests,
    };
    let (environment, held) = environment::provide(
        contents,
        interpreter,
        &context.store,
        &context.fetcher,
        &context.guest(),
        bytecode,
    )?;
    let resolution = match blueprint.drawn_from {
        // Wheels in a folder can be others at any time.
        DrawnFrom::Record(file) if index.settings().find_links.is_empty() => Some(file),
        _ => None,
    };
    Ok(Some(Provided {
        environment,
        roots: blueprint.roots,
        held,
        resolution,
        looked_for: index.settings().looked_for.clone(),
    }))
}
