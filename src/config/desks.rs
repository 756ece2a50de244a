//! That every desk which a manifest names is there.
//!
//! Owns this one comparison between two files: what `clawback.toml` calls a desk and what a manifest's
//! `fallback` asks for. A name that nobody serves would leave its tasks without a copy, unnoticed.

use crate::desks::Settings;
use crate::document::{Document, Problems};

/// Every manifest whose desk is not configured. Files that cannot be parsed are told elsewhere.
pub(super) fn unknown(manifests: &[(String, String)], desks: &Settings) -> Problems {
    let mut problems = Problems::default();
    for (file, text) in manifests {
        let Ok(document) = Document::parse(file, text) else {
            continue;
        };
        let root = document.root();
        if root.has("fallback")
            && let Some(fallback) = root.table("fallback")
            && let Some(desk) = fallback.string("desk")
            && !desks.knows(&desk.value)
        {
            fallback.report(
                desk.line,
                format!("no desk is called `{}`", desk.value),
                format!(
                    "use one of: {}; or add [desks.{}] to clawback.toml",
                    desks.names(),
                    desk.value
                ),
            );
        }
        let found = document.take_problems().0.into_iter();
        // A wrong type is told with the rest of the manifest.
        let found = found.filter(|problem| problem.message.starts_with("no desk is called"));
        problems.0.extend(found);
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f2_a_manifest_names_a_desk_that_is_there() {
        let toml = "[servicedesk]\nkind = \"servicenow\"\nurl = \"https://acme.service-now.com\"\n\
                    secret = \"local:desks/servicedesk\"\nusername = \"clawback\"\n";
        let document = Document::parse("clawback.toml", toml).expect("TOML");
        let desks = crate::desks::read(&document.root());
        assert!(document.take_problems().is_empty());
        let manifest = |desk: &str| {
            let text = format!("name = \"x\"\n[fallback]\nsteps = [\"a\"]\ndesk = \"{desk}\"\n");
            (format!("{desk}.toml"), text)
        };
        let files = ["built-in", "servicedesk", "helpdesk"].map(manifest);
        let found = unknown(&files, &desks);
        assert_eq!(found.0.len(), 1, "{found}");
        assert_eq!(
            (found.0[0].file.as_str(), found.0[0].line),
            ("helpdesk.toml", 4)
        );
        assert!(
            found.0[0].remedy.contains("built-in, servicedesk"),
            "{found}"
        );
    }
}
