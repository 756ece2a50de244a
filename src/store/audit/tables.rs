//! Every recorded table: what tells its rows apart, and which of their values are hashed.
//!
//! Owns the list. Codes are written into links and never given twice; columns of a code never change,
//! for older links were made over them (a new column is a new code). Leases, due times and counts are
//! not recorded: they say who works on what, not what was done.

use crate::domain::audit::Column::{Flag, Id, Number, Text};
use crate::domain::audit::{Rule, Table};

/// Lifecycle events as intake recorded them.
pub const EVENTS: Table = Table {
    code: 1,
    name: "events",
    table: "events",
    only: "",
    key: &[Id("key")],
    columns: &[Text("payload_digest"), Number("recorded_us"), Text("body")],
    rule: Rule::Once,
};
/// What admission made of them.
pub const ADMISSIONS: Table = Table {
    code: 2,
    name: "events (admitted)",
    table: "events",
    only: "admitted_us IS NOT NULL",
    key: &[Number("seq")],
    columns: &[Number("admitted_us"), Text("decision"), Text("reason")],
    rule: Rule::Once,
};
/// Messages that could not be read.
pub const DEAD_LETTERS: Table = Table {
    code: 3,
    name: "dead_letters",
    table: "dead_letters",
    only: "",
    key: &[Id("id")],
    columns: &[Text("topic"), Number("first_seen_us"), Text("body")],
    rule: Rule::Once,
};
/// Cases.
pub const CASES: Table = Table {
    code: 4,
    name: "cases",
    table: "cases",
    only: "",
    key: &[Id("id")],
    columns: &[
        Text("tenant"),
        Text("subject_key"),
        Text("subject_name"),
        Id("event_key"),
        Text("hr_case"),
        Number("revision"),
        Text("workflow"),
        Number("effective_us"),
        Number("opened_us"),
        Number("priority"),
        Id("run_id"),
        Flag("halted"),
    ],
    rule: Rule::Version,
};
/// How cases ended.
pub const CASE_ENDS: Table = Table {
    code: 5,
    name: "cases (ended)",
    table: "cases",
    only: "ended IS NOT NULL",
    key: &[Id("id")],
    columns: &[Text("ended"), Number("ended_us")],
    rule: Rule::Once,
};
/// Runs with their positions, verdicts and ends.
pub const RUNS: Table = Table {
    code: 6,
    name: "runs",
    table: "runs",
    only: "",
    key: &[Id("id")],
    columns: &[
        Id("case_id"),
        Id("parent_id"),
        Text("kind"),
        Text("connector"),
        Number("step"),
        Number("verdict"),
        Text("ended"),
        Number("ended_us"),
        Text("body"),
    ],
    rule: Rule::Version,
};
/// The journal.
pub const JOURNAL: Table = Table {
    code: 7,
    name: "journal",
    table: "journal",
    only: "",
    key: &[Id("run_id"), Number("sequence"), Number("place")],
    columns: &[
        Number("at_us"),
        Text("state"),
        Text("item"),
        Text("outcome"),
        Text("failure"),
        Text("detail"),
    ],
    rule: Rule::Once,
};
/// Fallback tasks.
pub const TASKS: Table = Table {
    code: 8,
    name: "tasks",
    table: "tasks",
    only: "",
    key: &[Id("id")],
    columns: &[Id("run_id"), Id("case_id"), Text("state"), Text("body")],
    rule: Rule::Version,
};
/// Wishes.
pub const COMMANDS: Table = Table {
    code: 9,
    name: "commands",
    table: "commands",
    only: "",
    key: &[Id("id")],
    columns: &[Id("task_id"), Text("body")],
    rule: Rule::Once,
};
/// What became of them.
pub const ANSWERS: Table = Table {
    code: 10,
    name: "commands (answered)",
    table: "commands",
    only: "answer IS NOT NULL",
    key: &[Id("id")],
    columns: &[Text("answer"), Number("answered_us")],
    rule: Rule::Once,
};
/// What somebody proposed.
pub const PROPOSALS: Table = Table {
    code: 11,
    name: "proposals",
    table: "proposals",
    only: "",
    key: &[Id("id")],
    columns: &[
        Text("matter"),
        Text("name"),
        Text("digest"),
        Text("body"),
        Number("over"),
        Number("until_us"),
        Text("proposed_by"),
        Number("proposed_us"),
        Text("proposed_reason"),
    ],
    rule: Rule::Once,
};
/// What somebody else made of it.
pub const DECISIONS: Table = Table {
    code: 12,
    name: "proposals (decided)",
    table: "proposals",
    only: "state <> 'open'",
    key: &[Id("id")],
    columns: &[
        Text("state"),
        Text("decided_by"),
        Number("decided_us"),
        Text("decided_reason"),
    ],
    rule: Rule::Once,
};
/// What binds.
pub const BINDINGS: Table = Table {
    code: 13,
    name: "bindings",
    table: "bindings",
    only: "",
    key: &[Text("matter"), Text("name"), Number("number")],
    columns: &[
        Text("digest"),
        Text("body"),
        Number("until_us"),
        Id("proposal_id"),
        Text("bound_by"),
        Number("bound_us"),
        Text("reason"),
    ],
    rule: Rule::Once,
};
/// What surveys came to; the oldest go.
pub const SAMPLES: Table = Table {
    code: 14,
    name: "health_samples",
    table: "health_samples",
    only: "",
    key: &[Text("connector"), Number("at_us")],
    columns: &[Text("state"), Text("body")],
    rule: Rule::Passing,
};
/// What people did, or tried.
pub const ACTS: Table = Table {
    code: 15,
    name: "acts",
    table: "acts",
    only: "",
    key: &[Number("seq")],
    columns: &[
        Number("at_us"),
        Text("who"),
        Text("origin"),
        Text("what"),
        Text("about"),
        Text("came_to"),
    ],
    rule: Rule::Once,
};
/// Who may sign in, and as what: a role that nobody gave is found.
pub const USERS: Table = Table {
    code: 16,
    name: "users",
    table: "users",
    only: "",
    key: &[Text("name")],
    columns: &[Text("body")],
    rule: Rule::Version,
};
/// What people paused.
pub const PAUSES: Table = Table {
    code: 17,
    name: "pauses",
    table: "pauses",
    only: "",
    key: &[Number("number")],
    columns: &[
        Text("connector"),
        Text("paused_by"),
        Number("paused_us"),
        Text("reason"),
    ],
    rule: Rule::Once,
};
/// How pauses ended.
pub const RESUMES: Table = Table {
    code: 18,
    name: "pauses (ended)",
    table: "pauses",
    only: "resumed_us IS NOT NULL",
    key: &[Number("number")],
    columns: &[
        Text("resumed_by"),
        Number("resumed_us"),
        Text("resumed_reason"),
    ],
    rule: Rule::Once,
};
/// Who was told that they last.
pub const REMINDERS: Table = Table {
    code: 25,
    name: "pauses (escalated)",
    table: "pauses",
    only: "escalation IS NOT NULL",
    key: &[Number("number")],
    columns: &[Text("escalation")],
    rule: Rule::Version,
};

/// Rehearsals of departures.
pub const DRILLS: Table = Table {
    code: 21,
    name: "drills",
    table: "drills",
    only: "",
    key: &[Id("id")],
    columns: &[
        Text("connector"),
        Text("manifest"),
        Number("begun_us"),
        Number("ended_us"),
        Flag("passed"),
        Text("body"),
    ],
    rule: Rule::Version,
};
/// What examinations of connectors found.
pub const EXAMINATIONS: Table = Table {
    code: 22,
    name: "examinations",
    table: "examinations",
    only: "",
    key: &[Text("connector"), Number("at_us")],
    columns: &[Text("manifest"), Flag("passed"), Text("body")],
    rule: Rule::Once,
};
/// What stands for periods that were let go.
pub const TOMBSTONES: Table = Table {
    code: 23,
    name: "audit_tombstones",
    table: "audit_tombstones",
    only: "",
    key: &[Number("number")],
    columns: &[
        Number("through"),
        Number("until"),
        Text("text"),
        Text("signature"),
    ],
    rule: Rule::Once,
};
/// Which cases went with them.
pub const DROPPED_CASES: Table = Table {
    code: 24,
    name: "dropped_cases",
    table: "dropped_cases",
    only: "",
    key: &[Id("id")],
    columns: &[Number("tombstone")],
    rule: Rule::Once,
};

/// All of them.
pub const ALL: &[Table] = &[
    EVENTS,
    ADMISSIONS,
    DEAD_LETTERS,
    CASES,
    CASE_ENDS,
    RUNS,
    JOURNAL,
    TASKS,
    COMMANDS,
    ANSWERS,
    PROPOSALS,
    DECISIONS,
    BINDINGS,
    SAMPLES,
    ACTS,
    USERS,
    PAUSES,
    RESUMES,
    REMINDERS,
    DRILLS,
    EXAMINATIONS,
    TOMBSTONES,
    DROPPED_CASES,
];

/// The migration with which the log began.
pub const BEGUN_WITH: i64 = 7;
/// Those that an older version wrote without the log, with the migration that takes their rows in.
pub const ADOPTED_LATER: (i64, &[Table]) = (15, &[DRILLS, EXAMINATIONS]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_given_twice() {
        for (place, table) in ALL.iter().enumerate() {
            let again = ALL[place + 1..].iter().find(|one| one.code == table.code);
            assert!(again.is_none(), "{}", table.name);
        }
    }
}
