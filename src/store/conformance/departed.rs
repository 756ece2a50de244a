//! Accounts whose removal has ended, each once and by its last removal.
//!
//! Owns what both stores must answer about such accounts; who uses the answer is the engine's affair.

use super::Home;
use super::given::{a_removal, an_account, at, fenced, keep, proved};

pub async fn e3_accounts_whose_removal_ended_are_known_by_the_last_of_them(home: &Home) {
    // Given two cases that removed the same account, and one that has not ended.
    let mut ended = Vec::new();
    for name in ["x", "y"] {
        let removal = a_removal(&home.store, name).await;
        let batch = [fenced(&removal, proved(&removal.run))];
        let settled = home.store.settle(at(0), &keep(1, 0), &batch).await;
        assert_eq!(settled.expect("settled").accepted, [true]);
        ended.push(removal.run.id);
    }
    a_removal(&home.store, "z").await;
    ended.sort();
    let read = async |since| {
        let read = home.store.departed(&"crm".into(), at(since)).await;
        read.expect("read")
    };
    // Then the account is there once.
    let departed = read(0).await;
    assert_eq!(departed.len(), 1);
    assert_eq!(departed[0].account, an_account("a1").id);
    assert_eq!(departed[0].login, an_account("a1").login);
    assert_eq!(departed[0].removal, ended[1]);
    assert_eq!(departed[0].ended, at(0));
    // And not from another time or at another target.
    assert!(read(1).await.is_empty());
    let elsewhere = home.store.departed(&"mail".into(), at(0)).await;
    assert!(elsewhere.expect("read").is_empty());
}
