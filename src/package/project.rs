//! A project's `pyproject.toml`: what it needs, in which groups, and where its own modules are.
//!
//! Nothing is built: a project is importable from its source, as with an editable install.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use toml::Spanned;

use super::name::{ExtraName, PackageName};
use crate::config::excerpt::Excerpt;
use crate::error::Code;

/// The name of the file.
pub const FILE: &str = "pyproject.toml";

/// A project.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// Its folder.
    pub root: Utf8PathBuf,
    /// Its name. Not there if the file only configures tools.
    pub name: Option<PackageName>,
    /// Its version, unless only a build tells it.
    pub version: Option<String>,
    /// The Python versions that it runs on.
    pub requires_python: Option<Item>,
    /// What it needs.
    pub dependencies: Vec<Item>,
    /// What each of its extras needs on top.
    pub optional: BTreeMap<ExtraName, Vec<Item>>,
    /// Fields that only a build tells.
    pub dynamic: Vec<String>,
    /// Its dependency groups (PEP 735), as they stand there.
    groups: BTreeMap<ExtraName, Group>,
    /// The whole file.
    table: toml::Table,
    /// Its text, for messages.
    text: String,
}

/// A text of the file and the bytes where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The text.
    pub text: String,
    /// Where it stands, with its quotes.
    pub span: std::ops::Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
struct Group {
    /// As it is spelt.
    name: String,
    members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq)]
enum Member {
    Requirement(Item),
    Include(Item),
}

/// A project that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is wrong somewhere.
    #[error("{}", shown(excerpt, message))]
    Wrong {
        /// The place.
        excerpt: Box<Excerpt>,
        /// What is wrong there.
        message: String,
    },
    /// A group that is asked for is not there.
    #[error("{path} has no dependency group `{name}`")]
    NoGroup {
        /// The file.
        path: Utf8PathBuf,
        /// What was asked for.
        name: String,
        /// The groups that there are.
        known: Vec<String>,
    },
    /// An extra that is asked for is not there.
    #[error("{path} has no extra `{name}`")]
    NoExtra {
        /// The file.
        path: Utf8PathBuf,
        /// What was asked for.
        name: String,
        /// The extras that there are.
        known: Vec<String>,
    },
    /// Groups that include each other.
    #[error("{path}: dependency groups include each other: {}", cycle.join(" → "))]
    Cycle {
        /// The file.
        path: Utf8PathBuf,
        /// The groups, the first one again at the end.
        cycle: Vec<String>,
    },
    /// Something that only a build would tell.
    #[error("{path}: the project's {field} are dynamic, and pyw builds nothing to learn them")]
    Dynamic {
        /// The file.
        path: Utf8PathBuf,
        /// As `dependencies`.
        field: String,
    },
}

/// Whether all users of the machine may put files there.
#[cfg(unix)]
fn is_everybodys(folder: &Utf8Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::metadata(folder);
    metadata.is_ok_and(|metadata| metadata.permissions().mode() & 0o002 != 0)
}

#[cfg(not(unix))]
fn is_everybodys(_folder: &Utf8Path) -> bool {
    false
}

fn shown(excerpt: &Excerpt, message: &str) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = excerpt.write(&mut text, message);
    text
}

impl ProjectError {
    /// The exit code that pyw ends with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Read { .. } | Self::NoGroup { .. } | Self::NoExtra { .. } => Code::NotFound,
            Self::Wrong { .. } | Self::Cycle { .. } => Code::Usage,
            Self::Dynamic { .. } => Code::Resolution,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoGroup { known, .. } | Self::NoExtra { known, .. } if known.is_empty() => {
                Some("it has none at all".into())
            }
            Self::NoGroup { known, .. } | Self::NoExtra { known, .. } => {
                Some(format!("there are: {}", known.join(", ")))
            }
            Self::Dynamic { .. } => {
                Some("name what it needs in a requirements file: --with-requirements FILE".into())
            }
            Self::Cycle { .. } => Some("take one of the include-group entries out".into()),
            Self::Read { .. } | Self::Wrong { .. } => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Raw {
    project: Option<RawProject>,
    #[serde(default)]
    dependency_groups: BTreeMap<Spanned<String>, Vec<Spanned<toml::Value>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawProject {
    name: Option<Spanned<String>>,
    version: Option<String>,
    requires_python: Option<Spanned<String>>,
    #[serde(default)]
    dependencies: Vec<Spanned<String>>,
    #[serde(default)]
    optional_dependencies: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    #[serde(default)]
    dynamic: Vec<String>,
}

fn item(value: Spanned<String>) -> Item {
    Item {
        span: value.span(),
        text: value.into_inner(),
    }
}

impl Project {
    /// The project that a folder belongs to: the nearest `pyproject.toml` upwards, if there is one.
    /// The search ends before the home directory and the root, which are no projects, and before a
    /// folder in which everybody may put a file, as `/tmp`.
    ///
    /// # Errors
    /// There is one and it is wrong.
    pub fn find(
        folder: &Utf8Path,
        home: Option<&Utf8Path>,
    ) -> Result<Option<Project>, ProjectError> {
        for root in folder.ancestors() {
            let is_private = root.parent().is_none() || home.is_some_and(|h| h.starts_with(root));
            if is_private || (root != folder && is_everybodys(root)) {
                break;
            }
            if root.join(FILE).is_file() {
                return Project::read(root).map(Some);
            }
        }
        Ok(None)
    }

    /// The project in this very folder.
    ///
    /// # Errors
    /// There is none, or it is wrong.
    pub fn read(root: &Utf8Path) -> Result<Project, ProjectError> {
        let path = root.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|source| ProjectError::Read {
            path: path.clone(),
            source,
        })?;
        Project::parse(root, text)
    }

    fn parse(root: &Utf8Path, text: String) -> Result<Project, ProjectError> {
        let path = root.join(FILE);
        let wrong = |span: std::ops::Range<usize>, message: String| ProjectError::Wrong {
            excerpt: Box::new(Excerpt::new(&path, &text, span)),
            message,
        };
        let raw: Raw = toml::from_str(&text)
            .map_err(|error| wrong(error.span().unwrap_or(0..0), error.message().to_owned()))?;
        // It was read once already, so this does not fail.
        let table: toml::Table = toml::from_str(&text).unwrap_or_default();
        let project = raw.project;
        let name_of = |name: &Spanned<String>| {
            ExtraName::new(name.get_ref()).map_err(|error| wrong(name.span(), error.to_string()))
        };
        let mut groups: BTreeMap<ExtraName, Group> = BTreeMap::new();
        for (name, members) in raw.dependency_groups {
            let group = Group {
                name: name.get_ref().clone(),
                members: members
                    .into_iter()
                    .map(|member| read_member(member).map_err(|(span, what)| wrong(span, what)))
                    .collect::<Result<_, _>>()?,
            };
            if let Some(other) = groups.insert(name_of(&name)?, group) {
                let message = format!("the same group as `{}`, spelt otherwise", other.name);
                return Err(wrong(name.span(), message));
            }
        }
        let mut found = Project {
            root: root.to_owned(),
            name: None,
            version: None,
            requires_python: None,
            dependencies: Vec::new(),
            optional: BTreeMap::new(),
            dynamic: Vec::new(),
            groups,
            table,
            text: String::new(),
        };
        if let Some(project) = project {
            if let Some(name) = project.name {
                let parsed = PackageName::new(name.get_ref());
                found.name = Some(parsed.map_err(|error| wrong(name.span(), error.to_string()))?);
            }
            found.version = project.version;
            found.requires_python = project.requires_python.map(item);
            found.dependencies = project.dependencies.into_iter().map(item).collect();
            for (name, items) in project.optional_dependencies {
                let items = items.into_iter().map(item).collect();
                if found.optional.insert(name_of(&name)?, items).is_some() {
                    let message = "the same extra as another one, spelt otherwise".to_owned();
                    return Err(wrong(name.span(), message));
                }
            }
            found.dynamic = project.dynamic;
        }
        found.text = text;
        Ok(found)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> Utf8PathBuf {
        self.root.join(FILE)
    }

    /// The place of an item, for a message about it.
    #[must_use]
    pub fn excerpt(&self, item: &Item) -> Excerpt {
        Excerpt::new(&self.file(), &self.text, item.span.clone())
    }

    /// The tables of `[tool]`.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&toml::Table> {
        self.table.get("tool")?.get(name)?.as_table()
    }

    /// What the project itself needs, its extras of these names included.
    ///
    /// # Errors
    /// It has no such extra, or only a build would tell.
    pub fn needs(&self, extras: &[ExtraName]) -> Result<Vec<&Item>, ProjectError> {
        let dynamic = |field: &str| ProjectError::Dynamic {
            path: self.file(),
            field: field.to_owned(),
        };
        let says_so = |field: &str| self.dynamic.iter().any(|name| name == field);
        if says_so("dependencies") {
            return Err(dynamic("dependencies"));
        }
        let mut needs: Vec<&Item> = self.dependencies.iter().collect();
        for extra in extras {
            match self.optional.get(extra) {
                Some(items) => needs.extend(items),
                None if says_so("optional-dependencies") => {
                    return Err(dynamic("optional-dependencies"));
                }
                None => {
                    return Err(ProjectError::NoExtra {
                        path: self.file(),
                        name: extra.to_string(),
                        known: self.optional.keys().map(ToString::to_string).collect(),
                    });
                }
            }
        }
        Ok(needs)
    }

    /// The requirements of a dependency group, with those of the groups that it includes in their
    /// place.
    ///
    /// # Errors
    /// There is no such group, or groups include each other.
    pub fn group(&self, name: &str) -> Result<Vec<&Item>, ProjectError> {
        let mut found = Vec::new();
        let mut open = Vec::new();
        self.collect(name, None, &mut open, &mut found)?;
        Ok(found)
    }

    fn collect<'p>(
        &'p self,
        name: &str,
        asked: Option<&Item>,
        open: &mut Vec<&'p str>,
        found: &mut Vec<&'p Item>,
    ) -> Result<(), ProjectError> {
        let normal = ExtraName::new(name).ok();
        let Some(group) = normal.and_then(|name| self.groups.get(&name)) else {
            return Err(match asked {
                Some(item) => ProjectError::Wrong {
                    excerpt: Box::new(self.excerpt(item)),
                    message: format!("there is no dependency group `{name}`"),
                },
                None => ProjectError::NoGroup {
                    path: self.file(),
                    name: name.to_owned(),
                    known: self.groups.values().map(|g| g.name.clone()).collect(),
                },
            });
        };
        if let Some(at) = open.iter().position(|open| *open == group.name) {
            let mut cycle: Vec<String> = open[at..].iter().map(|n| (*n).to_owned()).collect();
            cycle.push(group.name.clone());
            return Err(ProjectError::Cycle {
                path: self.file(),
                cycle,
            });
        }
        open.push(&group.name);
        for member in &group.members {
            match member {
                Member::Requirement(item) => found.push(item),
                Member::Include(item) => self.collect(&item.text, Some(item), open, found)?,
            }
        }
        open.pop();
        Ok(())
    }

    /// The folders that make the project's own modules importable: where its build backend is told
    /// they are, else `src` if it is used, else the project's folder if there are any in it.
    #[must_use]
    pub fn import_roots(&self) -> Vec<Utf8PathBuf> {
        let mut roots: Vec<Utf8PathBuf> = Vec::new();
        for path in self.configured_roots() {
            // What leads out of the project is none of it.
            let inside = path
                .components()
                .all(|part| matches!(part, camino::Utf8Component::Normal(_)));
            let root = self.root.join(&path);
            if (inside || path.as_str().is_empty()) && root.is_dir() && !roots.contains(&root) {
                roots.push(root);
            }
        }
        if !roots.is_empty() {
            return roots;
        }
        let src = self.root.join("src");
        if src.is_dir() && !src.join("__init__.py").exists() && has_modules(&src, None) {
            return vec![src];
        }
        let name = self.name.as_ref().map(PackageName::as_file_name);
        if has_modules(&self.root, name.as_deref()) {
            return vec![self.root.clone()];
        }
        Vec::new()
    }

    /// What build backends are told about where the modules are, relative to the project.
    fn configured_roots(&self) -> Vec<Utf8PathBuf> {
        let mut roots = Vec::new();
        let text = |value: Option<&toml::Value>| value?.as_str().map(Utf8PathBuf::from);
        let parent = |path: &str| {
            let path = Utf8Path::new(path.trim_end_matches('/'));
            path.parent().unwrap_or(Utf8Path::new("")).to_owned()
        };
        if let Some(setuptools) = self.tool("setuptools") {
            let find = setuptools.get("packages").and_then(|p| p.get("find"));
            let folders = find.and_then(|f| f.get("where")).and_then(|w| w.as_array());
            roots.extend(folders.into_iter().flatten().filter_map(|f| text(Some(f))));
            let map = setuptools.get("package-dir").and_then(|m| m.as_table());
            roots.extend(map.and_then(|map| text(map.get(""))));
        }
        if let Some(hatch) = self.tool("hatch") {
            let wheel = ["build", "targets", "wheel"]
                .iter()
                .try_fold(hatch, |table, key| table.get(*key)?.as_table());
            let packages = wheel
                .and_then(|w| w.get("packages"))
                .and_then(|p| p.as_array());
            let packages = packages.into_iter().flatten().filter_map(|p| p.as_str());
            roots.extend(packages.map(parent));
            let sources = wheel
                .and_then(|w| w.get("sources"))
                .and_then(|s| s.as_array());
            roots.extend(sources.into_iter().flatten().filter_map(|s| text(Some(s))));
        }
        if let Some(poetry) = self.tool("poetry") {
            let packages = poetry.get("packages").and_then(|p| p.as_array());
            for package in packages.into_iter().flatten() {
                roots.push(text(package.get("from")).unwrap_or_default());
            }
        }
        let single = |tool: &str, key: &str| text(self.tool(tool)?.get(key));
        roots.extend(single("maturin", "python-source"));
        let pdm = self.tool("pdm").and_then(|p| p.get("build"));
        roots.extend(pdm.and_then(|build| text(build.get("package-dir"))));
        let uv = self.tool("uv").and_then(|u| u.get("build-backend"));
        roots.extend(uv.and_then(|build| text(build.get("module-root"))));
        roots
    }
}

fn read_member(member: Spanned<toml::Value>) -> Result<Member, (std::ops::Range<usize>, String)> {
    let span = member.span();
    match member.into_inner() {
        toml::Value::String(text) => Ok(Member::Requirement(Item { text, span })),
        toml::Value::Table(table) => match (table.get("include-group"), table.len()) {
            (Some(toml::Value::String(text)), 1) => Ok(Member::Include(Item {
                text: text.clone(),
                span,
            })),
            _ => Err((
                span,
                "only { include-group = \"NAME\" } can stand here".into(),
            )),
        },
        _ => Err((
            span,
            "a group holds requirements and { include-group = \"NAME\" }".into(),
        )),
    }
}

/// Whether modules stand in a folder: the one of that name, or any package.
fn has_modules(folder: &Utf8Path, name: Option<&str>) -> bool {
    if let Some(name) = name
        && (folder.join(name).is_dir() || folder.join(format!("{name}.py")).is_file())
    {
        return true;
    }
    // Folders of a project that hold packages, but not those that it is made of.
    const ASIDE: [&str; 8] = [
        "tests",
        "test",
        "docs",
        "doc",
        "examples",
        "build",
        "dist",
        "benchmarks",
    ];
    let Ok(listing) = folder.read_dir_utf8() else {
        return false;
    };
    listing.flatten().any(|entry| {
        let file = entry.file_name();
        let module = name.is_none() && file.ends_with(".py");
        let package = !ASIDE.contains(&file) && entry.path().join("__init__.py").is_file();
        // In `src`, a folder is a namespace package as well.
        let namespace =
            name.is_none() && entry.path().is_dir() && !file.contains('.') && file != "__pycache__";
        module || package || namespace
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Project, ProjectError> {
        Project::parse(Utf8Path::new("/p"), text.to_owned())
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    fn texts(items: Vec<&Item>) -> Vec<&str> {
        items.into_iter().map(|item| item.text.as_str()).collect()
    }

    const WHOLE: &str = r#"
[project]
name = "My.Project"
version = "1.0"
requires-python = ">=3.12"
dependencies = ["a", "b>=1"]
[project.optional-dependencies]
Fast_IO = ["c"]
[dependency-groups]
Test = ["pytest", { include-group = "base" }]
base = ["d"]
all = [{ include-group = "TEST" }, { include-group = "base" }, "e"]
broken = [{ include-group = "nowhere" }]
one = [{ include-group = "two" }]
two = ["x", { include-group = "One" }]
[tool.pyw]
memory = "1G"
"#;

    #[test]
    fn a_whole_project() {
        let project = parse(WHOLE).unwrap();
        assert_eq!(project.name.as_ref().unwrap(), "my-project");
        assert_eq!(project.requires_python.as_ref().unwrap().text, ">=3.12");
        assert_eq!(texts(project.needs(&[]).unwrap()), ["a", "b>=1"]);
        let extra = ExtraName::new("fast-io").unwrap();
        assert_eq!(texts(project.needs(&[extra]).unwrap()), ["a", "b>=1", "c"]);
        assert_eq!(texts(project.group("test").unwrap()), ["pytest", "d"]);
        assert_eq!(
            texts(project.group("all").unwrap()),
            ["pytest", "d", "d", "e"]
        );
        assert_eq!(project.tool("pyw").unwrap()["memory"].as_str(), Some("1G"));
        let mut shown = String::new();
        let item = project.needs(&[]).unwrap()[1].clone();
        project.excerpt(&item).write(&mut shown, "no").unwrap();
        assert_eq!(
            shown,
            "/p/pyproject.toml:6:22: no\n  |\n6 | dependencies = [\"a\", \"b>=1\"]\n  |                      ^^^^^^"
        );
    }

    #[test]
    fn what_is_not_there_is_told() {
        let project = parse(WHOLE).unwrap();
        let error = project.group("docs").unwrap_err();
        assert_eq!(
            error.to_string(),
            "/p/pyproject.toml has no dependency group `docs`"
        );
        assert_eq!(
            error.hint().unwrap(),
            "there are: all, base, broken, one, Test, two"
        );
        assert_eq!(error.code(), Code::NotFound);
        assert_eq!(
            project.group("broken").unwrap_err().to_string(),
            "/p/pyproject.toml:13:11: there is no dependency group `nowhere`\n   |\n\
             13 | broken = [{ include-group = \"nowhere\" }]\n   |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^"
        );
        let error = project.group("one").unwrap_err();
        assert_eq!(
            error.to_string(),
            "/p/pyproject.toml: dependency groups include each other: one → two → one"
        );
        let error = project.needs(&[ExtraName::new("x").unwrap()]).unwrap_err();
        assert_eq!(error.to_string(), "/p/pyproject.toml has no extra `x`");
        assert_eq!(error.hint().unwrap(), "there are: fast-io");
        let dynamic = parse("[project]\nname = 'a'\ndynamic = ['dependencies']").unwrap();
        assert_eq!(
            dynamic.needs(&[]).unwrap_err().to_string(),
            "/p/pyproject.toml: the project's dependencies are dynamic, and pyw builds nothing to \
             learn them"
        );
        assert_eq!(parse("[tool.x]").unwrap().name, None);
    }

    #[test]
    fn what_is_wrong_is_shown() {
        assert_eq!(
            error("[dependency-groups]\na = [1]"),
            "/p/pyproject.toml:2:6: a group holds requirements and { include-group = \"NAME\" }\n  \
             |\n2 | a = [1]\n  |      ^"
        );
        assert!(
            error("[dependency-groups]\na = [{ path = 'x' }]").contains("only { include-group")
        );
        assert!(error("[dependency-groups]\na-b = []\nA_B = []").contains("spelt otherwise"));
        assert!(error("[project]\nname = '-'").contains("is not a name"));
        assert!(error("[project]\ndependencies = 'a'").contains("expected a sequence"));
        assert!(error("[project").starts_with("/p/pyproject.toml:1:9: "));
    }

    #[test]
    fn where_modules_are() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let roots = |case: &str, text: &str, files: &[&str]| -> Vec<String> {
            let root = root.join(case);
            for file in files {
                let path = root.join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
            let project = Project::parse(&root, format!("[project]\nname = 'my-app'\n{text}"));
            let found = project.unwrap().import_roots();
            let inside = |path: Utf8PathBuf| path.strip_prefix(&root).unwrap().to_string();
            found.into_iter().map(inside).collect()
        };
        let src = ["src/my_app/__init__.py", "tests/__init__.py"];
        assert_eq!(roots("src", "", &src), ["src"]);
        assert_eq!(roots("ns", "", &["src/ns/my_app/__init__.py"]), ["src"]);
        assert_eq!(
            roots("flat", "", &["my_app/__init__.py", "src/x.c/y"]),
            [""]
        );
        assert_eq!(roots("module", "", &["my_app.py"]), [""]);
        assert_eq!(roots("other", "", &["other/__init__.py"]), [""]);
        assert_eq!(
            roots("tests", "", &["tests/__init__.py", "run.py"]),
            [""; 0]
        );
        assert_eq!(
            roots("package", "", &["src/__init__.py", "my_app.py"]),
            [""]
        );
        for (case, text) in [
            ("a", "[tool.setuptools.packages.find]\nwhere = ['lib']"),
            ("b", "[tool.setuptools.package-dir]\n'' = 'lib'"),
            (
                "c",
                "[tool.hatch.build.targets.wheel]\npackages = ['lib/my_app']",
            ),
            (
                "d",
                "[[tool.poetry.packages]]\ninclude = 'my_app'\nfrom = 'lib'",
            ),
            ("e", "[tool.maturin]\npython-source = 'lib'"),
            ("f", "[tool.pdm.build]\npackage-dir = 'lib'"),
            ("g", "[tool.uv.build-backend]\nmodule-root = 'lib'"),
        ] {
            assert_eq!(
                roots(case, text, &["lib/my_app/__init__.py"]),
                ["lib"],
                "{text}"
            );
        }
        let text = "[tool.uv.build-backend]\nmodule-root = ''";
        assert_eq!(roots("h", text, &["my_app/__init__.py", "src/x.py"]), [""]);
        let text = "[tool.uv.build-backend]\nmodule-root = '../..'";
        assert_eq!(roots("i", text, &["src/my_app/__init__.py"]), ["src"]);
    }

    #[test]
    fn found_upwards() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let deep = root.join("a/b/c");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(root.join("a/pyproject.toml"), "[project]\nname = 'x'\n").unwrap();
        assert_eq!(
            Project::find(&deep, None).unwrap().unwrap().root,
            root.join("a")
        );
        let error = Project::read(&deep).unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
    }
}
