//! The rooms of `src` and who may name whom; the wall itself.
//!
//! Owns the table that `docs/ARCHITECTURE.md` mirrors, and the search for paths that cross it.
//! The search takes files as a map of path to text, so that the tests can plant faults.
//! Does not look at style; that is `tidiness`.

use std::collections::{BTreeMap, BTreeSet};

use crate::source;

/// Files by path from the top of the repository, with `/` between parts.
pub type Files = BTreeMap<String, String>;

/// Each room and the rooms that it may name besides itself.
pub const ROOMS: &[(&str, &[&str])] = &[
    ("document", &[]),
    ("domain", &[]),
    ("telemetry", &["document"]),
    ("definitions", &["document", "domain"]),
    ("store", &["document", "domain", "telemetry"]),
    ("kafka", &["document", "domain", "telemetry"]),
    ("connectors", &["document", "domain", "telemetry"]),
    ("desks", &["document", "domain", "telemetry"]),
    (
        "secrets",
        &["document", "domain", "telemetry", "connectors"],
    ),
    (
        "verification",
        &["document", "domain", "telemetry", "connectors"],
    ),
    (
        "intake",
        &["document", "domain", "telemetry", "store", "kafka"],
    ),
    (
        "publish",
        &["document", "domain", "telemetry", "store", "kafka"],
    ),
    (
        "engine",
        &[
            "document",
            "domain",
            "telemetry",
            "definitions",
            "store",
            "connectors",
            "desks",
            "secrets",
            "verification",
        ],
    ),
    (
        "console",
        &["document", "domain", "telemetry", "definitions", "store"],
    ),
    ("demo", &["domain"]),
    (
        "config",
        &[
            "document",
            "domain",
            "telemetry",
            "definitions",
            "store",
            "kafka",
            "connectors",
            "desks",
            "secrets",
            "verification",
            "intake",
            "publish",
            "engine",
            "console",
        ],
    ),
    (
        "app",
        &[
            "document",
            "domain",
            "telemetry",
            "definitions",
            "store",
            "kafka",
            "connectors",
            "desks",
            "secrets",
            "verification",
            "intake",
            "publish",
            "engine",
            "console",
            "demo",
            "config",
        ],
    ),
    (
        "cli",
        &[
            "document",
            "domain",
            "definitions",
            "store",
            "config",
            "app",
        ],
    ),
    // The program's entry, `src/main.rs`, seen as a room.
    ("main", &["cli"]),
];

/// Every crossing of the wall, as `file:line: message`.
pub fn violations(files: &Files, table: &[(&str, &[&str])]) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = table.iter().copied().collect();
    let mut found = Vec::new();
    for (file, text) in files.iter().filter(|(file, _)| source::is_rust(file)) {
        let Some(inner) = file.strip_prefix("src/").filter(|inner| *inner != "lib.rs") else {
            continue;
        };
        let room = inner.split('/').next().unwrap_or(inner);
        let room = room.strip_suffix(".rs").unwrap_or(room);
        let Some(may_name) = allowed.get(room) else {
            found.push(format!(
                "{file}:1: `{room}` is not a room; rooms are listed in tests/structure/rooms.rs"
            ));
            continue;
        };
        for path in source::paths(&source::tokens(text), &source::module_of(file)) {
            if path.segments.first().is_none_or(|first| first != "crate") {
                continue;
            }
            let line = path.line;
            match path.segments.get(1).map(String::as_str) {
                None | Some("*") => found.push(format!(
                    "{file}:{line}: names the whole crate, which hides the rooms behind it"
                )),
                Some(named) if named == room || may_name.contains(&named) => {}
                Some(named) if allowed.contains_key(named) => {
                    found.push(format!(
                        "{file}:{line}: `{room}` may not name `{named}` ({})",
                        path.segments.join("::")
                    ));
                }
                Some(named) => found.push(format!(
                    "{file}:{line}: `crate::{named}` is not a room; name things where they live"
                )),
            }
        }
    }
    found
}

/// A circle in the table, if there is one: rooms that could reach each other.
pub fn circle(table: &[(&str, &[&str])]) -> Option<String> {
    let mut open: BTreeMap<&str, BTreeSet<&str>> = table
        .iter()
        .map(|(room, named)| (*room, named.iter().copied().collect()))
        .collect();
    // Take away rooms that name nobody who is left; what cannot be taken away goes round in circles.
    loop {
        let free: Vec<&str> = open
            .iter()
            .filter(|(_, named)| named.is_empty())
            .map(|(room, _)| *room)
            .collect();
        if free.is_empty() {
            break;
        }
        for room in free {
            open.remove(room);
            for named in open.values_mut() {
                named.remove(room);
            }
        }
    }
    (!open.is_empty()).then(|| open.keys().copied().collect::<Vec<_>>().join(", "))
}

/// The room table as `docs/ARCHITECTURE.md` prints it: rows whose first cell is one `name`.
pub fn documented(markdown: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut rooms = BTreeMap::new();
    let rows = markdown
        .lines()
        .skip_while(|line| !line.starts_with("| room |"))
        .skip(2);
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let name = |cell: &str| cell.trim_matches('`').to_owned();
        if let [room, _, named] = cells.as_slice() {
            let named = named.split(", ").map(name).filter(|n| n != "none");
            rooms.insert(name(room), named.collect());
        }
    }
    rooms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plant(file: &str, text: &str) -> Vec<String> {
        violations(&Files::from([(file.to_owned(), text.to_owned())]), ROOMS)
    }

    #[test]
    fn a_planted_crossing_is_found_with_file_and_line() {
        let found = plant(
            "src/domain/run.rs",
            "//! Doc.\n\nuse crate::store::Store;\n",
        );
        assert_eq!(
            found,
            ["src/domain/run.rs:3: `domain` may not name `store` (crate::store::Store)"]
        );
    }

    #[test]
    fn every_way_of_writing_a_crossing_is_found() {
        for text in [
            "use crate::engine;",
            "use crate::{domain::run::Run, engine::claim};",
            "use super::engine::claim;",
            "use super::super::engine::claim;",
            "use clawback::engine::claim;",
            "fn f() { crate::engine::claim::go() }",
            "fn f(x: &crate::engine::Engine<'_>) {}",
            "macro_rules! m { () => { $crate::engine::go() } }",
            "mod tests { use super::super::super::engine::Engine; }",
            "use crate::engine as domain;",
            "pub(in crate::engine) fn f() {}",
        ] {
            let file = if text.contains("super::super") {
                "src/connectors/scim.rs"
            } else {
                "src/connectors/mod.rs"
            };
            assert_eq!(
                plant(file, text).len(),
                1,
                "{text}: {:?}",
                plant(file, text)
            );
        }
    }

    #[test]
    fn what_is_allowed_or_only_talked_about_is_left_alone() {
        for text in [
            "use crate::domain::run::Run;\nuse crate::connectors::guard::Guard;\nuse super::guard::Guard;",
            "//! See [`crate::engine`].\n// crate::engine::claim\nlet x = \"crate::engine\";",
            "mod tests { use super::*; }\nuse std::engine::X;\nuse engine_of_elsewhere::X;",
        ] {
            assert_eq!(plant("src/connectors/scim/mod.rs", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn hiding_behind_the_crate_root_is_found() {
        assert_eq!(plant("src/connectors/mod.rs", "use crate::*;").len(), 1);
        assert_eq!(plant("src/connectors/mod.rs", "use crate::Store;").len(), 1);
        assert_eq!(plant("src/connectors/mod.rs", "use super::*;").len(), 1);
        assert_eq!(plant("src/utils.rs", "fn f() {}").len(), 1);
        assert_eq!(
            plant("src/main.rs", "fn main() { clawback::engine::run() }").len(),
            1
        );
        assert_eq!(
            plant("src/main.rs", "fn main() { clawback::cli::main() }").len(),
            0
        );
    }

    #[test]
    fn a_planted_circle_is_found() {
        assert_eq!(
            circle(&[
                ("a", &["b"]),
                ("b", &["c"]),
                ("c", &["a"]),
                ("d", &["a"]),
                ("e", &[])
            ])
            .as_deref(),
            Some("a, b, c, d")
        );
        assert_eq!(circle(&[("a", &["b"]), ("b", &[])]), None);
    }

    #[test]
    fn the_documented_table_is_read() {
        let read = documented(
            "text\n| room | owns | may name |\n|---|---|---|\n| `a` | x | none |\n| `b` | y | `a`, `c` |\n\n| `z` | | |",
        );
        assert_eq!(read.len(), 2);
        assert_eq!(read["b"], BTreeSet::from(["a".to_owned(), "c".to_owned()]));
    }
}
