//! What the kinds' own tests share: a gate that notes what it let through, and credentials.
//!
//! Owns test parts only. The gate judges by nothing but a list of forbidden fields, so that a test
//! of a kind shows what the kind renders; the guard's own rules are tested with the guard.

use std::sync::Mutex;

use secrecy::SecretString;

use super::{Call, Change, Credential, Gate, RenderedRequest};
use crate::domain::access::{Entitlement, EntitlementKind, Operation};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::verdict::CredentialRole;

/// Lets everything through that writes no forbidden field, and remembers it.
#[derive(Debug, Default)]
pub struct Recorder {
    seen: Mutex<Vec<RenderedRequest>>,
    forbidden: Vec<String>,
}

impl Recorder {
    /// Refuses requests that write one of these fields.
    pub fn forbidding(fields: &[&str]) -> Self {
        Self {
            seen: Mutex::default(),
            forbidden: fields.iter().map(ToString::to_string).collect(),
        }
    }

    /// What was judged so far, and starts afresh.
    pub fn take(&self) -> Vec<RenderedRequest> {
        std::mem::take(&mut self.seen.lock().expect("not poisoned"))
    }

    /// Only what writes.
    pub fn take_writes(&self) -> Vec<RenderedRequest> {
        let mut seen = self.take();
        seen.retain(|request| !request.writes.is_empty());
        seen
    }

    /// A call with this credential.
    pub fn call<'a>(&'a self, credential: &'a Credential) -> Call<'a> {
        Call {
            credential,
            login: None,
            last: None,
            trial: false,
            gate: self,
        }
    }

    /// The same for a change of nobody, which tries what the credential may do.
    pub fn trial<'a>(&'a self, credential: &'a Credential) -> Call<'a> {
        Call {
            trial: true,
            ..self.call(credential)
        }
    }
}

#[async_trait::async_trait]
impl Gate for Recorder {
    fn judge(&self, request: &RenderedRequest) -> Result<(), Failure> {
        self.seen
            .lock()
            .expect("not poisoned")
            .push(request.clone());
        match self.forbidden.iter().find(|f| request.writes.contains(*f)) {
            Some(field) => Err(Failure::new(FailureClass::Refused, "CB-TEST-1", field)),
            None => Ok(()),
        }
    }
}

/// A credential of this role.
pub fn credential(role: CredentialRole, username: Option<&str>, secret: &str) -> Credential {
    Credential {
        role,
        version: 1,
        remote_ref: None,
        username: username.map(ToOwned::to_owned),
        secret: SecretString::from(secret),
    }
}

/// A change of the account whose login is `login`.
pub fn change(operation: Operation, account: &str, login: &str) -> Change {
    Change {
        operation,
        account: account.into(),
        login: login.to_owned(),
        entitlement: None,
    }
}

/// The taking of one entitlement.
pub fn taking(account: &str, login: &str, entitlement: &str) -> Change {
    Change {
        entitlement: Some(Entitlement {
            id: entitlement.into(),
            kind: EntitlementKind::Group,
            name: entitlement.to_owned(),
            inherited_from: None,
        }),
        ..change(Operation::RevokeEntitlement, account, login)
    }
}

/// The manifest that a page of `docs/connectors` shows, with the file name that it needs.
pub fn manifest_in(page: &str) -> (String, String) {
    let mut all = manifests_in(page).into_iter();
    all.next().expect("a block of TOML")
}

/// Every manifest that a page shows.
pub fn manifests_in(page: &str) -> Vec<(String, String)> {
    let file = |block: &str| {
        let text = block.split("```").next().expect("it is closed");
        let name = text.lines().find_map(|line| line.strip_prefix("name = "));
        let name = name.expect("a name").trim_matches('"');
        (format!("{name}.toml"), text.to_owned())
    };
    page.split("```toml\n").skip(1).map(file).collect()
}

/// The tests that the table of truths on a page of `docs/connectors` names, one in each cell.
pub fn truths_in(page: &str) -> Vec<String> {
    let (_, table) = page.split_once("## Truths").expect("a table of truths");
    let rows = table.lines().filter(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.map(ToOwned::to_owned).collect()
}
