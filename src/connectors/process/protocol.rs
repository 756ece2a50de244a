//! The lines that Clawback and the program of a `process` connector say to each other.
//!
//! Owns the shapes of protocol 1, as `docs/connectors/process.md` documents them: one JSON object
//! on each line. What the program says is read strictly: an unknown word is a misunderstanding, and
//! a misunderstanding proves nothing. Sends and reads nothing itself.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::settings::Settings;
use crate::connectors::{Change, Credential, MintOrder};
use crate::domain::access::{Account, AccountState, Entitlement, EntitlementKind};
use crate::domain::id::AccountId;
use crate::domain::outcome::FailureClass;
use crate::domain::verdict::CredentialRole;

/// What the program is asked for in one call.
#[derive(Debug, Clone)]
pub enum Task<'a> {
    /// All accounts.
    List,
    /// One account with all its entitlements.
    Read(&'a AccountId),
    /// One change.
    Write(&'a Change),
    /// The smallest real work with the credential.
    Try,
    /// A new secret of the connector's own.
    Mint(&'a MintOrder),
    /// The connector's own secrets of one role.
    Minted(CredentialRole),
    /// One of them to be taken away.
    Retire(CredentialRole, &'a str),
}

impl Task<'_> {
    /// The name in the first line, and in the record.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Read(_) => "read",
            Self::Write(change) => change.operation.as_str(),
            Self::Try => "try_credential",
            Self::Mint(_) => "mint",
            Self::Minted(_) => "minted",
            Self::Retire(..) => "retire",
        }
    }

    fn particulars(&self) -> Value {
        match self {
            Self::List | Self::Try => json!({}),
            Self::Read(account) => json!({ "account": account }),
            Self::Write(change) => json!({
                "account": change.account,
                "login": change.login,
                "entitlement": change.entitlement,
            }),
            Self::Mint(order) => json!({
                "role": order.role,
                "label": order.label,
                "chosen": order.chosen.as_ref().map(ExposeSecret::expose_secret),
            }),
            Self::Minted(role) => json!({ "role": role }),
            Self::Retire(role, remote_ref) => json!({ "role": role, "remote_ref": remote_ref }),
        }
    }
}

/// The first line: everything that the program needs. Holds the credential; never logged.
pub fn opening(settings: &Settings, credential: &Credential, task: &Task<'_>) -> String {
    let line = json!({
        "clawback": 1,
        "connector": settings.connector,
        "do": task.as_str(),
        "with": task.particulars(),
        "options": settings.options,
        "credential": {
            "role": credential.role,
            "username": credential.username,
            "remote_ref": credential.remote_ref,
            "secret": credential.secret.expose_secret(),
        },
    });
    format!("{line}\n")
}

/// The answer to an `ask` that was let through. One that was not ends the program.
pub const GRANTED: &str = "{\"granted\":true}\n";

/// One line of the program.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// May this request be sent?
    Ask(Ask),
    /// One account.
    Account(WireAccount),
    /// One of the connector's own secrets, without its value.
    Secret(WireSecret),
    /// The call has ended well.
    Done(Done),
    /// The call has failed.
    Failed(Failed),
}

/// A request that the program wants to send.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The account it names, if it is not the one of the call.
    #[serde(default)]
    pub account: Option<AccountId>,
    /// Every field that it writes; none for a read, `*` for a deletion.
    #[serde(default)]
    pub writes: Vec<String>,
    /// Method and place without secrets.
    pub line: String,
}

/// An account as a program tells it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireAccount {
    id: AccountId,
    login: String,
    #[serde(default)]
    display_name: Option<String>,
    state: AccountState,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    entitlements: Vec<WireEntitlement>,
    #[serde(default)]
    sessions: Option<u64>,
    #[serde(default)]
    privileged: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireEntitlement {
    id: crate::domain::id::EntitlementId,
    kind: EntitlementKind,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    inherited_from: Option<String>,
}

impl From<WireAccount> for Account {
    fn from(told: WireAccount) -> Self {
        let entitlements = told.entitlements.into_iter().map(|one| Entitlement {
            name: one.name.unwrap_or_else(|| one.id.as_str().to_owned()),
            id: one.id,
            kind: one.kind,
            inherited_from: one.inherited_from,
        });
        Self {
            entitlements: entitlements.collect(),
            id: told.id,
            login: told.login,
            display_name: told.display_name,
            state: told.state,
            attributes: told.attributes,
            sessions: told.sessions,
            further: BTreeMap::new(),
            privileged: told.privileged,
        }
    }
}

/// One of the connector's own secrets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireSecret {
    /// The target's id.
    pub remote_ref: String,
    /// The label under which it was made.
    pub label: String,
}

/// How a call ended well.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// To a change: `accepted` or `absent`.
    #[serde(default)]
    pub answer: Option<Word>,
    /// To a read: whether every page was read. Nothing said means no.
    #[serde(default)]
    pub pages_closed: bool,
    /// To a read: whether something was withheld for lack of permission. Nothing said means yes.
    #[serde(default = "yes")]
    pub permission_cut: bool,
    /// To a read: how old the data are where the target serves a copy.
    #[serde(default)]
    pub data_age_seconds: u64,
    /// To a read: how, for an auditor.
    #[serde(default)]
    pub method: Option<String>,
    /// To `mint`: the new value, unless it was chosen.
    #[serde(default)]
    pub secret: Option<secrecy::SecretString>,
    /// To `mint`: the target's id of it.
    #[serde(default)]
    pub remote_ref: Option<String>,
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Done")
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

fn yes() -> bool {
    true
}

/// The target's answer to a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Yes.
    Accepted,
    /// There was nothing to change.
    Absent,
}

/// How a call failed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// Decides the fate.
    pub class: FailureClass,
    /// For a person.
    pub message: String,
    /// Seconds that the target asked to wait.
    #[serde(default)]
    pub retry_after_seconds: Option<u64>,
}

/// Reads one line.
///
/// # Errors
/// What is not as documented, in words without the line's content.
pub fn read(line: &[u8]) -> Result<Line, String> {
    // The parser's own words may quote what was said, and what was said may be a secret.
    serde_json::from_slice(line).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            format!("column {}: not a line of protocol 1", error.column())
        }
        _ => format!("column {}: not JSON", error.column()),
    })
}
