//! Where benches keep things, and other tools, which come from the package index.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

pub type Result<T> = std::result::Result<T, String>;

/// `target/bench`, where peers are kept and tables are written.
pub fn target() -> Result<Utf8PathBuf> {
    let folder = Utf8Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .ok_or("there is no target folder")?
        .join("bench");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{folder}: {error}"))?;
    Ok(folder)
}

/// A program of a package from the index, fetched with pip if it isn't there.
pub fn peer(package: &str, program: &str) -> Result<Utf8PathBuf> {
    let folder = target()?.join(package);
    let executable = folder.join("bin").join(program);
    if !executable.is_file() {
        let args = ["-m", "pip", "install", "--quiet", "--target"];
        let output = Command::new("python3")
            .args(args)
            .args([folder.as_str(), package])
            .output()
            .map_err(|error| format!("{package} cannot be fetched: python3: {error}"))?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{package} cannot be fetched: {}", told.trim()));
        }
    }
    match executable.is_file() {
        true => Ok(executable),
        false => Err(format!(
            "pip installed {package}, and there is no {executable}"
        )),
    }
}
