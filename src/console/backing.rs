//! What the console needs of rooms that it may not name, as plain data behind one trait.
//!
//! Owns the shapes: connectors as their manifests declare them, how these stand to what was approved,
//! the ages of secrets, signed evidence, what the log's verification came to. `app` carries it out, by
//! the same calls as the command line. Decides nothing.

use std::fmt;

use async_trait::async_trait;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Serialize;

use crate::domain::approval::{Matter, Past, Signed};
use crate::domain::expiry::Alarm;
use crate::domain::health::Bounds;
use crate::domain::id::{CaseId, DeadLetterId, MessageId, TaskId};
use crate::domain::time::Timestamp;

/// One connector as its manifest declares it.
#[derive(Debug, Clone)]
pub struct ConnectorFact {
    /// Its name, and the target's.
    pub name: String,
    /// Its protocol.
    pub kind: String,
    /// What the target is for.
    pub purpose: String,
    /// Who answers for it.
    pub owner: String,
    /// Who answers when the owner is away.
    pub deputy: String,
    /// When the approval is to be looked at again.
    pub review_by: String,
    /// A target where access weighs more.
    pub privileged: bool,
    /// What it may do.
    pub operations: Vec<&'static str>,
    /// What its health is judged by.
    pub bounds: Bounds,
}

/// How one connector's manifest stands to what two people approved.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Governed {
    /// Which connector.
    pub connector: String,
    /// In words: `in force`, `waiting for approval`, …
    pub standing: String,
    /// True when somebody has to do something about it.
    pub wants_person: bool,
    /// SHA-256 of what is in force.
    pub in_force: Option<String>,
    /// When its approval ends.
    pub until: Option<Timestamp>,
    /// SHA-256 of what the file says.
    pub file: Option<String>,
    /// True when the file could be proposed.
    pub can_propose: bool,
    /// The proposal that waits.
    pub proposal: Option<Proposed>,
}

/// A proposal that waits for another person.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Proposed {
    /// SHA-256 of what is proposed.
    pub digest: String,
    /// Who proposes it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// The text as its author wrote it.
    pub text: String,
}

/// One line of what a file or proposal changes.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Change {
    /// `file` or `proposal`.
    pub from: String,
    /// Which setting.
    pub what: String,
    /// What it was; absent where it is new.
    pub was: Option<String>,
    /// What it becomes; absent where it goes.
    pub becomes: Option<String>,
    /// `narrowing`, `widening` or `neutral`.
    pub effect: String,
    /// Why it counts as that.
    pub why: String,
}

/// One secret that a manifest declares, without its value.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SecretFact {
    /// Whose.
    pub connector: String,
    /// `writer`, `verifier` or `rotator`.
    pub role: String,
    /// Where it lies.
    pub reference: String,
    /// Its age; absent where there is none.
    pub age_seconds: Option<u64>,
    /// The oldest that it may become.
    pub max_age_seconds: Option<u64>,
    /// When the target stops taking it, where that is known.
    pub expires: Option<Timestamp>,
    /// What is wrong with its time; told by the line's state.
    #[serde(skip)]
    pub alarm: Option<Alarm>,
    /// Why the vault does not tell of it, if it does not.
    pub unreadable: Option<String>,
    /// False where the access is a right of the process, and no vault is asked.
    pub is_needed: bool,
    /// True when the machine can replace it.
    pub can_rotate: bool,
    /// What is under way, in words; empty where nothing is.
    pub under_way: String,
}

/// The signed evidence of one case.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EvidenceFile {
    /// The file, exactly as it was signed; `clawback evidence verify` checks it offline.
    pub file: String,
    /// The same for people: a page of HTML that needs nothing else.
    pub page: String,
    /// The name of the key that signed it.
    pub key: String,
}

/// What reading the whole log came to.
#[derive(Debug, Clone)]
pub struct LogVerdict {
    /// True when everything is as it was written.
    pub whole: bool,
    /// In one line.
    pub words: String,
    /// What is not, and where.
    pub findings: Vec<String>,
}

/// Who left when, contained when, removed when, how proved.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ReportTable {
    /// The names of the columns, in order.
    pub columns: Vec<String>,
    /// One row for each account, or for each target in which nobody could look.
    pub rows: Vec<Vec<String>>,
    /// The same as CSV (RFC 4180).
    pub csv: String,
}

/// Why something was not done.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// What kind of reason.
    pub kind: TroubleKind,
    /// Stable code (`docs/errors.md`), where there is one.
    pub code: Option<String>,
    /// In words, without secrets.
    pub words: String,
}

/// What kind of reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// There is no such thing.
    NotFound,
    /// It conflicts with how things stand.
    Refused,
    /// A part does not answer; try again.
    Unavailable,
    /// It did not work.
    Failed,
}

/// What the console has done for it.
#[async_trait]
pub trait Backing: Send + Sync + fmt::Debug {
    /// All connectors that the files declare, by name.
    fn connectors(&self) -> Vec<ConnectorFact>;
    /// How every manifest stands.
    async fn governed(&self) -> Result<Vec<Governed>, Trouble>;
    /// What the file and the proposal change of what is in force.
    async fn changes(&self, connector: &str) -> Result<Vec<Change>, Trouble>;
    /// Everything that ever happened to a manifest.
    async fn history(&self, connector: &str) -> Result<Past, Trouble>;
    /// Proposes what the file says.
    async fn propose(&self, connector: &str, signed: &Signed) -> Result<String, Trouble>;
    /// Approves exactly the proposal with this digest.
    async fn approve(
        &self,
        connector: &str,
        digest: &str,
        signed: &Signed,
    ) -> Result<String, Trouble>;
    /// Turns the proposal down.
    async fn reject(&self, connector: &str, signed: &Signed) -> Result<String, Trouble>;
    /// Every declared secret with its age.
    async fn secrets(&self) -> Result<Vec<SecretFact>, Trouble>;
    /// The value of a secret of the platform itself, such as the client's at an identity provider.
    async fn platform_secret(&self, reference: &str) -> Result<SecretString, Trouble>;
    /// Proposes that what holds a task lets it go on, for so many hours; `None` when there is no such
    /// task.
    async fn propose_hold(
        &self,
        task: TaskId,
        hours: u64,
        signed: &Signed,
    ) -> Result<Option<String>, Trouble>;
    /// Asks the machine to try again what a matter holds; returns how many tasks.
    async fn try_again(&self, matter: &Matter, by: &str) -> Result<usize, Trouble>;
    /// The signed evidence of a case; `None` when there is no such case.
    async fn evidence(&self, case: CaseId) -> Result<Option<EvidenceFile>, Trouble>;
    /// Reads the whole log and every recorded row.
    async fn verify_log(&self) -> Result<LogVerdict, Trouble>;
    /// The report over cases whose access was to end from `from` on and before `to`.
    async fn report(&self, from: Timestamp, to: Timestamp) -> Result<ReportTable, Trouble>;
    /// Puts a dead letter into the outbox again; none where there is no such letter.
    async fn replay(&self, letter: DeadLetterId) -> Result<Option<MessageId>, Trouble>;
}
