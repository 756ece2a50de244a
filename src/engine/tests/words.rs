//! A case is known no better than its parts: what ends on a person's word ends no case verified.
//!
//! Owns what a case comes to when a search of one target was attested and the rest is proved. How a
//! task is closed is `tasks` and `people`.

use std::collections::BTreeMap;

use super::given::{self, CRM, attested, facts};
use super::play::Play;
use super::target::Target;
use crate::domain::id::ConnectorName;
use crate::domain::outcome::FailureClass;
use crate::domain::run::RunBody;
use crate::domain::workflow::{End, RunKind};

type Targets = BTreeMap<ConnectorName, Target>;

/// The leaver is out of one target, and nobody could look into the other.
fn half() -> (Play, Targets) {
    let mut play = Play::new(&[(CRM, facts()), ("erp", facts())]);
    play.hear(given::leaves());
    let mut down = Target::new();
    down.fail("find", FailureClass::Unsupported);
    let mut world = Targets::from([(CRM.into(), Target::new()), ("erp".into(), down)]);
    play.pass(60, &mut world);
    (play, world)
}

fn case(play: &Play) -> Option<End> {
    play.end(RunKind::Case)
}

#[test]
fn p_a_case_of_which_a_search_was_attested_does_not_end_verified() {
    let (mut play, mut world) = half();
    let task = play.tasks_open()[0].id;
    assert!(play.close(task, "ann", Some(attested("ann"))).accepted);
    play.pass(2 * 86_400, &mut world);
    let removal = play.end(RunKind::Removal);
    assert_eq!(
        (removal, case(&play)),
        (Some(End::Verified), Some(End::Attested))
    );
    let RunBody::Case(body) = &play.run(RunKind::Case).body else {
        panic!("a case");
    };
    assert!(body.on_word);
    assert!(play.tasks_open().is_empty());
}

#[test]
fn p_a_case_of_which_everything_was_seen_in_the_end_ends_verified() {
    let (mut play, mut world) = half();
    world.insert("erp".into(), Target::new().empty());
    play.pass(2 * 86_400, &mut world);
    assert_eq!(case(&play), Some(End::Verified));
}
