//! Directories that answer in ways that look like success and are not.
//!
//! Owns the traps: limits, references, lost answers, the bytes and bits of Active Directory, groups
//! that cannot be left. Each answer is scripted; that the kind works with a real server is shown in
//! `tests/integration/ldap.rs`.

mod active_directory;
mod double;
mod left;
mod several;
mod table;
mod trial;
mod whole;

use super::*;
use crate::connectors::Credential;
use crate::connectors::fixture::Moved;
use crate::connectors::rehearsal::{Recorder, change, credential, taking};
use crate::document::{Document, Problems};
use crate::domain::outcome::FailureClass;
use double::{Asked, Double, Said};

const HEAD: &str = r#"
name = "staff"
kind = "ldap"
purpose = "Staff directory"
owner = "it@acme.example"
deputy = "iam@acme.example"
review_by = "2027-03-31"
after_removal = "account_gone"
operations = ["list", "read", "disable", "revoke_entitlement", "revoke_credential", "delete"]
writes = ["employeeType", "member", "sshPublicKey", "sshPublicKey;lang-en", "userAccountControl", "primaryGroupID", "*"]
[[correlation]]
identifier = "employee_number"
attribute = "employeeNumber"
decides = true
[credentials.writer]
secret = "local:staff/writer"
username = "cn=writer"
rotation = "choose"
[credentials.verifier]
secret = "local:staff/verifier"
username = "cn=verifier"
[credentials.rotator]
secret = "local:staff/rotator"
username = "cn=rotator"
[expect]
fields = ["employeeNumber"]
[limits]
timeout_seconds = 30
[fallback]
steps = ["Remove the person by hand"]
"#;

const OPEN: &str = r#"
[ldap]
url = "{url}"
base = "ou=people"
object_class = "person"
login = "uid"
credentials = ["sshPublicKey"]
page_size = 2
known_references = ["ldap://known.example/"]
[ldap.state]
attribute = "employeeType"
disabled = ["left"]
[[ldap.groups]]
base = "ou=groups"
object_class = "groupOfNames"
member = "member"
"#;

/// A connector, the double behind it, and what it is called with.
struct Stage {
    double: Double,
    connector: LdapConnector,
    gate: Recorder,
    writer: Credential,
}

fn read_settings(text: &str) -> Result<Settings, Problems> {
    let document = Document::parse("staff.toml", text)?;
    let root = document.root();
    let manifest = Manifest::read(&root);
    root.string("kind");
    let table = root.required_table("ldap").expect("the table");
    let settings = Settings::read(&table, &manifest);
    root.finish();
    document.take_problems().or(settings)
}

impl Stage {
    async fn new(
        table: &str,
        script: impl Fn(&Asked, usize) -> Option<Vec<Said>> + Send + Sync + 'static,
    ) -> Self {
        Self::with(HEAD, table, script).await
    }

    async fn with(
        head: &str,
        table: &str,
        script: impl Fn(&Asked, usize) -> Option<Vec<Said>> + Send + Sync + 'static,
    ) -> Self {
        let double = Double::new(script).await;
        let text = format!("{head}{}", table.replace("{url}", &double.url));
        let settings = read_settings(&text).unwrap_or_else(|problems| panic!("{problems}"));
        Self {
            double,
            connector: LdapConnector {
                client: Client::new(settings),
                clock: Moved::new(),
            },
            gate: Recorder::default(),
            writer: credential(CredentialRole::Writer, Some("cn=writer"), "s3cret"),
        }
    }

    async fn list(&self) -> Result<Listing, Failure> {
        self.connector.list(&self.gate.call(&self.writer)).await
    }

    async fn read(&self, id: &str) -> Result<Reading, Failure> {
        let call = self.gate.call(&self.writer);
        self.connector.read(&call, &id.into()).await
    }

    async fn write(&self, change: &Change) -> Result<Answered, Failure> {
        let call = self.gate.call(&self.writer);
        self.connector.write(&call, change).await
    }
}

/// The class and code of what went wrong.
fn fault<T: std::fmt::Debug>(result: Result<T, Failure>) -> (FailureClass, String) {
    let failure = result.expect_err("it fails");
    (failure.class, failure.code)
}

fn expected(class: FailureClass, code: &str) -> (FailureClass, String) {
    (class, code.to_owned())
}

fn person(id: &'static str, uid: &'static str) -> Said {
    let values = [("entryUUID", id), ("uid", uid), ("employeeNumber", uid)];
    let values = values.map(|(name, value)| (name, value.as_bytes().to_vec()));
    Said::Entry("uid=ada,ou=people", values.to_vec())
}

fn group(dn: &'static str, id: &'static str) -> Said {
    let values = [("entryUUID", id), ("cn", id)];
    let values = values.map(|(name, value)| (name, value.as_bytes().to_vec()));
    Said::Entry(dn, values.to_vec())
}

const END: Said = Said::Done(0, Some(""));

/// Ada is there and in one group, until the script says otherwise.
fn ada(asked: &Asked) -> Option<Vec<Said>> {
    let Asked::Search(base, filter) = asked else {
        return None;
    };
    let is_hers = filter.contains("(member=uid=ada,ou=people)") || filter.contains("=*)");
    match base.as_str() {
        "ou=people" => Some(vec![person("17", "ada"), END]),
        "ou=groups" if is_hers || filter.contains("(entryUUID=g1)") => {
            Some(vec![group("cn=g1,ou=groups", "g1"), END])
        }
        _ => None,
    }
}

#[tokio::test]
async fn c6_a_listing_is_whole_only_when_the_directory_says_so() {
    let first = || vec![person("1", "a"), person("2", "b")];
    let with = |last: Vec<Said>| {
        let mut said = first();
        said.extend(last);
        said
    };
    let paged = Stage::new(OPEN, move |asked, before| match (asked, before) {
        (Asked::Search(base, _), 0) if base == "ou=people" => Some(vec![
            person("1", "a"),
            person("2", "b"),
            Said::Done(0, Some("next")),
        ]),
        (Asked::Search(base, _), _) if base == "ou=people" => Some(vec![person("3", "c"), END]),
        _ => None,
    })
    .await;
    let listing = paged.list().await.expect("listed");
    assert_eq!(
        (listing.accounts.len(), listing.completeness.gap()),
        (3, None)
    );
    assert!(listing.method.contains("2 pages"), "{}", listing.method);

    for (last, whole) in [
        (vec![Said::Done(3, Some(""))], false),
        (vec![Said::Done(4, Some(""))], false),
        (vec![Said::Done(11, Some(""))], false),
        (vec![Said::Done(10, Some(""))], false),
        (vec![Said::Done(0, None)], false),
        (vec![Said::Reference("ldap://evil.example/"), END], false),
        (vec![Said::Reference("ldap://known.example/"), END], true),
        (vec![END], true),
    ] {
        let named = format!("{last:?}");
        let said = with(last);
        let stage = Stage::new(OPEN, move |asked, _| {
            matches!(asked, Asked::Search(base, _) if base == "ou=people").then(|| said.clone())
        })
        .await;
        let listing = stage.list().await.expect("listed");
        assert_eq!(listing.accounts.len(), 2, "{named}");
        assert_eq!(listing.completeness.pages_closed, whole, "{named}");
    }
}

#[tokio::test]
async fn e1_values_under_options_that_nobody_declared_leave_a_look_open() {
    for (declared, whole) in [
        ("[\"sshPublicKey\"]", false),
        ("[\"sshPublicKey\", \"sshPublicKey;lang-en\"]", true),
    ] {
        let table = OPEN.replace("[\"sshPublicKey\"]", declared);
        let stage = Stage::new(&table, |asked, _| match asked {
            Asked::Search(base, _) if base == "ou=people" => {
                let Said::Entry(dn, mut values) = person("17", "ada") else {
                    return None;
                };
                values.push(("sshPublicKey;lang-en", b"ssh-ed25519 AAAA".to_vec()));
                values.push(("description;lang-en", b"of no account".to_vec()));
                Some(vec![Said::Entry(dn, values), END])
            }
            _ => ada(asked),
        })
        .await;
        let reading = stage.read("17").await.expect("read");
        assert_eq!(reading.completeness.gap().is_none(), whole, "{declared}");
        let method = &reading.method;
        assert_eq!(
            method.contains("`sshpublickey;lang-en`"),
            !whole,
            "{method}"
        );
        let held = reading.account.expect("there").entitlements;
        let mut keys = held.iter();
        let key = keys.any(|one| one.kind == crate::domain::access::EntitlementKind::Credential);
        assert_eq!(key, whole);
        // What is done to the account is not held up.
        let disable = change(Operation::Disable, "17", "ada");
        assert_eq!(stage.write(&disable).await, Ok(Answered::Accepted));
    }
}

#[tokio::test]
async fn c6_pages_that_do_not_end_are_left_and_a_base_that_is_gone_is_no_empty_listing() {
    let stage = Stage::new(OPEN, |asked, _| match asked {
        Asked::Search(base, _) if base == "ou=people" => Some(vec![Said::Done(0, Some("again"))]),
        _ => None,
    })
    .await;
    let listing = stage.list().await.expect("listed");
    assert!(!listing.completeness.pages_closed);

    let stage = Stage::new(OPEN, |asked, _| {
        matches!(asked, Asked::Search(base, _) if base == "ou=people")
            .then(|| vec![Said::Done(32, None)])
    })
    .await;
    let told = fault(stage.list().await);
    assert_eq!(told, expected(FailureClass::Drifted, "CB-LDAP-5"));
}

#[tokio::test]
async fn p9_a_change_whose_answer_is_lost_is_unknown() {
    let stage = Stage::new(OPEN, |asked, _| match asked {
        Asked::Modify(..) | Asked::Delete(_) => Some(vec![Said::HangUp]),
        _ => ada(asked),
    })
    .await;
    let unknown = expected(FailureClass::UnknownOutcome, "CB-LDAP-6");
    let disable = change(Operation::Disable, "17", "ada");
    assert_eq!(fault(stage.write(&disable).await), unknown);
    let taking = taking("17", "ada", "group:g1");
    assert_eq!(fault(stage.write(&taking).await), unknown);

    let stage = Stage::new(OPEN, |asked, _| {
        matches!(asked, Asked::Search(base, _) if !base.is_empty()).then(|| vec![Said::HangUp])
    })
    .await;
    let lost = expected(FailureClass::Unreachable, "CB-LDAP-1");
    assert_eq!(fault(stage.write(&disable).await), lost);
    assert_eq!(stage.double.changes(), []);
}

#[tokio::test]
async fn each_change_writes_what_it_says_and_is_judged_first() {
    let mut stage = Stage::new(OPEN, |asked, _| ada(asked)).await;
    let disable = change(Operation::Disable, "17", "ada");
    assert_eq!(stage.write(&disable).await, Ok(Answered::Accepted));
    let judged = stage.gate.take_writes();
    assert_eq!(
        judged[0].writes,
        BTreeSet::from(["employeeType".to_owned()])
    );
    assert!(!judged[0].line.contains("ada"), "{}", judged[0].line);
    let sent = vec!["replace employeeType: left".to_owned()];
    let dn = "uid=ada,ou=people".to_owned();
    assert_eq!(stage.double.changes(), [Asked::Modify(dn, sent)]);

    stage.gate = Recorder::forbidding(&["employeeType"]);
    let failure = stage.write(&disable).await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::Refused);
    assert_eq!(stage.double.changes().len(), 1, "nothing more was sent");

    let moved = change(Operation::Delete, "17", "eve");
    let told = fault(stage.write(&moved).await);
    assert_eq!(told, expected(FailureClass::Ambiguous, "CB-LDAP-10"));
}

#[tokio::test]
async fn p10_a_removal_answered_not_there_is_read_again() {
    let gone = |still: bool| {
        Stage::new(OPEN, move |asked, before| match asked {
            Asked::Modify(..) => Some(vec![Said::Done(16, None)]),
            Asked::Search(base, filter)
                if base == "ou=groups" && filter.contains("(member=") && before > 0 && !still =>
            {
                Some(vec![END])
            }
            _ => ada(asked),
        })
    };
    let taking = taking("17", "ada", "group:g1");
    assert_eq!(gone(false).await.write(&taking).await, Ok(Answered::Absent));
    let told = fault(gone(true).await.write(&taking).await);
    assert_eq!(told, expected(FailureClass::WriteFailure, "CB-LDAP-11"));
}

#[tokio::test]
async fn a_last_member_leaves_by_a_placeholder_or_a_person_must_act() {
    let script = |asked: &Asked, _: usize| match asked {
        Asked::Modify(_, changes) if changes.len() == 1 => Some(vec![Said::Done(65, None)]),
        _ => ada(asked),
    };
    let taking = taking("17", "ada", "group:g1");
    let stage = Stage::new(OPEN, script).await;
    let told = fault(stage.write(&taking).await);
    assert_eq!(told, expected(FailureClass::Unsupported, "CB-LDAP-12"));

    let table = format!("{OPEN}placeholder_member = \"cn=nobody\"\n");
    let stage = Stage::new(&table, script).await;
    assert_eq!(stage.write(&taking).await, Ok(Answered::Accepted));
    let swapped = vec![
        "add member: cn=nobody".to_owned(),
        "delete member: uid=ada,ou=people".to_owned(),
    ];
    let sent = stage.double.changes();
    assert_eq!(
        sent[1],
        Asked::Modify("cn=g1,ou=groups".to_owned(), swapped)
    );
}

#[tokio::test]
async fn a_deletion_takes_the_memberships_first_and_its_refusals_have_classes() {
    for (code, class) in [
        (66, FailureClass::Unsupported),
        (53, FailureClass::Unsupported),
        (50, FailureClass::Refused),
        (51, FailureClass::RateLimited),
        (80, FailureClass::WriteFailure),
    ] {
        let stage = Stage::new(OPEN, move |asked, _| match asked {
            Asked::Delete(_) => Some(vec![Said::Done(code, None)]),
            _ => ada(asked),
        })
        .await;
        let failure = stage.write(&change(Operation::Delete, "17", "ada")).await;
        assert_eq!(failure.expect_err("refused").class, class, "{code}");
        let sent = stage.double.changes();
        assert!(matches!(&sent[0], Asked::Modify(dn, _) if dn == "cn=g1,ou=groups"));
        assert!(matches!(&sent[1], Asked::Delete(dn) if dn == "uid=ada,ou=people"));
        let judged = stage.gate.take_writes();
        assert!(judged.iter().all(|one| one.writes.contains("*")));
    }
}

#[tokio::test]
async fn groups_that_hold_each_other_come_to_an_end() {
    let stage = Stage::new(OPEN, |asked, _| {
        let Asked::Search(base, filter) = asked else {
            return None;
        };
        let g1 = vec![group("cn=g1,ou=groups", "g1"), END];
        let g2 = vec![group("cn=g2,ou=groups", "g2"), END];
        match base.as_str() {
            "ou=groups" if filter.contains("(member=uid=ada,ou=people)") => Some(g1),
            "ou=groups" if filter.contains("(member=cn=g1,ou=groups)") => Some(g2),
            "ou=groups" if filter.contains("(member=cn=g2,ou=groups)") => Some(g1),
            _ => ada(asked),
        }
    })
    .await;
    let reading = stage.read("17").await.expect("read");
    let held = reading.account.expect("is there").entitlements;
    let held = held
        .iter()
        .map(|one| (one.id.as_str(), one.inherited_from.as_deref()));
    let expected = [
        ("group:g1", None),
        ("group:g2@g1", Some("g1")),
        ("group:g1@g2", Some("g2")),
    ];
    assert_eq!(held.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn c6_groups_that_show_no_member_to_anybody_prove_nothing() {
    let stage = Stage::new(OPEN, |asked, _| match asked {
        Asked::Search(base, _) if base == "ou=people" => ada(asked),
        _ => None,
    })
    .await;
    let reading = stage.read("17").await.expect("read");
    assert!(reading.completeness.permission_cut);
    let table = format!("{OPEN}may_be_empty = true\n");
    let stage = Stage::new(&table, |asked, _| match asked {
        Asked::Search(base, _) if base == "ou=people" => ada(asked),
        _ => None,
    })
    .await;
    let reading = stage.read("17").await.expect("read");
    assert_eq!(reading.completeness.gap(), None);
}

#[tokio::test]
async fn nobody_is_signed_in_as_nobody() {
    let mut stage = Stage::new(OPEN, |asked, _| ada(asked)).await;
    for (name, secret) in [
        (Some("cn=writer"), ""),
        (None, "s3cret"),
        (Some(""), "s3cret"),
    ] {
        stage.writer = credential(CredentialRole::Writer, name, secret);
        let told = fault(stage.list().await);
        assert_eq!(told, expected(FailureClass::AuthFailure, "CB-LDAP-2"));
    }
    assert_eq!(stage.double.seen(), []);
}

#[tokio::test]
async fn without_starttls_no_password_is_sent() {
    let table = OPEN.replace("page_size", "start_tls = true\npage_size");
    let stage = Stage::new(&table, |asked, _| {
        matches!(asked, Asked::Other(23)).then(|| vec![Said::Done(52, None)])
    })
    .await;
    assert!(stage.list().await.is_err());
    assert_eq!(stage.double.seen(), [Asked::Other(23)]);
}
