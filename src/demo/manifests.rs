//! The manifests of the simulated targets, for the addresses that they got.
//!
//! Owns the texts under `manifests/`, which are whole manifests but for their addresses. Does not
//! read them: that is the registry's part, with these as with any others.

use std::path::Path;

/// File name and text of each manifest.
pub(super) fn rendered(
    directory: &str,
    crm: &str,
    payroll: &Path,
    wiki: &Path,
) -> Vec<(String, String)> {
    let texts = [
        (
            "directory",
            include_str!("manifests/directory.toml"),
            directory.to_owned(),
        ),
        ("crm", include_str!("manifests/crm.toml"), crm.to_owned()),
        (
            "payroll",
            include_str!("manifests/payroll.toml"),
            payroll.display().to_string(),
        ),
        (
            "wiki",
            include_str!("manifests/wiki.toml"),
            wiki.display().to_string(),
        ),
    ];
    texts
        .into_iter()
        .map(|(name, text, place)| {
            let text = text.replace("{base_url}", &place).replace("{path}", &place);
            (format!("{name}.toml"), text)
        })
        .collect()
}
