//! Typed look-ups over a parsed document that remember where everything stood.
//!
//! A [`Table`] notes which keys were asked for; [`Table::finish`] reports the others as unknown, so
//! a typing error never silently becomes a default. Look-ups return `None` after they have
//! reported a problem: readers carry on and find the next one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Problem, Problems};

/// One parsed file with its text, so that a span can be turned into a line.
pub struct Document<'t> {
    file: String,
    text: &'t str,
    root: Spanned<DeTable<'t>>,
    problems: RefCell<Problems>,
}

impl<'t> Document<'t> {
    /// Parses `text`; `file` is only used to name the place of a problem.
    ///
    /// # Errors
    /// Every syntax error that the parser could recover from, at once.
    pub fn parse(file: &str, text: &'t str) -> Result<Self, Problems> {
        match Self::parse_in_part(file, text) {
            (document, syntax) if syntax.is_empty() => Ok(document),
            (_, syntax) => Err(syntax),
        }
    }

    /// What could be read of `text`, and its syntax errors: to find what else there is to check.
    pub fn parse_in_part(file: &str, text: &'t str) -> (Self, Problems) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Self {
            file: file.to_owned(),
            text,
            root,
            problems: RefCell::default(),
        };
        for error in &errors {
            let line = document.line(&error.span().unwrap_or(0..0));
            document.report(line, error.message(), "correct the TOML syntax");
        }
        let syntax = document.take_problems();
        (document, syntax)
    }

    /// The table at the top of the file.
    pub fn root(&self) -> Table<'_> {
        Table::new(self, self.root.get_ref(), self.root.span(), String::new())
    }

    /// The whole document as JSON, each value as by [`Table::json`].
    pub fn json(&self) -> serde_json::Value {
        table_to_json(self.root.get_ref())
    }

    /// Every key, at any depth, with its line: `probe[0].control.secret`, as [`Table::path`] writes it.
    pub fn lines(&self) -> BTreeMap<String, u32> {
        let mut lines = BTreeMap::new();
        self.note_lines("", self.root.get_ref(), &mut lines);
        lines
    }

    fn note_lines(&self, path: &str, table: &DeTable<'_>, lines: &mut BTreeMap<String, u32>) {
        for (key, value) in table {
            let full = join(path, key.get_ref());
            lines.insert(full.clone(), self.line(&key.span()));
            match value.get_ref() {
                DeValue::Table(inner) => self.note_lines(&full, inner, lines),
                DeValue::Array(items) => {
                    for (i, item) in items.iter().enumerate() {
                        if let Some(inner) = item.get_ref().as_table() {
                            self.note_lines(&format!("{full}[{i}]"), inner, lines);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Notes a problem at `line`.
    pub fn report(&self, line: u32, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.borrow_mut().0.push(Problem {
            file: self.file.clone(),
            line,
            message: message.into(),
            remedy: remedy.into(),
        });
    }

    /// The file as the caller named it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Hands out what was found so far and starts afresh.
    pub fn take_problems(&self) -> Problems {
        self.problems.take()
    }

    fn line(&self, span: &Range<usize>) -> u32 {
        let upto = span.start.min(self.text.len());
        let newlines = self.text.as_bytes()[..upto].iter().filter(|b| **b == b'\n');
        u32::try_from(newlines.count()).unwrap_or(u32::MAX - 1) + 1
    }
}

/// A value together with the line it stood on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<T> {
    /// What the author wrote.
    pub value: T,
    /// Line, counted from 1.
    pub line: u32,
}

/// One table of the document.
pub struct Table<'d> {
    document: &'d Document<'d>,
    table: &'d DeTable<'d>,
    line: u32,
    path: String,
    asked: RefCell<BTreeSet<String>>,
}

impl<'d> Table<'d> {
    fn new<'a: 'd>(
        document: &'d Document<'a>,
        table: &'d DeTable<'a>,
        span: Range<usize>,
        path: String,
    ) -> Self {
        Self {
            document,
            table,
            line: document.line(&span),
            path,
            asked: RefCell::default(),
        }
    }

    /// The line of the table's header.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The dotted path of the table, empty at the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The text of the whole document.
    pub fn text(&self) -> &str {
        self.document.text
    }

    /// Notes a problem at `line` of this document.
    pub fn report(&self, line: u32, message: impl Into<String>, remedy: impl Into<String>) {
        self.document.report(line, message, remedy);
    }

    /// Keys in the order of the file.
    pub fn keys(&self) -> Vec<Item<String>> {
        let mut keys: Vec<_> = self
            .table
            .iter()
            .map(|(key, _)| (key.span().start, key))
            .collect();
        keys.sort_by_key(|(start, _)| *start);
        keys.into_iter()
            .map(|(_, key)| Item {
                value: key.get_ref().to_string(),
                line: self.document.line(&key.span()),
            })
            .collect()
    }

    /// True when the key is there, whatever its value.
    pub fn has(&self, key: &str) -> bool {
        self.table.iter().any(|(k, _)| k.get_ref() == key)
    }

    /// A string, if there is one.
    pub fn string(&self, key: &str) -> Option<Item<String>> {
        self.typed(key, "a string", |value| {
            value.as_str().map(ToOwned::to_owned)
        })
    }

    /// A string that must be there.
    pub fn required_string(&self, key: &str) -> Option<Item<String>> {
        self.require(key, "a string");
        self.string(key)
    }

    /// A whole number in `allowed`, if there is one. Units belong into the key's name.
    pub fn integer(&self, key: &str, allowed: std::ops::RangeInclusive<i64>) -> Option<Item<i64>> {
        let item = self.typed(key, "a whole number", |value| {
            let number = value.as_integer()?;
            i64::from_str_radix(number.as_str(), number.radix()).ok()
        })?;
        if allowed.contains(&item.value) {
            return Some(item);
        }
        self.report(
            item.line,
            format!("`{}` is {}", self.full(key), item.value),
            format!("use a number from {} to {}", allowed.start(), allowed.end()),
        );
        None
    }

    /// A true or false, if there is one.
    pub fn boolean(&self, key: &str) -> Option<Item<bool>> {
        // The bare path does not hold for every lifetime.
        #[allow(clippy::redundant_closure_for_method_calls)]
        self.typed(key, "true or false", |value| value.as_bool())
    }

    /// A list of strings; empty when the key is missing.
    pub fn strings(&self, key: &str) -> Vec<Item<String>> {
        let Some(array) = self.array(key) else {
            return Vec::new();
        };
        let mut strings = Vec::new();
        for value in array {
            let line = self.document.line(&value.span());
            match value.get_ref().as_str() {
                Some(text) => strings.push(Item {
                    value: text.to_owned(),
                    line,
                }),
                None => self.wrong_type(key, line, "a list of strings", value.get_ref()),
            }
        }
        strings
    }

    /// A sub-table, if there is one.
    pub fn table(&self, key: &str) -> Option<Table<'d>> {
        let value = self.get(key)?;
        if let Some(table) = value.get_ref().as_table() {
            return Some(Table::new(
                self.document,
                table,
                value.span(),
                self.full(key),
            ));
        }
        let line = self.document.line(&value.span());
        self.wrong_type(key, line, "a table", value.get_ref());
        None
    }

    /// A sub-table that must be there.
    pub fn required_table(&self, key: &str) -> Option<Table<'d>> {
        self.require(key, "a table");
        self.table(key)
    }

    /// A list of tables (`[[key]]`); empty when the key is missing.
    pub fn tables(&self, key: &str) -> Vec<Table<'d>> {
        let Some(array) = self.array(key) else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (i, value) in array.iter().enumerate() {
            let path = format!("{}[{i}]", self.full(key));
            match value.get_ref().as_table() {
                Some(table) => {
                    tables.push(Table::new(self.document, table, value.span(), path));
                }
                None => self.wrong_type(
                    key,
                    self.document.line(&value.span()),
                    "a list of tables",
                    value.get_ref(),
                ),
            }
        }
        tables
    }

    /// Any value as JSON, for places where the document carries data of another format
    /// (a request body, an event in a test). Dates become strings.
    pub fn json(&self, key: &str) -> Option<Item<serde_json::Value>> {
        let value = self.get(key)?;
        Some(Item {
            value: to_json(value.get_ref()),
            line: self.document.line(&value.span()),
        })
    }

    /// Reports every key that nobody asked for.
    pub fn finish(&self) {
        let asked = self.asked.borrow();
        for key in self.keys() {
            if !asked.contains(&key.value) {
                let known: Vec<_> = asked.iter().map(String::as_str).collect();
                self.report(
                    key.line,
                    format!("unknown key `{}`", self.full(&key.value)),
                    format!("remove it or use one of: {}", known.join(", ")),
                );
            }
        }
    }

    fn get(&self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.table
            .iter()
            .find(|(k, _)| k.get_ref() == key)
            .map(|(_, value)| value)
    }

    fn array(&self, key: &str) -> Option<&'d [Spanned<DeValue<'d>>]> {
        let value = self.get(key)?;
        if let Some(array) = value.get_ref().as_array() {
            return Some(array);
        }
        let line = self.document.line(&value.span());
        self.wrong_type(key, line, "a list", value.get_ref());
        None
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&DeValue<'_>) -> Option<T>,
    ) -> Option<Item<T>> {
        let value = self.get(key)?;
        let line = self.document.line(&value.span());
        if let Some(value) = read(value.get_ref()) {
            return Some(Item { value, line });
        }
        self.wrong_type(key, line, expected, value.get_ref());
        None
    }

    fn require(&self, key: &str, expected: &str) {
        if !self.has(key) {
            self.asked.borrow_mut().insert(key.to_owned());
            self.report(
                self.line,
                format!("`{}` is missing", self.full(key)),
                format!("add {expected} named `{key}`"),
            );
        }
    }

    fn wrong_type(&self, key: &str, line: u32, expected: &str, found: &DeValue<'_>) {
        self.report(
            line,
            format!("`{}` is {}", self.full(key), found.type_str()),
            format!("use {expected}"),
        );
    }

    fn full(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn to_json(value: &DeValue<'_>) -> serde_json::Value {
    match value {
        DeValue::String(text) => serde_json::Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(serde_json::Value::Null, Into::into),
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .map_or(serde_json::Value::Null, Into::into),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Datetime(date) => date.to_string().into(),
        DeValue::Array(items) => items.iter().map(|i| to_json(i.get_ref())).collect(),
        DeValue::Table(table) => table_to_json(table),
    }
}

fn table_to_json(table: &DeTable<'_>) -> serde_json::Value {
    table
        .iter()
        .map(|(k, v)| (k.get_ref().to_string(), to_json(v.get_ref())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_with_its_line() {
        let text = "name = 3\nport = 70000\nextra = true\n[inner]\nx = \"y\"\n";
        let document = Document::parse("a.toml", text).expect("syntax is right");
        let root = document.root();
        assert!(root.required_string("name").is_none());
        assert!(root.integer("port", 1..=65535).is_none());
        assert!(root.required_string("host").is_none());
        let inner = root.required_table("inner").expect("is there");
        assert_eq!(inner.line(), 4);
        inner.finish();
        root.finish();
        let lines: Vec<_> = document
            .take_problems()
            .or(Some(()))
            .expect_err("five problems")
            .0
            .into_iter()
            .map(|p| (p.line, p.message))
            .collect();
        assert_eq!(
            lines,
            [
                (1, "`name` is integer".to_owned()),
                (1, "`host` is missing".to_owned()),
                (2, "`port` is 70000".to_owned()),
                (3, "unknown key `extra`".to_owned()),
                (5, "unknown key `inner.x`".to_owned()),
            ]
        );
    }

    #[test]
    fn every_key_is_found_by_its_path_whatever_it_stands_in() {
        let text = "[a]\n\"b.c\" = { d = \"x\" }\n[[e]]\nf = 1\n[[e]]\n[e.g]\nh = 2\n";
        let document = Document::parse("a.toml", text).expect("syntax is right");
        let lines = document.lines();
        let at = |path: &str| lines.get(path).copied();
        assert_eq!(at("a.b.c.d"), Some(2));
        assert_eq!((at("e[0].f"), at("e[1].g.h")), (Some(4), Some(7)));
        assert_eq!(at("e[0].g.h"), None);
    }

    #[test]
    fn syntax_errors_name_their_line() {
        let problems = Document::parse("b.toml", "a = 1\nb = = 2\n")
            .err()
            .expect("refused");
        assert_eq!(problems.0[0].line, 2);
    }
}
