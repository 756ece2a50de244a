//! What is on paper: approvals, dead letters, the ages of secrets, and who did what.
//!
//! Owns how these are shown. A dead letter's bytes are shown as text where they are text; a secret is
//! shown by its reference and age alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::backing::{Change, Governed, SecretFact};
use super::super::office::Office;
use super::super::problem::Problem;
use super::List;
use crate::domain::approval::{Past, Signed};
use crate::domain::expiry::Alarm;
use crate::domain::id::DeadLetterId;
use crate::domain::time::Timestamp;
use crate::domain::user::Act;
use crate::store::{ActFilter, DeadLetter, Letters};

/// How one connector's manifest stands, with what would change and what was.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct ApprovalView {
    #[serde(flatten)]
    pub stands: Governed,
    /// What the file and the proposal change of what is in force.
    pub changes: Vec<Change>,
    /// Everything that ever happened to it, newest first.
    pub past: Vec<MomentView>,
}

/// One thing that happened to a manifest.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct MomentView {
    pub at: Timestamp,
    /// `proposed`, `approved`, `binds, number 3`, …
    pub what: String,
    pub digest: String,
    pub by: String,
    pub reason: String,
}

/// One connector's approval.
pub(in super::super) async fn approval(
    office: &Office,
    connector: &str,
) -> Result<ApprovalView, Problem> {
    let all = office.backing.governed().await?;
    let stands = all.into_iter().find(|one| one.connector == connector);
    let stands = stands.ok_or_else(|| Problem::missing("connector"))?;
    Ok(ApprovalView {
        changes: office.backing.changes(connector).await?,
        past: moments(&office.backing.history(connector).await?),
        stands,
    })
}

fn moments(past: &Past) -> Vec<MomentView> {
    let moment = |signed: &Signed, what: String, digest: &str| MomentView {
        at: signed.at,
        what,
        digest: digest.to_owned(),
        by: signed.by.clone(),
        reason: signed.reason.clone(),
    };
    let mut moments = Vec::new();
    for proposal in &past.proposals {
        let digest = proposal.content.digest.as_str();
        moments.push(moment(&proposal.proposed, "proposed".to_owned(), digest));
        if let Some(signed) = proposal.state.signed() {
            moments.push(moment(signed, proposal.state.as_str().to_owned(), digest));
        }
    }
    for binding in &past.bindings {
        let how = if binding.proposal.is_some() {
            "binds"
        } else {
            "binds as narrower"
        };
        let what = format!("{how}, number {}", binding.number);
        moments.push(moment(
            &binding.bound,
            what,
            binding.content.digest.as_str(),
        ));
    }
    // Stable: what was written for one moment keeps its order.
    moments.sort_by_key(|moment| moment.at);
    moments.reverse();
    moments
}

/// One line of a list of dead letters.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct LetterLine {
    pub id: uuid::Uuid,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Heading in `docs/errors.md`.
    pub code: String,
    pub reason: String,
    pub first_seen: Timestamp,
    pub replayed: Option<Timestamp>,
    /// Who said that nothing needs to come of it.
    pub aside: Option<AsideView>,
}

/// Who set a letter aside, when and why.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct AsideView {
    pub at: Timestamp,
    pub by: String,
    pub reason: String,
}

/// One dead letter, whole.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct LetterView {
    #[serde(flatten)]
    pub line: LetterLine,
    /// False where it stands for messages that were deleted before they were read: none can be sent again.
    pub has_message: bool,
    pub key: Option<String>,
    pub headers: Vec<String>,
    /// As text; what is no text is shown with replacement characters.
    pub payload: String,
    pub payload_bytes: usize,
}

fn line(letter: &DeadLetter) -> LetterLine {
    LetterLine {
        id: letter.id.0,
        topic: letter.origin.topic.clone(),
        partition: letter.origin.partition,
        offset: letter.origin.offset,
        code: letter.code.clone(),
        reason: letter.reason.clone(),
        first_seen: letter.first_seen,
        replayed: letter.replayed,
        aside: letter.aside.as_ref().map(|signed| AsideView {
            at: signed.at,
            by: signed.by.clone(),
            reason: signed.reason.clone(),
        }),
    }
}

/// Dead letters, newest first.
pub(in super::super) async fn letters(
    office: &Office,
    which: Letters,
    limit: u32,
) -> Result<List<LetterLine>, Problem> {
    let letters = office.store.dead_letters(which, limit + 1).await?;
    Ok(List::first(letters.iter().map(line).collect(), limit))
}

/// One dead letter.
pub(in super::super) async fn letter(
    office: &Office,
    id: DeadLetterId,
) -> Result<LetterView, Problem> {
    let letter = office.store.dead_letter(id).await?;
    let letter = letter.ok_or_else(|| Problem::missing("dead letter"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = letter.headers.iter();
    Ok(LetterView {
        line: line(&letter),
        has_message: letter.has_message(),
        key: letter.key.as_deref().map(text),
        headers: headers
            .map(|(name, value)| format!("{name}: {}", text(value)))
            .collect(),
        payload: text(&letter.payload),
        payload_bytes: letter.payload.len(),
    })
}

/// One secret.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct SecretLine {
    #[serde(flatten)]
    pub fact: SecretFact,
    /// `unreadable`, `missing`, `ended`, `ends soon` (its replacement is overdue), `too old`, `due soon`
    /// (past nine tenths of its age), `needs none` or `in order`.
    pub state: String,
}

/// Every declared secret, by connector.
pub(in super::super) async fn secrets(office: &Office) -> Result<List<SecretLine>, Problem> {
    let facts = office.backing.secrets().await?.into_iter();
    let items = facts.map(|fact| {
        let share = fact.age_seconds.zip(fact.max_age_seconds);
        let state = match fact.alarm {
            _ if fact.unreadable.is_some() => "unreadable",
            Some(Alarm::Missing) => "missing",
            Some(Alarm::Ended) => "ended",
            Some(Alarm::EndsSoon) => "ends soon",
            Some(Alarm::TooOld) => "too old",
            None if !fact.is_needed => "needs none",
            None if share.is_some_and(|(age, most)| age > most / 10 * 9) => "due soon",
            None => "in order",
        };
        SecretLine {
            state: state.to_owned(),
            fact,
        }
    });
    Ok(List::whole(items.collect()))
}

/// Which acts to list.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub(in super::super) struct ActsAsked {
    /// Only of this person.
    pub by: Option<String>,
    /// Only about this.
    pub about: Option<String>,
    /// Only those written before this number.
    #[schemars(range(min = 0, max = 9_223_372_036_854_775_807_i64))]
    pub before: Option<u64>,
    /// At most so many.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
}

/// Something that somebody did, or tried.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct ActLine {
    /// Its place in the record.
    pub number: u64,
    pub at: Timestamp,
    pub by: String,
    /// An address, or `cli`.
    pub from: String,
    pub what: String,
    pub about: String,
    /// `done`, or why not.
    pub came_to: String,
}

/// Who did what, newest first.
pub(in super::super) async fn acts(
    office: &Office,
    asked: &ActsAsked,
) -> Result<List<ActLine>, Problem> {
    let limit = asked.limit.unwrap_or(100).min(1000);
    let filter = ActFilter {
        by: asked.by.clone().filter(|by| !by.is_empty()),
        about: asked.about.clone().filter(|about| !about.is_empty()),
        before: asked
            .before
            .map(|before| before.min(i64::MAX.unsigned_abs())),
        limit: limit + 1,
    };
    let acts = office.store.acts(&filter).await?.into_iter();
    let items = acts.map(|(number, act): (u64, Act)| ActLine {
        number,
        at: act.at,
        by: act.by,
        from: act.from,
        what: act.what,
        about: act.about,
        came_to: act.came_to,
    });
    Ok(List::first(items.collect(), limit))
}
