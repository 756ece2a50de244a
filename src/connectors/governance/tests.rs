//! Who serves what: files and approvals in every combination, and the guards that follow.
//!
//! Connectors are real ones of kind `file`; nothing is asked of a target but a list beside the test.

use super::super::contract::Change;
use super::super::fixture::{Moved, credential};
use super::super::registry::drafts;
use super::super::written::matter;
use super::*;
use crate::domain::access::Operation;
use crate::domain::approval::{Content, Signed};
use crate::domain::outcome::FailureClass;
use crate::domain::time::after;
use crate::domain::verdict::CredentialRole;

const GATE: &str = r#"name = "gate"
kind = "file"
purpose = "Who may enter"
owner = "guards@acme.example"
deputy = "iam@acme.example"
review_by = "2099-03-31"
after_removal = "account_gone"
operations = ["list", "read", "delete"]
writes = ["*"]
[[correlation]]
identifier = "username"
attribute = "login"
decides = true
[credentials.writer]
secret = "none:writer"
[credentials.verifier]
secret = "none:verifier"
[fallback]
steps = ["Strike them off"]
[file]
path = "/nowhere/gate"
format = "lines"
"#;

fn narrower() -> String {
    GATE.replace(", \"delete\"]", "]").replace("[\"*\"]", "[]")
}

fn wider() -> String {
    GATE.replace("/nowhere/gate", "/elsewhere/gate")
}

fn draft(text: &str, clock: &Arc<dyn Clock>) -> Vec<Draft> {
    let files = [("gate.toml".to_owned(), text.to_owned())];
    drafts(&files, clock).unwrap_or_else(|problems| panic!("{problems}"))
}

fn bound(text: &str, clock: &Arc<dyn Clock>, seconds: u64) -> Binding {
    Binding {
        matter: matter(&"gate".into()),
        number: 1,
        content: draft(text, clock)[0].written.content.clone(),
        until: after(clock.now(), seconds),
        proposal: None,
        bound: Signed {
            by: "Bo".to_owned(),
            at: clock.now(),
            reason: "because".to_owned(),
        },
    }
}

struct Bench {
    roll: Roll,
    moved: Arc<Moved>,
    clock: Arc<dyn Clock>,
}

fn bench() -> Bench {
    let moved = Moved::new();
    Bench {
        roll: Roll::default(),
        clock: moved.clone(),
        moved,
    }
}

impl Bench {
    fn place(&mut self, file: Option<&str>, in_force: &[Binding]) -> Placed {
        let files = file.map_or_else(Vec::new, |text| draft(text, &self.clock));
        let placed = self.roll.place(&files, in_force, &self.clock);
        placed.unwrap_or_else(|problems| panic!("{problems}"));
        let placed = self.roll.get(&"gate".into());
        placed.expect("is there").clone()
    }
}

async fn delete(placed: &Placed) -> String {
    let change = Change {
        operation: Operation::Delete,
        account: "ada".into(),
        login: "ada".to_owned(),
        entitlement: None,
    };
    let writer = credential(CredentialRole::Writer, "");
    let failure = placed.guarded.write(&writer, &change).await;
    failure.expect_err("there is no such list").code
}

#[tokio::test]
async fn c4_what_was_never_approved_serves_nothing_and_is_still_owed() {
    let mut bench = bench();
    let placed = bench.place(Some(GATE), &[]);
    assert_eq!(placed.standing, Standing::Unapproved);
    assert_eq!(delete(&placed).await, "CB-GUARD-12");
    let verifier = credential(CredentialRole::Verifier, "");
    let failure = placed.guarded.list(&verifier).await.expect_err("barred");
    assert_eq!(failure.class, FailureClass::Refused);
    let estate = bench.roll.registry().estate();
    assert!(
        estate.connectors.contains_key(&"gate".into()),
        "every case asks for it"
    );
}

#[tokio::test]
async fn c4_a_wider_file_waits_and_what_was_approved_serves() {
    let mut bench = bench();
    let approved = bound(GATE, &bench.clock, 1000);
    let placed = bench.place(Some(&wider()), std::slice::from_ref(&approved));
    assert_eq!(placed.standing, Standing::Waiting);
    let under = placed.guarded.mandate().under.clone().expect("in force");
    assert_eq!(
        (under.digest, under.narrowed_by),
        (approved.content.digest.clone(), None)
    );
    let told = placed.differences();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].what, "file.path");
    // What the same file takes away is gone at once.
    let mixed = wider()
        .replace(", \"delete\"]", "]")
        .replace("[\"*\"]", "[]");
    let placed = bench.place(Some(&mixed), &[approved]);
    assert_eq!(placed.standing, Standing::Waiting);
    let under = placed.guarded.mandate().under.clone().expect("in force");
    assert!(under.narrowed_by.is_some());
    assert_eq!(delete(&placed).await, "CB-GUARD-1");
}

#[tokio::test]
async fn c4_a_narrower_file_binds_at_once() {
    let mut bench = bench();
    let approved = bound(GATE, &bench.clock, 1000);
    let placed = bench.place(Some(GATE), std::slice::from_ref(&approved));
    assert_eq!(placed.standing, Standing::InForce);
    assert_ne!(delete(&placed).await, "CB-GUARD-1");
    let placed = bench.place(Some(&narrower()), &[approved]);
    assert_eq!(placed.standing, Standing::Narrower);
    assert_eq!(delete(&placed).await, "CB-GUARD-1");
    let narrower_bound = bound(&narrower(), &bench.clock, 1000);
    let placed = bench.place(Some(&narrower()), &[narrower_bound]);
    assert_eq!(placed.standing, Standing::InForce);
}

#[tokio::test]
async fn c4_an_approval_that_ends_bars_the_connector_even_before_anyone_looks() {
    let mut bench = bench();
    let approved = bound(GATE, &bench.clock, 1000);
    let placed = bench.place(Some(GATE), std::slice::from_ref(&approved));
    bench.moved.advance(999);
    assert_ne!(delete(&placed).await, "CB-GUARD-13");
    bench.moved.advance(1);
    assert_eq!(delete(&placed).await, "CB-GUARD-13");
    let placed = bench.place(Some(GATE), &[approved]);
    assert_eq!(placed.standing, Standing::Expired);
    assert_eq!(delete(&placed).await, "CB-GUARD-13");
}

#[test]
fn a_missing_file_is_told_and_a_retired_connector_is_gone() {
    let mut bench = bench();
    let approved = bound(GATE, &bench.clock, 1000);
    let placed = bench.place(None, std::slice::from_ref(&approved));
    assert_eq!(placed.standing, Standing::FileMissing);
    let retired = Binding {
        content: super::super::written::retirement(),
        ..approved
    };
    let changed = bench
        .roll
        .place(&[], std::slice::from_ref(&retired), &bench.clock);
    assert_eq!(changed, Ok(vec!["gate".into()]));
    assert!(bench.roll.get(&"gate".into()).is_none());
    // A file of that name is a new connector, which nobody has approved.
    let placed = bench.place(Some(GATE), &[retired]);
    assert_eq!(placed.standing, Standing::Unapproved);
}

#[test]
fn a_guard_is_made_anew_only_where_something_changed() {
    let mut bench = bench();
    let approved = bound(GATE, &bench.clock, 1000);
    let first = bench.place(Some(GATE), std::slice::from_ref(&approved));
    let again = bench.place(Some(GATE), std::slice::from_ref(&approved));
    assert!(Arc::ptr_eq(&first.guarded, &again.guarded));
    let other = bench.place(Some(&wider()), &[approved]);
    assert!(!Arc::ptr_eq(&first.guarded, &other.guarded));
}

/// In force, and written for a version that is not this one.
fn foreign(clock: &Arc<dyn Clock>) -> Binding {
    Binding {
        content: Content {
            digest: "other".into(),
            text: format!("{GATE}[later]\nx = 1\n"),
        },
        ..bound(GATE, clock, 1000)
    }
}

#[test]
fn a_text_in_force_that_cannot_be_read_changes_nothing_of_what_serves() {
    let mut bench = bench();
    let approved = bound(GATE, &bench.clock, 1000);
    let before = bench.place(Some(GATE), std::slice::from_ref(&approved));
    let newer = foreign(&bench.clock);
    let after = bench.place(None, std::slice::from_ref(&newer));
    assert!(Arc::ptr_eq(&before.guarded, &after.guarded));
    // Where nothing is known of it, not even a file, it must not silently be left out.
    let mut anew = Roll::default();
    assert!(anew.place(&[], &[newer], &bench.clock).is_err());
    assert!(anew.get(&"gate".into()).is_none());
}

#[tokio::test]
async fn c4_a_text_in_force_that_cannot_be_read_bars_its_connector_alone() {
    let mut bench = bench();
    let newer = foreign(&bench.clock);
    let placed = bench.place(Some(GATE), std::slice::from_ref(&newer));
    assert_eq!(placed.standing, Standing::Unapproved);
    assert_eq!(delete(&placed).await, "CB-GUARD-18");
    let estate = bench.roll.registry().estate();
    assert!(estate.connectors.contains_key(&"gate".into()), "still owed");
    // Once the file is approved, it serves.
    let approved = bound(GATE, &bench.clock, 1000);
    let placed = bench.place(Some(GATE), std::slice::from_ref(&approved));
    assert_eq!(placed.standing, Standing::InForce);
}
