//! The `[file]` table of a manifest: where the control list lies and how its lines are written.
//!
//! Owns the formats and their checks at load; every fault is reported with its line. Opens nothing:
//! whether the file is there, and is a plain file, is seen with each call.

use std::path::PathBuf;

use crate::document::{Item, Table};
use crate::domain::access::Operation;

/// How the list is reached and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The list that is changed.
    pub path: PathBuf,
    /// Where the verifier looks instead: the copy that consumers really read.
    pub verify_path: Option<PathBuf>,
    /// How a line is written.
    pub format: Format,
    /// A line that begins with one of these is no entry and is kept as it is.
    pub comments: Vec<String>,
    /// Most lines that may name one account; more is ambiguous.
    pub max_lines: usize,
}

/// How one line is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// `login:hash`, as Apache httpd and nginx read it.
    Htpasswd,
    /// One account on each line, the login in a declared field.
    Lines {
        /// What stands between fields; none means any white space.
        separator: Option<char>,
        /// Names of the fields; `login` is one of them, the others become attributes.
        fields: Vec<String>,
    },
    /// `name:password:gid:member,member` (group(5)); members are the accounts, groups their
    /// entitlements.
    Group,
}

impl Settings {
    /// Reads the table; problems go into the document.
    pub fn read(table: &Table<'_>) -> Option<Self> {
        let path = table
            .required_string("path")
            .and_then(|item| absolute(table, "path", &item));
        let verify_path = table.string("verify_path");
        let verify_path = match verify_path {
            Some(item) => absolute(table, "verify_path", &item).map(Some),
            None => Some(None),
        };
        let format = read_format(table);
        let mut comments = table.strings("comments");
        if !table.has("comments") {
            comments.push(Item {
                value: "#".to_owned(),
                line: table.line(),
            });
        }
        for comment in comments.iter().filter(|c| c.value.is_empty()) {
            table.report(
                comment.line,
                "an empty comment prefix would make every line a comment",
                "remove it",
            );
        }
        let max_lines = table
            .integer("max_lines_per_account", 1..=1000)
            .map_or(1, |item| usize::try_from(item.value).unwrap_or(1));
        table.finish();
        Some(Self {
            path: path?,
            verify_path: verify_path?,
            format: format?,
            comments: comments.into_iter().map(|item| item.value).collect(),
            max_lines,
        })
    }

    /// What a list of this format can be asked to do.
    pub fn operations(&self) -> &'static [Operation] {
        match self.format {
            Format::Htpasswd | Format::Lines { .. } => {
                &[Operation::List, Operation::Read, Operation::Delete]
            }
            Format::Group => &[
                Operation::List,
                Operation::Read,
                Operation::RevokeEntitlement,
            ],
        }
    }
}

fn absolute(table: &Table<'_>, key: &str, item: &Item<String>) -> Option<PathBuf> {
    let path = PathBuf::from(&item.value);
    let plain = path.components().all(|part| {
        matches!(
            part,
            std::path::Component::RootDir | std::path::Component::Normal(_)
        )
    });
    if path.is_absolute() && plain && path.file_name().is_some() {
        return Some(path);
    }
    table.report(
        item.line,
        format!("`{key}` is not an absolute path of a file"),
        "write the whole path from `/`, without `..`",
    );
    None
}

fn read_format(table: &Table<'_>) -> Option<Format> {
    let format = table.required_string("format");
    let separator = table.string("separator");
    let fields = table.strings("fields");
    let format = format?;
    let line = format.line;
    if format.value != "lines" {
        for key in ["separator", "fields"] {
            if table.has(key) {
                table.report(
                    line,
                    format!("`{key}` has no meaning with format `{}`", format.value),
                    format!("remove `{key}` or use format `lines`"),
                );
            }
        }
    }
    match format.value.as_str() {
        "htpasswd" => Some(Format::Htpasswd),
        "group" => Some(Format::Group),
        "lines" => read_lines(table, line, separator, fields),
        other => {
            table.report(
                line,
                format!("`{other}` is not a format"),
                "use htpasswd, lines or group",
            );
            None
        }
    }
}

fn read_lines(
    table: &Table<'_>,
    line: u32,
    separator: Option<Item<String>>,
    fields: Vec<Item<String>>,
) -> Option<Format> {
    let mut sound = true;
    let separator = separator.and_then(|item| {
        let mut letters = item.value.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) if letter != '\n' && letter != '\r' => Some(letter),
            _ => {
                sound = false;
                table.report(
                    item.line,
                    "`separator` is not one character",
                    "use one character, or leave it out for white space",
                );
                None
            }
        }
    });
    let mut names: Vec<String> = fields.into_iter().map(|item| item.value).collect();
    if names.is_empty() {
        names.push("login".to_owned());
    }
    if names.iter().filter(|name| *name == "login").count() != 1 {
        sound = false;
        table.report(
            line,
            "`fields` does not name exactly one field `login`",
            "call the field that holds the sign-in name `login`",
        );
    }
    sound.then_some(Format::Lines {
        separator,
        fields: names,
    })
}
