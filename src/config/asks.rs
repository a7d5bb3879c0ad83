//! What a script's header or a project's file asks for beyond what every program gets. Asking is not
//! getting: [`crate::trust`] decides, or rather the user does.

use camino::{Utf8Path, Utf8PathBuf};

use super::excerpt::visible;
use super::{Config, Setting};
use crate::paths::real;
use crate::sandbox::mount::guest_path_of;
use crate::sandbox::{Access, EnvSpec, MountSpec, Network};
use crate::store::Sha256;

/// What one file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asks {
    /// The script, or the project's file.
    pub file: Utf8PathBuf,
    /// Folders and files of the host; hosts are absolute.
    pub mounts: Vec<Setting<MountSpec>>,
    /// Variables of the caller's environment.
    pub env: Vec<Setting<EnvSpec>>,
    /// The network.
    pub network: Option<Setting<Network>>,
}

impl Asks {
    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mounts.is_empty() && self.env.is_empty() && self.network.is_none()
    }

    /// What of it the user has not granted by the command line or the configuration. `open` are
    /// folders that every program sees.
    #[must_use]
    pub fn beyond(&self, config: &Config, open: &[Utf8PathBuf]) -> Asks {
        let access = |mount: &MountSpec| mount.access.unwrap_or(Access::Read);
        let guest = |mount: &MountSpec| match &mount.guest {
            Some(guest) => guest.clone(),
            None => guest_path_of(&real(&mount.host)),
        };
        let mounts = self.mounts.iter().filter(|asked| {
            let asked = &asked.value;
            let granted = config.mounts.iter().any(|Setting { value: given, .. }| {
                same(&given.host, &asked.host)
                    && guest(given) == guest(asked)
                    && (access(given) == Access::Write || access(asked) == Access::Read)
            });
            let leads_to = real(&asked.host);
            let is_open = access(asked) == Access::Read
                && guest(asked) == guest_path_of(&leads_to)
                && open.iter().any(|folder| leads_to.starts_with(folder));
            !granted && !is_open
        });
        let env = self.env.iter().filter(|asked| {
            let name = &asked.value.name;
            !config.env.iter().any(|given| given.value.name == *name)
        });
        Asks {
            file: self.file.clone(),
            mounts: mounts.cloned().collect(),
            env: env.cloned().collect(),
            network: self
                .network
                .clone()
                .filter(|asked| asked.value != config.network.value),
        }
    }

    /// Grants all of it. What the user says counts for more where the two contradict each other.
    pub fn grant(self, config: &mut Config) {
        config.mounts.extend(self.mounts);
        // In front, since later ones replace earlier ones.
        config.env.splice(0..0, self.env);
        if let Some(network) = self.network {
            config.network = network;
        }
    }

    /// Each thing that is asked for, as a user reads it, with the flag that would grant it.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        for Setting { value: mount, .. } in &self.mounts {
            let verb = match mount.access {
                Some(Access::Write) => "write",
                _ => "read",
            };
            let place = match &mount.guest {
                Some(guest) => format!(" as {guest}"),
                None => String::new(),
            };
            let colon = |text: &str| format!(":{text}");
            // Whoever agrees to it must see what it is, behind links and `..`.
            let host = real(&mount.host);
            let flag = format!(
                "--mount {host}{}{}",
                mount.guest.as_deref().map(colon).unwrap_or_default(),
                if verb == "write" { ":rw" } else { "" }
            );
            rows.push((format!("{verb} {host}{place}"), flag));
        }
        for Setting {
            value: variable, ..
        } in &self.env
        {
            let name = &variable.name;
            rows.push((format!("see your variable {name}"), format!("--env {name}")));
        }
        if self.network.is_some() {
            rows.push(("reach the network".to_owned(), "--network host".to_owned()));
        }
        // A stranger wrote this, and it goes to a terminal on which the user decides.
        let plain = |text: String| text.chars().map(visible).collect();
        rows.into_iter()
            .map(|(what, flag)| (plain(what), plain(flag)))
            .collect()
    }

    /// The digest of what is asked for: another request is another digest.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        let mounts = self.mounts.iter().map(|Setting { value: mount, .. }| {
            let host = real(&mount.host);
            format!("mount {host:?} {:?} {:?}\n", mount.guest, mount.access)
        });
        let env = self.env.iter();
        let env = env.map(|Setting { value, .. }| format!("env {:?}\n", value.name));
        let network = self.network.iter();
        let network = network.map(|Setting { value, .. }| format!("network {value:?}\n"));
        let text: String = mounts.chain(env).chain(network).collect();
        Sha256::of(text.as_bytes())
    }
}

fn same(a: &Utf8Path, b: &Utf8Path) -> bool {
    real(a) == real(b)
}
