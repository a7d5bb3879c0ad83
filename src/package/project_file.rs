//! What a project's folder says of itself in its `pyproject.toml`, without building anything.

use camino::Utf8Path;
use serde::Deserialize;

use super::filename::parse_version;
use super::metadata::Metadata;
use super::name::{ExtraName, PackageName};
use super::requirement::{Requirement, parse_specifiers};

#[derive(Deserialize)]
struct PyProject {
    project: Option<Project>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Project {
    name: String,
    version: Option<String>,
    requires_python: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    optional_dependencies: std::collections::BTreeMap<String, Vec<String>>,
    #[serde(default)]
    dynamic: Vec<String>,
}

/// Reads the static metadata of the project in a folder.
///
/// # Errors
/// A sentence: there is no `pyproject.toml`, it is wrong, or what it says is only known after a
/// build.
pub fn read(folder: &Utf8Path) -> Result<Metadata, String> {
    let file = folder.join("pyproject.toml");
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(format!("{folder} has no pyproject.toml"));
        }
        Err(error) => return Err(format!("{file} cannot be read: {error}")),
    };
    let parsed: PyProject =
        toml::from_str(&text).map_err(|error| format!("{file}: {}", error.message()))?;
    let project = parsed
        .project
        .ok_or_else(|| format!("{file} has no [project] table"))?;
    for field in ["version", "dependencies", "optional-dependencies"] {
        if project.dynamic.iter().any(|dynamic| dynamic == field) {
            return Err(format!(
                "{file} leaves `{field}` to the build, and pyw cannot build a project yet"
            ));
        }
    }
    let wrong = |problem: String| format!("{file}: {problem}");
    let name = PackageName::new(&project.name).map_err(|error| wrong(error.to_string()))?;
    let version = project
        .version
        .as_deref()
        .ok_or_else(|| wrong("it has no `project.version`".to_owned()))?;
    let version = parse_version(version).map_err(wrong)?;
    let parse = |text: &str| Requirement::parse(text, folder).map_err(wrong);
    let mut requires = project
        .dependencies
        .iter()
        .map(|text| parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    let mut extras = Vec::new();
    for (extra, dependencies) in &project.optional_dependencies {
        let extra = ExtraName::new(extra).map_err(|error| wrong(error.to_string()))?;
        for text in dependencies {
            requires.push(parse(text)?.for_extra(&extra));
        }
        extras.push(extra);
    }
    let requires_python = project.requires_python.as_deref().map(parse_specifiers);
    Ok(Metadata {
        name,
        version,
        requires,
        requires_python: requires_python.transpose().map_err(wrong)?,
        extras,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Result<Metadata, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        std::fs::write(path.join("pyproject.toml"), text).unwrap();
        read(path)
    }

    #[test]
    fn static_metadata_is_read() {
        let metadata = project(
            "[project]\nname = 'My.App'\nversion = '1.0'\nrequires-python = '>=3.12'\n\
             dependencies = ['rich']\n[project.optional-dependencies]\ntest = ['pytest>=7']\n",
        )
        .unwrap();
        assert_eq!(metadata.name, "my-app");
        assert_eq!(metadata.requires.len(), 2);
        let environment =
            super::super::marker::environment(&super::super::marker::tests::info()).unwrap();
        let extra = ExtraName::new("test").unwrap();
        assert!(!metadata.requires[1].applies(&environment));
        assert!(metadata.requires[1].applies_for(&environment, &extra));
    }

    #[test]
    fn what_needs_a_build_is_said() {
        for (text, problem) in [
            ("", "has no [project] table"),
            ("[project]\nname = 'a'\n", "no `project.version`"),
            (
                "[project]\nname = 'a'\ndynamic = ['version']\n",
                "leaves `version` to the build",
            ),
            (
                "[project]\nname = 'a'\nversion = '1'\ndynamic = ['dependencies']\n",
                "leaves `dependencies` to the build",
            ),
            ("[project]\nname = ''\nversion = '1'\n", "is not a name"),
            ("[project", "pyproject.toml: "),
        ] {
            let error = project(text).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let error = read(Utf8Path::from_path(folder.path()).unwrap()).unwrap_err();
        assert!(error.contains("has no pyproject.toml"), "{error}");
    }
}
