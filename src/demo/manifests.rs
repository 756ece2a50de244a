//! The manifests of the simulated targets, for the addresses that they got.
//!
//! Owns the texts under `manifests/`, which are whole manifests but for their addresses, and how many
//! accounts a company of another size is believed to have. Does not read them: that is the registry's
//! part, with these as with any others.

use std::path::Path;

/// The size of company for which the texts say how many accounts are believed.
const USUAL: usize = 60;

/// File name and text of each manifest.
pub(super) fn rendered(
    directory: &str,
    crm: &str,
    payroll: &Path,
    wiki: &Path,
    employees: usize,
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
            (format!("{name}.toml"), sized(&text, employees))
        })
        .collect()
}

/// The text with the band of accounts for so many people: a small company is believed with fewer, a
/// big one with more.
fn sized(text: &str, employees: usize) -> String {
    let number = |line: &str, key: &str| -> Option<usize> {
        line.strip_prefix(key)?.strip_prefix(" = ")?.parse().ok()
    };
    let line = |line: &str| {
        if let Some(least) = number(line, "accounts_min") {
            let scaled = least.saturating_mul(employees) / USUAL;
            format!("accounts_min = {}\n", scaled.clamp(1, least))
        } else if let Some(most) = number(line, "accounts_max") {
            let scaled = employees.saturating_mul(4);
            format!("accounts_max = {}\n", scaled.max(most))
        } else {
            format!("{line}\n")
        }
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_company_is_believed_with_fewer_accounts_and_a_big_one_with_more() {
        let text = "a = 1\naccounts_min = 10\naccounts_max = 1000\n";
        assert_eq!(sized(text, 60), text);
        assert!(sized(text, 5).contains("accounts_min = 1\n"));
        assert!(sized(text, 30).contains("accounts_min = 5\n"));
        assert!(sized(text, 5000).contains("accounts_min = 10\naccounts_max = 20000\n"));
    }
}
