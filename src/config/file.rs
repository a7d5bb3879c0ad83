//! One configuration file: finding it, reading it, and turning its TOML into a layer.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use toml::Spanned;

use super::asks::Asks;
use super::excerpt::Excerpt;
use super::{
    ConfigError, Invalid, Layer, Origin, RuntimeChoice, Setting, absolute, parse_network,
    python_is_path, resolve_cwd, runtime_name,
};
use crate::sandbox::limits::{parse_duration, parse_size};
use crate::sandbox::{EnvSpec, MountSpec, Network};

/// Keys that a project file may have.
const PROJECT_KEYS: &str = "`runtime`, `runtimes`, `python`, `snapshots`, `offline`, `network`, `memory`, `stack`, `timeout`, \
     `cpu-time`, `output-size`, `tmp-size`, `open-files`, `isolation`";
/// Keys by which a project's file asks, and the user's grants.
const ASKED_KEYS: &str = "`mounts`, `env`";
/// Keys that only the user's file may have.
const USER_KEYS: &str = "`store`, `cwd`, `paths`";

type Text = Spanned<String>;
type List = Spanned<Vec<Text>>;

/// The keys as they stand in a file; the meaning of the texts is checked later, with their place.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    runtime: Option<Text>,
    runtimes: Option<List>,
    python: Option<Text>,
    store: Option<Text>,
    offline: Option<Spanned<bool>>,
    snapshots: Option<Spanned<bool>>,
    network: Option<Text>,
    memory: Option<Text>,
    stack: Option<Text>,
    timeout: Option<Text>,
    #[serde(rename = "cpu-time")]
    cpu_time: Option<Text>,
    #[serde(rename = "output-size")]
    output_size: Option<Text>,
    #[serde(rename = "tmp-size")]
    tmp_size: Option<Text>,
    #[serde(rename = "open-files")]
    open_files: Option<Spanned<u64>>,
    isolation: Option<Text>,
    cwd: Option<Text>,
    mounts: Option<List>,
    env: Option<List>,
    paths: Option<Spanned<BTreeMap<Text, Text>>>,
}

/// The part of `pyproject.toml` that is pyw's.
#[derive(Debug, Deserialize)]
struct PyProject {
    tool: Option<Tool>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    pyw: Option<File>,
}

/// Whose file it is, which decides what it may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    User,
    Project,
    Script,
}

/// A file's text with what is needed to understand it.
pub(super) struct Source<'a> {
    pub owner: Owner,
    pub path: &'a Utf8Path,
    /// Without a byte order mark.
    pub text: &'a str,
    /// The text that mistakes are shown in, where that is another one of the same length.
    pub shown: Option<&'a str>,
    /// For `~/` in the user's file.
    pub home: Option<&'a Utf8Path>,
    /// Where the user's own file is or would be, for hints.
    pub user_file: Option<&'a Utf8Path>,
}

impl Source<'_> {
    /// Reads the text as a whole configuration file.
    pub fn layer(&self) -> Result<Layer, ConfigError> {
        let file: File = toml::from_str(self.text).map_err(|error| self.syntax(&error))?;
        self.understand(file)
    }

    /// Reads the `[tool.pyw]` of a `pyproject.toml`, if there is one.
    pub fn pyproject_layer(&self) -> Result<Option<Layer>, ConfigError> {
        // Most such files are not about pyw. Parsing them takes time, and one with a mistake in
        // another tool's table is not pyw's to refuse.
        if !self.text.contains("pyw") {
            return Ok(None);
        }
        let project: PyProject = toml::from_str(self.text).map_err(|error| self.syntax(&error))?;
        match project.tool.and_then(|tool| tool.pyw) {
            Some(file) => self.understand(file).map(Some),
            None => Ok(None),
        }
    }

    fn understand(&self, file: File) -> Result<Layer, ConfigError> {
        if self.owner != Owner::User {
            self.refuse_what_projects_may_not(&file)?;
        }
        let mut layer = Layer {
            runtime: self.setting(file.runtime, |t| RuntimeChoice::parse(&t))?,
            python: self.setting(file.python, |t| self.python(t))?,
            store: self.setting(file.store, |t| self.path(&t, "store"))?,
            offline: file.offline.map(|offline| self.place(offline)),
            snapshots: file.snapshots.map(|snapshots| self.place(snapshots)),
            network: self.setting(file.network, |t| parse_network(&t))?,
            memory: self.setting(file.memory, |t| parse_size(&t))?,
            stack: self.setting(file.stack, |t| parse_size(&t))?,
            timeout: self.setting(file.timeout, |t| parse_duration(&t))?,
            cpu_time: self.setting(file.cpu_time, |t| parse_duration(&t))?,
            output_size: self.setting(file.output_size, |t| parse_size(&t))?,
            tmp_size: self.setting(file.tmp_size, |t| parse_size(&t))?,
            open_files: file.open_files.map(|count| self.place(count)),
            isolation: self.setting(file.isolation, |t| t.parse())?,
            cwd: self.setting(file.cwd, |t| {
                resolve_cwd(self.base(), self.expand_home(&t)?.as_str())
            })?,
            ..Layer::default()
        };
        if let Some(list) = file.runtimes {
            let origin = self.origin(list.span());
            if list.get_ref().is_empty() {
                let message = "the list names no runtime; leave the key out for pyw's own order";
                return Err(self.invalid(list.span(), message, None));
            }
            let names = list.into_inner().into_iter();
            let value = names
                .map(|name| self.convert(name, |t| runtime_name(&t)))
                .collect::<Result<_, _>>()?;
            layer.runtimes = Some(Setting { value, origin });
        }
        for text in file.mounts.into_iter().flat_map(Spanned::into_inner) {
            let mount = self.setting(Some(text), |t| {
                let mut mount = MountSpec::parse(&t).map_err(|error| error.to_string())?;
                mount.host = self.path(mount.host.as_str(), "host path")?;
                Ok(mount)
            })?;
            layer.mounts.extend(mount);
        }
        for text in file.env.into_iter().flat_map(Spanned::into_inner) {
            let spec = self.setting(Some(text), |t| {
                EnvSpec::parse(&t).map_err(|error| error.to_string())
            })?;
            layer.env.extend(spec);
        }
        for (name, path) in file.paths.into_iter().flat_map(Spanned::into_inner) {
            let span = name.span();
            let name = self.convert(name, |t| runtime_name(&t))?;
            let path = self.setting(Some(path), |t| self.path(&t, "path"))?;
            if let Some(path) = path
                && layer.paths.insert(name.clone(), path).is_some()
            {
                // Names are compared without regard to case, keys of TOML are not.
                let message = format!("the path of `{name}` is given twice");
                return Err(self.invalid(span, &message, None));
            }
        }
        if self.owner != Owner::User {
            self.only_ask(&mut layer);
        }
        Ok(layer)
    }

    /// Turns what would widen the sandbox into requests. A variable with its value takes nothing
    /// from the host, so it is simply set.
    fn only_ask(&self, layer: &mut Layer) {
        let (asked, own) = std::mem::take(&mut layer.env)
            .into_iter()
            .partition(|spec| spec.value.value.is_none());
        layer.env = own;
        let asks = Asks {
            file: self.path.to_owned(),
            mounts: std::mem::take(&mut layer.mounts),
            env: asked,
            network: layer
                .network
                .take_if(|network| network.value == Network::Host),
        };
        if !asks.is_empty() {
            layer.asks.push(asks);
        }
    }

    /// A project's file comes with code that is not trusted: it must not run things on the host, and
    /// for more than programs get by default it can only ask.
    fn refuse_what_projects_may_not(&self, file: &File) -> Result<(), ConfigError> {
        let refused = [
            ("store", "", file.store.as_ref().map(Spanned::span)),
            ("cwd", "--cwd", file.cwd.as_ref().map(Spanned::span)),
            ("paths", "", file.paths.as_ref().map(Spanned::span)),
        ];
        for (key, flag, span) in refused {
            if let Some(span) = span {
                let why = match key {
                    "paths" => "names programs that run outside the sandbox",
                    "store" => "decides where pyw writes on the host",
                    _ => "widens the sandbox",
                };
                let message = format!("`{key}` may not stand in a project file, since it {why}");
                let command_line = match key {
                    "paths" => "in the environment (`PYW_RUNTIME_NAME`)".to_owned(),
                    "store" => "in the environment (`PYW_STORE`)".to_owned(),
                    _ => format!("on the command line (`{flag}`)"),
                };
                return Err(self.invalid(span, &message, Some(self.elsewhere(&command_line))));
            }
        }
        if let Some(offline) = &file.offline
            && !offline.get_ref()
        {
            let message = "a project file may forbid downloads, but not allow them";
            let hint = self.elsewhere("in the environment (`PYW_OFFLINE=0`)");
            return Err(self.invalid(offline.span(), message, Some(hint)));
        }
        Ok(())
    }

    fn elsewhere(&self, other: &str) -> String {
        match self.user_file {
            Some(file) => format!("it may stand in your own {file}, or {other}"),
            None => format!("it may stand {other}"),
        }
    }

    fn setting<T>(
        &self,
        text: Option<Text>,
        read: impl FnOnce(String) -> Result<T, String>,
    ) -> Result<Option<Setting<T>>, ConfigError> {
        let Some(text) = text else { return Ok(None) };
        let origin = self.origin(text.span());
        let value = self.convert(text, read)?;
        Ok(Some(Setting { value, origin }))
    }

    fn convert<T>(
        &self,
        text: Text,
        read: impl FnOnce(String) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let span = text.span();
        read(text.into_inner()).map_err(|message| self.invalid(span, &message, None))
    }

    fn place<T>(&self, value: Spanned<T>) -> Setting<T> {
        let origin = self.origin(value.span());
        Setting {
            value: value.into_inner(),
            origin,
        }
    }

    fn origin(&self, span: Range<usize>) -> Origin {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        let path = self.path.to_owned();
        match self.owner {
            Owner::User => Origin::UserFile { path, line },
            Owner::Project | Owner::Script => Origin::ProjectFile { path, line },
        }
    }

    /// The folder that relative paths start from.
    fn base(&self) -> &Utf8Path {
        self.path.parent().unwrap_or(Utf8Path::new(""))
    }

    fn python(&self, text: String) -> Result<String, String> {
        match text.trim() {
            "" => Err("`python` is empty; write for example `3.13`".to_owned()),
            python if python_is_path(python) => Ok(self.path(python, "path")?.into_string()),
            python => Ok(python.to_owned()),
        }
    }

    /// An absolute path (as far as the file's own is).
    fn path(&self, text: &str, what: &str) -> Result<Utf8PathBuf, String> {
        match text {
            "" => Err(format!("the {what} is empty")),
            _ if text.contains('\0') => Err(format!("the {what} has a NUL byte")),
            _ => Ok(absolute(self.base(), &self.expand_home(text)?)),
        }
    }

    /// Replaces a leading `~`, in the user's own file only: no shell has done so before.
    fn expand_home(&self, text: &str) -> Result<Utf8PathBuf, String> {
        let below = match text.strip_prefix('~') {
            Some(rest) if self.owner == Owner::User => match rest.strip_prefix(['/', '\\']) {
                Some(below) => below,
                None if rest.is_empty() => rest,
                None => return Ok(text.into()),
            },
            _ => return Ok(text.into()),
        };
        match self.home {
            Some(home) if below.is_empty() => Ok(home.to_owned()),
            Some(home) => Ok(home.join(below)),
            None => Err(format!(
                "`{text}` needs a home directory, and there is none"
            )),
        }
    }

    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let known = match self.owner {
            Owner::User => format!("{PROJECT_KEYS}, {ASKED_KEYS}, {USER_KEYS}"),
            Owner::Project | Owner::Script => format!("{PROJECT_KEYS}, {ASKED_KEYS}"),
        };
        let unknown = error
            .message()
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split_once("`, expected "));
        let message = match unknown {
            Some((key, _)) => format!("unknown key `{key}`; the keys are {known}"),
            None => error.message().to_owned(),
        };
        self.invalid(error.span().unwrap_or(0..0), &message, None)
    }

    fn invalid(&self, span: Range<usize>, message: &str, hint: Option<String>) -> ConfigError {
        ConfigError::Invalid(Box::new(Invalid {
            place: Excerpt::new(self.path, self.shown.unwrap_or(self.text), span),
            message: message.to_owned(),
            hint,
        }))
    }
}

/// How sure pyw is that a file should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Named by the user: it must exist, and may be a device or a pipe.
    Named,
    /// In the user's configuration folder: it may be missing.
    Usual,
    /// Met on the way up from the working directory: it may be missing, or in a folder that may
    /// not be searched.
    Met,
}

/// Reads a file as text without its byte order mark, or `None` when it is missing.
pub(super) fn read(path: &Utf8Path, wanted: Wanted) -> Result<Option<String>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => match (error.kind(), wanted) {
            (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, Wanted::Named) => {
                return Err(ConfigError::Missing {
                    path: path.to_owned(),
                });
            }
            (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, _) => return Ok(None),
            (io::ErrorKind::PermissionDenied, Wanted::Met) => return Ok(None),
            _ => return Err(unreadable(error)),
        },
    };
    // Reading a pipe that lies about under this name would never end.
    if metadata.is_dir() || (wanted != Wanted::Named && !metadata.is_file()) {
        return Err(ConfigError::NotAFile {
            path: path.to_owned(),
            directory: metadata.is_dir(),
        });
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    match String::from_utf8(bytes) {
        Ok(text) => match text.strip_prefix('\u{feff}') {
            Some(rest) => Ok(Some(rest.to_owned())),
            None => Ok(Some(text)),
        },
        Err(error) => Err(ConfigError::NotUtf8 {
            path: path.to_owned(),
            offset: error.utf8_error().valid_up_to(),
        }),
    }
}
