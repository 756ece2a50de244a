//! `clawback evidence`: export the signed evidence of a case, and check such a file.
//!
//! Owns the files that are written. Checking needs the file and the public key, and neither configuration
//! nor database nor network.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use super::audit::public_key;
use super::context::Context;
use super::exit::{Exit, Stop};
use super::output::{Output, sheet};
use crate::app::evidence::{Envelope, export, is_page, page};
use crate::app::vault;
use crate::domain::id::CaseId;

/// What to do with evidence.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write one signed file about a case, and a page of it for people beside.
    Export {
        /// The case.
        case: CaseId,
        /// The file; the page has the same name with `.html`.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check a file with the public key, offline; exit code 1 when it is not as it was signed.
    Verify {
        /// The file.
        file: PathBuf,
        /// The public key, as `clawback audit keys` printed it.
        #[arg(long, value_parser = public_key, value_name = "HEX")]
        key: String,
    },
}

/// Carries out the command.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Export { case, out } => write(context, case, out).await,
        Command::Verify { file, key } => verify(context, &file, &key),
    }
}

async fn write(context: &Context, case: CaseId, out: Option<PathBuf>) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let settings = context.settings()?;
    let vault = vault::open(&settings, &context.clock)?;
    let clock = context.clock.as_ref();
    let exported = export(store.as_ref(), vault.as_ref(), &settings, clock, case).await?;
    let envelope = exported.ok_or_else(|| Stop::NotFound {
        what: "case",
        name: case.to_string(),
    })?;
    let file = out.unwrap_or_else(|| PathBuf::from(format!("evidence-{case}.json")));
    let shown = file.with_extension("html");
    // The page would take the place of what is signed.
    anyhow::ensure!(
        shown != file,
        "{} is where the page goes: name a .json file for the evidence",
        file.display()
    );
    spared(&file, |text| Envelope::read(text).is_ok())?;
    spared(&shown, is_page)?;
    keep(&file, &envelope.text())?;
    keep(&shown, &page(&envelope.says()?))?;
    let data = json!({ "file": file, "page": shown, "key": envelope.signatures[0].keyid });
    context.output.data(&data, || {
        sheet(&[
            ("evidence", file.display().to_string()),
            ("page", shown.display().to_string()),
        ])
    })?;
    Ok(Exit::Done)
}

/// What lies at a file's place is replaced only if it is evidence, too: the page's name in particular is
/// one that nobody has typed.
fn spared(file: &Path, is_ours: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let ours = match std::fs::read(file) {
        Ok(bytes) => std::str::from_utf8(&bytes).is_ok_and(is_ours),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if ours {
        return Ok(());
    }
    Err(Stop::Refused {
        code: "CB-APP-13".to_owned(),
        message: format!(
            "{} is there and holds something else; nothing was written. Name another file with --out",
            file.display()
        ),
    }
    .into())
}

fn keep(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

fn verify(context: &Context, file: &Path, key: &str) -> anyhow::Result<Exit> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let says = match Envelope::read(&text).and_then(|envelope| envelope.verify(key)) {
        Ok(says) => says,
        Err(error) => {
            Output::note(&format!("clawback: {}: {error}", file.display()));
            return Ok(Exit::Failed);
        }
    };
    let case = &says["case"];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let data = json!({ "whole": true, "case": case, "residual": says["residual"] });
    context.output.data(&data, || {
        let left = says["residual"].as_array().map_or(0, Vec::len);
        sheet(&[
            ("evidence", "as it was signed".to_owned()),
            ("case", word(&case["id"])),
            ("subject", word(&case["subject_name"])),
            ("state", word(&case["state"])),
            ("exported", word(&says["exported_at"])),
            ("not proved", left.to_string()),
        ])
    })?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_evidence_is_replaced_by_evidence() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("case.html");
        assert!(spared(&file, is_page).is_ok(), "nothing is there");
        std::fs::write(&file, page(&json!({"case": {"subject_name": "Ada"}}))).expect("written");
        assert!(spared(&file, is_page).is_ok(), "an older page");
        std::fs::write(&file, "<!doctype html><title>Evidence: mine</title>").expect("written");
        let error = spared(&file, is_page).expect_err("somebody else's");
        assert!(error.to_string().starts_with("CB-APP-13"), "{error}");
        let envelope = |text: &str| Envelope::read(text).is_ok();
        assert!(spared(&file, envelope).is_err());
    }
}
