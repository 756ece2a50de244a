//! What takes two people: one proposes, another approves, and exactly that binds.
//!
//! Owns the terms of the two-person rule and its decisions, for whatever is decided that way;
//! connector manifests are the first matter, and others need a kind and nothing else. What binds is
//! a numbered row: nothing is changed, the newest counts. Pure: the store calls these functions in
//! its transaction, and its constraints hold the same rules once more. Knows no manifest.

use serde::{Deserialize, Serialize};

use super::correlation::same_name;
use super::id::{ContentDigest, ProposalId};
use super::time::Timestamp;

/// What kind of thing is decided about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatterKind {
    /// What a connector may do; named by the connector.
    Manifest,
    /// A removal that is held because of whom or what it would touch; named by case or removal.
    Protected,
    /// A brake that is lifted for a while; named by the brake.
    Brake,
    /// That a manifest serves events although it has passed no drill; named by the connector, and
    /// its content has the manifest's digest.
    DrillOverride,
}

impl MatterKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [
        Self::Manifest,
        Self::Protected,
        Self::Brake,
        Self::DrillOverride,
    ];

    /// The name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Protected => "protected",
            Self::Brake => "brake",
            Self::DrillOverride => "drill_override",
        }
    }

    /// The kind with this name.
    pub fn from_name(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One thing that is decided about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Matter {
    /// What kind.
    pub kind: MatterKind,
    /// Which of its kind.
    pub name: String,
}

/// What is decided: the text word for word, and the digest of what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Of the canonical form, so that a changed comment is no other content.
    pub digest: ContentDigest,
    /// As its author wrote it; empty means that there is to be no such thing any more.
    pub text: String,
}

impl Content {
    /// Of a text that is its own canonical form.
    pub fn of(text: String) -> Self {
        Self {
            digest: ContentDigest::of(&text),
            text,
        }
    }
}

/// Who said something, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    pub reason: String,
}

/// What one person wants to bind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its id.
    pub id: ProposalId,
    /// About what.
    pub matter: Matter,
    /// What is to bind.
    pub content: Content,
    /// The number of what was in force when it was made; 0 for nothing.
    pub over: u64,
    /// Until when an approval would last.
    pub until: Timestamp,
    /// Who proposes it.
    pub proposed: Signed,
    /// What became of it.
    pub state: ProposalState,
}

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalState {
    /// It waits.
    Open,
    /// Another person approved it.
    Approved(Signed),
    /// Somebody turned it down; who proposed it may take it back so.
    Rejected(Signed),
    /// A newer proposal took its place.
    Superseded(Signed),
}

impl ProposalState {
    /// The name in the store.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved(_) => "approved",
            Self::Rejected(_) => "rejected",
            Self::Superseded(_) => "superseded",
        }
    }

    /// Who decided, once somebody has.
    pub fn signed(&self) -> Option<&Signed> {
        match self {
            Self::Open => None,
            Self::Approved(signed) | Self::Rejected(signed) | Self::Superseded(signed) => {
                Some(signed)
            }
        }
    }
}

/// What binds, from its row until the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// About what.
    pub matter: Matter,
    /// Counted from 1 for each matter; the highest is in force.
    pub number: u64,
    /// What binds.
    pub content: Content,
    /// When it ceases to.
    pub until: Timestamp,
    /// The approved proposal; none where it permits no more than what it follows, which needs none.
    pub proposal: Option<ProposalId>,
    /// Who made it bind: the approver, or the worker that found the narrower text.
    pub bound: Signed,
}

impl Binding {
    /// True once its time is over.
    pub fn has_lapsed(&self, now: Timestamp) -> bool {
        now >= self.until
    }
}

/// Under which text a change was let through, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Under {
    /// What was in force.
    pub digest: ContentDigest,
    /// A text that waits for approval and has already taken something away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrowed_by: Option<ContentDigest>,
}

/// How a matter stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The proposal that waits; at most one.
    pub open: Option<Proposal>,
    /// The newest binding, whether or not it has lapsed.
    pub in_force: Option<Binding>,
}

/// Everything that ever happened to a matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Past {
    /// All proposals, in order of time.
    pub proposals: Vec<Proposal>,
    /// All bindings, by number.
    pub bindings: Vec<Binding>,
}

/// What a decision changes; nothing when all is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruling {
    /// The proposal that was open, as decided.
    pub decided: Option<Proposal>,
    /// The proposal that is open from now on.
    pub opened: Option<Proposal>,
    /// What binds from now on.
    pub bound: Option<Binding>,
}

/// Why nothing was decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disapproval {
    /// Nobody has proposed anything.
    #[error("CB-APPROVAL-1: nothing is proposed for {0}")]
    NothingOpen(String),
    /// The same person twice.
    #[error("CB-APPROVAL-2: {0} proposed it; somebody else has to approve it")]
    SamePerson(String),
    /// Another text than the one that was proposed.
    #[error("CB-APPROVAL-3: {shown} is not what was proposed, which is {proposed}")]
    OtherContent {
        /// What the approver means.
        shown: ContentDigest,
        /// What waits.
        proposed: ContentDigest,
    },
    /// What is in force is not what it was when the proposal was made.
    #[error("CB-APPROVAL-4: what is in force has changed since it was proposed; propose it anew")]
    Outdated,
    /// The approval would end before it begins.
    #[error("CB-APPROVAL-5: an approval would have ended at {0}; choose a later review date")]
    Over(Timestamp),
    /// It binds, or waits, already.
    #[error("CB-APPROVAL-6: {0} already")]
    AlreadySo(String),
    /// A name or a reason is empty.
    #[error("CB-APPROVAL-7: {0} is empty")]
    Unsigned(&'static str),
}

/// Proposes; a proposal that waits is superseded.
///
/// # Errors
/// When it binds or waits already, would have lapsed, or nobody stands for it.
pub fn propose(
    record: &Record,
    matter: &Matter,
    content: Content,
    until: Timestamp,
    proposed: Signed,
) -> Result<Ruling, Disapproval> {
    signed(&proposed)?;
    let now = proposed.at;
    if until <= now {
        return Err(Disapproval::Over(until));
    }
    let same = |other: &Content| other.digest == content.digest;
    let in_force = record.in_force.as_ref();
    if in_force.is_some_and(|bound| same(&bound.content) && !bound.has_lapsed(now)) {
        return Err(Disapproval::AlreadySo("it is in force".to_owned()));
    }
    let over = in_force.map_or(0, |bound| bound.number);
    if let Some(open) = &record.open
        && same(&open.content)
        && open.over == over
    {
        let by = &open.proposed.by;
        return Err(Disapproval::AlreadySo(format!("{by} has proposed it")));
    }
    let decided = record.open.clone().map(|open| Proposal {
        state: ProposalState::Superseded(proposed.clone()),
        ..open
    });
    let opened = Proposal {
        id: ProposalId::of(matter, &content.digest, &proposed),
        matter: matter.clone(),
        content,
        over,
        until,
        proposed,
        state: ProposalState::Open,
    };
    Ok(Ruling {
        decided,
        opened: Some(opened),
        bound: None,
    })
}

/// Approves what is open, if that is what the approver means; it binds from now on.
///
/// # Errors
/// When it was proposed by the same person, is something else, or is outdated.
pub fn approve(
    record: &Record,
    matter: &Matter,
    meant: &ContentDigest,
    approved: Signed,
) -> Result<Ruling, Disapproval> {
    signed(&approved)?;
    let open = open(record, matter)?;
    if same_person(&open.proposed.by, &approved.by) {
        return Err(Disapproval::SamePerson(open.proposed.by.clone()));
    }
    if open.content.digest != *meant {
        return Err(Disapproval::OtherContent {
            shown: meant.clone(),
            proposed: open.content.digest.clone(),
        });
    }
    let number = record.in_force.as_ref().map_or(0, |bound| bound.number);
    if open.over != number {
        return Err(Disapproval::Outdated);
    }
    if open.until <= approved.at {
        return Err(Disapproval::Over(open.until));
    }
    let bound = Binding {
        matter: matter.clone(),
        number: number + 1,
        content: open.content.clone(),
        until: open.until,
        proposal: Some(open.id),
        bound: approved.clone(),
    };
    let decided = Proposal {
        state: ProposalState::Approved(approved),
        ..open.clone()
    };
    Ok(Ruling {
        decided: Some(decided),
        opened: None,
        bound: Some(bound),
    })
}

/// Turns down what is open; whoever proposed it may do so too.
///
/// # Errors
/// When nothing is open, or nobody stands for it.
pub fn reject(record: &Record, matter: &Matter, rejected: Signed) -> Result<Ruling, Disapproval> {
    signed(&rejected)?;
    let decided = Proposal {
        state: ProposalState::Rejected(rejected),
        ..open(record, matter)?.clone()
    };
    Ok(Ruling {
        decided: Some(decided),
        ..Ruling::default()
    })
}

/// Binds a text that permits no more than the one with the digest `over`, which must be in force:
/// the caller has compared the two. Nothing changes if it binds already.
///
/// # Errors
/// When something else is in force by now, or nothing.
pub fn narrow(
    record: &Record,
    matter: &Matter,
    over: &ContentDigest,
    content: Content,
    until: Timestamp,
    bound: Signed,
) -> Result<Ruling, Disapproval> {
    let Some(in_force) = &record.in_force else {
        return Err(Disapproval::Outdated);
    };
    if in_force.content.digest == content.digest {
        return Ok(Ruling::default());
    }
    if in_force.content.digest != *over || in_force.has_lapsed(bound.at) {
        return Err(Disapproval::Outdated);
    }
    Ok(Ruling {
        bound: Some(Binding {
            matter: matter.clone(),
            number: in_force.number + 1,
            content,
            until: until.min(in_force.until),
            proposal: None,
            bound,
        }),
        ..Ruling::default()
    })
}

/// The end of what has no end, to the second: the last instant has no microsecond of its own.
pub fn never() -> Timestamp {
    Timestamp::from_second(Timestamp::MAX.as_second()).unwrap_or(Timestamp::MAX)
}

/// Names are claims; case and blanks around them make no second person.
pub fn same_person(one: &str, other: &str) -> bool {
    same_name(one, other)
}

fn open<'a>(record: &'a Record, matter: &Matter) -> Result<&'a Proposal, Disapproval> {
    let open = record.open.as_ref();
    open.ok_or_else(|| Disapproval::NothingOpen(matter.name.clone()))
}

fn signed(signed: &Signed) -> Result<(), Disapproval> {
    if signed.by.trim().is_empty() {
        return Err(Disapproval::Unsigned("the name"));
    }
    if signed.reason.trim().is_empty() {
        return Err(Disapproval::Unsigned("the reason"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
