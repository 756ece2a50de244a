//! The auditor's desk: the log verified, evidence and reports handed out.
//!
//! Owns these deeds and the answers that are files. Reading all of the log is work, so one request does
//! it at a time; what it came to is noted, and so is every file that left the house.

use axum::extract::{Extension, Path, Query, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};

use super::backing::{EvidenceFile, ReportTable};
use super::deeds::Outcome;
use super::gate::{Fields, Flash};
use super::office::{Office, Shared, Who};
use super::page;
use super::pages::{Answer, came_to};
use super::problem::Problem;
use super::view::{self, LOG, ReportAsked, WHOLE};
use crate::domain::id::CaseId;

impl Office {
    /// Reads the whole log, and notes what that came to.
    pub(super) async fn verify_log(&self, who: &Who) -> Result<Outcome, Problem> {
        let Ok(_alone) = self.reading.try_acquire() else {
            let words = "the log is being read already; what comes of it will stand on its page";
            return Err(Problem::refused(None, words));
        };
        let verdict = self.backing.verify_log().await?;
        let first = verdict.findings.first();
        let words = match first {
            None => verdict.words.clone(),
            Some(first) => format!("{}; the first: {first}", verdict.words),
        };
        self.note(who, "verify_log", LOG, &words).await?;
        Ok(Outcome {
            came_to: if verdict.whole { WHOLE } else { "not_whole" }.to_owned(),
            message: verdict.words,
            found: verdict.findings,
        })
    }

    /// The signed evidence of a case; who took it stands in the record.
    pub(super) async fn evidence(&self, who: &Who, id: CaseId) -> Result<EvidenceFile, Problem> {
        let waited = self.reading.acquire().await;
        let Ok(_alone) = waited else {
            return Err(Problem::refused(None, "the console is closing"));
        };
        let exported = self.backing.evidence(id).await;
        let came_to = match &exported {
            Ok(Some(evidence)) => format!("done: signed by {}", evidence.key),
            Ok(None) => "refused: there is no such case".to_owned(),
            Err(trouble) => {
                let code = trouble.code.as_deref().unwrap_or_default();
                format!("refused: {code} {}", trouble.words)
            }
        };
        self.note(who, "export_evidence", &id.to_string(), &came_to)
            .await?;
        exported?.ok_or_else(|| Problem::missing("case"))
    }

    /// Who left when and how it is proved; who took it stands in the record.
    pub(super) async fn report(
        &self,
        who: &Who,
        asked: &ReportAsked,
    ) -> Result<ReportTable, Problem> {
        let report = view::report(self, asked).await?;
        let came_to = format!("done: {} rows", report.rows.len());
        self.note(who, "take_report", "leavers", &came_to).await?;
        Ok(report)
    }
}

/// A file to keep; a browser shows none of it.
fn file(name: &str, kind: &'static str, body: String) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let line = format!("attachment; filename=\"{name}\"");
    if let Ok(line) = HeaderValue::from_str(&line) {
        headers.insert(CONTENT_DISPOSITION, line);
    }
    response
}

pub(super) async fn show(
    State(office): State<Shared>,
    (Extension(who), Extension(flash)): (Extension<Who>, Extension<Flash>),
) -> Answer {
    let view = view::audit(&office).await?;
    Ok(page::audit(&who, flash.0.as_ref(), &view, office.now()).into_response())
}

pub(super) async fn verify(State(office): State<Shared>, Extension(who): Extension<Who>) -> Answer {
    match office.verify_log(&who).await {
        // The page itself tells it, and goes on telling it.
        Ok(outcome) if outcome.came_to != WHOLE => Ok(Redirect::to("/audit").into_response()),
        outcome => came_to("/audit", outcome),
    }
}

/// The signed file, or the page for people: what the pressed button says.
pub(super) async fn evidence(
    State(office): State<Shared>,
    (Extension(who), Extension(fields)): (Extension<Who>, Extension<Fields>),
    Path(id): Path<CaseId>,
) -> Answer {
    let evidence = office.evidence(&who, id).await?;
    let name = format!("evidence-{id}");
    Ok(if fields.get("as") == "page" {
        let name = format!("{name}.html");
        file(&name, "text/html; charset=utf-8", evidence.page)
    } else {
        let name = format!("{name}.json");
        file(&name, "application/json", evidence.file)
    })
}

pub(super) async fn report(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Query(asked): Query<ReportAsked>,
) -> Answer {
    let report = office.report(&who, &asked).await?;
    Ok(file("leavers.csv", "text/csv; charset=utf-8", report.csv))
}
