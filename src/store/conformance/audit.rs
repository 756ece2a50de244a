//! The log covers what every other check wrote, and nothing else.
//!
//! Owns the look at the whole log that follows each check of the suite, so that a write which forgets its
//! link fails the check that made it.

use super::super::{audit, domain};
use super::Home;
use super::given::{a_case, a_removal, at, bare, fenced, keep, proved, recorded, worker};
use domain::audit::{Signed, Verifier};

/// Everything that is stored was recorded, and is as it was recorded.
pub async fn clean(home: &Home) {
    let mut verifier = Verifier::new(audit::tables::ALL, None);
    let signed_by = |_: &str, _: &str, _: &str| true;
    home.store
        .inspect(&mut verifier, &signed_by)
        .await
        .expect("inspected");
    let (findings, _) = verifier.finish();
    let told: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert!(
        told.is_empty(),
        "the log does not cover what was written:\n{}",
        told.join("\n")
    );
}

pub async fn e6_every_transaction_leaves_a_link(home: &Home) {
    let removal = a_removal(&home.store, "r").await;
    let settled = fenced(&removal, proved(&removal.run));
    home.store
        .settle(at(2), &keep(1, 5), &[settled])
        .await
        .expect("settled");
    let mut verifier = Verifier::new(audit::tables::ALL, None);
    home.store
        .inspect(&mut verifier, &|_, _, _| true)
        .await
        .expect("inspected");
    let (_, tally) = verifier.finish();
    assert!(tally.links >= 3, "{tally:?}");
    assert_eq!(tally.unsigned, tally.links);
    assert!(
        tally.rows["journal"] > 0 && tally.rows["runs"] > 1,
        "{tally:?}"
    );
}

pub async fn e6_a_link_covers_only_what_was_taken(home: &Home) {
    let one = a_case(&home.store, "one").await;
    let other = a_case(&home.store, "other").await;
    let mut late = fenced(&other, bare(other.run.clone()));
    late.settlement.run.step += 1;
    late.token.0 += 7;
    let mut good = fenced(&one, bare(one.run.clone()));
    good.settlement.run.step += 1;
    let settled = home
        .store
        .settle(at(2), &keep(1, 5), &[late, good])
        .await
        .expect("settled");
    assert_eq!(settled.accepted, [false, true]);
}

pub async fn e6_checkpoints_close_windows_one_after_the_other(home: &Home) {
    let sign = |window: &domain::audit::Window, before: Option<&Signed>| {
        let says = window.close(before, at(3), "k", None);
        Some(Signed {
            number: says.number,
            text: says.text(),
            signature: String::new(),
        })
    };
    recorded(&home.store, vec![super::given::event("e-1", "hr-1", 1)]).await;
    let first = home.store.witness(&sign).await.expect("made").expect("one");
    let case = a_case(&home.store, "c").await;
    let second = home
        .store
        .witness(&sign)
        .await
        .expect("made")
        .expect("another");
    assert_eq!((first.number, second.number), (1, 2));
    let (one, two) = (first.read().expect("reads"), second.read().expect("reads"));
    assert_eq!((one.until, two.previous), (two.after, first.digest()));
    assert!(two.links > 0 && two.until > one.until);
    assert_eq!(
        home.store.last_checkpoint().await.expect("read"),
        Some(second.clone())
    );
    assert_eq!(
        home.store.checkpoints_signed().await.expect("read"),
        [first, second]
    );
    home.store
        .release(worker(1), &[(case.run.id, case.token)])
        .await
        .expect("released");
}

pub async fn e6_many_workers_each_have_strands_of_their_own(home: &Home) {
    let mut all = tokio::task::JoinSet::new();
    for number in 0..8 {
        let store = home.store.clone();
        all.spawn(async move {
            for round in 0..5 {
                let name = format!("e-{number}-{round}");
                recorded(&store, vec![super::given::event(&name, &name, 1)]).await;
            }
        });
    }
    while let Some(done) = all.join_next().await {
        done.expect("recorded");
    }
}
