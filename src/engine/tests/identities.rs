//! C5: non-human identities whose target is stale, or whose record stopped updating.
//!
//! Owns the promises as the engine keeps them, from the survey to the end of what it forced. Who is
//! silent is tested with the judgement, in `domain::health`.

use super::given::account;
use super::ward::{Ward, approved, numbered, text};
use crate::domain::access::{Account, AccountState};
use crate::domain::health::State;
use crate::domain::outcome::FailureClass;
use crate::domain::rotation::Trigger;
use crate::domain::run::RunBody;
use crate::domain::time::{Clock, Timestamp, after};
use crate::domain::workflow::{End, RunKind};
use crate::store::{CaseFilter, CaseStory};

/// Its identities are the logins that begin with `svc-`; their records update every hour.
const PULSE: &str = "[nhi]\nattribute = \"login\"\npatterns = [\"svc-*\"]\nupdated = \"lastUsed\"\n\
     refresh_seconds = 3600\nforce_at_most = 2\n";
/// A revocation has come to its end by then, settle times included.
const A_LONG_TIME: u64 = 30 * 3600;
/// Seconds after which a survey that is not kept has lost its lease: two looks of two listings each.
const LONGER_THAN_A_LEASE: u64 = 2000;

/// When the ward's clock begins.
fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("an instant")
}

fn bot(name: &str, used: Timestamp) -> Account {
    let mut bot = account(name);
    bot.login = format!("svc-{name}");
    bot.attributes
        .insert("lastUsed".to_owned(), used.to_string());
    bot
}

/// Under a manifest that lets sign-in, sessions and keys be taken away, with these identities.
async fn permitted(bots: Vec<Account>) -> Ward {
    let text = text(PULSE, false)
        .replace(
            "[\"list\", \"read\", \"delete\"]",
            "[\"list\", \"read\", \"disable\", \"end_sessions\", \"revoke_credential\"]",
        )
        .replace("[\"*\"]", "[\"active\", \"sessions\", \"keys\"]")
        .replace("disable = \"deletion does it\"\n", "")
        .replace("end_sessions = \"there are none\"\n", "")
        .replace("revoke_credential = \"deletion does it\"\n", "");
    let ward = Ward::under(approved(&text)).await;
    ward.target.shown().accounts.extend(bots);
    ward
}

async fn stories(ward: &Ward) -> Vec<CaseStory> {
    let cases = ward.store.cases(&CaseFilter::default()).await;
    let mut stories = Vec::new();
    for case in cases.expect("read") {
        let story = ward.store.case(case.row.id).await.expect("read");
        stories.push(story.expect("kept"));
    }
    stories
}

#[tokio::test]
async fn c5_a_stale_target_with_identities_escalates_at_once() {
    for (bots, priority) in [(vec![bot("a", start())], 0), (Vec::new(), 20)] {
        let ward = Ward::new(PULSE, false).await;
        let count = bots.len() as u64;
        ward.target.shown().accounts.extend(bots);
        let kept = ward.survey_after(0).await.expect("due");
        assert_eq!(kept.sample.nhis, Some(count));
        ward.target.shown().fails = Some(FailureClass::Unreachable);
        ward.survey_after(61).await.expect("due");
        let task = ward.open_tasks().await.remove(0);
        assert_eq!(task.priority, priority, "{task:?}");
        let seconds = task.deadline.duration_since(task.opened).as_secs();
        assert_eq!(seconds == 3600, count > 0);
        let told = task.steps.iter().any(|step| step.contains("non-human"));
        assert_eq!(told, count > 0);
    }
}

#[tokio::test]
async fn c5_an_identity_whose_record_stops_updating_loses_every_way_in_once() {
    // Given one identity that works, and one whose record stays as it is.
    let ward = permitted(vec![bot("a", start()), bot("b", start())]).await;
    ward.survey_after(0).await.expect("due");
    let later = after(start(), 3601);
    ward.target.shown().accounts[5] = bot("a", later);
    let kept = ward.survey_after(3601).await.expect("due");
    assert_eq!((kept.sample.state, kept.sample.silent), (State::Healthy, 1));
    // When it is seen silent again and again.
    for _ in 0..3 {
        let used = ward.clock.now();
        let bots = ward.target.shown().accounts[5].clone();
        let mut alive = bots;
        alive
            .attributes
            .insert("lastUsed".to_owned(), used.to_string());
        ward.target.shown().accounts[5] = alive;
        ward.survey_after(60).await.expect("due");
    }
    ward.work(A_LONG_TIME).await;
    // Then it was forced once, proved, and says why; nothing else was touched.
    let stories = stories(&ward).await;
    assert_eq!(stories.len(), 1);
    let story = &stories[0];
    assert_eq!(story.report.ended, Some(End::Verified), "{story:?}");
    let said = story.journal.iter().filter_map(|one| one.detail.as_ref());
    let said: Vec<_> = said
        .filter_map(|detail| detail["reason"].as_str())
        .collect();
    assert!(
        said.iter()
            .any(|why| why.contains("svc-b at crm last updated")),
        "{said:?}"
    );
    let shown = ward.target.shown();
    let states: Vec<_> = shown.accounts.iter().map(|one| one.state).collect();
    let enabled = AccountState::Enabled;
    assert_eq!(states[..6], [enabled; 6]);
    let gone = &shown.accounts[6];
    assert_eq!(
        (gone.state, gone.sessions),
        (AccountState::Disabled, Some(0))
    );
    let left: Vec<_> = gone
        .entitlements
        .iter()
        .map(|one| one.id.as_str())
        .collect();
    assert_eq!(
        left,
        ["g-staff", "r-sales"],
        "the key is gone, the rest stays"
    );
}

#[tokio::test]
async fn c5_what_may_not_be_revoked_by_the_machine_is_a_persons_task() {
    let ward = Ward::new(PULSE, false).await;
    ward.target.shown().accounts.push(bot("b", start()));
    ward.survey_after(3601).await.expect("due");
    ward.work(3600).await;
    let tasks = ward.open_tasks().await;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    assert_eq!(tasks[0].kind, RunKind::Removal);
    assert!(tasks[0].why.contains("can sign in"), "{}", tasks[0].why);
    assert_eq!(ward.target.shown().accounts.len(), 6, "nothing is deleted");
}

#[tokio::test]
async fn c5_the_connectors_own_identity_gets_a_new_secret() {
    let text = text(PULSE, false).replace(
        "secret = \"none:crm-writer\"\n",
        "secret = \"local:crm/writer\"\nusername = \"svc-own\"\nrotation = \"add\"\n\
         [credentials.rotator]\nsecret = \"local:crm/rotator\"\n",
    );
    let ward = Ward::under(approved(&text)).await;
    ward.target.shown().accounts.push(bot("own", start()));
    for _ in 0..3 {
        ward.survey_after(3601).await.expect("due");
        ward.admit().await;
    }
    let rotations = ward.store.rotations(None).await.expect("read");
    assert_eq!(rotations.len(), 1, "{rotations:?}");
    let RunBody::Rotation(body) = &rotations[0].body else {
        panic!("{rotations:?}");
    };
    assert_eq!(body.trigger, Trigger::Silent);
    assert!(stories(&ward).await.is_empty());
}

#[tokio::test]
async fn c5_an_own_identity_that_cannot_be_rotated_is_a_persons_task() {
    let own = format!("{PULSE}[nhi.own]\nverifier = \"svc-own\"\n");
    let ward = Ward::new(&own, false).await;
    ward.target.shown().accounts.push(bot("own", start()));
    ward.survey_after(3601).await.expect("due");
    ward.work(60).await;
    let tasks = ward.open_tasks().await;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    assert_eq!(tasks[0].code, "CB-ADMIT-4");
    assert_eq!(ward.target.shown().accounts[5].state, AccountState::Enabled);
}

#[tokio::test]
async fn c6_many_records_that_stop_at_once_are_the_targets_fault() {
    let bots = ["a", "b", "c"].map(|name| bot(name, start()));
    let ward = permitted(bots.to_vec()).await;
    ward.survey_after(0).await.expect("due");
    let kept = ward.survey_after(3601).await.expect("due");
    assert_eq!(kept.sample.state, State::Drifted);
    ward.work(600).await;
    assert!(stories(&ward).await.is_empty(), "nothing is forced");
    let task = ward.open_tasks().await.remove(0);
    assert!(task.why.contains("force_at_most"), "{}", task.why);
    // One of them updates again: what is left is believed.
    ward.target.shown().accounts[5] = bot("a", ward.clock.now());
    let well = ward.survey_after(60).await.expect("due");
    assert_eq!((well.sample.state, well.sample.silent), (State::Healthy, 2));
}

#[tokio::test]
async fn c5_a_crash_between_the_event_and_the_survey_forces_nothing_twice() {
    let ward = permitted(vec![bot("b", start())]).await;
    ward.clock.advance(3601);
    // Given a survey whose lease moves on before it is kept: the event was recorded, the survey not.
    let old = ward.leased().await.remove(0);
    ward.clock.advance(LONGER_THAN_A_LEASE);
    let new = ward.leased().await.remove(0);
    assert_eq!(ward.engine.survey(&old).await.expect("refused"), None);
    let kept = ward.engine.survey(&new).await.expect("committed");
    assert_eq!(kept.expect("kept").sample.silent, 1);
    ward.work(A_LONG_TIME).await;
    assert_eq!(stories(&ward).await.len(), 1);
    assert!(
        ward.target.shown().accounts[..5]
            .iter()
            .eq(&numbered(&["a-1", "a-2", "a-3", "a-4", "a-5"]))
    );
}
