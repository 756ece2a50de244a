//! What takes two people: the database refuses what the program must not ask for.
//!
//! The rules themselves are the domain's, and most checks ask for what they would never decide.

use std::sync::Arc;

use super::super::{Store, StoreError};
use super::Home;
use super::domain::approval::{
    self, Binding, Content, Disapproval, Matter, MatterKind, Proposal, ProposalState, Record,
    Ruling, Signed,
};
use super::domain::id::ProposalId;
use super::given::at;

fn crm() -> Matter {
    Matter {
        kind: MatterKind::Manifest,
        name: "crm".to_owned(),
    }
}

fn content(digest: &str) -> Content {
    Content {
        digest: digest.into(),
        text: format!("text of {digest}"),
    }
}

fn by(name: &str, second: u64) -> Signed {
    Signed {
        by: name.to_owned(),
        at: at(second),
        reason: format!("{name} says so"),
    }
}

/// Rules on the one matter of these checks.
async fn ruled(
    store: &Arc<dyn Store>,
    decide: impl Fn(&Record) -> Result<Ruling, Disapproval> + Send + Sync,
) -> Result<Ruling, Disapproval> {
    store.rule(&crm(), &decide).await.expect("stored")
}

async fn proposed(store: &Arc<dyn Store>, digest: &str, second: u64) -> Ruling {
    let ruled = ruled(store, |record| {
        let until = at(1000 + second);
        approval::propose(record, &crm(), content(digest), until, by("Ada", second))
    });
    ruled.await.expect("proposed")
}

async fn approved(store: &Arc<dyn Store>, digest: &str, second: u64) -> Ruling {
    let ruled = ruled(store, |record| {
        approval::approve(record, &crm(), &digest.into(), by("Bo", second))
    });
    ruled.await.expect("approved")
}

async fn record(store: &Arc<dyn Store>) -> Record {
    let mut records = store.records(MatterKind::Manifest).await.expect("read");
    records.remove(&crm()).unwrap_or_default()
}

/// Asks for a ruling, expecting to be refused by this constraint, and shows that nothing changed.
async fn refused(
    store: &Arc<dyn Store>,
    name: &str,
    ruling: impl Fn(&Record) -> Ruling + Send + Sync,
) {
    let before = store.past(&crm()).await.expect("read");
    let done = store.rule(&crm(), &|record| Ok(ruling(record))).await;
    match done {
        Err(StoreError::Broken { constraint, .. }) => assert_eq!(constraint, name),
        other => panic!("{name} did not hold: {other:?}"),
    }
    assert_eq!(store.past(&crm()).await.expect("read"), before);
}

fn decided(record: &Record, state: ProposalState) -> Option<Proposal> {
    let open = record.open.clone();
    open.map(|open| Proposal { state, ..open })
}

/// What would bind if the open proposal were approved.
fn binding(record: &Record) -> Binding {
    let open = record.open.clone().expect("open");
    Binding {
        matter: crm(),
        number: open.over + 1,
        content: open.content,
        until: open.until,
        proposal: Some(open.id),
        bound: by("Bo", 9),
    }
}

pub async fn c4_what_was_approved_binds_and_is_remembered(home: &Home) {
    proposed(&home.store, "a", 1).await;
    let open = record(&home.store).await.open.expect("open");
    assert_eq!((open.content, open.over), (content("a"), 0));
    let ruling = approved(&home.store, "a", 2).await;
    let stands = record(&home.store).await;
    assert_eq!((stands.open, &stands.in_force), (None, &ruling.bound));
    // A narrower text follows it without a proposal, and lasts no longer.
    let narrower = ruled(&home.store, |record| {
        let worker = by("worker", 3);
        approval::narrow(record, &crm(), &"a".into(), content("b"), at(9999), worker)
    });
    narrower.await.expect("bound");
    let past = home.store.past(&crm()).await.expect("read");
    assert_eq!((past.proposals.len(), past.bindings.len()), (1, 2));
    assert_eq!(past.proposals[0].state.signed(), Some(&by("Bo", 2)));
    assert_eq!(past.bindings[1].until, past.bindings[0].until);
    let stands = record(&home.store).await;
    assert_eq!(stands.in_force.as_ref(), past.bindings.last());
}

pub async fn c4_a_disapproval_changes_nothing(home: &Home) {
    proposed(&home.store, "a", 1).await;
    let before = home.store.past(&crm()).await.expect("read");
    let refused = ruled(&home.store, |record| {
        approval::approve(record, &crm(), &"a".into(), by(" ADA", 2))
    });
    assert_eq!(
        refused.await,
        Err(Disapproval::SamePerson("Ada".to_owned()))
    );
    assert_eq!(home.store.past(&crm()).await.expect("read"), before);
}

pub async fn p_two_people_approve(home: &Home) {
    proposed(&home.store, "a", 1).await;
    for name in ["Ada", "aDA", " Ada "] {
        refused(&home.store, "promise_two_people", |record| Ruling {
            decided: decided(record, ProposalState::Approved(by(name, 2))),
            ..Ruling::default()
        })
        .await;
    }
}

pub async fn p_a_matter_has_one_open_proposal(home: &Home) {
    proposed(&home.store, "a", 1).await;
    refused(&home.store, "promise_one_open_proposal", |record| Ruling {
        opened: record.open.clone().map(|open| Proposal {
            id: ProposalId::of(&crm(), &"b".into(), &by("Cy", 2)),
            ..open
        }),
        ..Ruling::default()
    })
    .await;
    // A newer one takes the place of the older one.
    proposed(&home.store, "b", 3).await;
    let past = home.store.past(&crm()).await.expect("read");
    let states: Vec<_> = past
        .proposals
        .iter()
        .map(|one| one.state.as_str())
        .collect();
    assert_eq!(states, ["superseded", "open"]);
}

pub async fn p_only_what_was_approved_binds(home: &Home) {
    proposed(&home.store, "a", 1).await;
    let name = "promise_bound_as_approved";
    refused(&home.store, name, |record| Ruling {
        bound: Some(binding(record)),
        ..Ruling::default()
    })
    .await;
    let approve = |record: &Record, change: fn(Binding) -> Binding| Ruling {
        decided: decided(record, ProposalState::Approved(by("Bo", 2))),
        bound: Some(change(binding(record))),
        ..Ruling::default()
    };
    refused(&home.store, name, |record| {
        approve(record, |bound| Binding {
            content: content("b"),
            ..bound
        })
    })
    .await;
    refused(&home.store, name, |record| {
        approve(record, |bound| Binding {
            until: at(99_999),
            ..bound
        })
    })
    .await;
    refused(&home.store, "promise_narrows_what_binds", |record| {
        approve(record, |bound| Binding {
            proposal: None,
            ..bound
        })
    })
    .await;
    refused(&home.store, "promise_bound_once", |record| {
        approve(record, |bound| Binding { number: 2, ..bound })
    })
    .await;
}

pub async fn p_what_was_decided_and_what_bound_stays(home: &Home) {
    proposed(&home.store, "a", 1).await;
    let first = approved(&home.store, "a", 2).await;
    let again = first.decided.expect("decided");
    refused(&home.store, "promise_proposal_kept", |_| Ruling {
        decided: Some(Proposal {
            state: ProposalState::Rejected(by("Cy", 3)),
            ..again.clone()
        }),
        ..Ruling::default()
    })
    .await;
    let bound = first.bound.expect("bound");
    refused(&home.store, "promise_bound_once", |_| Ruling {
        bound: Some(bound.clone()),
        ..Ruling::default()
    })
    .await;
    // What follows without approval lasts no longer than what it follows.
    refused(&home.store, "promise_narrows_what_binds", |record| {
        let in_force = record.in_force.clone().expect("in force");
        Ruling {
            bound: Some(Binding {
                number: 2,
                until: at(99_999),
                proposal: None,
                ..in_force
            }),
            ..Ruling::default()
        }
    })
    .await;
}

pub async fn many_workers_bind_a_narrower_text_once(home: &Home) {
    proposed(&home.store, "a", 1).await;
    approved(&home.store, "a", 2).await;
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let store = home.store.clone();
        workers.spawn(async move {
            let worker = format!("worker {number}");
            let ruled = ruled(&store, |record| {
                let narrower = content("b");
                let signed = by(&worker, 3);
                approval::narrow(record, &crm(), &"a".into(), narrower, at(500), signed)
            });
            ruled.await.expect("binds").bound.is_some()
        });
    }
    let bound = workers.join_all().await;
    assert_eq!(bound.iter().filter(|bound| **bound).count(), 1);
    let past = home.store.past(&crm()).await.expect("read");
    assert_eq!(past.bindings.len(), 2);
}
