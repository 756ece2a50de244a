//! The ldap kind on a real slapd: pages, groups within groups, last members, TLS, rotation.
//!
//! Owns a branch of its own for each test. What happened is read from the directory itself, with
//! another connection than the connector's.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use clawback::app::examine::{Mark, Order, examine};
use clawback::connectors::{Answered, Change, Credential, Guarded, MintOrder, Registry};
use clawback::domain::access::{Account, AccountState, Entitlement, EntitlementKind, Operation};
use clawback::domain::id::ConnectorName;
use clawback::domain::outcome::{Failure, FailureClass};
use clawback::domain::time::{Clock, Timestamp};
use clawback::domain::verdict::CredentialRole;
use ldap3::{Ldap, LdapConnAsync, Scope, SearchEntry};
use tokio::task::JoinSet;

use super::parts::{Service, part};

const ROOT: &str = "dc=acme,dc=example";

const MANIFEST: &str = r#"
name = "staff"
kind = "ldap"
purpose = "Staff directory"
owner = "it@acme.example"
deputy = "iam@acme.example"
review_by = "2027-03-31"
after_removal = "account_gone"
operations = ["list", "read", "disable", "revoke_entitlement", "revoke_credential", "delete"]
writes = ["pwdAccountLockedTime", "member", "memberUid", "gidNumber", "sshPublicKey", "*"]
[[correlation]]
identifier = "employee_number"
attribute = "employeeNumber"
decides = true
[credentials.writer]
secret = "local:staff/writer"
username = "cn=writer,ou=services,dc=acme,dc=example"
[credentials.verifier]
secret = "local:staff/verifier"
username = "cn=verifier,ou=services,dc=acme,dc=example"
rotation = "choose"
[credentials.rotator]
secret = "local:staff/rotator"
username = "cn=rotator,ou=services,dc=acme,dc=example"
[limits]
timeout_seconds = 60
requests_per_second = 1000
[expect]
fields = ["employeeNumber"]
[fallback]
steps = ["Remove the person by hand"]
[ldap]
url = "{url}"
base = "ou=people,{branch}"
object_class = "inetOrgPerson"
login = "uid"
display_name = "cn"
attributes = ["employeeNumber"]
credentials = ["sshPublicKey"]
page_size = 4
[ldap.state]
attribute = "pwdAccountLockedTime"
disabled = ["000001010000Z"]
[ldap.primary_group]
form = "gid_number"
base = "ou=groups,{branch}"
object_class = "posixGroup"
park = 65534
[[ldap.groups]]
base = "ou=groups,{branch}"
object_class = "groupOfNames"
member = "member"
placeholder_member = "cn=nobody,{branch}"
[[ldap.groups]]
base = "ou=groups,{branch}"
object_class = "posixGroup"
member = "memberUid"
named_by = "login"
may_be_empty = true
"#;

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// A branch of the directory and a connector for it.
struct Branch {
    url: String,
    name: String,
    /// The directory's manager, past the connector.
    manager: Ldap,
    connector: Arc<Guarded>,
    _driver: JoinSet<()>,
}

fn values(texts: &[&str]) -> HashSet<String> {
    texts.iter().map(ToString::to_string).collect()
}

async fn open(url: &str) -> (Ldap, JoinSet<()>) {
    let (connection, ldap) = LdapConnAsync::new(url).await.expect("the directory");
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // It ends with its test.
        let _ = connection.drive().await;
    });
    (ldap, driver)
}

impl Branch {
    /// A branch called after the test, with Ada and Bob and their groups.
    async fn new(test: &str) -> Self {
        Self::at(&part("CLAWBACK_TEST_SLAPD"), test, |text| text).await
    }

    async fn at(url: &str, test: &str, manifest: impl FnOnce(String) -> String) -> Self {
        let name = format!("ou={test}-{},{ROOT}", std::process::id());
        let (mut manager, driver) = open(url).await;
        let admin = format!("cn=admin,{ROOT}");
        let bound = manager.simple_bind(&admin, "admin-password");
        bound.await.expect("asked").success().expect("signed in");
        let text = MANIFEST.replace("{url}", url).replace("{branch}", &name);
        let mut branch = Self {
            url: url.to_owned(),
            connector: load(manifest(text)),
            name,
            manager,
            _driver: driver,
        };
        branch.populate().await;
        branch
    }

    async fn populate(&mut self) {
        for place in ["", "ou=people,", "ou=groups,"] {
            self.add(place, "organizationalUnit", &[]).await;
        }
        self.add("cn=nobody,", "organizationalRole", &[]).await;
        self.person("ada", 1).await;
        self.person("bob", 2).await;
        let named = |uid: &str| format!("uid={uid},ou=people,{}", self.name);
        let (ada, bob) = (named("ada"), named("bob"));
        let finance = format!("cn=finance,ou=groups,{}", self.name);
        let names = "groupOfNames";
        let member = |who: &[&str]| vec![("member", values(who))];
        let both = member(&[&ada, &bob]);
        self.add("cn=finance,ou=groups,", names, &both).await;
        self.add("cn=solo,ou=groups,", names, &member(&[&ada]))
            .await;
        let above = member(&[&finance]);
        self.add("cn=all,ou=groups,", names, &above).await;
        for (name, number, who) in [("staff", "1500", "bob"), ("shell", "2000", "ada")] {
            let place = format!("cn={name},ou=groups,");
            let more = [
                ("gidNumber", values(&[number])),
                ("memberUid", values(&[who])),
            ];
            self.add(&place, "posixGroup", &more).await;
        }
    }

    async fn person(&mut self, uid: &str, number: usize) {
        let number = format!("E{number}");
        let more = [
            ("objectClass", values(&["posixAccount", "ldapPublicKey"])),
            ("sn", values(&[uid])),
            ("employeeNumber", values(&[&number])),
            ("uidNumber", values(&["1000"])),
            ("gidNumber", values(&["1500"])),
            ("homeDirectory", values(&["/home"])),
            ("userPassword", values(&["own-password"])),
            (
                "sshPublicKey",
                values(&["ssh-ed25519 AAAA one", "ssh-rsa BBBB two"]),
            ),
            ("cn", values(&[uid])),
        ];
        let place = format!("uid={uid},ou=people,");
        self.add(&place, "inetOrgPerson", &more).await;
    }

    /// Adds an entry; its name stands at the beginning of `place`.
    async fn add(&mut self, place: &str, class: &str, more: &[(&str, HashSet<String>)]) {
        let dn = format!("{place}{}", self.name);
        let (attribute, rest) = dn.split_once('=').expect("a name");
        let own = rest.split(',').next().expect("its value");
        let mut all = vec![("objectClass".to_owned(), values(&[class]))];
        for (name, some) in more.iter().cloned().chain([(attribute, values(&[own]))]) {
            match all.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => known.extend(some),
                None => all.push((name.to_owned(), some)),
            }
        }
        let added = self.manager.add(&dn, all).await.expect("asked");
        added.success().expect("added");
    }

    /// How many entries match, as the manager sees it.
    async fn count(&mut self, filter: &str) -> usize {
        self.found(filter).await.len()
    }

    async fn found(&mut self, filter: &str) -> Vec<SearchEntry> {
        let (base, wanted) = (self.name.clone(), ["*", "entryUUID"]);
        let asked = self.manager.search(&base, Scope::Subtree, filter, wanted);
        let (entries, _) = asked.await.expect("asked").success().expect("found");
        entries.into_iter().map(SearchEntry::construct).collect()
    }

    async fn id(&mut self, filter: &str) -> String {
        self.found(filter).await[0].attrs["entryUUID"][0].clone()
    }

    async fn account(&self, id: &str) -> Option<Account> {
        let reading = self.connector.read(&verifier(), &id.into()).await;
        let reading = reading.expect("read");
        assert_eq!(reading.completeness.gap(), None);
        reading.account
    }

    async fn write(&self, change: &Change) -> Result<Answered, Failure> {
        self.connector.write(&writer(), change).await
    }

    /// Whether the person can still sign in.
    async fn signs_in(&self, uid: &str) -> bool {
        let (mut ldap, _driver) = open(&self.url).await;
        let dn = format!("uid={uid},ou=people,{}", self.name);
        let answer = ldap.simple_bind(&dn, "own-password").await;
        answer.expect("asked").rc == 0
    }
}

fn load(manifest: String) -> Arc<Guarded> {
    let clock: Arc<dyn Clock> = Arc::new(Still);
    let registry = Registry::load(&[("staff.toml".to_owned(), manifest)], &clock)
        .unwrap_or_else(|problems| panic!("{problems}"));
    registry.get(&ConnectorName::from("staff")).expect("loaded")
}

fn credential(role: CredentialRole, name: &str, secret: &str) -> Credential {
    Credential {
        role,
        version: 1,
        remote_ref: None,
        username: Some(format!("cn={name},ou=services,{ROOT}")),
        secret: secret.to_owned().into(),
    }
}

fn writer() -> Credential {
    credential(CredentialRole::Writer, "writer", "writer-password")
}

fn verifier() -> Credential {
    credential(CredentialRole::Verifier, "verifier", "verifier-password")
}

fn change(operation: Operation, account: &str, entitlement: Option<&Entitlement>) -> Change {
    Change {
        operation,
        account: account.into(),
        login: "ada".to_owned(),
        entitlement: entitlement.cloned(),
    }
}

fn direct(account: &Account) -> Vec<&Entitlement> {
    let held = account.entitlements.iter();
    held.filter(|one| one.inherited_from.is_none()).collect()
}

#[tokio::test]
async fn c2_each_operation_reaches_its_entry_and_no_other() {
    let mut branch = Branch::new("each").await;
    let listing = branch.connector.list(&verifier()).await.expect("listed");
    assert_eq!(listing.completeness.gap(), None);
    assert_eq!(listing.accounts.len(), 2);
    let id = branch.id("(uid=ada)").await;
    let ada = branch.account(&id).await.expect("is there");
    assert_eq!(
        (ada.state, ada.login.as_str()),
        (AccountState::Enabled, "ada")
    );
    assert_eq!(ada.attributes["employeeNumber"], "E1");
    let mut names: Vec<_> = direct(&ada).iter().map(|one| one.name.clone()).collect();
    names.retain(|name| !name.starts_with("sshPublicKey"));
    names.sort();
    assert_eq!(names, ["finance", "shell", "solo", "staff"]);
    let inherited: Vec<_> = ada
        .entitlements
        .iter()
        .filter(|one| one.inherited_from.is_some())
        .collect();
    assert_eq!(inherited.len(), 1);
    assert_eq!(
        (
            inherited[0].name.as_str(),
            inherited[0].inherited_from.as_deref()
        ),
        ("all", Some("finance"))
    );

    assert!(branch.signs_in("ada").await);
    let disable = change(Operation::Disable, &id, None);
    assert_eq!(branch.write(&disable).await, Ok(Answered::Accepted));
    assert_eq!(branch.write(&disable).await, Ok(Answered::Absent));
    assert!(!branch.signs_in("ada").await);
    assert!(branch.signs_in("bob").await);

    for one in direct(&ada) {
        let operation = match one.kind {
            EntitlementKind::Credential => Operation::RevokeCredential,
            _ => Operation::RevokeEntitlement,
        };
        let taking = change(operation, &id, Some(one));
        assert_eq!(
            branch.write(&taking).await,
            Ok(Answered::Accepted),
            "{}",
            one.name
        );
        assert_eq!(
            branch.write(&taking).await,
            Ok(Answered::Absent),
            "{}",
            one.name
        );
    }
    let ada = branch.account(&id).await.expect("stays");
    assert_eq!(
        (ada.state, ada.entitlements),
        (AccountState::Disabled, vec![])
    );
    assert_eq!(branch.count("(&(cn=finance)(member=*))").await, 1);
    assert_eq!(
        branch
            .count("(&(uid=bob)(sshPublicKey=*)(gidNumber=1500))")
            .await,
        1
    );
    let nobody = format!("(&(cn=solo)(member=cn=nobody,{}))", branch.name);
    assert_eq!(branch.count(&nobody).await, 1);
}

#[tokio::test]
async fn c2_a_deleted_account_leaves_no_membership_behind() {
    let mut branch = Branch::new("delete").await;
    let id = branch.id("(uid=ada)").await;
    let delete = change(Operation::Delete, &id, None);
    assert_eq!(branch.write(&delete).await, Ok(Answered::Accepted));
    assert_eq!(branch.write(&delete).await, Ok(Answered::Absent));
    let left = format!(
        "(|(uid=ada)(member=uid=ada,ou=people,{})(memberUid=ada))",
        branch.name
    );
    assert_eq!(branch.count(&left).await, 0);
    assert_eq!(branch.count("(uid=bob)").await, 1);
    assert_eq!(branch.account(&id).await, None);
}

#[tokio::test]
async fn e1_a_group_that_names_an_entry_which_is_gone_is_seen_and_left() {
    let mut branch = Branch::new("ghost").await;
    let id = branch.id("(uid=ada)").await;
    let ada = branch.account(&id).await.expect("is there");
    // Somebody else than Clawback deletes the entry, and this directory cleans nothing up.
    let dn = format!("uid=ada,ou=people,{}", branch.name);
    let deleted = branch.manager.delete(&dn).await.expect("asked");
    deleted.success().expect("deleted");
    let held = format!("(member={dn})");
    assert_eq!(branch.count(&held).await, 2);
    let (reader, writer) = (verifier(), writer());
    let look = || async {
        let known = Some(&ada);
        let reading = branch.connector.read_known(&reader, &ada.id, known).await;
        let reading = reading.expect("read");
        assert_eq!(reading.completeness.gap(), None);
        reading.account
    };
    let left = look().await.expect("something is left");
    let mut names: Vec<_> = direct(&left).iter().map(|one| one.name.clone()).collect();
    names.sort();
    assert_eq!(names, ["finance", "shell", "solo"]);
    for one in &left.entitlements {
        let taking = change(Operation::RevokeEntitlement, &id, Some(one));
        let answer = branch.connector.write_known(&writer, &taking, Some(&ada));
        assert_eq!(answer.await, Ok(Answered::Accepted), "{}", one.name);
    }
    assert_eq!(look().await, None);
    assert_eq!(branch.count(&held).await, 0);
    // The names of whoever comes next are theirs.
    branch.person("ada", 1).await;
    let joined = format!("(&(cn=solo){held})");
    let solo = format!("cn=solo,ou=groups,{}", branch.name);
    let add = vec![ldap3::Mod::Add("member".to_owned(), values(&[&dn]))];
    let added = branch.manager.modify(&solo, add).await.expect("asked");
    added.success().expect("added");
    let delete = change(Operation::Delete, &id, None);
    let answer = branch.connector.write_known(&writer, &delete, Some(&ada));
    assert_eq!(answer.await, Ok(Answered::Absent));
    assert_eq!(branch.count(&joined).await, 1);
}

#[tokio::test]
async fn c8_a_directory_passes_the_examination_and_only_the_canary_is_touched() {
    let mut branch = Branch::new("canary").await;
    let id = branch.id("(uid=ada)").await;
    let rotator = credential(CredentialRole::Rotator, "rotator", "rotator-password");
    let keys = [
        (CredentialRole::Writer, Ok(writer())),
        (CredentialRole::Verifier, Ok(verifier())),
        (CredentialRole::Rotator, Ok(rotator)),
    ];
    let order = Order {
        canary: Some(id.as_str().into()),
        change: true,
        patience: Duration::from_secs(60),
    };
    let points = examine(&branch.connector, &keys.into(), &order).await;
    let failed = points.iter().filter(|point| point.mark == Mark::Failed);
    assert_eq!(failed.count(), 0, "{points:#?}");
    let held = points.iter().filter(|point| point.mark == Mark::Held);
    assert!(held.count() > 10, "{points:#?}");
    assert_eq!(branch.count("(uid=ada)").await, 0);
    assert_eq!(
        branch
            .count("(&(uid=bob)(sshPublicKey=*)(gidNumber=1500))")
            .await,
        1
    );
    assert!(branch.signs_in("bob").await);
}

#[tokio::test]
async fn an_entry_with_something_below_it_is_for_a_person() {
    let mut branch = Branch::new("leaf").await;
    branch
        .add("cn=phone,uid=ada,ou=people,", "organizationalRole", &[])
        .await;
    let id = branch.id("(uid=ada)").await;
    let failure = branch.write(&change(Operation::Delete, &id, None)).await;
    let failure = failure.expect_err("not a leaf");
    assert_eq!(failure.class, FailureClass::Unsupported, "{failure}");
    assert_eq!(branch.count("(uid=ada)").await, 1);
}

#[tokio::test]
async fn a_last_member_without_a_placeholder_is_for_a_person() {
    let url = part("CLAWBACK_TEST_SLAPD");
    let mut branch = Branch::at(&url, "last", |text| {
        let lines = text.lines();
        let kept: Vec<_> = lines
            .filter(|line| !line.starts_with("placeholder"))
            .collect();
        kept.join("\n")
    })
    .await;
    let id = branch.id("(uid=ada)").await;
    let ada = branch.account(&id).await.expect("is there");
    let solo = ada.entitlements.iter().find(|one| one.name == "solo");
    let taking = change(Operation::RevokeEntitlement, &id, solo);
    let failure = branch.write(&taking).await.expect_err("the last one");
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::Unsupported, "CB-LDAP-12")
    );
    assert_eq!(branch.count("(&(cn=solo)(member=*))").await, 1);
}

#[tokio::test]
async fn c6_all_pages_are_read_and_a_limit_of_the_directory_is_not_an_end() {
    let mut branch = Branch::new("pages").await;
    for number in 3..=18 {
        branch.person(&format!("person{number}"), number).await;
    }
    let listing = branch.connector.list(&verifier()).await.expect("listed");
    assert_eq!(listing.accounts.len(), 18);
    assert_eq!(listing.completeness.gap(), None);
    assert!(listing.method.contains("5 pages"), "{}", listing.method);

    let mut limited = credential(CredentialRole::Verifier, "limited", "limited-password");
    // Connections are kept for a version.
    limited.version = 2;
    let listing = branch.connector.list(&limited).await.expect("listed");
    assert!(listing.accounts.len() < 18);
    assert!(!listing.completeness.pages_closed, "{}", listing.method);
}

#[tokio::test]
async fn p30_hostile_and_foreign_values_change_nothing() {
    let mut branch = Branch::new("values").await;
    for hostile in ["*", "*)(uid=*", "x)(|(uid=bob", "\\2a"] {
        let delete = change(Operation::Delete, hostile, None);
        assert_eq!(
            branch.write(&delete).await,
            Ok(Answered::Absent),
            "{hostile}"
        );
    }
    let bob = branch.id("(uid=bob)").await;
    let failure = branch.write(&change(Operation::Disable, &bob, None)).await;
    assert_eq!(failure.expect_err("another").class, FailureClass::Ambiguous);
    assert_eq!(branch.count("(objectClass=inetOrgPerson)").await, 2);
    assert_eq!(branch.count("(pwdAccountLockedTime=*)").await, 0);
}

#[tokio::test]
async fn each_refusal_of_the_directory_has_its_class() {
    let mut branch = Branch::new("classes").await;
    let id = branch.id("(uid=ada)").await;
    let wrong = credential(CredentialRole::Writer, "writer", "guess");
    let failure = branch.connector.try_credential(&wrong).await;
    assert_eq!(failure.expect_err("wrong").class, FailureClass::AuthFailure);
    assert_eq!(branch.connector.try_credential(&writer()).await, Ok(()));

    let weak = credential(CredentialRole::Writer, "verifier", "verifier-password");
    let disable = change(Operation::Disable, &id, None);
    let failure = branch.connector.write(&weak, &disable).await;
    assert_eq!(failure.expect_err("no right").class, FailureClass::Refused);

    let elsewhere = MANIFEST
        .replace("{url}", &branch.url)
        .replace("{branch}", "dc=gone");
    let failure = load(elsewhere).list(&verifier()).await;
    let failure = failure.expect_err("no such base");
    assert_eq!(failure.class, FailureClass::Drifted, "{failure}");
}

#[tokio::test]
async fn d2_a_chosen_password_works_at_once_and_the_old_one_is_dead() {
    // One of its own: the password of the shared one is every test's.
    let service = Service::up("slapd", "ldap-rotation", &[]);
    let branch = Branch::at(service.value("URL"), "rotation", |text| text).await;
    let rotator = credential(CredentialRole::Rotator, "rotator", "rotator-password");
    assert_eq!(branch.connector.try_credential(&rotator).await, Ok(()));
    assert_eq!(branch.connector.try_credential(&verifier()).await, Ok(()));
    let order = MintOrder {
        role: CredentialRole::Verifier,
        label: "clawback:test".to_owned(),
        username: None,
        chosen: Some("n3w-value".to_owned().into()),
        expires: None,
    };
    branch.connector.mint(&rotator, &order).await.expect("set");
    let mut new = credential(CredentialRole::Verifier, "verifier", "n3w-value");
    new.version = 2;
    assert_eq!(branch.connector.try_credential(&new).await, Ok(()));
    let failure = branch.connector.try_credential(&verifier()).await;
    assert_eq!(failure.expect_err("dead").class, FailureClass::AuthFailure);
    assert_eq!(
        branch
            .connector
            .list(&new)
            .await
            .expect("listed")
            .accounts
            .len(),
        2
    );
    let mut other = order.clone();
    other.role = CredentialRole::Writer;
    let failure = branch.connector.mint(&rotator, &other).await;
    let failure = failure.expect_err("the manifest rotates only the verifier");
    assert_eq!(failure.class, FailureClass::Unsupported);
}

#[tokio::test]
async fn p9_a_directory_that_went_away_is_unreachable_and_found_again() {
    let service = Service::up("slapd", "ldap-away", &[]);
    let mut branch = Branch::at(service.value("URL"), "away", |text| text).await;
    let id = branch.id("(uid=ada)").await;
    assert!(branch.account(&id).await.is_some());
    service.ctl("kill");
    let disable = change(Operation::Disable, &id, None);
    let failure = branch.write(&disable).await.expect_err("away");
    assert_eq!(failure.class, FailureClass::Unreachable, "{failure}");
    service.ctl("start");
    // What was kept leads nowhere now, and is not used.
    assert!(branch.account(&id).await.is_some());
    assert_eq!(branch.write(&disable).await, Ok(Answered::Accepted));
}

#[tokio::test]
async fn a_directory_is_known_by_its_certificate_over_both_ways_to_tls() {
    let (plain, tls) = (part("CLAWBACK_TEST_SLAPD"), part("CLAWBACK_TEST_SLAPD_TLS"));
    let authority = part("CLAWBACK_TEST_SLAPD_CA");
    let branch = Branch::new("tls").await;
    let text = MANIFEST.replace("{branch}", &branch.name);
    let known = format!("ca_file = \"{authority}\"");
    for (url, more, sound) in [
        (&tls, known.clone(), true),
        (&plain, format!("{known}\nstart_tls = true"), true),
        // The system's authorities do not know this one.
        (&tls, String::new(), false),
        (&plain, "start_tls = true".to_owned(), false),
    ] {
        let text = text.replace("{url}", url);
        let text = text.replace("page_size = 4", &format!("page_size = 4\n{more}"));
        let listing = load(text).list(&verifier()).await;
        match listing {
            Ok(listing) => assert!(sound && listing.accounts.len() == 2, "{url} {more}"),
            Err(failure) => {
                assert!(!sound, "{url} {more}: {failure}");
                assert_eq!(failure.class, FailureClass::Unreachable, "{failure}");
            }
        }
    }
}
