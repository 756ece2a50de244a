//! Attributes with several values.
//!
//! Owns what an account shows of them, and that a change goes by any of an entry's logins, in whatever order
//! the directory shows them. What a rule makes of several values is told in `domain`.

use super::*;

/// Ada, with an older login and the number of an earlier contract.
fn countess(asked: &Asked) -> Option<Vec<Said>> {
    let values = [
        ("entryUUID", "17"),
        ("uid", "countess"),
        ("uid", "ada"),
        ("employeeNumber", "E7"),
        ("employeeNumber", "E1"),
    ];
    let values = values.map(|(name, value)| (name, value.as_bytes().to_vec()));
    let entry = Said::Entry("uid=ada,ou=people", values.to_vec());
    match asked {
        Asked::Search(base, _) if base == "ou=people" => Some(vec![entry, END]),
        _ => ada(asked),
    }
}

#[tokio::test]
async fn e5_an_account_shows_every_value_that_names_it() {
    let stage = Stage::new(OPEN, |asked, _| countess(asked)).await;
    let listed = stage.list().await.expect("listed").accounts.remove(0);
    let read = stage.read("17").await.expect("read").account;
    for account in [listed, read.expect("there")] {
        let values = |name| account.values(name).collect::<Vec<_>>();
        assert_eq!(values("login"), ["countess", "ada"]);
        assert_eq!(values("employeeNumber"), ["E7", "E1"]);
        assert_eq!(values("dn"), ["uid=ada,ou=people"]);
    }
}

#[tokio::test]
async fn b3_a_change_goes_by_any_login_of_the_entry() {
    for login in ["ada", "countess"] {
        let stage = Stage::new(OPEN, |asked, _| countess(asked)).await;
        let disabling = change(Operation::Disable, "17", login);
        assert_eq!(stage.write(&disabling).await, Ok(Answered::Accepted));
    }
    let stage = Stage::new(OPEN, |asked, _| countess(asked)).await;
    let told = fault(stage.write(&change(Operation::Disable, "17", "bob")).await);
    assert_eq!(told, expected(FailureClass::Ambiguous, "CB-LDAP-10"));
}
