//! Programs that behave badly, each a few lines of shell.
//!
//! Owns what a program may not get away with: lies, noise, hanging, dying, and reaching for more
//! than was approved. That the documented example works is shown in `tests/integration/process.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::connectors::rehearsal::{Recorder, change, credential, manifest_in};
use crate::connectors::{Credential, Registry};
use crate::document::Document;
use crate::domain::outcome::FailureClass;

const ADA: &str =
    r#"{"account":{"id":"17","login":"ada","state":"enabled","attributes":{"number":"E17"}}}"#;
const SEEN: &str = r#"{"done":{"pages_closed":true,"permission_cut":false}}"#;
const ASK: &str = r#"{"ask":{"line":"DISABLE 17","writes":["active"]}}"#;

/// A program and everything that it is called with.
struct Stage {
    folder: tempfile::TempDir,
    connector: ProcessConnector,
    gate: Recorder,
    writer: Credential,
}

impl Stage {
    /// A program that shows Ada to every read and does `script` for a change.
    fn changing(script: &str) -> Self {
        Self::new(&format!(
            "case $call in *'\"do\":\"read\"'*) echo '{ADA}'; echo '{SEEN}'; exit;; esac\n{script}"
        ))
    }

    /// A program that reads its first line into `$call` and goes on as `script` says; `$folder` is a
    /// place to leave something.
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        let place = folder.path().display();
        fs::write(&path, format!("folder={place}\nread -r call\n{script}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        let settings = Settings {
            connector: "doors".into(),
            program: PathBuf::from("/bin/sh"),
            arguments: vec![path.display().to_string()],
            directory: PathBuf::from("/"),
            environment: BTreeMap::from([
                ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ]),
            options: serde_json::json!({}),
            max_output_bytes: 1 << 20,
            fields: vec!["number".to_owned()],
        };
        Self {
            folder,
            connector: ProcessConnector { settings },
            gate: Recorder::default(),
            writer: credential(CredentialRole::Writer, None, "s3cret"),
        }
    }

    async fn list(&self) -> Result<Listing, Failure> {
        self.connector.list(&self.gate.call(&self.writer)).await
    }

    async fn disable(&self) -> Result<Answered, Failure> {
        let change = change(Operation::Disable, "17", "ada");
        let call = self.gate.call(&self.writer);
        self.connector.write(&call, &change).await
    }

    fn left(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.path().join(name)).ok()
    }

    /// The process whose id the program has left behind.
    async fn pid(&self) -> Pid {
        let whole = |text: &String| text.ends_with('\n');
        let text = soon("the program tells its id", || {
            self.left("pid").filter(whole)
        })
        .await;
        let pid = text.trim().parse().expect("a number");
        Pid::from_raw(pid).expect("a process id")
    }
}

/// Waits for something to come about; it is there to stay.
async fn soon<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..6000 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain until {what}");
}

/// The class and code of what went wrong.
fn fault<T: std::fmt::Debug>(result: Result<T, Failure>) -> (FailureClass, String) {
    let failure = result.expect_err("it fails");
    (failure.class, failure.code)
}

fn expected(class: FailureClass, code: &str) -> (FailureClass, String) {
    (class, code.to_owned())
}

#[tokio::test]
async fn c2_a_program_lists_accounts_and_says_whether_that_is_all() {
    let stage = Stage::new(&format!("echo '{ADA}'\necho '{SEEN}'"));
    let listing = stage.list().await.expect("listed");
    assert_eq!(listing.accounts.len(), 1);
    assert_eq!(listing.accounts[0].login, "ada");
    assert_eq!(listing.completeness, Completeness::WHOLE);
    let judged = stage.gate.take();
    assert!(judged.iter().all(|request| request.writes.is_empty()));
    assert!(!judged[0].line.contains("s3cret"));
}

#[tokio::test]
async fn e1_what_a_program_does_not_say_counts_as_not_seen() {
    let stage = Stage::new(&format!("echo '{ADA}'\necho '{{\"done\":{{}}}}'"));
    let completeness = stage.list().await.expect("listed").completeness;
    assert!(!completeness.pages_closed && completeness.permission_cut);

    let without = ADA.replace("number", "colour");
    let stage = Stage::new(&format!("echo '{without}'\necho '{SEEN}'"));
    let completeness = stage.list().await.expect("listed").completeness;
    assert!(!completeness.fields_present, "a declared field is missing");
}

#[tokio::test]
async fn c3_a_request_outside_the_manifest_ends_the_program_before_it_is_sent() {
    let mut stage = Stage::changing(&format!(
        "echo '{ASK}'\nread -r answer && echo \"$answer\" > $folder/sent"
    ));
    stage.gate = Recorder::forbidding(&["active"]);
    let failure = stage.disable().await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::Refused);
    assert_eq!(stage.left("sent"), None);
}

#[tokio::test]
async fn c3_what_is_let_through_is_what_was_asked() {
    let stage = Stage::changing(&format!(
        "echo '{ASK}'\nread -r answer\necho \"$answer\" > $folder/answer\necho '{{\"done\":{{\"answer\":\"accepted\"}}}}'"
    ));
    assert_eq!(stage.disable().await, Ok(Answered::Accepted));
    assert_eq!(
        stage.left("answer").as_deref(),
        Some("{\"granted\":true}\n")
    );
    let writes = stage.gate.take_writes();
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].operation, Some(Operation::Disable));
    assert_eq!(writes[0].account, Some("17".into()));
}

#[tokio::test]
async fn c11_a_change_that_was_never_asked_for_is_not_believed() {
    let stage = Stage::changing("echo '{\"done\":{\"answer\":\"accepted\"}}'");
    let expected = expected(FailureClass::UnknownOutcome, "CB-PROCESS-4");
    assert_eq!(fault(stage.disable().await), expected);
}

#[tokio::test]
async fn c11_absent_is_looked_at_before_it_is_believed() {
    let stage = Stage::changing("echo '{\"done\":{\"answer\":\"absent\"}}'");
    let expected = expected(FailureClass::WriteFailure, "CB-PROCESS-7");
    assert_eq!(fault(stage.disable().await), expected);
}

#[tokio::test]
async fn c11_an_id_that_belongs_to_another_login_is_not_touched() {
    let stage = Stage::changing("touch $folder/asked");
    let change = change(Operation::Disable, "17", "adam");
    let call = stage.gate.call(&stage.writer);
    let failed = stage.connector.write(&call, &change).await;
    assert_eq!(
        fault(failed),
        expected(FailureClass::Ambiguous, "CB-PROCESS-6")
    );
    assert_eq!(stage.left("asked"), None);
}

#[tokio::test]
async fn c11_what_is_done_already_is_not_done_again() {
    let disabled = ADA.replace("enabled", "disabled");
    let stage = Stage::new(&format!("echo '{disabled}'\necho '{SEEN}'"));
    assert_eq!(stage.disable().await, Ok(Answered::Absent));
    assert!(stage.gate.take_writes().is_empty());
}

#[tokio::test]
async fn b4_a_program_killed_before_it_wrote_has_done_nothing() {
    let stage = Stage::new("echo $$ > $folder/pid\nexec sleep 600");
    let (failed, ()) = tokio::join!(stage.list(), async {
        kill_process(stage.pid().await, Signal::KILL).expect("killed");
    });
    let expected = expected(FailureClass::Unreachable, "CB-PROCESS-3");
    assert_eq!(fault(failed), expected);
}

#[tokio::test]
async fn b4_a_program_killed_after_it_was_let_write_leaves_an_unknown_outcome() {
    let stage = Stage::changing(&format!(
        "echo '{ASK}'\nread -r answer\necho $$ > $folder/pid\nexec sleep 600"
    ));
    let (failed, ()) = tokio::join!(stage.disable(), async {
        kill_process(stage.pid().await, Signal::KILL).expect("killed");
    });
    let expected = expected(FailureClass::UnknownOutcome, "CB-PROCESS-3");
    assert_eq!(fault(failed), expected);
}

#[tokio::test]
async fn b4_nothing_of_a_program_outlives_its_call() {
    let stage = Stage::new("sleep 600 & echo $! > $folder/pid\nwait");
    let child = tokio::select! {
        ended = stage.list() => panic!("it hangs, but ended with {ended:?}"),
        child = stage.pid() => child,
    };
    // The call was given up; so is what its program had started.
    let stat = format!("/proc/{}/stat", child.as_raw_nonzero());
    soon("it is dead", || {
        let text = fs::read_to_string(&stat).unwrap_or_default();
        (text.is_empty() || text.contains(") Z ") || text.contains(") X ")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn c6_what_is_not_of_the_protocol_is_drifted() {
    for script in [
        "echo hello",
        "echo '{\"done\":{\"sure\":true}}'",
        "echo '{\"account\":{\"id\":\"1\",\"login\":\"a\",\"state\":\"asleep\"}}'",
        "echo '{\"secret\":{\"remote_ref\":\"1\",\"label\":\"a\"}}'",
        // It goes on after it was done.
        &format!("echo '{SEEN}'\necho '{ADA}'"),
        // It was done, and then failed.
        &format!("echo '{SEEN}'\nexit 3"),
        // A line without an end that fills every memory.
        "while :; do printf 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'; done",
    ] {
        let stage = Stage::new(script);
        let expected = expected(FailureClass::Drifted, "CB-PROCESS-4");
        assert_eq!(fault(stage.list().await), expected, "{script}");
    }
}

#[tokio::test]
async fn b4_a_line_that_was_cut_off_is_no_answer() {
    let stage = Stage::new(&format!("echo '{ADA}'\nprintf '%s' '{SEEN}'"));
    let expected = expected(FailureClass::Unreachable, "CB-PROCESS-3");
    assert_eq!(fault(stage.list().await), expected);
}

#[tokio::test]
async fn b4_after_a_write_was_granted_doubt_is_an_unknown_outcome() {
    for (said, class) in [
        ("garbage", FailureClass::UnknownOutcome),
        (
            r#"{"failed":{"class":"unreachable","message":"connection lost"}}"#,
            FailureClass::UnknownOutcome,
        ),
        (
            r#"{"failed":{"class":"write_failure","message":"422"}}"#,
            FailureClass::WriteFailure,
        ),
    ] {
        let stage = Stage::changing(&format!("echo '{ASK}'\nread -r answer\necho '{said}'"));
        assert_eq!(fault(stage.disable().await).0, class, "{said}");
    }
}

#[tokio::test]
async fn d1_a_secret_that_a_program_repeats_is_taken_out() {
    let stage = Stage::new(
        "echo '{\"failed\":{\"class\":\"auth_failure\",\"message\":\"token s3cret is not known\"}}'",
    );
    let failure = stage.list().await.expect_err("failed");
    assert_eq!(failure.class, FailureClass::AuthFailure);
    assert_eq!(failure.message, "token [secret] is not known");
}

#[tokio::test]
async fn d1_a_program_gets_its_own_environment_and_no_other() {
    let stage = Stage::new(&format!(
        "tr '\\0' '\\n' < /proc/$$/environ > $folder/environment\necho '{SEEN}'"
    ));
    stage.list().await.expect("listed");
    let environment = stage.left("environment").expect("written");
    let mut lines: Vec<_> = environment.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin"]);
}

#[tokio::test]
async fn c3_a_program_that_others_can_change_is_not_started() {
    let stage = Stage::new(&format!("echo '{SEEN}'"));
    let program = stage.folder.path().join("program");
    for mode in [0o664, 0o646] {
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).expect("set");
        let expected = expected(FailureClass::Refused, "CB-PROCESS-2");
        assert_eq!(fault(stage.list().await), expected);
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_unreachable() {
    let mut stage = Stage::new("");
    stage.connector.settings.program = PathBuf::from("/nowhere/doors");
    let expected = expected(FailureClass::Unreachable, "CB-PROCESS-1");
    assert_eq!(fault(stage.list().await), expected);
}

#[test]
fn h3_every_fault_of_the_table_is_told_at_once() {
    let page = include_str!("../../../docs/connectors/process.md");
    let (_, text) = manifest_in(page);
    let (text, _) = text.split_once("[process]").expect("a table");
    let text = format!(
        "{text}[process]\ncommand = [\"doors.py\"]\ndirectory = \"../doors\"\nshell = true\n\
         [process.environment]\nLD_PRELOAD = \"x\"\nhome = \"y\"\n"
    );
    let document = Document::parse("doors.toml", &text).expect("syntax");
    let root = document.root();
    let manifest = Manifest::read(&root);
    let table = root.required_table("process").expect("a table");
    assert_eq!(Settings::read(&table, &manifest), None);
    let told = document.take_problems().to_string();
    for word in [
        "`doors.py`",
        "`directory`",
        "`LD_PRELOAD`",
        "`home`",
        "shell",
    ] {
        assert!(told.contains(word), "{word} is missing in:\n{told}");
    }
}

#[test]
fn h3_the_manifest_in_the_documentation_can_be_loaded() {
    for page in [
        include_str!("../../../docs/connectors/process.md"),
        include_str!("../../../docs/connectors/aws-iam.md"),
    ] {
        let file = manifest_in(page);
        let clock: Arc<dyn Clock> = crate::connectors::fixture::Moved::new();
        let registry = Registry::load(&[file], &clock);
        let registry = registry.unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(registry.names().count(), 1);
    }
}
