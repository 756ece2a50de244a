//! Inventories with their age, surveys done by one worker at a time, health over time.
//!
//! What a survey means is the domain's; here it is only committed, whole, once and by who may.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{
    Fenced, Inventory, KnownAccount, Listed, RunsEnded, SAMPLES_KEPT, SurveyLease, SurveyWanted,
    TaskFilter,
};
use super::Home;
use super::domain::health::{
    Advance, Bounds, Care, Keeper, Sample, Standing, State, Survey, Tally, advance, care,
};
use super::domain::id::ConnectorName;
use super::domain::outcome::{Failure, FailureClass};
use super::domain::settlement::Settlement;
use super::domain::time::Timestamp;
use super::domain::verdict::CredentialRole;
use super::domain::workflow::{End, RunKind};
use super::given::{
    a_case, a_removal, an_account, at, discovery, ended, fenced, gathering, keep, message, proved,
    removal, step, worker,
};

fn listed(second: u64, whole: bool, ids: &[&str]) -> Listed {
    Listed {
        connector: "crm".into(),
        at: at(second),
        credential: CredentialRole::Verifier,
        whole,
        accounts: ids.iter().map(|id| an_account(id)).collect(),
    }
}

fn known(second: u64, whole: bool, id: &str) -> KnownAccount {
    KnownAccount {
        account: an_account(id),
        seen: at(second),
        credential: CredentialRole::Verifier,
        whole,
    }
}

async fn inventory(home: &Home) -> Option<Inventory> {
    let read = home.store.inventory(&"crm".into()).await;
    read.expect("read")
}

pub async fn c5_a_listing_refreshes_and_only_a_whole_one_takes_away(home: &Home) {
    assert_eq!(inventory(home).await, None);
    for one in [
        listed(5, true, &["a", "b", "c"]),
        listed(9, true, &["a", "b"]),
        listed(7, true, &["z"]),
        listed(8, false, &["y"]),
    ] {
        home.store.save_inventory(&one).await.expect("saved");
    }
    let expected = |accounts| {
        Some(Inventory {
            connector: "crm".into(),
            whole_at: Some(at(9)),
            accounts,
        })
    };
    let both = vec![known(9, true, "a"), known(9, true, "b")];
    assert_eq!(
        inventory(home).await,
        expected(both),
        "late ones change nothing"
    );
    // What is not whole refreshes what it showed, adds what is new, and forgets nothing.
    let half = listed(12, false, &["b", "d", "d"]);
    home.store.save_inventory(&half).await.expect("saved");
    let three = vec![
        known(9, true, "a"),
        known(12, false, "b"),
        known(12, false, "d"),
    ];
    assert_eq!(inventory(home).await, expected(three));
    let other = home.store.inventory(&"erp".into()).await.expect("read");
    assert_eq!(other, None);
}

pub async fn c5_a_large_listing_is_kept_whole(home: &Home) {
    let ids: Vec<String> = (0..5700).map(|id| format!("a{id:04}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    home.store
        .save_inventory(&listed(1, true, &ids))
        .await
        .expect("saved");
    let kept = inventory(home).await.expect("listed");
    let kept: Vec<_> = kept
        .accounts
        .iter()
        .map(|one| one.account.id.as_str())
        .collect();
    assert_eq!(kept, ids);
    // Of the next one, the last part takes away what none of them shows.
    let second = listed(2, true, &ids[600..]);
    home.store.save_inventory(&second).await.expect("saved");
    let kept = inventory(home).await.expect("listed");
    assert_eq!((kept.accounts.len(), kept.whole_at), (5100, Some(at(2))));
    assert_eq!(kept.accounts[0].account.id.as_str(), ids[600]);
}

fn wanted(names: &[&str]) -> Vec<SurveyWanted> {
    names
        .iter()
        .map(|name| SurveyWanted {
            connector: (*name).into(),
            lease_seconds: 100,
        })
        .collect()
}

async fn taken(home: &Home, number: u64, second: u64, names: &[&str]) -> Vec<SurveyLease> {
    let leases = home
        .store
        .take_surveys(worker(number), at(second), &wanted(names), 10)
        .await;
    let mut leases = leases.expect("taken");
    leases.sort_by(|a, b| a.connector.as_str().cmp(b.connector.as_str()));
    leases
}

fn names(leases: &[SurveyLease]) -> Vec<&str> {
    leases
        .iter()
        .map(|lease| lease.connector.as_str())
        .collect()
}

fn bounds() -> Bounds {
    Bounds {
        refresh_seconds: 60,
        max_data_age_seconds: 60,
        change_at_most_percent: None,
        deciding: Vec::new(),
        nhi: None,
        manifest: "m".to_owned(),
    }
}

/// What a survey without an answer changes; the next one is due 30 s later.
fn failed(standing: &Standing, open: &[Care], second: u64) -> Advance {
    let survey = Survey {
        at: at(second),
        until: at(second),
        answer: Err(Failure::new(
            FailureClass::Unreachable,
            "CB-TEST-2",
            "no answer",
        )),
        credentials: BTreeMap::new(),
        undrilled: None,
    };
    settled(standing, open, &survey)
}

fn settled(before: &Standing, open: &[Care], survey: &Survey) -> Advance {
    let (mut standing, sample) = advance(before, survey, &bounds());
    let facts = facts();
    let connector = ConnectorName::from("crm");
    let keeper = Keeper {
        connector: &connector,
        facts: &facts,
        nhi: false,
        owner: "owner",
        deputy: "deputy",
        topic: None,
        now: survey.until,
    };
    let (care, mut messages) = care(&mut standing, open, &keeper);
    messages.push(message(survey.at.as_second().unsigned_abs(), "crm"));
    Advance {
        standing,
        sample,
        care,
        messages,
        due: super::domain::time::after(survey.until, 30),
    }
}

fn facts() -> super::domain::estate::ConnectorFacts {
    use super::domain::{access, estate, verdict};
    estate::ConnectorFacts {
        operations: access::Operation::ALL.into_iter().collect(),
        without: BTreeMap::new(),
        expect: verdict::Expectation::AccountGone,
        max_data_age_seconds: 60,
        privileged: false,
        probes: Vec::new(),
        fed_by: None,
        rotation: BTreeMap::new(),
        keepers: BTreeSet::new(),
        known_by: BTreeMap::new(),
        overlap_seconds: 60,
        owner: "ann".to_owned(),
        deputy: "bob".to_owned(),
        break_glass: std::collections::BTreeSet::new(),
        administrators: std::collections::BTreeSet::new(),
        drill: None,
        upstream: None,
        fallback: estate::Instructions {
            desk: "built-in".to_owned(),
            steps: Vec::new(),
            deadline_hours: 24,
            escalate_to: Vec::new(),
        },
    }
}

async fn kept(home: &Home, lease: &SurveyLease, second: u64) -> Option<Advance> {
    let decide = |standing: &Standing, open: &[Care]| failed(standing, open, second);
    let kept = home.store.keep_survey(lease, &decide).await;
    kept.expect("answered")
}

async fn samples(home: &Home, since: Timestamp, limit: u32) -> Vec<Sample> {
    let read = home.store.samples(&"crm".into(), since, limit).await;
    read.expect("read")
}

pub async fn c5_a_survey_is_done_by_one_worker_at_a_time(home: &Home) {
    for number in [1, 2] {
        let enlisted = home.store.enlist(worker(number), at(0), 3600).await;
        enlisted.expect("enlisted");
    }
    let first = taken(home, 1, 0, &["crm", "erp"]).await;
    assert_eq!(names(&first), ["crm", "erp"]);
    assert!(
        taken(home, 2, 0, &["crm", "erp"]).await.is_empty(),
        "leased"
    );
    // What is committed is due again in its time, for whoever comes first.
    assert!(kept(home, &first[0], 5).await.is_some());
    assert!(taken(home, 2, 34, &["crm"]).await.is_empty(), "not due");
    let second = taken(home, 2, 35, &["crm", "erp"]).await;
    assert_eq!(names(&second), ["crm"]);
    assert_eq!(second[0].standing.state, State::Failing, "as it was left");
    // A lease that is over goes to another, and what comes late changes nothing.
    let third = taken(home, 1, 135, &["crm", "erp"]).await;
    assert_eq!(names(&third), ["crm", "erp"]);
    assert!(kept(home, &second[0], 136).await.is_none());
    assert!(kept(home, &first[1], 136).await.is_none());
    assert!(kept(home, &third[0], 137).await.is_some());
    assert!(kept(home, &third[0], 138).await.is_none(), "once");
    assert_eq!(samples(home, at(0), 10).await.len(), 2);
}

pub async fn c5_a_survey_of_a_worker_that_is_gone_is_begun_anew(home: &Home) {
    for number in [1, 2] {
        let enlisted = home.store.enlist(worker(number), at(0), 3600).await;
        enlisted.expect("enlisted");
    }
    assert_eq!(taken(home, 1, 0, &["crm"]).await.len(), 1);
    assert!(taken(home, 2, 1, &["crm"]).await.is_empty());
    home.store.discharge(worker(1)).await.expect("gone");
    assert_eq!(taken(home, 2, 1, &["crm"]).await.len(), 1);
}

pub async fn c5_many_workers_never_survey_the_same_connector(home: &Home) {
    for number in 0..8 {
        let enlisted = home.store.enlist(worker(number), at(0), 3600).await;
        enlisted.expect("enlisted");
    }
    let all: Vec<String> = (0..20).map(|n| format!("c{n:02}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let everyone = (0..8).map(|number| taken(home, number, 0, &all));
    let leases = futures_util::future::join_all(everyone).await.concat();
    let mut held = names(&leases);
    held.sort_unstable();
    // Rows that another was just taking are left to the next look.
    let rest = taken(home, 1, 0, &all).await;
    let mut every = [held.clone(), names(&rest)].concat();
    every.sort_unstable();
    let mut once = every.clone();
    once.dedup();
    assert_eq!(every, once, "one worker each");
    assert!(!held.is_empty());
}

pub async fn c5_health_is_a_series_that_stays_bounded(home: &Home) {
    home.store
        .enlist(worker(1), at(0), 3_600_000)
        .await
        .expect("enlisted");
    let most = u64::from(SAMPLES_KEPT);
    for number in 0..=most + 1 {
        let second = number * 60;
        let lease = taken(home, 1, second, &["crm"]).await;
        assert!(kept(home, &lease[0], second).await.is_some());
    }
    let all = samples(home, at(0), u32::MAX).await;
    assert_eq!(all.len() as u64, most);
    assert_eq!(all[0].at, at((most + 1) * 60), "newest first");
    assert_eq!(
        all.last().expect("some").at,
        at(120),
        "the oldest went first"
    );
    let late = samples(home, at(most * 60), 10).await;
    assert_eq!(late.len(), 2);
}

pub async fn c5_calls_of_runs_are_added_up(home: &Home) {
    let tally = |second: u64, writes: bool, failed: Option<FailureClass>| {
        let mut tally = Tally::default();
        tally.note(at(second), writes, failed);
        BTreeMap::from([(ConnectorName::from("crm"), tally)])
    };
    for one in [
        tally(5, false, None),
        tally(9, true, None),
        tally(7, true, None),
        tally(8, false, Some(FailureClass::RateLimited)),
        tally(8, false, Some(FailureClass::RateLimited)),
        BTreeMap::new(),
    ] {
        home.store.note_calls(&one).await.expect("noted");
    }
    let standings = home.store.standings().await.expect("read");
    let standing = &standings[&ConnectorName::from("crm")];
    assert_eq!((standing.read, standing.write), (Some(at(5)), Some(at(9))));
    assert_eq!(standing.calls.writes, 2);
    assert_eq!(standing.calls.failures[&FailureClass::RateLimited], 2);
    // A survey takes them into its sample.
    home.store
        .enlist(worker(1), at(0), 3600)
        .await
        .expect("enlisted");
    let lease = taken(home, 1, 10, &["crm"]).await;
    let kept = kept(home, &lease[0], 10).await.expect("kept");
    assert_eq!(kept.sample.calls.writes, 2);
    assert_eq!(kept.standing.calls, super::domain::health::Calls::default());
}

pub async fn c5_a_task_about_a_connector_is_kept_with_its_survey(home: &Home) {
    home.store
        .enlist(worker(1), at(0), 3600)
        .await
        .expect("enlisted");
    let mut second = 0;
    // Failing, then stale: one task, however often.
    for _ in 0..4 {
        let lease = taken(home, 1, second, &["crm"]).await;
        assert!(kept(home, &lease[0], second).await.is_some());
        second += 61;
    }
    let open = home
        .store
        .tasks(&TaskFilter::default())
        .await
        .expect("read");
    assert_eq!(open.len(), 1);
    let standings = home.store.standings().await.expect("read");
    let run = standings[&ConnectorName::from("crm")].care[&State::Stale];
    assert_eq!(open[0].run, run);
    let (held, _) = home.store.run(run).await.expect("read").expect("kept");
    assert!(!held.stage.ended());
    // Nothing of it is ever handed to a worker.
    let claimed = home.store.claim(at(100_000), &keep(1, 10)).await;
    assert!(claimed.expect("claimed").is_empty());
    // A good survey ends the run and closes the task.
    let lease = taken(home, 1, second, &["crm"]).await;
    let good = Survey {
        at: at(second),
        until: at(second),
        answer: Ok(super::domain::health::Answer::of(
            &[an_account("a")],
            super::domain::verdict::Completeness::WHOLE,
            0,
            &bounds(),
        )),
        credentials: BTreeMap::new(),
        undrilled: None,
    };
    let decide = |standing: &Standing, open: &[Care]| settled(standing, open, &good);
    let kept = home.store.keep_survey(&lease[0], &decide).await;
    assert!(kept.expect("answered").is_some());
    let open = home
        .store
        .tasks(&TaskFilter::default())
        .await
        .expect("read");
    assert!(open.is_empty());
    let (over, _) = home.store.run(run).await.expect("read").expect("kept");
    assert!(over.stage.ended());
    let waiting = home.store.counts(at(second)).await.expect("counts");
    assert_eq!(waiting.outbox_waiting, 5, "a message for each survey");
}

pub async fn c10_removals_are_read_in_the_order_of_their_ends(home: &Home) {
    let mut all = Vec::new();
    for name in ["x", "y"] {
        let removal = a_removal(&home.store, name).await;
        let batch = [fenced(&removal, proved(&removal.run))];
        let settled = home.store.settle(at(0), &keep(1, 0), &batch).await;
        assert_eq!(settled.expect("settled").accepted, [true]);
        all.push(removal.run.id);
    }
    let open = a_removal(&home.store, "z").await;
    all.sort();
    let which = |after, limit| RunsEnded {
        connector: "crm".into(),
        since: at(0),
        until: at(0),
        after,
        limit,
    };
    let read = |which: RunsEnded| async move {
        let runs = home.store.runs_ended(&which).await.expect("read");
        runs.iter().map(|run| run.id).collect::<Vec<_>>()
    };
    let ended = read(which(None, 10)).await;
    assert_eq!(ended, all);
    assert!(!ended.contains(&open.run.id));
    assert_eq!(read(which(None, 1)).await, all[..1]);
    assert_eq!(read(which(Some((at(0), all[0])), 10)).await, all[1..]);
    let later = RunsEnded {
        since: at(1),
        until: at(2),
        ..which(None, 10)
    };
    assert!(read(later).await.is_empty());
}

pub async fn c10_searches_that_found_nobody_are_read_with_the_removals(home: &Home) {
    // Given a case whose search of one target began a removal, and whose search of another did not.
    let case = a_case(&home.store, "c").await;
    let (found, nobody) = (discovery(&case.run, "crm"), discovery(&case.run, "wiki"));
    let gather = Settlement {
        children: vec![found.clone(), nobody.clone()],
        ..step(&case.run, gathering("fan-out"))
    };
    let settle = async |batch: Vec<Fenced>| {
        let settled = home.store.settle(at(0), &keep(1, 5), &batch).await;
        settled.expect("settled").kept
    };
    let mut removals = Vec::new();
    let mut searching = None;
    for one in settle(vec![fenced(&case, gather)]).await {
        let begins = one.run.id == found.id;
        let next = if begins {
            Settlement {
                children: vec![removal(&one.run, "crm", "a1")],
                ..step(&one.run, gathering("fan-out"))
            }
        } else {
            step(&one.run, ended(End::Verified))
        };
        removals.extend(settle(vec![fenced(&one, next)]).await);
    }
    for one in removals
        .into_iter()
        .filter(|one| one.run.kind == RunKind::Removal)
    {
        let kept = settle(vec![fenced(&one, proved(&one.run))]).await;
        searching = kept.into_iter().find(|kept| kept.run.id == found.id);
    }
    let found = searching.expect("woken");
    settle(vec![fenced(&found, step(&found.run, ended(End::Verified)))]).await;
    // Then the one that found nobody is told beside the removals, and the other is not.
    let kinds = async |connector: &str| {
        let which = RunsEnded {
            connector: connector.into(),
            since: at(0),
            until: at(0),
            after: None,
            limit: 10,
        };
        let runs = home.store.runs_ended(&which).await.expect("read");
        runs.iter().map(|run| run.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds("crm").await, [RunKind::Removal]);
    assert_eq!(kinds("wiki").await, [RunKind::Discovery]);
}
