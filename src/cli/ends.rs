//! How whole commands end, on a database that holds nothing.
//!
//! Owns the table of wrong names, wrong times and missing words with the exit code that the manual
//! promises for each. What a worker refuses is in `exit`.

use clap::Parser;

use super::context::Context;
use super::exit::{Exit, code};
use super::{Cli, obey};
use crate::app::governance::{Chosen, Governance};
use crate::domain::approval::Signed;
use crate::domain::id::ConnectorName;
use crate::store::ActFilter;

const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

const CONFIG: &str = r#"
[store]
url = "sqlite:clawback.db"
[vault]
path = "vault"
key_file = "vault.key"
[connectors]
directory = "connectors"
"#;

const WIKI: &str = r#"
name = "wiki"
kind = "file"
purpose = "Documentation"
owner = "wiki@example.com"
deputy = "iam@example.com"
review_by = "2099-12-31"
after_removal = "account_gone"
operations = ["list", "read", "delete"]
writes = ["*"]

[without]
disable = "the line is the account"
end_sessions = "the password is asked each time"
revoke_entitlement = "there are none"
revoke_credential = "the password goes with the line"

[[correlation]]
identifier = "username"
attribute = "login"
decides = true

[credentials.writer]
secret = "none:wiki/writer"

[credentials.verifier]
secret = "none:wiki/verifier"

[fallback]
desk = "built-in"
deadline_hours = 24
steps = ["Remove the line"]

[file]
path = "/nowhere/htpasswd"
format = "htpasswd"
"#;

/// Names that nobody knows, in every command that takes one.
const UNKNOWN: &[&str] = &[
    "cases show ID",
    "cases release ID --note so --as ann",
    "cases drop ID --note so --as ann",
    "tasks show ID",
    "tasks claim ID --as ann",
    "tasks retry ID --as ann",
    "tasks reject ID --reason so --as ann",
    "tasks close ID --note so --as ann",
    "tasks close ID ID --note so --reason so --as ann",
    "tasks close --all-of nowhere --note so --reason so --yes --as ann",
    "tasks confirm ID --attest so --as ann",
    "desks check nowhere",
    "connectors show nowhere",
    "connectors check nowhere",
    "connectors test nowhere",
    "connectors health nowhere",
    "connectors inventory nowhere",
    "connectors inventory wiki --account nobody",
    "connectors orphans nowhere",
    "connectors diff nowhere",
    "connectors history nowhere",
    "connectors propose nowhere --reason so --as ann",
    "connectors approve nowhere --reason so --as ann",
    "connectors reject nowhere --reason so --as ann",
    "connectors retire nowhere --as ann",
    "drill override nowhere --reason so --as ann",
    "drill approve nowhere --reason so --as ann",
    "drill reject nowhere --reason so --as ann",
    "workflows show nowhere",
    "workflows graph nowhere",
    "secrets set nowhere --as ann",
    "approvals show brake nowhere",
    "approvals propose ID --reason so --as ann",
    "approvals approve brake nowhere --digest 0123456789 --reason so --as ann",
    "approvals reject brake nowhere --reason so --as ann",
    "resume nowhere --reason so --as ann",
    "dead-letters show ID",
    "dead-letters replay ID --as ann",
    "users role nobody --role viewer --as ann",
    "users disable nobody --as ann",
    "users enable nobody --as ann",
    "users revoke nobody --as ann",
    "users token nobody --label so --as ann",
    "evidence export ID",
];

/// Arguments that cannot be meant.
const WRONG: &[&str] = &[
    "dev --once --employees 0",
    "cases list --limit 0",
    "tasks list --limit 0",
    "tasks list --state gone",
    "tasks close ID ID --note so --as ann",
    "drill list --limit 0",
    "dead-letters list --limit 0",
    "connectors propose wiki --reason  --as ann",
    "users acts --limit 0",
    "users enable nobody --as ",
    "secrets set wiki --as ",
    "dead-letters replay ID --as ",
    "users add a/b --role viewer --without-password --as ann",
    "pause wiki --reason so --as ",
    "audit checkpoints --limit 0",
    "audit report --from yesterday --to today",
    "audit report --from 2026-02-01 --to 2026-01-01",
    "audit ocsf --from 2026-02-01 --to 2026-02-01",
    "audit ocsf --from 9000-01-01 --to 9000-02-01",
    "audit verify --from 2026-02-01 --to 2026-01-01",
    "audit verify --from 9 --to 3",
    "audit verify --noted something",
    "audit drop --as ann",
    "audit drop --carry-out --retain-days 200 --reason so --as ",
    "audit drop --carry-out --retain-days 200 --reason  --as ann",
];

/// What stands against it is how things are.
const REFUSED: &[&str] = &[
    "connectors approve wiki --reason so --as ann",
    "connectors reject wiki --reason so --as ann",
    "connectors retire wiki --as ann",
    "resume wiki --reason so --as ann",
    "resume --reason so --as ann",
];

async fn ends(context: &Context, line: &str) -> u8 {
    // Two blanks are an empty argument.
    let words = line.split(' ').map(|word| word.replace("ID", NOBODY));
    let all = std::iter::once("clawback".to_owned()).chain(words);
    match Cli::try_parse_from(all) {
        Ok(cli) => match obey(context, cli.command).await {
            Ok(exit) => exit as u8,
            Err(error) => code(&error) as u8,
        },
        Err(error) => u8::try_from(error.exit_code()).unwrap_or(u8::MAX),
    }
}

struct Office {
    context: Context,
    _folder: tempfile::TempDir,
}

/// A configuration with one connector, and a database that holds nothing.
async fn office() -> Office {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("clawback.toml");
    std::fs::write(&config, CONFIG).expect("written");
    std::fs::create_dir(folder.path().join("connectors")).expect("made");
    std::fs::write(folder.path().join("connectors/wiki.toml"), WIKI).expect("written");
    let context = Context::new(config, true);
    for line in [
        "secrets init",
        "check",
        "migrate",
        "tasks list --state closed",
    ] {
        assert_eq!(ends(&context, line).await, Exit::Done as u8, "{line}");
    }
    Office {
        context,
        _folder: folder,
    }
}

#[tokio::test]
async fn commands_end_with_the_codes_of_the_manual() {
    let Office { context, _folder } = office().await;
    let mut others = Vec::new();
    for (lines, exit) in [
        (UNKNOWN, Exit::NotFound),
        (WRONG, Exit::Usage),
        (REFUSED, Exit::Refused),
    ] {
        for line in lines {
            let ended = ends(&context, line).await;
            if ended != exit as u8 {
                others.push(format!("{line}: {ended}, not {}", exit as u8));
            }
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}

#[tokio::test]
async fn what_is_done_here_stands_among_the_acts() {
    let Office { context, _folder } = office().await;
    for (line, exit) in [
        ("connectors propose wiki --reason so --as ann", Exit::Done),
        (
            "connectors approve wiki --reason so --as ann",
            Exit::Refused,
        ),
        ("connectors approve wiki --reason so --as bob", Exit::Done),
        (
            "pause wiki --reason so --as ann --wait-seconds 0",
            Exit::Unanswered,
        ),
        (
            "approvals reject manifest wiki --reason so --as ann",
            Exit::Refused,
        ),
    ] {
        assert_eq!(ends(&context, line).await, exit as u8, "{line}");
    }
    super::secrets::note(&context, "eve", "wiki writer".to_owned(), 3).await;
    let store = context.store().await.expect("opens");
    let mut acts = store.acts(&ActFilter::default()).await.expect("read");
    acts.reverse();
    let told: Vec<_> = acts
        .iter()
        .map(|(_, act)| {
            assert_eq!(act.from, "cli");
            let came_to = act.came_to.split(':').next().unwrap_or_default();
            format!("{} {} {}: {came_to}", act.by, act.what, act.about)
        })
        .collect();
    assert_eq!(
        told,
        [
            "ann propose_manifest wiki: proposed",
            "ann approve_manifest wiki: refused",
            "bob approve_manifest wiki: approved",
            "ann pause wiki: waits in line",
            "ann reject_matter manifest wiki: refused",
            "eve set_secret wiki writer: done",
        ]
    );
}

#[tokio::test]
async fn c4_an_approval_tells_the_digest_that_was_approved() {
    let Office {
        context,
        _folder: folder,
    } = office().await;
    let settings = context.settings().expect("read");
    let store = context.store().await.expect("opens");
    let open = || Governance::open(&settings, store.clone(), &context.clock).expect("opens");
    let signed = |by: &str| Signed {
        by: by.to_owned(),
        at: context.clock.now(),
        reason: "so".to_owned(),
    };
    let wiki = Chosen::One(ConnectorName("wiki".to_owned()));
    let proposed = open().propose(&wiki, &signed("ann")).await;
    let proposed = proposed.expect("proposed").remove(0).digest.expect("one");
    // The file has moved on when the other person approves what was proposed.
    let file = folder.path().join("connectors/wiki.toml");
    std::fs::write(file, WIKI.replace("Documentation", "Manuals")).expect("written");
    let digest = &proposed.as_str()[..10];
    let approved = open().approve(&wiki, Some(digest), &signed("bob")).await;
    let approved = approved.expect("approved").remove(0);
    assert_eq!(approved.digest, Some(proposed));
}
