//! What a wrong manifest is told: everything, at once, by file and line.
//!
//! Owns the refusals of the registry, one test for each rule. Talks to no target.

use super::super::fixture::{CRM, Moved};
use super::*;

fn problems(file: &str, text: &str) -> Vec<(u32, String)> {
    let clock: Arc<dyn Clock> = Moved::new();
    Registry::load(&[(file.to_owned(), text.to_owned())], &clock)
        .expect_err("refused")
        .0
        .into_iter()
        .map(|problem| (problem.line, problem.message))
        .collect()
}

#[test]
fn c3_every_problem_of_a_manifest_is_told_at_once() {
    let text = r#"name = "CRM 1"
kind = "carrier-pigeon"
purpose = ""
owner = "a@acme.example"
deputy = "a@acme.example"
review_by = "soon"
after_removal = "gone"
operations = ["list", "disable", "create"]
writes = ["*"]
typo = 1
[without]
disable = "no need"
[[correlation]]
identifier = "email"
attribute = "email"
decides = true
[credentials.writer]
secret = "hunter2"
rotation = "add"
[credentials.verifier]
secret = "hunter2"
"#;
    let found = problems("crm.toml", text);
    let all = found
        .iter()
        .map(|(line, message)| format!("{line}: {message}"))
        .collect::<Vec<_>>()
        .join("\n");
    for expected in [
        "1: `name` is `CRM 1`",
        "1: `fallback` is missing",
        "2: unknown kind `carrier-pigeon`",
        "3: `purpose` is empty",
        "5: owner and deputy are the same",
        "6: `review_by` is `soon`",
        "7: `after_removal` is `gone`",
        "8: unknown operation `create`",
        "8: `operations` lacks \"read\"",
        "9: `writes` allows \"*\", the deletion of an account, but `operations` lacks \"delete\"",
        "9: an operation writes but `writes` names no field",
        "10: unknown key `typo`",
        "12: `disable` cannot be both done and not needed",
        "16: an e-mail address decides",
        "18: `credentials.writer.secret` is not a reference",
        "21: the verifier shares the secret",
    ] {
        assert!(all.contains(expected), "lacks {expected}:\n{all}");
    }
}

#[test]
fn c3_a_connector_without_a_verifier_of_its_own_cannot_be_loaded() {
    let without = CRM.replace(
        "[credentials.verifier]\nsecret = \"local:crm/verifier\"\n",
        "",
    );
    let found = problems("crm.toml", &without);
    let told = |needle: &str| found.iter().any(|(_, message)| message.contains(needle));
    assert!(told("`credentials.verifier` is missing"), "{found:?}");
    let shared = CRM.replace("local:crm/verifier", "local:crm/writer");
    let found = problems("crm.toml", &shared);
    let told = |needle: &str| found.iter().any(|(_, message)| message.contains(needle));
    assert!(told("shares the secret"), "{found:?}");
}

#[test]
fn a_file_is_called_as_its_connector() {
    let found = problems("other.toml", CRM);
    assert!(
        found.contains(&(2, "`name` is `crm`".to_owned())),
        "{found:?}"
    );
}

#[test]
fn b11_upstream_is_another_connector_that_there_is() {
    let upstream = |name: &str| {
        let table = format!("[upstream]\nconnector = \"{name}\"\nentitlement = \"app-crm\"\n");
        let text = CRM.replace("rotation = \"add\"\n", "");
        format!("{text}[scim]\nbase_url = \"https://crm.example/scim\"\n{table}")
    };
    for (name, expected) in [
        ("idp", "names `idp`, and there is no such manifest"),
        ("crm", "a connector is its own upstream"),
    ] {
        let found = problems("crm.toml", &upstream(name));
        let told = found.iter().any(|(_, message)| message.contains(expected));
        assert!(told, "{found:?}");
    }
}
