//! E1 and E3: what proves absence, what does not, and access that comes back.
//!
//! Owns how looks move a removal's verdict. How a look is made is tested in `verification`.

use super::given::{self, CRM, account, facts};
use super::play::Play;
use super::target::{Look, Target};
use super::ward::{Ward, numbered};
use crate::domain::access::{EntitlementKind, Operation};
use crate::domain::estate::ConnectorFacts;
use crate::domain::outcome::FailureClass;
use crate::domain::run::{Item, Run, RunBody, Stage};
use crate::domain::settlement::Outcome;
use crate::domain::step::Effect;
use crate::domain::task::CloseClaim;
use crate::domain::time::Clock as _;
use crate::domain::verdict::{
    Completeness, CredentialRole, Expectation, Finding, Sighting, Verdict,
};
use crate::domain::workflow::{End, OutcomeKey, RunKind};

#[test]
fn e1_a_yes_is_accepted_and_no_more() {
    // Given a target that says yes to everything and does nothing.
    let mut target = Target::new();
    target.deaf = true;
    let mut play = Play::begun();
    // When the machine has tried for a week.
    play.pass(7 * 86_400, &mut target);
    // Then the removal is accepted, has never been more, and is a person's.
    let removals = play.deeds.iter().map(|deed| &deed.settlement.run);
    let best = removals.filter_map(|run| run.verdict).max();
    assert_eq!(best, Some(Verdict::Accepted));
    assert_eq!(play.end(RunKind::Removal), None);
    assert_eq!(play.tasks.len(), 1);
}

#[test]
fn e1_a_first_yes_lifts_a_requested_removal_to_accepted() {
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Removal, "disable", &mut target);
    assert_eq!(play.run(RunKind::Removal).verdict, Some(Verdict::Requested));
    play.until(RunKind::Removal, "end_sessions", &mut target);
    assert_eq!(play.run(RunKind::Removal).verdict, Some(Verdict::Accepted));
}

#[test]
fn e1_a_wave_in_which_nothing_worked_is_not_accepted() {
    // Given a target where only entitlements can be taken away, and none of them can.
    let mut only = facts();
    for operation in [
        Operation::Disable,
        Operation::EndSessions,
        Operation::Delete,
    ] {
        only.operations.remove(&operation);
        only.without.insert(operation, "has none".to_owned());
    }
    let mut target = Target::new();
    target.fail("revoke_credential", FailureClass::Refused);
    target.fail("revoke_entitlement", FailureClass::Refused);
    let mut play = Play::new(&[(CRM, only)]);
    play.hear(given::leaves());
    play.until(RunKind::Removal, "verify", &mut target);
    // Then nobody said yes.
    let waves = play.journal.iter().filter(|line| line.item.is_some());
    assert_eq!(waves.count(), 3);
    assert_eq!(play.run(RunKind::Removal).verdict, Some(Verdict::Requested));
}

#[test]
fn e1_a_look_that_is_not_whole_fresh_and_late_proves_nothing() {
    let half = |change: fn(&mut Completeness)| {
        let mut look = Look::GOOD;
        change(&mut look.completeness);
        look
    };
    let looks = [
        half(|whole| whole.pages_closed = false),
        half(|whole| whole.fields_present = false),
        half(|whole| whole.count_in_band = false),
        half(|whole| whole.permission_cut = true),
        Look {
            data_age_seconds: 301,
            ..Look::GOOD
        },
        Look {
            begun_before_seconds: 1,
            ..Look::GOOD
        },
        Look {
            credential: CredentialRole::Writer,
            ..Look::GOOD
        },
        Look {
            credential: CredentialRole::Rotator,
            ..Look::GOOD
        },
    ];
    for look in looks {
        // Given a removal whose account is gone, and a look that cannot show it.
        let mut target = Target::new();
        let mut play = Play::begun();
        play.until(RunKind::Removal, "verify", &mut target);
        target.look = look;
        let removal = play.run(RunKind::Removal).id;
        play.step(removal, &mut target);
        // Then nothing is known that was not known before, and the run looks again later.
        let last = play.journal.last().expect("the look is told");
        assert_eq!(last.outcome, OutcomeKey::Inconclusive, "{look:?}");
        let run = play.run(RunKind::Removal);
        assert_eq!(run.verdict, Some(Verdict::Accepted), "{look:?}");
        assert!(matches!(
            play.removal().last_finding,
            Some(Finding::Inconclusive(_))
        ));
        assert!(matches!(run.stage, Stage::Due { due, .. } if due > play.now));
        // And with a good one it is proved.
        target.look = Look::GOOD;
        play.skip();
        play.rest(&mut target);
        let verdict = play.run(RunKind::Removal).verdict;
        assert_eq!(verdict, Some(Verdict::ObservedAbsent), "{look:?}");
    }
}

/// A departure whose key cannot be revoked, up to its first look.
fn with_a_key_that_stays(target: &mut Target) -> Play {
    target.fail("k-api", FailureClass::WriteFailure);
    let mut play = Play::begun();
    play.until(RunKind::Removal, "verify", target);
    play
}

#[test]
fn e1_a_key_that_could_not_be_revoked_is_not_proved_gone_by_a_look_that_is_blind_for_it() {
    // Given an account that is deleted while its key stays, at a target that shows no key by itself.
    let mut target = Target::new();
    target.look.shows_orphans = false;
    let mut play = with_a_key_that_stays(&mut target);
    // When the machine looks, again and again, for a week.
    play.pass(7 * 86_400, &mut target);
    // Then nothing was proved, and a person has it with the reason.
    let removals = play.deeds.iter().map(|deed| &deed.settlement.run);
    let best = removals.filter_map(|run| run.verdict).max();
    assert_eq!(best, Some(Verdict::Accepted));
    assert_eq!(play.end(RunKind::Removal), None);
    let Some(Finding::Inconclusive(why)) = &play.removal().last_finding else {
        panic!("{:?}", play.removal().last_finding);
    };
    assert!(why.starts_with("k-api could not be revoked"), "{why}");
}

#[test]
fn e1_a_key_that_would_be_seen_and_is_not_is_gone_though_its_revocation_failed() {
    // Given the same where keys are shown without their account, or end with it.
    let mut target = Target::new();
    let mut play = with_a_key_that_stays(&mut target);
    // Then the ordinary road is open: what could not be revoked went with the account.
    play.pass(7200, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
}

/// A departure from a target that shows no key by itself.
fn with_blind_looks(connector: ConnectorFacts) -> (Target, Play) {
    let mut target = Target::new();
    target.look.shows_orphans = false;
    let mut play = Play::new(&[(CRM, connector)]);
    play.hear(given::leaves());
    (target, play)
}

/// The removal is a person's, and says that nobody has revoked the key.
fn waits_for_its_key(play: &Play) {
    assert_eq!(play.end(RunKind::Removal), None);
    let verdict = play.run(RunKind::Removal).verdict;
    assert!(verdict <= Some(Verdict::Accepted), "{verdict:?}");
    let Some(Finding::Inconclusive(why)) = &play.removal().last_finding else {
        panic!("{:?}", play.removal().last_finding);
    };
    assert!(why.starts_with("k-api was not revoked"), "{why}");
}

#[test]
fn e1_a_key_that_nobody_tried_to_revoke_is_not_proved_gone_either() {
    // Given a target that shows keys, and whose manifest offers no way to revoke them.
    let mut only = facts();
    only.operations.remove(&Operation::RevokeCredential);
    let (mut target, mut play) = with_blind_looks(only.clone());
    // When the account is deleted, and looked at for a week.
    play.pass(7 * 86_400, &mut target);
    // Then nothing was proved.
    assert!(!target.accounts.contains_key(&"a-1".into()));
    waits_for_its_key(&play);
    // And where a look shows keys without their account, it proves that this one is gone.
    let (mut target, mut play) = with_blind_looks(only);
    target.look.shows_orphans = true;
    play.pass(7200, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
}

#[test]
fn e1_an_account_that_a_person_deleted_does_not_take_an_untried_key_with_it() {
    // Given a removal that went to a person before it came to the key.
    let (mut target, mut play) = with_blind_looks(facts());
    target.fail("disable", FailureClass::AuthFailure);
    play.until(RunKind::Removal, "with_person", &mut target);
    assert_eq!(play.removal().items.len(), 3);
    // When that person deletes the account, says so, and the machine looks for a week.
    target.accounts.remove(&"a-1".into());
    let task = play.task(RunKind::Removal).id;
    play.close(task, "ann", None);
    play.rest(&mut target);
    waits_for_its_key(&play);
    play.pass(7 * 86_400, &mut target);
    waits_for_its_key(&play);
    // Then only a statement ends it.
    play.close(task, "ann", Some(given::attested("ann")));
    play.rest(&mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Attested));
}

#[test]
fn e1_a_key_that_only_the_listing_showed_is_not_proved_gone_either() {
    // Given an account that is listed with its key, and cannot be read by itself.
    let (mut target, mut play) = with_blind_looks(facts());
    target.fail("inspect", FailureClass::Unsupported);
    play.pass(7 * 86_400, &mut target);
    assert!(!target.accounts.contains_key(&"a-1".into()));
    waits_for_its_key(&play);
}

#[test]
fn e1_keys_that_nobody_ever_read_are_not_proved_gone_with_their_account() {
    // Given an account whose list of keys cannot be read, at a target that shows no key by itself.
    let unread = |facts| {
        let (mut target, play) = with_blind_looks(facts);
        for (_, account) in target.accounts.values_mut() {
            account.entitlements.clear();
        }
        target.fail("inspect", FailureClass::Drifted);
        (target, play)
    };
    let (mut target, mut play) = unread(facts());
    // When it is contained and deleted all the same, and looked at for a week.
    play.pass(7 * 86_400, &mut target);
    assert!(!target.accounts.contains_key(&"a-1".into()));
    // Then nothing is proved, and nobody says that it had no keys.
    assert_eq!(play.end(RunKind::Removal), None);
    let Some(Finding::Inconclusive(why)) = &play.removal().last_finding else {
        panic!("{:?}", play.removal().last_finding);
    };
    assert!(why.contains("nobody has read what keys"), "{why}");
    let told = play.journal.iter().filter_map(|line| line.detail.as_ref());
    let told: Vec<_> = told.map(ToString::to_string).collect();
    assert!(
        told.iter()
            .all(|line| !line.contains("has nothing of this kind"))
    );
    // And a person's statement ends it.
    let task = play.task(RunKind::Removal).id;
    play.close(task, "ann", Some(given::attested("ann")));
    play.rest(&mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Attested));
    // Where there are no keys by the manifest, or they are shown without their account, it is proved.
    let mut keyless = facts();
    keyless.operations.remove(&Operation::RevokeCredential);
    keyless
        .without
        .insert(Operation::RevokeCredential, "it has none".to_owned());
    for (facts, shows_orphans) in [(keyless, false), (facts(), true)] {
        let (mut target, mut play) = unread(facts);
        target.look.shows_orphans = shows_orphans;
        play.pass(7200, &mut target);
        assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
    }
}

#[test]
fn e1_a_key_and_a_role_of_one_id_are_two() {
    // Given an account with a key `3` and a role `3`, and a target at which the key stays.
    let mut target = Target::new();
    let id = "a-1".into();
    let (_, mine) = target.accounts.get_mut(&id).expect("is there");
    for one in &mut mine.entitlements {
        one.id = "3".into();
    }
    mine.entitlements.remove(0);
    let mut play = Play::begun();
    play.until(RunKind::Removal, "revoke_credentials", &mut target);
    let items = &play.removal().items;
    let kinds: Vec<_> = items.iter().map(Item::is_credential).collect();
    assert_eq!(kinds, [false, true], "{items:?}");
    // Then each is asked for by itself, and the answer about one says nothing of the other.
    target.fail("revoke_credential", FailureClass::Refused);
    play.until(RunKind::Removal, "delete", &mut target);
    let items = &play.removal().items;
    assert!(!items[0].resisted && items[1].resisted, "{items:?}");
}

#[test]
fn e1_a_group_and_a_role_of_one_id_are_two() {
    // Given an account with a group `3` and a role `3`, which a target takes away each by itself.
    let given = |inherited: bool| {
        let mut target = Target::new();
        let (_, mine) = target.accounts.get_mut(&"a-1".into()).expect("is there");
        for one in &mut mine.entitlements {
            one.id = "3".into();
        }
        mine.entitlements[2].inherited_from = inherited.then(|| "a rule".to_owned());
        let mut keeps = facts();
        keeps.expect = Expectation::AccountPowerless;
        keeps.operations.remove(&Operation::Delete);
        keeps.without.insert(Operation::Delete, "kept".to_owned());
        let mut play = Play::new(&[(CRM, keeps)]);
        play.hear(given::leaves());
        (target, play)
    };
    // Then both are asked for, and the account is proved to have neither.
    let (mut target, mut play) = given(false);
    play.pass(7200, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
    let kinds: Vec<_> = play
        .effects()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Each {
                operation: Operation::RevokeEntitlement,
                items,
                ..
            } => Some(items.iter().map(|one| one.kind).collect::<Vec<_>>()),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [[EntitlementKind::Group, EntitlementKind::Role]]);
    // Nor does the one that comes from elsewhere keep the other from being taken away.
    let (mut target, mut play) = given(true);
    play.until(RunKind::Removal, "with_person", &mut target);
    let (_, mine) = &target.accounts[&"a-1".into()];
    let kinds: Vec<_> = mine.entitlements.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [EntitlementKind::Role]);
}

#[test]
fn e1_data_as_old_as_allowed_still_count() {
    let mut target = Target::new();
    target.look.data_age_seconds = 300;
    let mut play = Play::begun();
    play.pass(7200, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
}

#[test]
fn e1_access_that_is_seen_is_present_however_bad_the_look() {
    let mut target = Target::new();
    target.deaf = true;
    target.look.completeness.pages_closed = false;
    target.look.data_age_seconds = 999;
    let mut play = Play::begun();
    play.until(RunKind::Removal, "verify", &mut target);
    let removal = play.run(RunKind::Removal).id;
    play.step(removal, &mut target);
    let last = play.journal.last().expect("the look is told");
    assert_eq!(last.outcome, OutcomeKey::Present);
}

#[test]
fn e1_an_account_that_is_gone_already_is_still_proved_gone() {
    // Given an account that goes between the listing and the first read.
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Removal, "inspect", &mut target);
    target.accounts.remove(&"a-1".into());
    play.pass(7200, &mut target);
    // Then nothing was written, and two looks proved it.
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
    let names: Vec<_> = play
        .effects()
        .into_iter()
        .map(super::target::name)
        .collect();
    assert_eq!(names, ["find", "inspect", "observe", "observe"]);
}

#[test]
fn e3_access_that_comes_back_reopens_the_removal_and_takes_the_verdict_back() {
    // Given a removal that was observed absent.
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Removal, "settle", &mut target);
    assert_eq!(
        play.run(RunKind::Removal).verdict,
        Some(Verdict::ObservedAbsent)
    );
    // When another system brings the account back within the settle time.
    let back = (given::LEAVER.to_owned(), account("a-1"));
    target.accounts.insert("a-1".into(), back);
    play.until(RunKind::Removal, "inspect", &mut target);
    // Then what was known no longer holds, the removal begins again, and nothing has ended.
    assert_eq!(play.run(RunKind::Removal).verdict, Some(Verdict::Accepted));
    assert!(matches!(
        play.removal().last_finding,
        Some(Finding::Present(_))
    ));
    for kind in [RunKind::Removal, RunKind::Discovery, RunKind::Case] {
        assert_eq!(play.end(kind), None);
    }
    // And ends only when it is gone for good: after another round with two looks.
    play.pass(8000, &mut target);
    assert!(!target.accounts.contains_key(&"a-1".into()));
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
    assert_eq!(
        play.run(RunKind::Removal).verdict,
        Some(Verdict::Reverified)
    );
    let names: Vec<_> = play
        .effects()
        .into_iter()
        .map(super::target::name)
        .collect();
    let deletes = names.iter().filter(|name| **name == "delete").count();
    let looks = names.iter().filter(|name| **name == "observe").count();
    assert_eq!((deletes, looks), (2, 4), "{names:?}");
}

#[test]
fn e3_access_that_keeps_coming_back_becomes_a_persons_business() {
    let mut target = Target::new();
    let mut play = Play::begun();
    for _ in 0..3 {
        play.until(RunKind::Removal, "settle", &mut target);
        let back = (given::LEAVER.to_owned(), account("a-1"));
        target.accounts.insert("a-1".into(), back);
        play.skip();
        play.rest(&mut target);
    }
    assert_eq!(play.run(RunKind::Removal).stage.name(), "with_person");
    let task = play.task(RunKind::Removal);
    assert!(task.why.contains("still there"), "{}", task.why);
    assert_eq!(play.run(RunKind::Removal).verdict, Some(Verdict::Accepted));
}

#[tokio::test]
async fn f3_a_claim_is_checked_by_a_listing_that_began_after_it() {
    // Given a removal whose account was made anew under its old login, which a listing has just shown.
    let ward = Ward::new("", false).await;
    ward.leaver_leaves().await;
    ward.work(30 * 3600).await;
    let mut ended = ward.ended().await.into_iter();
    let mut run = ended.next().expect("a removal");
    let RunBody::Removal(body) = &mut run.body else {
        panic!("{:?}", run.body);
    };
    let mut anew = numbered(&["a-9"]).remove(0);
    anew.login.clone_from(&body.account.login);
    anew.attributes.clone_from(&body.account.attributes);
    ward.target
        .shown()
        .accounts
        .retain(|one| one.id != body.account.id);
    ward.target.shown().accounts.push(anew);
    let connector = ward
        .engine
        .serving()
        .registry
        .get(&"crm".into())
        .expect("is there");
    let look = async |run: &Run| match ward.engine.observe(run, &connector).await {
        Ok(Outcome::Observed(observation)) => observation.sighting,
        other => panic!("{other:?}"),
    };
    assert!(matches!(look(&run).await, Sighting::There(_)));
    // When a person takes it away and says so, while others share that listing.
    ward.target
        .shown()
        .accounts
        .retain(|one| one.id.as_str() != "a-9");
    ward.clock.advance(1);
    assert!(
        matches!(look(&run).await, Sighting::There(_)),
        "it is shared"
    );
    if let RunBody::Removal(body) = &mut run.body {
        body.claim = Some(CloseClaim {
            by: "ann".to_owned(),
            at: ward.clock.now(),
            note: "taken away".to_owned(),
            attestation: None,
            second: None,
            bulk: None,
        });
    }
    // Then the target is looked at anew.
    assert_eq!(look(&run).await, Sighting::NotThere);
}
