//! The manifest of the scripted target.
//!
//! Owns its text, which tests change before it is read, and its reading. The target itself is `ward`.

use crate::connectors::Manifest;
use crate::document::Document;

/// The leaver's number, which decides whose an account is.
pub(super) const NUMBER: &str = "employeeNumber";

/// A manifest that expects a survey in every 60 s; `more` goes to its `[expect]`.
pub(super) fn manifest(more: &str, privileged: bool) -> Manifest {
    approved(&text(more, privileged))
}

/// The same as its owner wrote it.
pub(super) fn text(more: &str, privileged: bool) -> String {
    format!(
        r#"
name = "crm"
kind = "rest"
purpose = "Customer records"
owner = "owner@acme.example"
deputy = "deputy@acme.example"
review_by = "2099-12-31"
fed_by = "hr-sync"
privileged = {privileged}
after_removal = "account_gone"
operations = ["list", "read", "delete"]
writes = ["*"]
[without]
disable = "deletion does it"
end_sessions = "there are none"
revoke_entitlement = "deletion does it"
revoke_credential = "deletion does it"
[[correlation]]
identifier = "employee_number"
attribute = "{NUMBER}"
decides = true
[credentials.writer]
secret = "none:crm-writer"
[credentials.verifier]
secret = "none:crm-verifier"
[expect]
refresh_seconds = 60
{more}
[fallback]
deadline_hours = 48
steps = ["by hand"]
"#
    )
}

/// What this text says.
pub(super) fn approved(text: &str) -> Manifest {
    let document = Document::parse("crm.toml", text).expect("syntax");
    let manifest = Manifest::read(&document.root());
    let problems = document.take_problems();
    assert!(problems.is_empty(), "{problems:?}");
    manifest
}
