//! The file kind on real files in a temporary directory.
//!
//! Owns the traps of control lists: comments, modes and line endings kept, a list that changes
//! under the change, an empty result, links, and lines that are not as declared.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::client::{self, Look, Replaced, Replacement};
use super::settings::{Format, Settings};
use super::*;
use crate::connectors::Credential;
use crate::connectors::fixture::Moved;
use crate::connectors::rehearsal::{Recorder, change, credential, taking};
use crate::document::Document;
use crate::domain::access::AccountState;
use crate::domain::outcome::FailureClass;
use crate::domain::time::{Timestamp, after};
use crate::domain::verdict::{Expectation, Finding, Observation, Sighting, judge};

const HTPASSWD: &str = "# partners\n\nada:$2y$05$abc\r\n  # indented\nbob:{SHA}x:Bob B.\nzoe:$1$y";

struct Place {
    directory: tempfile::TempDir,
    connector: FileConnector,
    clock: Arc<Moved>,
    gate: Recorder,
    writer: Credential,
    verifier: Credential,
}

impl Place {
    fn new(content: &str, format: Format) -> Self {
        let clock = Moved::new();
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().canonicalize().expect("is there");
        let path = root.join("list");
        fs::write(&path, content).expect("written");
        let settings = Settings {
            path,
            verify_path: None,
            format,
            comments: vec!["#".into()],
            max_lines: 1,
        };
        Self {
            directory,
            connector: FileConnector {
                settings,
                clock: Arc::clone(&clock) as _,
            },
            clock,
            gate: Recorder::default(),
            writer: credential(CredentialRole::Writer, None, ""),
            verifier: credential(CredentialRole::Verifier, None, ""),
        }
    }

    fn path(&self) -> &Path {
        &self.connector.settings.path
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).expect("readable")
    }

    async fn delete(&self, login: &str) -> Result<Answered, Failure> {
        let call = self.gate.call(&self.writer);
        let change = change(Operation::Delete, login, login);
        self.connector.write(&call, &change).await
    }

    async fn permit<T: Send>(&self, request: T) -> super::super::Permit<T> {
        let rendered = RenderedRequest {
            operation: Some(Operation::Read),
            account: None,
            writes: BTreeSet::new(),
            line: "test".into(),
        };
        let call = self.gate.call(&self.writer);
        call.permit(rendered, request).await.expect("let through")
    }
}

fn lines(separator: Option<char>, fields: &[&str]) -> Format {
    Format::Lines {
        separator,
        fields: fields.iter().map(ToString::to_string).collect(),
    }
}

#[tokio::test]
async fn c11_only_the_line_of_the_account_goes_and_every_other_byte_stays() {
    let place = Place::new(HTPASSWD, Format::Htpasswd);
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o640)).expect("set");
    let before = fs::metadata(place.path()).expect("is there");
    assert_eq!(place.delete("ada").await, Ok(Answered::Accepted));
    assert_eq!(place.text(), HTPASSWD.replace("ada:$2y$05$abc\r\n", ""));
    let after = fs::metadata(place.path()).expect("is there");
    assert_eq!(after.permissions().mode(), before.permissions().mode());
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    let left = fs::read_dir(place.directory.path()).expect("readable");
    assert_eq!(left.count(), 1, "no draft is left behind");
    let judged = place.gate.take_writes();
    assert_eq!(judged.len(), 1);
    assert_eq!(judged[0].writes, BTreeSet::from(["*".to_owned()]));
    assert!(!judged[0].line.contains("$2y$"), "no hash in the record");
}

#[tokio::test]
async fn a_refused_request_leaves_the_file_alone() {
    let mut place = Place::new(HTPASSWD, Format::Htpasswd);
    place.gate = Recorder::forbidding(&["*"]);
    let failure = place.delete("ada").await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::Refused);
    assert_eq!(place.text(), HTPASSWD);
}

#[tokio::test]
async fn an_account_that_is_not_listed_is_absent_and_nothing_is_written() {
    let place = Place::new(HTPASSWD, Format::Htpasswd);
    assert_eq!(place.delete("ad").await, Ok(Answered::Absent));
    assert_eq!(place.delete("# partners").await, Ok(Answered::Absent));
    assert!(place.gate.take_writes().is_empty());
}

#[tokio::test]
async fn c11_an_empty_result_is_refused() {
    let place = Place::new("# all\nada:x\n", Format::Htpasswd);
    let failure = place.delete("ada").await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::Refused);
    assert_eq!(failure.code, "CB-FILE-8");
    assert_eq!(place.text(), "# all\nada:x\n");
}

#[tokio::test]
async fn more_lines_than_allowed_are_ambiguous() {
    let mut place = Place::new("ada:x\nbob:y\nada:z\n", Format::Htpasswd);
    let failure = place.delete("ada").await.expect_err("two lines");
    assert_eq!(failure.class, FailureClass::Ambiguous);
    place.connector.settings.max_lines = 2;
    assert_eq!(place.delete("ada").await, Ok(Answered::Accepted));
    assert_eq!(place.text(), "bob:y\n");
}

#[tokio::test]
async fn the_asserted_login_must_be_the_id() {
    let place = Place::new(HTPASSWD, Format::Htpasswd);
    let call = place.gate.call(&place.writer);
    let other = change(Operation::Delete, "ada", "bob");
    let failure = place.connector.write(&call, &other).await.expect_err("no");
    assert_eq!(failure.class, FailureClass::Ambiguous);
    assert_eq!(place.text(), HTPASSWD);
}

#[tokio::test]
async fn c6_a_line_that_is_not_as_declared_is_drifted_and_its_content_is_not_told() {
    for (content, format) in [
        ("ada:x\nsecret-without-colon\n", Format::Htpasswd),
        ("ada:x\n:hash\n", Format::Htpasswd),
        ("ada x\nbob \\\n more\n", lines(None, &["login"])),
        ("staff:x:notanumber:ada\n", Format::Group),
        // The first name would be another one, and who has it would be found nowhere.
        ("\u{feff}ada:x\nbob:y\n", Format::Htpasswd),
        ("\u{feff}ada\nbob\n", lines(None, &["login"])),
        ("\u{feff}staff:x:12:ada\n", Format::Group),
    ] {
        let place = Place::new(content, format);
        let call = place.gate.call(&place.verifier);
        let failure = place.connector.list(&call).await.expect_err("drifted");
        assert_eq!(failure.class, FailureClass::Drifted);
        assert!(!failure.message.contains("secret"));
        let failure = place.delete("ada").await.expect_err("drifted or not able");
        assert_ne!(failure.class, FailureClass::WriteFailure);
        assert_eq!(place.text(), content);
    }
}

#[tokio::test]
async fn c11_a_list_that_changed_meanwhile_is_rendered_again() {
    let place = Place::new("ada:x\nbob:y\n", Format::Htpasswd);
    let seen = client::look(place.permit(Look(place.path().to_owned())).await).expect("read");
    fs::write(place.path(), "ada:x\nbob:y\ncarl:z\n").expect("another program");
    let stale = Replacement {
        path: place.path().to_owned(),
        before: seen.digest,
        content: b"bob:y\n".to_vec(),
    };
    let outcome = client::replace(place.permit(stale).await);
    assert_eq!(outcome, Ok(Replaced::ChangedMeanwhile));
    assert_eq!(place.text(), "ada:x\nbob:y\ncarl:z\n");
    // The whole write starts from what stands now, and the newcomer stays.
    assert_eq!(place.delete("ada").await, Ok(Answered::Accepted));
    assert_eq!(place.text(), "bob:y\ncarl:z\n");
}

#[tokio::test]
async fn c11_a_list_that_another_program_puts_there_meanwhile_is_not_overwritten() {
    let place = Place::new("ada:x\nbob:y\n", Format::Htpasswd);
    let seen = client::look(place.permit(Look(place.path().to_owned())).await).expect("read");
    let stale = Replacement {
        path: place.path().to_owned(),
        before: seen.digest,
        content: b"bob:y\n".to_vec(),
    };
    // Given a program that takes no lock, and renames a list without bob over ours.
    let outcome = client::replace_while(place.permit(stale).await, || {
        let theirs = place.path().with_file_name("theirs");
        fs::write(&theirs, "ada:x\ncarl:z\n").expect("written");
        fs::rename(&theirs, place.path()).expect("put there");
    });
    assert_eq!(outcome, Ok(Replaced::ChangedMeanwhile));
    assert_eq!(place.text(), "ada:x\ncarl:z\n", "bob stays removed");
    let left = fs::read_dir(place.directory.path()).expect("readable");
    assert_eq!(left.count(), 1, "no draft is left behind");
    assert_eq!(place.delete("ada").await, Ok(Answered::Accepted));
    assert_eq!(place.text(), "carl:z\n");
}

#[tokio::test]
async fn two_changes_at_once_both_hold() {
    let logins: Vec<String> = (0..8).map(|i| format!("user{i}")).collect();
    let content: String = logins.iter().flat_map(|l| [l.as_str(), ":x\n"]).collect();
    let place = Place::new(&format!("{content}last:x\n"), Format::Htpasswd);
    let results = futures_util::future::join_all(logins.iter().map(|l| place.delete(l))).await;
    let done = results.iter().filter(|r| **r == Ok(Answered::Accepted));
    // Whoever lost every race says so; nobody who was told yes is still listed.
    let accepted = done.count();
    assert!(accepted > 0);
    for (login, result) in logins.iter().zip(&results) {
        match result {
            Ok(_) => assert!(!place.text().contains(&format!("{login}:"))),
            Err(failure) => assert_eq!(failure.code, "CB-FILE-9"),
        }
    }
    assert_eq!(place.text().lines().count(), 9 - accepted);
}

#[tokio::test]
async fn a_lock_of_another_program_is_respected() {
    let place = Place::new("ada:x\nbob:y\n", Format::Htpasswd);
    let other = fs::File::open(place.path()).expect("open");
    rustix::fs::flock(&other, rustix::fs::FlockOperation::LockExclusive).expect("locked");
    let seen = client::look(place.permit(Look(place.path().to_owned())).await).expect("read");
    let replacement = Replacement {
        path: place.path().to_owned(),
        before: seen.digest,
        content: b"bob:y\n".to_vec(),
    };
    let outcome = client::replace(place.permit(replacement).await);
    assert_eq!(outcome, Ok(Replaced::Locked));
    drop(other);
    assert_eq!(place.delete("ada").await, Ok(Answered::Accepted));
}

#[tokio::test]
async fn links_pipes_and_second_names_are_refused() {
    let place = Place::new("ada:x\nbob:y\n", Format::Htpasswd);
    let root = place.path().parent().expect("a parent").to_owned();
    symlink(place.path(), root.join("link")).expect("made");
    symlink(&root, root.join("way")).expect("made");
    fs::create_dir(root.join("folder")).expect("made");
    fs::hard_link(place.path(), root.join("second")).expect("made");
    for name in ["link", "way/list", "folder", "second"] {
        let mut elsewhere = Place::new("x:y\n", Format::Htpasswd);
        elsewhere.connector.settings.path = root.join(name);
        let failure = elsewhere.delete("ada").await.expect_err(name);
        assert_eq!(failure.class, FailureClass::Refused, "{name}: {failure}");
        assert_eq!(failure.code, "CB-FILE-5", "{name}");
    }
    assert_eq!(place.text(), "ada:x\nbob:y\n");
}

#[tokio::test]
async fn a_missing_file_is_not_an_empty_list() {
    let place = Place::new("ada:x\n", Format::Htpasswd);
    fs::remove_file(place.path()).expect("removed");
    let call = place.gate.call(&place.verifier);
    let failure = place.connector.list(&call).await.expect_err("not there");
    assert_eq!(failure.class, FailureClass::Unreachable);
}

#[tokio::test]
async fn a_group_loses_one_member_and_nothing_else() {
    let content = "wheel:x:10:ada,bob,adam\nempty:x:11:\nstaff:x:12:ada\r\n";
    let place = Place::new(content, Format::Group);
    let reading = place
        .connector
        .read(&place.gate.call(&place.verifier), &"ada".into())
        .await
        .expect("read");
    let account = reading.account.expect("is a member");
    let groups: Vec<_> = account.entitlements.iter().map(|e| e.id.as_str()).collect();
    assert_eq!(groups, ["wheel", "staff"]);
    let call = place.gate.call(&place.writer);
    let taken = taking("ada", "ada", "wheel");
    let first = place.connector.write(&call, &taken).await;
    assert_eq!(first, Ok(Answered::Accepted));
    assert_eq!(place.text(), content.replace("ada,bob", "bob"));
    assert_eq!(
        place.gate.take_writes()[0].writes,
        BTreeSet::from(["members".to_owned()])
    );
    let again = place.connector.write(&call, &taken).await;
    assert_eq!(again, Ok(Answered::Absent));
    let taken = taking("ada", "ada", "staff");
    let last = place.connector.write(&call, &taken).await;
    assert_eq!(last, Ok(Answered::Accepted));
    assert_eq!(
        place.text(),
        "wheel:x:10:bob,adam\nempty:x:11:\nstaff:x:12:\r\n"
    );
    let failure = place
        .delete("bob")
        .await
        .expect_err("no accounts of its own");
    assert_eq!(failure.class, FailureClass::Unsupported);
}

#[tokio::test]
async fn e1_white_space_around_a_name_hides_nobody() {
    let content = "wheel:x:10:ada, bob,\tzoe , adam\n";
    let place = Place::new(content, Format::Group);
    let call = place.gate.call(&place.verifier);
    let listing = place.connector.list(&call).await.expect("listed");
    let logins: Vec<_> = listing.accounts.iter().map(|a| a.login.as_str()).collect();
    assert_eq!(logins, ["ada", "bob", "zoe", "adam"]);
    let call = place.gate.call(&place.writer);
    for login in ["bob", "zoe"] {
        let taken = taking(login, login, "wheel");
        let answer = place.connector.write(&call, &taken).await;
        assert_eq!(answer, Ok(Answered::Accepted));
    }
    assert_eq!(place.text(), "wheel:x:10:ada, adam\n");
    let place = Place::new("ada:x\n  bob:y\n", Format::Htpasswd);
    assert_eq!(place.delete("bob").await, Ok(Answered::Accepted));
    assert_eq!(place.text(), "ada:x\n");
}

#[tokio::test]
async fn lines_have_attributes_by_declared_field() {
    let format = lines(Some(';'), &["employee", "login", "team"]);
    let place = Place::new("# list\n E1 ; ada ; crm\nE2;bob\n", format);
    let call = place.gate.call(&place.verifier);
    let listing = place.connector.list(&call).await.expect("listed");
    assert_eq!(listing.completeness, Completeness::WHOLE);
    assert_eq!(listing.accounts.len(), 2);
    let ada = &listing.accounts[0];
    assert_eq!(
        (ada.login.as_str(), ada.state),
        ("ada", AccountState::NotTold)
    );
    assert_eq!(ada.attributes["employee"], "E1");
    assert_eq!(ada.attributes["team"], "crm");
    assert_eq!(place.delete("bob").await, Ok(Answered::Accepted));
    assert_eq!(place.text(), "# list\n E1 ; ada ; crm\n");
}

#[tokio::test]
async fn e1_the_verifier_reads_the_copy_that_consumers_use_and_a_late_copy_is_old() {
    let mut place = Place::new("ada:x\nbob:y\n", Format::Htpasswd);
    let copy = place.path().with_file_name("published");
    fs::copy(place.path(), &copy).expect("published");
    let yesterday = fs::File::options().write(true).open(&copy).expect("open");
    let stamp = fs::metadata(place.path()).expect("is there").modified();
    let earlier = stamp.expect("a time") - Duration::from_hours(24);
    yesterday.set_modified(earlier).expect("set");
    place.connector.settings.verify_path = Some(copy.clone());
    assert_eq!(place.delete("ada").await, Ok(Answered::Accepted));
    let call = place.gate.call(&place.verifier);
    let id = AccountId::from("ada");
    let late = place.connector.read(&call, &id).await.expect("read");
    assert!(late.account.is_some(), "consumers still let her in");
    assert!(late.data_age_seconds >= 86_400);
    fs::copy(place.path(), &copy).expect("published");
    let fresh = place.connector.read(&call, &id).await.expect("read");
    assert_eq!((fresh.account, fresh.data_age_seconds), (None, 0));
}

#[tokio::test]
async fn e1_a_copy_that_is_published_no_more_grows_old_however_late_the_list_changed() {
    const DAY: u64 = 86_400;
    let stamp = |path: &Path, at: Timestamp| {
        let file = fs::File::options().write(true).open(path).expect("open");
        file.set_modified(at.into()).expect("set");
    };
    let mut place = Place::new("ada:x\nbob:y\n", Format::Htpasswd);
    let copy = place.path().with_file_name("published");
    let published = place.clock.now();
    fs::write(&copy, "bob:y\n").expect("published");
    stamp(&copy, published);
    place.connector.settings.verify_path = Some(copy);
    place.clock.advance(90 * DAY);
    // Given a list that got an account after the last publishing, within the same second or a while later.
    for later in [0, 40] {
        stamp(place.path(), after(published, later));
        let call = place.gate.call(&place.verifier);
        let id = AccountId::from("ada");
        let reading = place.connector.read(&call, &id).await.expect("read");
        assert_eq!(reading.account, None, "the copy does not have it");
        assert_eq!(reading.data_age_seconds, 90 * DAY);
        let listing = place.connector.list(&call).await.expect("listed");
        assert_eq!(listing.data_age_seconds, 90 * DAY);
        // Then what the copy does not show is not proved to be absent.
        let seen = Observation {
            at: place.clock.now(),
            credential: CredentialRole::Verifier,
            method: reading.method,
            completeness: reading.completeness,
            data_age_seconds: reading.data_age_seconds,
            shows_orphans: false,
            sighting: Sighting::NotThere,
        };
        let found = judge(&seen, Expectation::AccountGone, published, 300);
        assert!(matches!(found, Finding::Inconclusive(_)), "{found:?}");
    }
}

#[test]
fn h3_every_fault_of_the_table_is_told_with_its_line() {
    let text = "path = \"relative/list\"\nverify_path = \"/a/../b\"\nformat = \"lines\"\nseparator = \"::\"\nfields = [\"name\"]\nmax_lines_per_account = 0\nreload = \"x\"\n";
    let document = Document::parse("crm.toml", text).expect("syntax is right");
    assert_eq!(Settings::read(&document.root()), None);
    let problems = document.take_problems().or(Some(())).expect_err("faults");
    let lines: Vec<u32> = problems.0.iter().map(|p| p.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 6, 7], "{problems}");
    assert_eq!(
        PathBuf::from("/etc/list"),
        Settings::read(
            &Document::parse("a", "path = \"/etc/list\"\nformat = \"group\"\n")
                .expect("right")
                .root()
        )
        .expect("sound")
        .path
    );
}

#[test]
fn h3_the_manifest_in_the_documentation_can_be_loaded() {
    let page = include_str!("../../../docs/connectors/file.md");
    let file = crate::connectors::rehearsal::manifest_in(page);
    let clock: Arc<dyn Clock> = Moved::new();
    if let Err(problems) = crate::connectors::Registry::load(&[file], &clock) {
        panic!("{problems}");
    }
}
