//! Changes of nobody, by which a new secret's powers are tried.
//!
//! Owns what is sent for them and what the directory's answer says of the powers. That the rotation goes
//! no further is tested with the rotation.

use super::*;

const NOBODY: &str = "f19bb2c0-0000-4000-8000-00000000beef";

/// A directory that shows nobody by any id and answers changes with this result.
async fn tried(table: &str, code: u32, operation: Operation) -> (Result<Answered, Failure>, Stage) {
    let stage = Stage::new(table, move |asked, _| match asked {
        Asked::Modify(..) | Asked::Delete(_) => Some(vec![Said::Done(code, None)]),
        _ => None,
    })
    .await;
    let call = stage.gate.trial(&stage.writer);
    let nobody = change(operation, NOBODY, NOBODY);
    let answer = stage.connector.write(&call, &nobody).await;
    (answer, stage)
}

#[tokio::test]
async fn d2_a_trial_sends_the_change_of_nobody_and_insufficient_rights_are_told() {
    let dn = format!("cn={NOBODY},ou=people");
    let modified = |table: &str, changes: &[&str]| {
        let changes = changes.iter().map(ToString::to_string).collect();
        (table.to_owned(), Asked::Modify(dn.clone(), changes))
    };
    let control = OPEN
        .replace(
            "attribute = \"employeeType\"\ndisabled = [\"left\"]",
            "form = \"account_control\"",
        )
        .replace("[ldap]", "[ldap]\nid = \"objectGUID\"");
    let both = ["delete userAccountControl: 0", "add userAccountControl: 2"];
    for (operation, (table, sent)) in [
        (
            Operation::Disable,
            modified(OPEN, &["replace employeeType: left"]),
        ),
        (Operation::Disable, modified(&control, &both)),
        (
            Operation::Delete,
            (OPEN.to_owned(), Asked::Delete(dn.clone())),
        ),
    ] {
        let (denied, stage) = tried(&table, 50, operation).await;
        assert_eq!(fault(denied), expected(FailureClass::Refused, "CB-LDAP-3"));
        assert_eq!(stage.double.changes(), [sent]);
        let (answer, _) = tried(&table, 32, operation).await;
        assert_eq!(
            answer,
            Ok(Answered::Absent),
            "nothing shows that it may not"
        );
        // A real change of whom nobody is is still not sent.
        let write = stage.write(&change(operation, NOBODY, NOBODY)).await;
        assert_eq!(write, Ok(Answered::Absent));
        assert_eq!(stage.double.changes().len(), 1);
    }
}

#[tokio::test]
async fn d2_a_trial_changes_no_entry_that_is_there() {
    let stage = Stage::new(OPEN, |asked, _| ada(asked)).await;
    let call = stage.gate.trial(&stage.writer);
    for operation in [Operation::Disable, Operation::Delete] {
        let answer = stage
            .connector
            .write(&call, &change(operation, "17", "ada"))
            .await;
        assert_eq!(
            fault(answer),
            expected(FailureClass::Ambiguous, "CB-LDAP-10")
        );
    }
    assert_eq!(stage.double.changes(), []);
}
