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
use crate::app::evidence::{Envelope, export, page};
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
