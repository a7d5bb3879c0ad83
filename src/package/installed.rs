//! The packages that an interpreter brings in its own site-packages.

use camino::Utf8Path;

use super::metadata::Metadata;

/// Reads the metadata of all packages in a folder, sorted by name. What cannot be read is no
/// package.
#[must_use]
pub fn in_folder(site_packages: &Utf8Path) -> Vec<Metadata> {
    let Ok(listing) = site_packages.read_dir_utf8() else {
        return Vec::new();
    };
    let mut found: Vec<Metadata> = listing
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let file = match entry.path().extension()? {
                "dist-info" => "METADATA",
                "egg-info" => "PKG-INFO",
                _ => return None,
            };
            let bytes = std::fs::read(entry.path().join(file)).ok()?;
            Metadata::parse(&bytes).ok()
        })
        .collect();
    found.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    found
}
