//! Names and passwords for indexes: from their addresses and from netrc.
//!
//! They are added to an address just before it is asked for, and stand nowhere else: not in a
//! resolution, a lock, a cache or a message.

use std::sync::{OnceLock, PoisonError, RwLock};

use reqwest::Url;

use crate::store::indexes::{IndexSettings, Links};

/// Who may ask where.
#[derive(Default)]
pub struct Credentials {
    /// Addresses with a name and a password; each counts for its origin.
    known: RwLock<Vec<Url>>,
    /// Read when a host is first met that is not known otherwise.
    netrc: OnceLock<Vec<Machine>>,
}

struct Machine {
    host: String,
    login: String,
    password: String,
}

/// Secrets stay secret.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(***)")
    }
}

impl Credentials {
    /// Those in the settings, and in the netrc file that `NETRC` names or that is at home.
    #[must_use]
    pub fn new(settings: &IndexSettings) -> Self {
        let links = settings.find_links.iter().filter_map(|l| match &l.value {
            Links::Page(url) => Some(url),
            Links::Folder(_) => None,
        });
        let known = settings
            .indexes()
            .map(|index| &index.value)
            .chain(links)
            .filter(|url| has_any(url))
            .cloned()
            .collect();
        Credentials {
            known: RwLock::new(known),
            netrc: OnceLock::new(),
        }
    }

    /// Uses the text of a netrc file and not the user's file.
    #[must_use]
    pub fn with_netrc(mut self, text: &str) -> Self {
        self.netrc = OnceLock::from(parse(text));
        self
    }

    /// Remembers the name and the password in an address that the user gave.
    pub fn learn(&self, url: &Url) {
        if has_any(url) {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if !known.contains(url) {
                known.push(url.clone());
            }
        }
    }

    /// The address with the name and the password that belong to it.
    #[must_use]
    pub fn authorize(&self, url: &Url) -> Url {
        let mut out = url.clone();
        if has_any(url) || !matches!(url.scheme(), "https" | "http") {
            return out;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(|k| k.origin() == url.origin()) {
            let _ = out.set_username(known.username());
            let _ = out.set_password(known.password());
            return out;
        }
        let host = url.host_str().unwrap_or_default();
        let machines = self
            .netrc
            .get_or_init(|| parse(&read().unwrap_or_default()));
        if let Some(machine) = machines.iter().find(|machine| machine.host == host) {
            let _ = out.set_username(&machine.login);
            let _ = out.set_password(Some(&machine.password));
        }
        out
    }
}

/// The address without a name and a password.
#[must_use]
pub fn without(url: &Url) -> Url {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

fn has_any(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn read() -> Option<String> {
    let file = match std::env::var_os("NETRC").filter(|file| !file.is_empty()) {
        Some(file) => std::path::PathBuf::from(file),
        None => {
            let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE"))?;
            let home = std::path::PathBuf::from(home);
            let names = [".netrc", "_netrc"];
            names
                .iter()
                .map(|name| home.join(name))
                .find(|file| file.is_file())?
        }
    };
    std::fs::read_to_string(file).ok()
}

/// Reads the machines of a netrc file. `default` is passed over: a password for every host of the
/// world is none for an index.
fn parse(text: &str) -> Vec<Machine> {
    let mut machines = Vec::new();
    let mut words = tokens(text).into_iter().peekable();
    while let Some(word) = words.next() {
        if word != "machine" {
            continue;
        }
        let Some(host) = words.next() else { break };
        let mut machine = Machine {
            host: host.to_ascii_lowercase(),
            login: String::new(),
            password: String::new(),
        };
        while let Some(key) = words.peek() {
            if matches!(key.as_str(), "machine" | "default") {
                break;
            }
            let key = words.next().unwrap_or_default();
            match key.as_str() {
                "login" => machine.login = words.next().unwrap_or_default(),
                "password" => machine.password = words.next().unwrap_or_default(),
                "account" => drop(words.next()),
                _ => {}
            }
        }
        machines.push(machine);
    }
    machines
}

/// Words, quoted ones whole, without comments and macros.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut macro_goes_on = false;
    for line in text.lines() {
        if macro_goes_on {
            macro_goes_on = !line.trim().is_empty();
            continue;
        }
        let mut rest = line.trim_start();
        while !rest.is_empty() && !rest.starts_with('#') {
            if rest.starts_with("macdef") {
                macro_goes_on = true;
                break;
            }
            let mut word = String::new();
            let mut chars = rest.char_indices();
            let mut end = rest.len();
            let quoted = rest.starts_with('"');
            if quoted {
                chars.next();
            }
            while let Some((at, c)) = chars.next() {
                match c {
                    '\\' => word.extend(chars.next().map(|(_, c)| c)),
                    '"' if quoted => {
                        end = at + 1;
                        break;
                    }
                    c if !quoted && c.is_whitespace() => {
                        end = at;
                        break;
                    }
                    c => word.push(c),
                }
            }
            tokens.push(word);
            rest = rest[end..].trim_start();
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Origin, Setting};

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn credentials(index: &str) -> Credentials {
        Credentials::new(&IndexSettings {
            looked_for: Vec::new(),
            index: Some(Setting {
                value: url(index),
                origin: Origin::Default,
            }),
            extra: Vec::new(),
            find_links: Vec::new(),
            pyodide_packages: None,
        })
        .with_netrc(
            "# mine\nmachine a.org login me password \"p w\\\"\"\nmacdef x\nmachine evil login\n\n\
             default login anonymous password x\nmachine B.org\n login you\n account z\n \
             password secret\n",
        )
    }

    #[test]
    fn an_index_comes_before_netrc() {
        let credentials = credentials("https://u:p@a.org/simple/");
        for (asked, authorized) in [
            ("https://a.org/f.whl", "https://u:p@a.org/f.whl"),
            ("https://x:y@a.org/f.whl", "https://x:y@a.org/f.whl"),
            ("https://a.org:8443/f", "https://me:p%20w%22@a.org:8443/f"),
            ("https://b.org/f", "https://you:secret@b.org/f"),
            ("https://c.org/f", "https://c.org/f"),
            ("https://evil/f", "https://evil/f"),
        ] {
            assert_eq!(credentials.authorize(&url(asked)).as_str(), authorized);
        }
        assert_eq!(format!("{credentials:?}"), "Credentials(***)");
        assert_eq!(without(&url("https://u:p@a/b")).as_str(), "https://a/b");
    }

    #[test]
    fn nonsense_is_no_machine() {
        for text in [
            "machine",
            "machine a login",
            "\"",
            "\\",
            "macdef",
            "password x",
        ] {
            let _ = parse(text);
        }
    }
}
