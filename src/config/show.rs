//! The rows of `pyw config show`. How they are drawn is decided elsewhere.

use super::{Config, Origin, Setting};
use crate::sandbox::Network;
use crate::sandbox::limits::{format_duration, format_size};

/// One setting for people and for JSON. Lists have a row for each item, under the same key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    /// As in a configuration file; a runtime's path is `paths.NAME`.
    pub key: String,
    /// As in a configuration file; `None` where nothing is set.
    pub value: Option<String>,
    /// Its `Display` is the third column.
    pub from: Origin,
}

/// All settings in the order of the documentation. Empty lists have one row without a value, except
/// for `paths`.
#[must_use]
pub fn show_rows(config: &Config) -> Vec<Row> {
    fn row<T>(key: &str, setting: &Setting<T>, show: impl FnOnce(&T) -> Option<String>) -> Row {
        Row {
            key: key.to_owned(),
            value: show(&setting.value),
            from: setting.origin.clone(),
        }
    }
    fn items<T: ToString>(key: &str, settings: &[Setting<T>]) -> Vec<Row> {
        if settings.is_empty() {
            let nothing = Setting::default_of(());
            return vec![row(key, &nothing, |()| None)];
        }
        settings
            .iter()
            .map(|setting| row(key, setting, |item| Some(item.to_string())))
            .collect()
    }
    let mut rows = vec![
        row("runtime", &config.runtime, |choice| {
            Some(choice.to_string())
        }),
        row("runtimes", &config.runtimes, |names| {
            (!names.is_empty()).then(|| names.join(", "))
        }),
        row("python", &config.python, Clone::clone),
        row("store", &config.store, |store| {
            store.as_ref().map(ToString::to_string)
        }),
        row("offline", &config.offline, |offline| {
            Some(offline.to_string())
        }),
        row("snapshots", &config.snapshots, |snapshots| {
            Some(snapshots.to_string())
        }),
        row("network", &config.network, |network| {
            let word = match network {
                Network::None => "none",
                Network::Host => "host",
            };
            Some(word.to_owned())
        }),
        row("memory", &config.memory, |memory| memory.map(format_size)),
        row("stack", &config.stack, |stack| stack.map(format_size)),
        row("timeout", &config.timeout, |timeout| {
            timeout.map(format_duration)
        }),
        row("cpu-time", &config.cpu_time, |limit| {
            limit.map(format_duration)
        }),
        row("output-size", &config.output_size, |limit| {
            limit.map(format_size)
        }),
        row("tmp-size", &config.tmp_size, |limit| limit.map(format_size)),
        row("open-files", &config.open_files, |limit| {
            limit.map(|n| n.to_string())
        }),
        row("isolation", &config.isolation, |level| {
            level.map(|level| level.to_string())
        }),
        row("cwd", &config.cwd, Clone::clone),
    ];
    rows.extend(items("mounts", &config.mounts));
    rows.extend(items("env", &config.env));
    for (name, path) in &config.paths {
        rows.push(row(&format!("paths.{name}"), path, |path| {
            Some(path.to_string())
        }));
    }
    rows
}
