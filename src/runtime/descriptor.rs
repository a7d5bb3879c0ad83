//! A runtime's descriptor: how one runtime spells each grant and limit of a sandbox.
//!
//! A descriptor is data. An absent key means that the runtime cannot express the thing, so that
//! the planner turns to the fence or refuses; there are no conditions and no loops but "once per
//! item". Versions that differ are told apart by `[[overlay]]` tables, merged over the rest when
//! their semver range matches. `runtimes/README.md` documents the grammar.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::template::Template;
use crate::interpreter::Platform;
use crate::interpreter::adapt::Adaptation;
use crate::interpreter::imports::{Import, Provided};
use crate::store::source::Source;

/// How to run programs on one runtime.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Descriptor {
    /// What users call it; lower case.
    pub name: String,
    /// One line for `pyw runtime list`.
    pub summary: String,
    /// Names of the executable on `PATH`, best first.
    #[serde(default)]
    pub executables: Vec<String>,
    /// The runtime whose executable this one starts in another way, instead of names.
    pub executable_of: Option<String>,
    /// No run gets it whose user did not name it.
    #[serde(default)]
    pub by_name_only: bool,
    /// What the interpreters that it runs are built for.
    #[serde(default)]
    pub platform: Platform,
    /// What a program meets that breaks out of its WebAssembly module.
    #[serde(default)]
    pub isolation: Isolation,
    /// A file beside the descriptor that the runtime runs, which is told the sandbox as JSON; for
    /// runtimes whose command line cannot carry it.
    pub host_script: Option<String>,
    /// There where the host script can give programs the runtime's JavaScript.
    pub javascript: Option<JavaScriptGrant>,
    pub probe: Probe,
    /// What modules may import from it beyond WASI preview 1.
    #[serde(default)]
    pub provides: BTreeSet<Provided>,
    pub command: CommandLine,
    /// How it turns a module into native code ahead of a start; absent where it can't.
    pub compile: Option<Compile>,
    #[serde(default)]
    pub mount: MountGrant,
    pub env: EnvGrant,
    #[serde(default)]
    pub network: NetworkGrant,
    #[serde(default)]
    pub limits: LimitGrants,
    #[serde(default)]
    pub quirks: Quirks,
    #[serde(default)]
    pub fence: FenceNeeds,
    /// How pyw installs it; absent when it can't.
    pub install: Option<Install>,
    /// Conformance cases whose result is known to differ on this runtime.
    #[serde(default)]
    pub known_differences: Vec<KnownDifference>,
}

impl Descriptor {
    /// The name of the runtime whose executable this is, under which security holes are known.
    #[must_use]
    pub fn executable_name(&self) -> &str {
        self.executable_of.as_deref().unwrap_or(&self.name)
    }

    /// Whether the runtime alone keeps a read-only mount read-only.
    #[must_use]
    pub fn holds_read_only(&self) -> bool {
        self.mount.read.is_some() && !self.mount.read_leaks && !self.mount.escapes
    }

    /// Those of the imports that the runtime does not provide.
    #[must_use]
    pub fn lacking<'i>(&self, imports: &'i BTreeSet<Import>) -> Vec<&'i Import> {
        let provided = |import: &&Import| self.provides.iter().any(|p| p.covers(import));
        imports.iter().filter(|import| !provided(import)).collect()
    }

    /// Whether the runtime can load a module that is built for this platform and imports this.
    #[must_use]
    pub fn provides_all(&self, platform: Platform, imports: &BTreeSet<Import>) -> bool {
        self.platform == platform && self.lacking(imports).is_empty()
    }

    /// Whether memory can be limited, by the runtime or inside the module.
    #[must_use]
    pub fn limits_memory(&self) -> bool {
        self.limits.memory.is_some() || self.quirks.adaptations.contains(&Adaptation::MemoryLimit)
    }
}

/// How much of a sandbox the runtime itself is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// It is made to run programs that nobody trusts.
    #[default]
    Runtime,
    /// It is not: only the fence around its process counts, so nothing runs without one.
    Process,
}

/// How the version is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Probe {
    pub args: Vec<String>,
    /// What the answer begins with, so that another program of the same name is found out.
    #[serde(default)]
    pub prefix: String,
    /// What the answer contains, where it has no fixed beginning.
    #[serde(default)]
    pub contains: String,
    /// Older versions are refused.
    pub minimum: Option<semver::Version>,
}

/// The fixed parts of the command line, and the runtime's own environment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CommandLine {
    /// Behind the executable, before every grant. `{cache}`.
    pub first: Vec<Template>,
    /// Names the module, behind the grants: `{module}`. With a host script, names that and the
    /// file that it reads: `{script}`, `{sandbox}`.
    pub module: Vec<Template>,
    /// Between the module and the guest's own arguments.
    #[serde(default)]
    pub separator: Vec<String>,
    /// The environment of the runtime's process; nothing is inherited. `{cache}`.
    #[serde(default)]
    pub env: BTreeMap<String, Template>,
}

/// How a module is turned into native code, once, so that no start has to do it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Compile {
    /// Behind the executable: `{module}`, `{output}`. A host script is told instead.
    #[serde(default)]
    pub args: Vec<Template>,
    /// The name of the output, with the ending that the runtime wants to see.
    pub file: String,
    /// Behind `command.first` where the compiled module is run.
    #[serde(default)]
    pub run: Vec<Template>,
    /// It takes minutes, so that no run waits for it: `pyw warm` does it.
    #[serde(default)]
    pub slow: bool,
    /// What starts compiled modules in less time than the executable itself.
    pub lean: Option<Lean>,
}

/// A smaller executable of the same release, without a compiler, that starts in less time. It lies
/// beside the other one, and runs modules that were compiled for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lean {
    /// Its name; on Windows without the `.exe`.
    pub executable: String,
    /// In the place of `compile.args`, still of the runtime's own executable: `{module}`, `{output}`.
    pub args: Vec<Template>,
}

impl Lean {
    /// Where it would be, given the runtime's own executable.
    #[must_use]
    pub fn beside(&self, executable: &Utf8Path) -> Utf8PathBuf {
        let name = format!("{}{}", self.executable, std::env::consts::EXE_SUFFIX);
        executable.with_file_name(name)
    }
}

/// How a host directory is made visible. `{host}`, `{guest}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MountGrant {
    pub read: Option<Vec<Template>>,
    pub write: Option<Vec<Template>>,
    /// What cannot stand in a host path, for want of an escape.
    #[serde(default)]
    pub host_excludes: Vec<String>,
    /// What cannot stand in a guest path.
    #[serde(default)]
    pub guest_excludes: Vec<String>,
    /// The runtime's read-only mark can be got round, so the fence has to hold it too.
    #[serde(default)]
    pub read_leaks: bool,
    /// Guests can leave a mount, such as through links, so nothing is run without the fence.
    #[serde(default)]
    pub escapes: bool,
}

/// How a variable is set. `{name}`, `{value}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EnvGrant {
    /// Required: pyw's own bootstrap is told what it needs in this way.
    pub set: Vec<Template>,
    /// Values that are empty, or begin or end with white space, do not arrive as they are.
    #[serde(default)]
    pub trims: bool,
}

/// How the network is granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetworkGrant {
    pub host: Option<Vec<Template>>,
}

/// How JavaScript is given and withheld. It is the host script that gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JavaScriptGrant {
    /// Where it is not given.
    #[serde(default)]
    pub withheld: Vec<Template>,
}

/// How limits are set: `{bytes}`, `{pages}` (of 64 KiB). Time is pyw's own to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LimitGrants {
    pub memory: Option<Vec<Template>>,
    pub stack: Option<Vec<Template>>,
    /// The stack, in bytes, that the runtime's process itself needs; the system's default
    /// otherwise.
    pub process_stack: Option<u64>,
    /// The stack in bytes where none is asked for; the runtime's own default otherwise.
    pub default_stack: Option<u64>,
}

/// What pyw smooths over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quirks {
    /// Wrappers that the interpreter's module gets on this runtime.
    #[serde(default)]
    pub adaptations: BTreeSet<Adaptation>,
}

/// What the runtime's process must reach besides the grants. `{cache}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FenceNeeds {
    #[serde(default)]
    pub read: Vec<Template>,
    #[serde(default)]
    pub write: Vec<Template>,
    /// The process may not change modes, owners and times of files, for guests could do so outside
    /// the mounts.
    #[serde(default)]
    pub metadata: bool,
}

/// How pyw installs the runtime into its store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Install {
    pub version: semver::Version,
    /// The executable inside the archive.
    pub executable: String,
    /// `linux-x86_64`, `linux-musl-x86_64`, `macos-aarch64`, `windows-x86_64` …
    pub platforms: BTreeMap<String, Source>,
}

/// A conformance case that is known to differ, and why.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KnownDifference {
    /// `group/name`.
    pub case: String,
    pub reason: String,
}

/// A descriptor before the version is known: the table and its overlays.
#[derive(Clone, Debug)]
pub struct Text {
    base: toml::Table,
    overlays: Vec<(semver::VersionReq, toml::Table)>,
}

impl Text {
    /// Reads a descriptor and checks it with and without each overlay.
    ///
    /// # Errors
    /// The TOML error, with line, column and caret, or a message about what does not fit.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut base: toml::Table = toml::from_str(text).map_err(|e| e.to_string())?;
        let overlays = match base.remove("overlay") {
            None => Vec::new(),
            Some(toml::Value::Array(list)) => list
                .into_iter()
                .map(overlay)
                .collect::<Result<Vec<_>, _>>()?,
            Some(_) => return Err("`overlay` must be an array of tables: [[overlay]]".into()),
        };
        if overlays.is_empty() {
            // Straight from the text, so that a message can show the line.
            let descriptor: Descriptor = toml::from_str(text).map_err(|e| e.to_string())?;
            descriptor.check()?;
            return Ok(Self { base, overlays });
        }
        let text = Self { base, overlays };
        text.build(&[])?.check()?;
        for index in 0..text.overlays.len() {
            text.build(&[index])?.check()?;
        }
        Ok(text)
    }

    /// The descriptor for a version: the base with every overlay whose range holds it. Without a
    /// version no overlay applies.
    ///
    /// # Errors
    /// When overlays that fit one by one do not fit together.
    pub fn for_version(&self, version: Option<&semver::Version>) -> Result<Descriptor, String> {
        let matching: Vec<usize> = (0..self.overlays.len())
            .filter(|i| version.is_some_and(|v| self.overlays[*i].0.matches(v)))
            .collect();
        self.build(&matching)
    }

    fn build(&self, overlays: &[usize]) -> Result<Descriptor, String> {
        let mut table = self.base.clone();
        for index in overlays {
            merge(&mut table, &self.overlays[*index].1);
        }
        Descriptor::deserialize(toml::Value::Table(table)).map_err(|e| e.to_string())
    }
}

fn overlay(value: toml::Value) -> Result<(semver::VersionReq, toml::Table), String> {
    let toml::Value::Table(mut table) = value else {
        return Err("`overlay` must be an array of tables: [[overlay]]".into());
    };
    let Some(toml::Value::String(range)) = table.remove("versions") else {
        return Err("an [[overlay]] needs `versions`, a range such as \">=0.17, <0.18\"".into());
    };
    let range = semver::VersionReq::parse(&range)
        .map_err(|e| format!("`versions = \"{range}\"` of an [[overlay]]: {e}"))?;
    Ok((range, table))
}

/// Tables are merged key by key; everything else, lists too, is replaced.
fn merge(base: &mut toml::Table, over: &toml::Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

impl Descriptor {
    /// Checks what the types cannot: names and placeholders.
    fn check(&self) -> Result<(), String> {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(word) || self.name == "auto" {
            return Err(format!(
                "`name = \"{}\"`: a name is made of a-z, 0-9 and `-`, and isn't `auto`",
                self.name
            ));
        }
        match &self.executable_of {
            None if self.executables.is_empty() => return Err("`executables` is empty".into()),
            Some(_) if !self.executables.is_empty() || self.install.is_some() => {
                return Err(
                    "with `executable-of` there is no `executables` and no `install`".into(),
                );
            }
            _ => {}
        }
        let module: &[&str] = match &self.host_script {
            None => &["module"],
            Some(name) => {
                if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
                    return Err(format!(
                        "`host-script = \"{name}\"`: a file beside the descriptor is named, without \
                         a folder"
                    ));
                }
                &["script", "sandbox"]
            }
        };
        if self.javascript.is_some() && self.host_script.is_none() {
            return Err("`javascript` needs `host-script`".into());
        }
        if let (Some(compile), Some(_)) = (&self.compile, &self.host_script)
            && !(compile.args.is_empty() && compile.run.is_empty() && compile.lean.is_none())
        {
            return Err("`compile` has no more than `file` and `slow` with `host-script`".into());
        }
        type Place<'a> = (&'a str, Option<&'a Vec<Template>>, &'a [&'a str]);
        let compile = self.compile.as_ref();
        let lean = compile.and_then(|compile| compile.lean.as_ref());
        let lists: [Place<'_>; 13] = [
            ("command.first", Some(&self.command.first), &["cache"]),
            ("command.module", Some(&self.command.module), module),
            (
                "compile.args",
                compile.map(|compile| &compile.args),
                &["module", "output"],
            ),
            (
                "compile.lean.args",
                lean.map(|lean| &lean.args),
                &["module", "output"],
            ),
            ("compile.run", compile.map(|compile| &compile.run), &[]),
            ("mount.read", self.mount.read.as_ref(), &["host", "guest"]),
            ("mount.write", self.mount.write.as_ref(), &["host", "guest"]),
            ("env.set", Some(&self.env.set), &["name", "value"]),
            ("network.host", self.network.host.as_ref(), &[]),
            (
                "javascript.withheld",
                self.javascript.as_ref().map(|grant| &grant.withheld),
                &[],
            ),
            (
                "limits.memory",
                self.limits.memory.as_ref(),
                &["bytes", "pages"],
            ),
            (
                "limits.stack",
                self.limits.stack.as_ref(),
                &["bytes", "pages"],
            ),
            ("fence.read", Some(&self.fence.read), &["cache"]),
        ];
        for (place, templates, known) in lists {
            for template in templates.into_iter().flatten() {
                known_only(place, template, known)?;
            }
        }
        for template in &self.fence.write {
            known_only("fence.write", template, &["cache"])?;
        }
        for (name, template) in &self.command.env {
            known_only(&format!("command.env.{name}"), template, &["cache"])?;
        }
        // What a host script is told need not stand on the command line.
        let told = |templates: &Vec<Template>| self.host_script.is_some() && templates.is_empty();
        let needs = [
            ("command.module", Some(&self.command.module), module),
            (
                "compile.args",
                compile.map(|compile| &compile.args),
                &["module", "output"],
            ),
            (
                "compile.lean.args",
                lean.map(|lean| &lean.args),
                &["module", "output"],
            ),
            ("mount.read", self.mount.read.as_ref(), &["host", "guest"]),
            ("mount.write", self.mount.write.as_ref(), &["host", "guest"]),
            ("env.set", Some(&self.env.set), &["name", "value"]),
        ];
        for (place, templates, needed) in needs {
            let Some(templates) = templates.filter(|templates| !told(templates)) else {
                continue;
            };
            for name in needed {
                let used = templates
                    .iter()
                    .flat_map(Template::placeholders)
                    .any(|p| p == *name);
                if !used {
                    return Err(format!("`{place}` never uses `{{{name}}}`"));
                }
            }
        }
        let files = [
            ("compile.file", compile.map(|compile| &compile.file)),
            ("compile.lean.executable", lean.map(|lean| &lean.executable)),
        ];
        for (place, file) in files {
            if let Some(file) = file
                && (file.is_empty() || file.contains(['/', '\\']) || file.starts_with('.'))
            {
                return Err(format!(
                    "`{place} = \"{file}\"`: a file is named, without a folder"
                ));
            }
        }
        if self.limits.default_stack.is_some() && self.limits.stack.is_none() {
            return Err("`limits.default-stack` needs `limits.stack`".into());
        }
        if let Some(install) = &self.install {
            for (platform, source) in &install.platforms {
                if source.sha256.is_none() {
                    return Err(format!("`install.platforms.{platform}` needs `sha256`"));
                }
                if source.member.is_some() {
                    return Err(format!(
                        "`install.platforms.{platform}`: the whole archive is unpacked, so \
                         `member` has no place here"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn known_only(place: &str, template: &Template, known: &[&str]) -> Result<(), String> {
    for name in template.placeholders() {
        if !known.contains(&name) {
            let list = known
                .iter()
                .map(|k| format!("{{{k}}}"))
                .collect::<Vec<_>>()
                .join(", ");
            return Err(if list.is_empty() {
                format!("`{place}` has no placeholders, but `{{{name}}}` stands there")
            } else {
                format!("`{place}` knows no `{{{name}}}`, only {list}")
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        name = "tiny"
        summary = "for tests"
        executables = ["tiny"]
        [probe]
        args = ["--version"]
        [command]
        first = ["run"]
        module = ["{module}"]
        [mount]
        write = ["--dir={host}:{guest}"]
        [env]
        set = ["--env={name}={value}"]
    "#;

    #[test]
    fn an_absent_key_is_not_expressible() {
        let descriptor = Text::parse(SMALL).unwrap().for_version(None).unwrap();
        assert!(descriptor.mount.read.is_none());
        assert!(descriptor.limits.memory.is_none());
    }

    #[test]
    fn overlays_apply_by_version() {
        let text = format!(
            "{SMALL}\n[[overlay]]\nversions = \">=2\"\nlimits.memory = [\"-m{{bytes}}\"]\n\
             [overlay.command]\nfirst = [\"exec\"]\n"
        );
        let source = Text::parse(&text).unwrap();
        let old = source
            .for_version(Some(&semver::Version::new(1, 9, 0)))
            .unwrap();
        let new = source
            .for_version(Some(&semver::Version::new(2, 0, 0)))
            .unwrap();
        assert_eq!(old.command.first, vec![Template::parse("run").unwrap()]);
        assert_eq!(new.command.first, vec![Template::parse("exec").unwrap()]);
        assert_eq!(new.command.module, old.command.module);
        assert!(old.limits.memory.is_none() && new.limits.memory.is_some());
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |from: &str, to: &str| Text::parse(&SMALL.replace(from, to)).unwrap_err();
        assert_eq!(
            wrong("{host}:{guest}", "{host}:{gust}"),
            "`mount.write` knows no `{gust}`, only {host}, {guest}"
        );
        assert_eq!(
            Text::parse(&format!("{SMALL}\n[limits]\ndefault-stack = 1\n")).unwrap_err(),
            "`limits.default-stack` needs `limits.stack`"
        );
        let script = "host-script = \"a.mjs\"\nsummary";
        let told = SMALL
            .replace("{module}", "{script} {sandbox}")
            .replace("summary", script);
        let told = format!("{told}\n[compile]\nfile = \"a\"\n");
        assert!(Text::parse(&told).is_ok());
        assert_eq!(
            Text::parse(&format!("{told}run = [\"--fast\"]\n")).unwrap_err(),
            "`compile` has no more than `file` and `slow` with `host-script`"
        );
        assert_eq!(
            wrong("{host}:{guest}", "{host}"),
            "`mount.write` never uses `{guest}`"
        );
        assert!(wrong("summary", "sumary").contains("unknown field `sumary`"));
        assert!(wrong("tiny\"\n        summary", "Ti ny\"\n        summary").contains("a-z"));
        let overlay = format!("{SMALL}\n[[overlay]]\nversions = \"new\"\n");
        assert!(
            Text::parse(&overlay)
                .unwrap_err()
                .starts_with("`versions = \"new\"`")
        );
    }
}
