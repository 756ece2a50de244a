//! Form as a test: sizes, module docs, names, purity of the core, where SQL lives, error codes.
//!
//! Each rule takes files as a map of path to text and returns `file:line: message`, so that the
//! tests can plant faults. Length of functions and the bans on clock, chance, printing and stray
//! tasks are clippy's (`clippy.toml`). Who may name whom is `rooms`.

use std::collections::{BTreeMap, BTreeSet};

use crate::rooms::Files;
use crate::source::{self, Token};

const MOST_LINES: usize = 500;
const DOC_LINES: std::ops::RangeInclusive<usize> = 3..=12;

/// Names that say nothing about what a module owns.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "common", "helpers", "helper", "manager", "service", "services", "models",
    "types",
];

/// Rooms that decide or read text, and do nothing.
const PURE: &[&str] = &["src/domain/", "src/document/"];

/// Beginnings of paths that a pure room may not name.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio_util",
    "futures_util",
    "async_trait",
    "sqlx",
    "reqwest",
    "rdkafka",
    "axum",
    "rand",
    "rustix",
    "tempfile",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "SystemTime",
    "Instant",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "Timestamp::now",
    "Zoned::now",
    "uuid::Uuid::new_v4",
    "uuid::Uuid::now_v7",
    "Uuid::new_v4",
    "Uuid::now_v7",
];

/// Where SQL may stand, and why.
const SQL_ROOMS: &[&str] = &[
    "src/store/",          // the database is its job
    "src/connectors/sql/", // there SQL is the target's protocol
    "src/demo/",           // one simulated target is an application's database
];

fn sources(files: &Files) -> impl Iterator<Item = (&String, &String)> {
    files
        .iter()
        .filter(|(file, _)| file.starts_with("src/") && source::is_rust(file))
}

/// Files that are too long, and files whose first lines do not say what they own.
pub fn sizes_and_docs(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in sources(files) {
        let lines = text.lines().count();
        if lines > MOST_LINES {
            found.push(format!(
                "{file}:{lines}: {lines} lines, at most {MOST_LINES}: it holds two ideas"
            ));
        }
        let doc = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .count();
        if !DOC_LINES.contains(&doc) {
            found.push(format!("{file}:1: module doc of {doc} lines, wanted 3 to 12: what it owns and what it does not do"));
        }
    }
    found
}

/// Modules named after nothing.
pub fn names(files: &Files) -> Vec<String> {
    let empty = |name: &str| {
        EMPTY_NAMES
            .iter()
            .any(|bad| name == *bad || name.ends_with(&format!("_{bad}")))
    };
    let mut found = Vec::new();
    for (file, text) in sources(files) {
        for name in source::module_of(file).iter().filter(|name| empty(name)) {
            found.push(format!(
                "{file}:1: a module named `{name}` does not say what it owns"
            ));
        }
        let tokens = source::tokens(text);
        for pair in tokens.windows(2) {
            if let [(Token::Name(word), line), (Token::Name(name), _)] = pair
                && word == "mod"
                && empty(name)
            {
                found.push(format!(
                    "{file}:{line}: a module named `{name}` does not say what it owns"
                ));
            }
        }
        let attribute = ["#", "[", "path", "="];
        for four in tokens
            .windows(4)
            .filter(|four| source::spells(four, &attribute))
        {
            let line = four[0].1;
            found.push(format!(
                "{file}:{line}: `#[path]` lets a file stand outside its room"
            ));
        }
    }
    found
}

/// Input, output, clocks, chance or waiting in a room that must have none.
pub fn purity(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in
        sources(files).filter(|(file, _)| PURE.iter().any(|room| file.starts_with(room)))
    {
        let tokens = source::tokens(text);
        for (token, line) in &tokens {
            if *token == Token::Name("async".to_owned()) {
                found.push(format!(
                    "{file}:{line}: `async` in a pure room: effects go out as data"
                ));
            }
        }
        for path in source::paths(&tokens, &source::module_of(file)) {
            let spelled = path.segments.join("::");
            let under = |ban: &&str| spelled == *ban || spelled.starts_with(&format!("{ban}::"));
            if IMPURE.iter().any(under) {
                found.push(format!("{file}:{}: `{spelled}` in a pure room", path.line));
            }
        }
    }
    found
}

/// SQL outside the rooms whose job it is.
pub fn sql(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in
        sources(files).filter(|(file, _)| !SQL_ROOMS.iter().any(|room| file.starts_with(room)))
    {
        let tokens = source::tokens(text);
        for (token, line) in &tokens {
            if let Token::Text(literal) = token
                && speaks_sql(literal)
            {
                found.push(format!(
                    "{file}:{line}: SQL outside the rooms that may hold it"
                ));
            }
        }
        for path in source::paths(&tokens, &source::module_of(file)) {
            if path.segments.first().is_some_and(|first| first == "sqlx") {
                found.push(format!(
                    "{file}:{}: `sqlx` outside the rooms that may hold it",
                    path.line
                ));
            }
        }
    }
    found
}

/// Statements are written with capital keywords here, which tells them from prose.
fn speaks_sql(literal: &str) -> bool {
    let words: Vec<&str> = literal.split_whitespace().collect();
    let has = |word: &str| words.contains(&word);
    let pair = |a: &str, b: &str| words.windows(2).any(|pair| pair == [a, b]);
    (has("SELECT") && has("FROM"))
        || (has("UPDATE") && has("SET"))
        || pair("INSERT", "INTO")
        || pair("DELETE", "FROM")
        || ["CREATE", "ALTER", "DROP"]
            .iter()
            .any(|verb| pair(verb, "TABLE") || pair(verb, "INDEX"))
}

/// Codes without a heading in `docs/errors.md`, headings without a code in the source, and headings
/// that stand twice. What tests say does not count: a code that only they know is not in use.
pub fn error_codes(files: &Files, page: &str) -> Vec<String> {
    let mut used: BTreeMap<String, String> = BTreeMap::new();
    let tests = source::test_modules(files);
    for (file, text) in sources(files).filter(|(file, _)| !source::is_test(file, &tests)) {
        for (token, line) in source::without_tests(&source::tokens(text)) {
            if let Token::Text(literal) = token {
                for code in codes(literal) {
                    used.entry(code).or_insert_with(|| format!("{file}:{line}"));
                }
            }
        }
    }
    let mut headings: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, row) in page
        .lines()
        .enumerate()
        .filter(|(_, row)| row.starts_with('#'))
    {
        for code in codes(row) {
            let line = index + 1;
            if let Some(first) = headings.insert(code.clone(), line) {
                found.push(format!(
                    "docs/errors.md:{line}: {code} has a heading on line {first} already"
                ));
            }
        }
    }
    for (code, place) in used
        .iter()
        .filter(|(code, _)| !headings.contains_key(*code))
    {
        found.push(format!("{place}: {code} has no heading in docs/errors.md"));
    }
    for (code, line) in headings
        .iter()
        .filter(|(code, _)| !used.contains_key(*code))
    {
        found.push(format!("docs/errors.md:{line}: {code} is not used in src"));
    }
    found
}

/// Every `CB-…` in a text; a code that is put together at run time shows as its stump and so has no heading.
fn codes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("CB-") {
        let rest = &text[start..];
        let end = rest
            .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-'))
            .unwrap_or(rest.len());
        let code = rest[..end].trim_end_matches('-');
        if code.len() > 3 {
            found.push(code.to_owned());
        }
    }
    found
}

/// Dependencies without a row in `docs/decisions/0002-dependencies.md`, and rows without a dependency.
pub fn dependencies(manifest: &str, page: &str) -> Vec<String> {
    let mut section = "";
    let mut named = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.trim();
        } else if matches!(section, "[dependencies]" | "[dev-dependencies]")
            && let Some((name, _)) = line.split_once('=')
            && !name.trim_start().starts_with('#')
        {
            named.insert(name.trim().trim_end_matches(".workspace").to_owned());
        }
    }
    let rows: BTreeSet<String> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .collect();
    let lacking = named.difference(&rows).map(|name| {
        format!("Cargo.toml: `{name}` has no reason in docs/decisions/0002-dependencies.md")
    });
    let left = rows
        .difference(&named)
        .map(|name| format!("docs/decisions/0002-dependencies.md: `{name}` is no dependency"));
    lacking.chain(left).collect()
}

/// Tests that the map of controls names and that no file has; and rows that name none.
pub fn controls(files: &Files, page: &str) -> Vec<String> {
    let named = |row: &str| -> Vec<String> {
        let cell = row
            .trim_end_matches(['|', ' '])
            .rsplit('|')
            .next()
            .unwrap_or_default();
        let names = cell.split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    };
    let mut found = Vec::new();
    for (number, row) in page.lines().enumerate() {
        if !row.starts_with('|') || row.starts_with("|---") || row.ends_with("shown by |") {
            continue;
        }
        let names = named(row);
        if names.is_empty() {
            found.push(format!(
                "docs/controls.md:{}: the row names no test",
                number + 1
            ));
        }
        for name in names {
            let wanted = [format!("fn {name}("), format!("{name},")];
            let exists = |text: &String| wanted.iter().any(|form| text.contains(form));
            if !files.values().any(exists) {
                found.push(format!(
                    "docs/controls.md:{}: there is no test `{name}`",
                    number + 1
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOC: &str = "//! One.\n//!\n//! Three.\n";

    fn one(file: &str, text: &str) -> Files {
        Files::from([(file.to_owned(), text.to_owned())])
    }

    #[test]
    fn planted_lengths_and_docs_are_found() {
        assert_eq!(sizes_and_docs(&one("src/a/b.rs", DOC)), [""; 0]);
        assert_eq!(
            sizes_and_docs(&one("src/a/b.rs", "//! Only one.\nfn f() {}\n")).len(),
            1
        );
        assert_eq!(
            sizes_and_docs(&one("src/a/b.rs", &"//! Too many.\n".repeat(13))).len(),
            1
        );
        assert_eq!(
            sizes_and_docs(&one("src/a/b.rs", &format!("{DOC}{}", "\n".repeat(497)))),
            [""; 0]
        );
        assert_eq!(
            sizes_and_docs(&one("src/a/b.rs", &format!("{DOC}{}", "\n".repeat(498)))).len(),
            1
        );
    }

    #[test]
    fn planted_names_are_found() {
        for file in [
            "src/a/utils.rs",
            "src/common/b.rs",
            "src/a/session_manager.rs",
            "src/a/types/mod.rs",
        ] {
            assert_eq!(names(&one(file, DOC)).len(), 1, "{file}");
        }
        assert_eq!(
            names(&one("src/a/b.rs", "mod helpers;")),
            ["src/a/b.rs:1: a module named `helpers` does not say what it owns"]
        );
        assert_eq!(
            names(&one("src/a/b.rs", "#[path = \"x.rs\"]\nmod x;")).len(),
            1
        );
        assert_eq!(
            names(&one(
                "src/a/service_account.rs",
                "fn f(path: &str) { common(&[path]) }"
            )),
            [""; 0]
        );
    }

    #[test]
    fn planted_effects_in_the_core_are_found() {
        for text in [
            "async fn f() {}",
            "use tokio::time;",
            "use std::{collections::BTreeMap, fs};",
            "fn f() { std::env::var(\"X\"); }",
            "use std::time::SystemTime;",
            "fn f() -> Timestamp { Timestamp::now() }",
            "fn f() { jiff::Timestamp::now(); }",
            "fn f() { Uuid::new_v4(); }",
            "fn f() { let x = rand::random::<u8>(); }",
        ] {
            assert_eq!(purity(&one("src/domain/a.rs", text)).len(), 1, "{text}");
            assert_eq!(purity(&one("src/engine/a.rs", text)), [""; 0], "{text}");
        }
        let innocent = "use std::time::Duration;\nuse jiff::Timestamp;\nfn f() { Uuid::new_v5(&ns, b\"x\"); /* async tokio:: */ clock.now() }";
        assert_eq!(purity(&one("src/domain/a.rs", innocent)), [""; 0]);
    }

    #[test]
    fn planted_sql_is_found_outside_its_rooms() {
        for text in [
            "let q = \"SELECT id\\nFROM runs\";",
            "let q = r#\"INSERT INTO runs VALUES (1)\"#;",
            "let q = \"UPDATE runs SET x = 1\";",
            "use sqlx::Row;",
        ] {
            assert_eq!(sql(&one("src/engine/a.rs", text)).len(), 1, "{text}");
            assert_eq!(
                sql(&one("src/store/postgres/a.rs", text)),
                [""; 0],
                "{text}"
            );
            assert_eq!(
                sql(&one("src/connectors/sql/a.rs", text)),
                [""; 0],
                "{text}"
            );
        }
        let prose =
            "// SELECT x FROM y\nlet a = \"Select one from the list, then delete from it\";";
        assert_eq!(sql(&one("src/engine/a.rs", prose)), [""; 0]);
    }

    #[test]
    fn planted_codes_are_found_both_ways() {
        let files = one(
            "src/a/b.rs",
            "// CB-COMMENT-1\nlet a = \"CB-A-1: x\";\nlet b = \"CB-A-2\";\nmod tests { \"CB-A-9\" }",
        );
        let page = "# Errors, `CB-` and a number\n## CB-A-1: one\n## `CB-B-1`\nCB-A-2 is mentioned\n## CB-A-1 again\n";
        assert_eq!(
            error_codes(&files, page),
            [
                "docs/errors.md:5: CB-A-1 has a heading on line 2 already",
                "src/a/b.rs:3: CB-A-2 has no heading in docs/errors.md",
                "docs/errors.md:3: CB-B-1 is not used in src",
            ]
        );
    }

    #[test]
    fn planted_dependencies_are_found_both_ways() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\n# why\na = \"1\"\nb = { version = \"1\" }\n[dev-dependencies]\nc = \"1\"\n[lints.rust]\nd = \"deny\"\n";
        let found = dependencies(
            manifest,
            "| crate | why |\n|---|---|\n| `a` | x |\n| `c` | x |\n| `e` | x |\n",
        );
        assert_eq!(
            found,
            [
                "Cargo.toml: `b` has no reason in docs/decisions/0002-dependencies.md",
                "docs/decisions/0002-dependencies.md: `e` is no dependency"
            ]
        );
    }

    #[test]
    fn modules_for_tests_alone_need_no_headings() {
        let mut files = one("src/a/mod.rs", "#[cfg(test)]\nmod rehearsal;\nmod b;");
        files.insert(
            "src/a/rehearsal.rs".to_owned(),
            "let a = \"CB-A-1\";".to_owned(),
        );
        files.insert("src/a/b.rs".to_owned(), "let a = \"CB-A-2\";".to_owned());
        assert_eq!(
            error_codes(&files, ""),
            ["src/a/b.rs:1: CB-A-2 has no heading in docs/errors.md"]
        );
    }

    #[test]
    fn a_control_without_its_test_is_found() {
        let files = one("src/a.rs", "fn e6_there() {}");
        let head = "| a | b | shown by |\n|---|---|---|\n";
        let page = |cell: &str| format!("{head}| x | y | {cell} |\n");
        assert_eq!(controls(&files, &page("`e6_there`")), [""; 0]);
        assert_eq!(controls(&files, &page("`e6_gone`")).len(), 1);
        assert_eq!(controls(&files, &page("nothing")).len(), 1);
    }
}
