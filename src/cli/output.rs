//! Data on standard output.
//!
//! Owns tables and JSON. What strangers wrote is shown to people without what steers a terminal. A
//! closed pipe (`| head`) ends the output quietly. Nothing else in the program writes to standard
//! output.

use std::borrow::Cow;
use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::domain::time::Timestamp;

/// Where data go, and in which form.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// JSON for programs instead of tables for people.
    pub json: bool,
}

impl Output {
    /// Prints `json` for programs, or what `people` makes for people.
    pub fn data(self, json: &Value, people: impl FnOnce() -> String) -> io::Result<()> {
        if self.json {
            Self::text(&json.to_string())
        } else {
            Self::text(visible(people().trim_end()).as_ref())
        }
    }

    /// Prints a text with a line end.
    pub fn text(text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Tells a person something that is not data.
    pub fn note(text: &str) {
        // If standard error is closed there is nobody left to tell.
        let _ = writeln!(io::stderr(), "{}", visible(text));
    }
}

/// The text for a terminal: what would steer it, or turn the order of what is read, stands there as an
/// escape that can be seen. Line ends and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| match c {
        c if !steers(c) => c.to_string(),
        c if c.is_ascii() => format!("\\x{:02x}", u32::from(c)),
        c => format!("\\u{{{:x}}}", u32::from(c)),
    });
    Cow::Owned(shown.collect())
}

fn steers(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control() && !matches!(c, '\n' | '\t')
}

/// What is asked of the store for a list of `limit` rows: one more tells whether there are more.
pub fn and_one(limit: u32) -> u32 {
    limit.saturating_add(1)
}

/// Shortens a list to `limit` rows; that there are more is told on standard error, with how to see
/// them. Returns whether there are.
pub fn cut<T>(rows: &mut Vec<T>, limit: u32, how: &str) -> bool {
    let words = cut_off(rows, limit, how);
    if let Some(words) = &words {
        Output::note(words);
    }
    words.is_some()
}

fn cut_off<T>(rows: &mut Vec<T>, limit: u32, how: &str) -> Option<String> {
    let limit = limit as usize;
    (rows.len() > limit).then(|| {
        rows.truncate(limit);
        format!("there are more than these {limit}: {how} shows them")
    })
}

/// A table with these headings; `empty` is shown when it has no rows.
pub fn table(headings: &[&str], rows: Vec<Vec<String>>, empty: &str) -> String {
    if rows.is_empty() {
        return empty.to_owned();
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headings.iter().map(|heading| heading.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| visible(cell).into_owned()));
    }
    trimmed(&table.to_string())
}

/// Names and values, one below the other; empty values are left out.
pub fn sheet(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let rows = rows.iter().filter(|(_, value)| !value.is_empty());
    let lines: Vec<_> = rows
        .map(|(name, value)| {
            let indented = visible(value).replace('\n', &format!("\n{:width$}  ", ""));
            format!("{name:width$}  {indented}")
        })
        .collect();
    lines.join("\n")
}

/// An instant for people, to the second.
pub fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn trimmed(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .map(|line| line.trim_end().trim_start_matches(' '))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_plain_columns_and_say_when_they_are_empty() {
        let rows = vec![vec!["a".to_owned(), "long value".to_owned()]];
        let shown = table(&["one", "two"], rows, "nothing");
        assert_eq!(shown.lines().count(), 2);
        assert!(shown.starts_with("ONE"), "{shown}");
        assert_eq!(table(&["one"], Vec::new(), "nothing"), "nothing");
    }

    #[test]
    fn d3_what_a_stranger_wrote_cannot_steer_the_terminal() {
        let written = "a\u{1b}[2J\u{7}b\u{9b}c\u{202e}d\u{2066}e\r\tf ü";
        let shown = "a\\x1b[2J\\x07b\\u{9b}c\\u{202e}d\\u{2066}e\\x0d\tf ü";
        assert_eq!(
            sheet(&[("key", written.to_owned())]),
            format!("key  {shown}")
        );
        let rows = vec![vec!["x\u{1b}]0;owned\u{7}".to_owned()]];
        assert_eq!(table(&["one"], rows, ""), "ONE\nx\\x1b]0;owned\\x07");
        assert!(matches!(visible("two\nlines"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_list_that_is_cut_says_so_and_one_that_is_not_is_quiet() {
        let mut rows: Vec<_> = (0..and_one(3)).collect();
        let words = cut_off(&mut rows, 3, "--limit N").expect("there is a fourth");
        assert!(words.contains("more than these 3") && words.contains("--limit N"));
        assert_eq!(rows, [0, 1, 2]);
        assert_eq!(cut_off(&mut rows, 3, "--limit N"), None);
        assert_eq!(and_one(u32::MAX), u32::MAX);
    }

    #[test]
    fn sheets_align_and_leave_out_what_is_empty() {
        let rows = [("a", "1\n2".to_owned()), ("bcd", String::new())];
        assert_eq!(sheet(&rows), "a    1\n     2");
    }
}
