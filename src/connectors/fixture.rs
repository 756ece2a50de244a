//! What the tests of this room share: a manifest, credentials and a clock that they move.
//!
//! Owns no behaviour of the product. The manifest is the shape of `docs/connectors`, with one field
//! and one deletion approved.

use std::sync::{Arc, Mutex};

use super::contract::Credential;
use super::manifest::Manifest;
use crate::document::Document;
use crate::domain::time::{Clock, Timestamp, after};
use crate::domain::verdict::CredentialRole;

/// A manifest of kind `scim` without its own table.
pub(crate) const CRM: &str = r#"
name = "crm"
kind = "scim"
purpose = "Customer records"
owner = "sales-it@acme.example"
deputy = "iam@acme.example"
review_by = "2027-03-31"
after_removal = "account_gone"
operations = ["list", "read", "disable", "revoke_entitlement", "delete"]
writes = ["active", "members", "*"]
[without]
end_sessions = "sessions end when active becomes false"
[[correlation]]
identifier = "employee_number"
attribute = "externalId"
decides = true
[credentials.writer]
secret = "local:crm/writer"
max_age_days = 90
rotation = "add"
[credentials.verifier]
secret = "local:crm/verifier"
[credentials.rotator]
secret = "local:crm/rotator"
[limits]
timeout_seconds = 5
requests_per_second = 100000
breaker_failures = 2
[expect]
accounts_min = 1
accounts_max = 1000
fields = ["userName", "active"]
[fallback]
deadline_hours = 24
steps = ["Sign in and delete the user"]
"#;

/// The manifest above.
pub(crate) fn crm() -> Manifest {
    let document = Document::parse("crm.toml", CRM).expect("syntax");
    let manifest = Manifest::read(&document.root());
    assert!(document.take_problems().is_empty());
    manifest
}

/// A credential with this secret.
pub(crate) fn credential(role: CredentialRole, secret: &str) -> Credential {
    Credential {
        role,
        version: 1,
        remote_ref: None,
        username: None,
        secret: secret.to_owned().into(),
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct Moved(Mutex<Timestamp>);

impl Moved {
    /// At a fixed instant.
    pub(crate) fn new() -> Arc<Self> {
        let start = Timestamp::from_second(1_800_000_000).expect("a time");
        Arc::new(Self(Mutex::new(start)))
    }

    /// Moves it forward.
    pub(crate) fn advance(&self, seconds: u64) {
        let mut now = self.0.lock().expect("not poisoned");
        *now = after(*now, seconds);
    }
}

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("not poisoned")
    }
}
