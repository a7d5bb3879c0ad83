//! Requirements files, as pip reads them.
//!
//! Understood are requirements with markers and `--hash`, `-e PATH` (taken as the path), `-r` and
//! `-c` with other files, `--index-url`, `--extra-index-url`, `--find-links`, `--no-index`,
//! `--pre`, `--require-hashes`, comments, lines that go on after a `\`, and `${VARIABLE}`. Options
//! about building are passed over, since nothing is built.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use super::error::PackageError;
use super::requirement::Requirement;
use super::resolution::Asked;
use crate::store::Sha256;
use crate::store::indexes::IndexArguments;

/// Files that include files that include files.
const DEEPEST: usize = 20;
/// No requirements file may be bigger.
const FILE_CAP: u64 = 16 << 20;

/// What requirements files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequirementsFile {
    /// What they ask for, with the file and the line.
    pub requirements: Vec<Asked>,
    /// Limits on projects.
    pub constraints: Vec<Requirement>,
    /// Which indexes they name.
    pub index: IndexArguments,
    /// Whether pre-releases will do.
    pub prereleases: bool,
    /// Whether every file must have a hash.
    pub require_hashes: bool,
}

/// Reads a requirements file and those that it includes.
///
/// # Errors
/// One of them cannot be read, or a line of it cannot be understood.
pub fn read(
    path: &Utf8Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<RequirementsFile, PackageError> {
    read_as(path, variable, false)
}

/// Reads a file of constraints: its requirements limit what is asked for elsewhere.
///
/// # Errors
/// As [`read`].
pub fn read_constraints(
    path: &Utf8Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<RequirementsFile, PackageError> {
    read_as(path, variable, true)
}

fn read_as(
    path: &Utf8Path,
    variable: &dyn Fn(&str) -> Option<String>,
    constraints: bool,
) -> Result<RequirementsFile, PackageError> {
    let mut file = RequirementsFile::default();
    let mut reader = Reader {
        variable,
        file: &mut file,
        open: Vec::new(),
    };
    reader.read(path, constraints)?;
    Ok(file)
}

struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    file: &'a mut RequirementsFile,
    /// The files that are being read, the outermost first.
    open: Vec<Utf8PathBuf>,
}

impl Reader<'_> {
    fn read(&mut self, path: &Utf8Path, constraints: bool) -> Result<(), PackageError> {
        let wrong = |problem: String, missing| PackageError::RequirementsFile {
            path: path.to_owned(),
            problem,
            missing,
        };
        if self.open.iter().any(|open| open == path) {
            return Err(wrong("it includes itself".to_owned(), false));
        }
        if self.open.len() >= DEEPEST {
            return Err(wrong("it is included too deeply".to_owned(), false));
        }
        let size = path.metadata().map(|metadata| metadata.len());
        if size.is_ok_and(|size| size > FILE_CAP) {
            return Err(wrong("it is too big".to_owned(), false));
        }
        let text = std::fs::read_to_string(path).map_err(|error| {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let problem = if missing {
                "there is no such file".to_owned()
            } else {
                format!("it cannot be read: {error}")
            };
            wrong(problem, missing)
        })?;
        self.open.push(path.to_owned());
        for (number, line) in lines(text.trim_start_matches('\u{feff}')) {
            let line = self.expand(&line);
            let origin = format!("{path}:{number}");
            match self.line(path, &line, constraints) {
                Ok(None) => {}
                Ok(Some(requirement)) if constraints => self.file.constraints.push(requirement),
                Ok(Some(requirement)) => self.file.requirements.push(Asked {
                    requirement,
                    origin,
                }),
                Err(LineError::Own(problem)) => {
                    return Err(PackageError::Requirement { origin, problem });
                }
                Err(LineError::Other(error)) => return Err(error),
            }
        }
        self.open.pop();
        Ok(())
    }

    /// Reads one line; gives the requirement on it, if it has one.
    fn line(
        &mut self,
        path: &Utf8Path,
        line: &str,
        constraints: bool,
    ) -> Result<Option<Requirement>, LineError> {
        let folder = path.parent().unwrap_or(Utf8Path::new("."));
        if !line.starts_with('-') {
            return requirement(line, folder).map(Some).map_err(LineError::Own);
        }
        let (option, value) = split_option(line);
        let need = |value: &str| match value {
            "" => Err(LineError::Own(format!("{option} needs a value"))),
            value => Ok(value.to_owned()),
        };
        let include = |value: &str| {
            if value.contains("://") && !value.starts_with("file:") {
                let problem = format!("pyw includes only files of this machine with {option}");
                return Err(LineError::Own(problem));
            }
            Ok(folder.join(value))
        };
        match option {
            "-r" | "--requirement" => {
                let path = include(&need(value)?)?;
                self.read(&path, constraints).map_err(LineError::Other)?;
            }
            "-c" | "--constraint" => {
                let path = include(&need(value)?)?;
                self.read(&path, true).map_err(LineError::Other)?;
            }
            "-e" | "--editable" => {
                return requirement(&need(value)?, folder)
                    .map(Some)
                    .map_err(LineError::Own);
            }
            "-i" | "--index-url" | "--pypi-url" => self.file.index.index_url = Some(need(value)?),
            "--extra-index-url" => self.file.index.extra_index_url.push(need(value)?),
            "-f" | "--find-links" => {
                let value = need(value)?;
                // Relative to the file, not to the working directory.
                let value = match value.contains("://") || value.starts_with('~') {
                    true => value,
                    false => folder.join(&value).into_string(),
                };
                self.file.index.find_links.push(value);
            }
            "--no-index" => self.file.index.no_index = true,
            "--pre" => self.file.prereleases = true,
            "--require-hashes" => self.file.require_hashes = true,
            // Nothing is built, and certificates are the system's business.
            "--no-binary"
            | "--only-binary"
            | "--prefer-binary"
            | "--trusted-host"
            | "--use-feature"
            | "--config-settings"
            | "--global-option"
            | "--no-build-isolation" => {}
            _ => {
                return Err(LineError::Own(format!(
                    "pyw does not know the option {option}"
                )));
            }
        }
        Ok(None)
    }

    /// Replaces `${NAME}` by the variable; one that is not set stays as it is.
    fn expand(&self, line: &str) -> String {
        let mut out = String::new();
        let mut rest = line;
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let name = rest.find('}').map(|end| &rest[2..end]).filter(|name| {
                !name.is_empty()
                    && name
                        .bytes()
                        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            });
            match name.and_then(|name| Some((name, (self.variable)(name)?))) {
                Some((name, value)) => {
                    out.push_str(&value);
                    rest = &rest[name.len() + 3..];
                }
                None => {
                    out.push_str("${");
                    rest = &rest[2..];
                }
            }
        }
        out.push_str(rest);
        out
    }
}

enum LineError {
    /// About this line.
    Own(String),
    /// About a file that it includes.
    Other(PackageError),
}

/// `--option=value`, `--option value`, `-rvalue`.
fn split_option(line: &str) -> (&str, &str) {
    let end = line
        .find(|c: char| c.is_whitespace() || c == '=')
        .unwrap_or(line.len());
    let (option, value) = line.split_at(end);
    // Of a short option the value may follow at once.
    if !option.starts_with("--") && option.len() > 2 && option.is_char_boundary(2) {
        return (&line[..2], line[2..].trim());
    }
    (option, value.trim_start_matches('=').trim())
}

/// A requirement, and the hashes after it.
fn requirement(line: &str, folder: &Utf8Path) -> Result<Requirement, String> {
    let (text, options) = match line.find(" --") {
        Some(at) => line.split_at(at),
        None => (line, ""),
    };
    let mut requirement = Requirement::parse(text, folder)?;
    let mut hashes = BTreeSet::new();
    let mut others = false;
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let (option, value) = word.split_once('=').unwrap_or((word, ""));
        if option != "--hash" {
            continue;
        }
        let value = match value {
            "" => words.next().unwrap_or_default(),
            value => value,
        };
        match value.split_once(':') {
            Some(("sha256", digest)) => {
                let digest: Sha256 = digest.parse().map_err(|error| format!("{error}"))?;
                hashes.insert(digest);
            }
            Some(_) => others = true,
            None => return Err(format!("{value:?} is not ALGORITHM:DIGEST")),
        }
    }
    if others && hashes.is_empty() {
        return Err(format!("{requirement} has no sha256 among its hashes"));
    }
    requirement.hashes.extend(hashes);
    Ok(requirement)
}

/// The lines with something on them, joined where they go on, without comments, with numbers.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end_matches('\r');
        let (start, mut joined) = open.take().unwrap_or((number + 1, String::new()));
        // A comment line ends nothing.
        let is_comment = line.trim_start().starts_with('#');
        if !is_comment {
            joined.push_str(line.strip_suffix('\\').unwrap_or(line));
        }
        if line.ends_with('\\') || (is_comment && !joined.is_empty()) {
            joined.push(' ');
            open = Some((start, joined));
        } else {
            out.push((start, joined));
        }
    }
    out.extend(open);
    out.into_iter()
        .filter_map(|(number, line)| {
            let end = line
                .match_indices('#')
                .map(|(at, _)| at)
                .find(|at| *at == 0 || line[..*at].ends_with([' ', '\t']));
            let line = line[..end.unwrap_or(line.len())].trim();
            (!line.is_empty()).then(|| (number, line.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<RequirementsFile, PackageError> {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        std::fs::write(folder.join("r.txt"), text).unwrap();
        std::fs::write(folder.join("more.txt"), "more==1\n-r r.txt\n").unwrap();
        std::fs::write(folder.join("c.txt"), "limit<3").unwrap();
        let variable = |name: &str| (name == "WHO").then(|| "me".to_owned());
        read(&folder.join("r.txt"), &variable)
    }

    #[test]
    fn all_that_pip_writes_is_read() {
        let digest = Sha256::of(b"x");
        let file = read_text(&format!(
            "# first\n-i https://${{WHO}}:pw@a/simple # mine\n--extra-index-url=https://b/\n\
             -f wheels\n--pre\n--no-binary :all:\n-c c.txt\na[x] >= 1 ; os_name == 'posix'  # why\n\
             b==1 \\\n    --hash=sha256:{digest} \\\n    # via a\n    --hash md5:00\n\
             c @ https://e/c-1-py3-none-any.whl#sha256={digest}\n./d-1-py3-none-any.whl\n"
        ))
        .unwrap();
        let texts: Vec<String> = file
            .requirements
            .iter()
            .map(|asked| asked.requirement.to_string())
            .collect();
        assert_eq!(
            texts[..3],
            ["a[x]>=1", "b==1", "c @ https://e/c-1-py3-none-any.whl"]
        );
        assert!(file.requirements[1].origin.ends_with("r.txt:9"));
        assert_eq!(file.requirements[1].requirement.hashes, [digest].into());
        assert_eq!(file.requirements[3].requirement.name, "d");
        assert_eq!(file.constraints[0].to_string(), "limit<3");
        assert_eq!(
            file.index.index_url.as_deref(),
            Some("https://me:pw@a/simple")
        );
        assert!(file.index.find_links[0].ends_with("/wheels"));
        assert!(file.prereleases);
    }

    #[test]
    fn what_is_wrong_names_its_line() {
        for (text, problem) in [
            ("a\n\nb>=", "r.txt:3: "),
            ("--hello", "does not know the option --hello"),
            ("-r", "-r needs a value"),
            ("-r nothing.txt", "nothing.txt: there is no such file"),
            ("-r more.txt", "r.txt: it includes itself"),
            ("-r https://e/r.txt", "only files of this machine"),
            ("a==1 --hash=md5:00", "no sha256"),
            ("a==1 --hash=sha256:00", "64 hexadecimal digits"),
            ("-e git+https://e/x", "is a repository"),
        ] {
            let error = read_text(text).unwrap_err();
            assert!(error.to_string().contains(problem), "{text}: {error}");
        }
    }
}
