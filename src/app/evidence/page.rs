//! The same evidence as one page that people read and print.
//!
//! Owns its form: self-contained (no script, no font, no address outside), every value escaped. Shows the
//! payload and nothing else; the signed file beside it is the evidence.

use serde_json::Value;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;color:#1b1f24;max-width:70rem;margin:2rem auto;\
padding:0 1rem}h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem;border-bottom:1px solid #c8ccd1}\
p.about{color:#57606a;margin:.3rem 0 0}table{border-collapse:collapse;width:100%;margin:.5rem 0}\
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #e6e8eb;\
overflow-wrap:anywhere}th{font-weight:600;color:#57606a;white-space:nowrap}.observed{color:#1a7f37;font-weight:600}\
.attested{color:#9a6700;font-weight:600}.none{color:#cf222e;font-weight:600}code{font-size:.85em}\
@media print{body{margin:0;max-width:none;font-size:11px}h2{break-after:avoid}tr{break-inside:avoid}}";

const HEAD: &str = "<!doctype html><html lang=en><head><meta charset=utf-8>";
const TITLE: &str = "<title>Evidence: ";

/// Whether a file holds such a page, and may be replaced by another one.
pub fn is_page(text: &str) -> bool {
    let head = text.split("<style>").next().unwrap_or_default();
    head.starts_with(HEAD) && head.contains(TITLE)
}

/// Escapes what is special in HTML, in text and in attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Letters that turn the direction of what follows could make a page say something else.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// A value for people: text as it is, nothing as a dash, anything else as JSON.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) if text.is_empty() => "–".to_owned(),
        Value::String(text) => escaped(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(_) | Value::Object(_) => {
            format!("<code>{}</code>", escaped(&value.to_string()))
        }
    }
}

fn section(title: &str, about: &str, inside: &str) -> String {
    format!("<h2>{title}</h2><p class=about>{about}</p>{inside}\n")
}

/// Names and values of one object.
fn sheet(object: &Value, names: &[(&str, &str)]) -> String {
    let rows = names
        .iter()
        .map(|(key, name)| format!("<tr><th>{name}</th><td>{}</td></tr>", shown(&object[key])));
    format!("<table>{}</table>", rows.collect::<String>())
}

/// A row for each object of a list.
fn table(list: &Value, columns: &[(&str, &str)], empty: &str) -> String {
    let rows = list.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return format!("<p>{empty}</p>");
    }
    let head: Vec<_> = columns
        .iter()
        .map(|(_, name)| format!("<th>{name}</th>"))
        .collect();
    let head = head.concat();
    let body = rows.iter().map(|row| {
        let cells = columns.iter().map(|(key, _)| {
            let value = &row[key];
            match (*key, value.as_str()) {
                ("proof", Some(proof @ ("observed" | "attested" | "none"))) => {
                    format!("<td class={proof}>{proof}</td>")
                }
                _ => format!("<td>{}</td>", shown(value)),
            }
        });
        format!("<tr>{}</tr>", cells.collect::<String>())
    });
    format!(
        "<table><thead><tr>{head}</tr></thead><tbody>{}</tbody></table>",
        body.collect::<String>()
    )
}

/// The page for a payload.
pub fn page(payload: &Value) -> String {
    let case = &payload["case"];
    let name = shown(&case["subject_name"]);
    let mut page = format!(
        "{HEAD}<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         {TITLE}{name}</title><style>{STYLE}</style></head><body>\
         <h1>Evidence of access taken back: {name}</h1><p class=about>Exported {} by {}. The signed file beside \
         this page is the evidence; <code>clawback evidence verify</code> checks it.</p>\n",
        shown(&payload["exported_at"]),
        shown(&payload["exported_by"]),
    );
    page.push_str(&first_half(payload));
    page.push_str(&second_half(payload));
    page.push_str("</body></html>\n");
    page
}

const CASE: &[(&str, &str)] = &[
    ("id", "case"),
    ("subject_name", "subject"),
    ("subject_key", "key"),
    ("hr_case", "HR case"),
    ("revision", "revision"),
    ("effective", "access ends"),
    ("opened", "opened"),
    ("state", "state"),
    ("ended", "ended"),
    ("removals", "accounts"),
    ("removals_verified", "proved"),
    ("removals_attested", "attested"),
];
const TRIGGER: &[(&str, &str)] = &[
    ("source", "source"),
    ("id", "event"),
    ("type", "type"),
    ("occurred", "occurred"),
    ("subject", "subject"),
    ("effective", "access ends"),
    ("urgency", "urgency"),
    ("reason", "reason"),
    ("topic", "topic"),
    ("partition", "partition"),
    ("offset", "offset"),
    ("recorded", "recorded"),
    ("payload_digest", "digest"),
];
const POLICY: &[(&str, &str)] = &[
    ("decision", "decision"),
    ("reason", "why"),
    ("decided", "decided"),
    ("workflow", "workflow"),
    ("workflow_version", "version"),
    ("workflow_digest", "digest"),
    ("manifests", "manifests"),
];
const TARGETS: &[(&str, &str)] = &[
    ("connector", "target"),
    ("login", "account"),
    ("account", "id"),
    ("access_before", "access as last read"),
    ("contained", "contained"),
    ("removed", "removed"),
    ("proof", "proof"),
    ("verdict", "verdict"),
    ("end", "state"),
    ("open", "open, and why"),
    ("returned", "seen again later"),
];
const TIMING: &[(&str, &str)] = &[
    ("effective", "access was to end"),
    ("known", "known since"),
    ("all_contained", "all contained"),
    ("all_removed", "all removed"),
    ("seconds_to_containment", "seconds to containment"),
    ("seconds_to_removal", "seconds to removal"),
];
const TASKS: &[(&str, &str)] = &[
    ("connector", "target"),
    ("opened", "task opened"),
    ("deadline", "deadline"),
    ("closed", "closed"),
    ("in_time", "in time"),
];
const OBSERVATIONS: &[(&str, &str)] = &[
    ("read_begun", "read begun"),
    ("connector", "target"),
    ("method", "method"),
    ("credential", "credential"),
    ("data_age_seconds", "age of data, s"),
    ("completeness", "completeness"),
    ("outcome", "outcome"),
    ("finding", "finding"),
    ("recorded", "recorded"),
    ("manifest", "manifest"),
];
const TRIES: &[(&str, &str)] = &[
    ("at", "when"),
    ("connector", "target"),
    ("probe", "probe"),
    ("artefact", "what was tried"),
    ("method", "method"),
    ("control", "let in beside it"),
    ("finding", "finding"),
    ("answer", "answer"),
];
const CHANGES: &[(&str, &str)] = &[
    ("at", "when"),
    ("connector", "target"),
    ("login", "account"),
    ("kind", "run"),
    ("state", "state"),
    ("action", "action"),
    ("item", "item"),
    ("outcome", "answer"),
    ("failure", "failure"),
];
const PEOPLE: &[(&str, &str)] = &[
    ("at", "when"),
    ("by", "who"),
    ("act", "act"),
    ("connector", "target"),
    ("text", "note"),
    ("how", "closed as"),
    ("wish", "wish"),
    ("answer", "answer"),
];

fn first_half(payload: &Value) -> String {
    let nothing = match payload["case"]["state"].as_str() {
        Some("open") => "No access is known yet.",
        Some("verified") => "The subject had no account in any target.",
        _ => "It was called off before any access was looked for.",
    };
    let mut out = section("Case", "", &sheet(&payload["case"], CASE));
    out += &section(
        "Targets",
        "<b>observed</b>: a complete, fresh look with the verifier credential showed no access; \
         <b>attested</b>: a person said so, and the machine could not look; <b>none</b>: still owed.",
        &table(&payload["targets"], TARGETS, nothing),
    );
    out += &section(
        "Residual access",
        "What is neither proved nor attested to be gone, or was there again and is not gone since.",
        &table(
            &payload["residual"],
            &[
                ("connector", "target"),
                ("login", "account"),
                ("account", "id"),
                ("why", "why"),
                ("access_before", "access as last read"),
            ],
            "None.",
        ),
    );
    out += &section("Timing", "", &sheet(&payload["timing"], TIMING));
    out += &table(
        &payload["timing"]["tasks"],
        TASKS,
        "No task was given to a person.",
    );
    out += &section("Trigger", "", &sheet(&payload["trigger"], TRIGGER));
    out + &section("Policy decision", "", &sheet(&payload["policy"], POLICY))
}

fn second_half(payload: &Value) -> String {
    let mut out = section(
        "Observations",
        "Looks at targets, each by another path than the writes.",
        &table(&payload["observations"], OBSERVATIONS, "None."),
    );
    out += &section(
        "Ways in tried",
        "What of the leaver's was tried, each beside a control that must be let in at the same time.",
        &table(
            &payload["tries"],
            TRIES,
            "No probe was declared, or none was due.",
        ),
    );
    out += &section(
        "Changes",
        "What was asked of targets. An answer of <i>done</i> says that the target took it, not that access is gone.",
        &table(&payload["changes"], CHANGES, "None."),
    );
    out += &section(
        "People",
        "",
        &table(&payload["people"], PEOPLE, "Nobody had to act."),
    );
    let log = &payload["log"];
    out + &section(
        "Log",
        "The digests under which the tamper-evident log covers these records, and its newest checkpoint.",
        &format!(
            "{}{}",
            sheet(
                log,
                &[
                    ("checkpoint_digest", "checkpoint"),
                    ("checkpoint", "signed text")
                ]
            ),
            table(
                &log["recorded"],
                &[("table", "table"), ("row", "row"), ("digest", "digest")],
                "None."
            )
        ),
    )
}
