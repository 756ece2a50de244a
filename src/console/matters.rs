//! What else takes two people: whatever one person proposed and another approves or turns down.
//!
//! Owns these deeds and their handlers, for matters of every kind but manifests, which have pages of
//! their own. That the two are different people is decided in the domain and held by the store.

use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::api;
use super::backing::{Trouble, TroubleKind};
use super::deeds::{Approve, Outcome, Reason, whole};
use super::gate::Fields;
use super::office::{Office, Shared, Who};
use super::pages::{self, came_to};
use super::problem::Problem;
use super::view::{self, List};
use crate::domain::approval::{self, Disapproval, Proposal, Record, Ruling};
use crate::domain::id::{ContentDigest, ProposalId, TaskId};

/// An approval lasts no longer.
const MOST_HOURS: u64 = 24 * 90;

/// What is to be let through in spite of what holds it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Propose {
    /// For how many hours the approval is to last.
    #[schemars(range(min = 1, max = 2160))]
    #[serde(deserialize_with = "hours")]
    pub hours: u64,
    /// Why, in one's own words.
    #[schemars(length(min = 1, max = 500), regex(pattern = r"\S"))]
    pub reason: String,
}

/// A whole number however JSON writes it.
fn hours<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = whole(deserializer)?;
    number.ok_or_else(|| serde::de::Error::custom("`hours` is a whole number"))
}

type Answer = Result<Response, Problem>;

/// Digits of a digest that name it.
const DIGITS: usize = 8;

/// A disapproval names its code first.
fn trouble(disapproval: &Disapproval) -> Trouble {
    let words = disapproval.to_string();
    let (code, words) = words.split_once(": ").unwrap_or(("", &words));
    Trouble {
        kind: TroubleKind::Refused,
        code: (!code.is_empty()).then(|| code.to_owned()),
        words: words.to_owned(),
    }
}

/// The digest that is meant: the proposal's, where what was given is the beginning of it.
fn meant(proposal: &Proposal, given: &str) -> ContentDigest {
    let whole = &proposal.content.digest;
    if given.len() >= DIGITS && whole.as_str().starts_with(given) {
        whole.clone()
    } else {
        ContentDigest(given.to_owned())
    }
}

impl Office {
    async fn ruled(
        &self,
        who: &Who,
        what: &str,
        proposal: &Proposal,
        decide: impl Fn(&Record) -> Result<Ruling, Disapproval> + Send + Sync,
        words: &str,
    ) -> Result<Outcome, Problem> {
        let matter = &proposal.matter;
        let about = format!("{} {}", matter.kind.as_str(), matter.name);
        let ruled = self.store.rule(matter, &decide).await?;
        let told = ruled.map(|_| words.to_owned());
        let told = told.map_err(|disapproval| trouble(&disapproval));
        self.decided(who, what, &about, told).await
    }

    /// Approves exactly the proposal that was read.
    pub(super) async fn approve_matter(
        &self,
        who: &Who,
        id: ProposalId,
        given: &Approve,
    ) -> Result<Outcome, Problem> {
        let proposal = view::proposal(self, id).await?;
        let signed = self.signed(who, &given.reason)?;
        let digest = meant(&proposal, &given.digest);
        let matter = proposal.matter.clone();
        let decide = |record: &Record| approval::approve(record, &matter, &digest, signed.clone());
        let words = "approved; it binds from now on";
        let approved = self
            .ruled(who, "approve_matter", &proposal, decide, words)
            .await?;
        // What was held by it need not wait until the machine looks by itself.
        self.backing.try_again(&matter, &who.name).await?;
        Ok(approved)
    }

    /// Proposes that what holds a task lets it go on.
    pub(super) async fn propose_hold(
        &self,
        who: &Who,
        id: TaskId,
        given: &Propose,
    ) -> Result<Outcome, Problem> {
        if !(1..=MOST_HOURS).contains(&given.hours) {
            let words = format!("`hours` is a number from 1 to {MOST_HOURS}");
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Err(Problem::new(status, Some("CB-CONSOLE-6"), words));
        }
        let signed = self.signed(who, &given.reason)?;
        let proposed = self.backing.propose_hold(id, given.hours, &signed).await;
        let proposed = match proposed {
            Ok(None) => return Err(Problem::missing("task")),
            Ok(Some(words)) => Ok(words),
            Err(trouble) => Err(trouble),
        };
        self.decided(who, "propose_exception", &id.to_string(), proposed)
            .await
    }

    /// Turns a proposal down, or takes one's own back.
    pub(super) async fn reject_matter(
        &self,
        who: &Who,
        id: ProposalId,
        given: &Reason,
    ) -> Result<Outcome, Problem> {
        let proposal = view::proposal(self, id).await?;
        let signed = self.signed(who, &given.reason)?;
        let matter = proposal.matter.clone();
        let decide = |record: &Record| approval::reject(record, &matter, signed.clone());
        self.ruled(who, "reject_matter", &proposal, decide, "rejected")
            .await
    }
}

pub(super) async fn propose_form(
    State(office): State<Shared>,
    (Extension(who), Extension(fields)): (Extension<Who>, Extension<Fields>),
    Path(id): Path<TaskId>,
) -> Answer {
    let propose = Propose {
        hours: fields.get("hours").parse().unwrap_or(0),
        reason: fields.get("reason").to_owned(),
    };
    let proposed = office.propose_hold(&who, id, &propose).await;
    came_to(&format!("/tasks/{id}"), proposed)
}

pub(super) async fn propose(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<TaskId>,
    body: api::Body<Propose>,
) -> Answer {
    api::done(office.propose_hold(&who, id, &api::read(body)?).await)
}

pub(super) async fn approve_form(
    State(office): State<Shared>,
    (Extension(who), Extension(fields)): (Extension<Who>, Extension<Fields>),
    Path(id): Path<ProposalId>,
) -> Answer {
    let approve = Approve {
        digest: fields.get("digest").to_owned(),
        reason: fields.get("reason").to_owned(),
    };
    let approved = office.approve_matter(&who, id, &approve).await;
    came_to("/approvals", approved)
}

pub(super) async fn reject_form(
    State(office): State<Shared>,
    (Extension(who), Extension(fields)): (Extension<Who>, Extension<Fields>),
    Path(id): Path<ProposalId>,
) -> Answer {
    let rejected = office
        .reject_matter(&who, id, &pages::reason(&fields))
        .await;
    came_to("/approvals", rejected)
}

pub(super) async fn list(State(office): State<Shared>) -> Answer {
    let items = view::matters(&office).await?;
    api::json(&List::whole(items))
}

pub(super) async fn approve(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<ProposalId>,
    body: api::Body<Approve>,
) -> Answer {
    api::done(office.approve_matter(&who, id, &api::read(body)?).await)
}

pub(super) async fn reject(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<ProposalId>,
    body: api::Body<Reason>,
) -> Answer {
    api::done(office.reject_matter(&who, id, &api::read(body)?).await)
}
