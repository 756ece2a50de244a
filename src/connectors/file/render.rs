//! A control list cut into lines, and a change turned into the list that should stand instead.
//!
//! Owns the parsing of the formats and the rendering of a removal. Every byte of a line that is not
//! removed stays as it is: comments, blank lines, line endings. Reads and writes no file.

use std::collections::{BTreeMap, BTreeSet};

use super::classify;
use super::settings::{Format, Settings};
use crate::connectors::{Change, RenderedRequest, unsupported};
use crate::domain::access::{Account, AccountState, Entitlement, EntitlementKind, Operation};
use crate::domain::outcome::Failure;

/// What some editors write before the first line; part of the first name for whoever reads the list.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A parsed list.
#[derive(Debug)]
pub struct ControlList<'b> {
    lines: Vec<Line<'b>>,
}

#[derive(Debug)]
struct Line<'b> {
    /// With its line ending.
    raw: &'b [u8],
    entry: Option<Entry<'b>>,
}

#[derive(Debug)]
enum Entry<'b> {
    /// The line is this account.
    Account {
        login: &'b str,
        attributes: Vec<(&'b str, &'b str)>,
    },
    /// The line is a group with these members.
    Group {
        name: &'b str,
        members: Vec<&'b str>,
    },
}

/// The list that should stand instead, and what was judged.
#[derive(Debug)]
pub struct Edit {
    /// The whole new content.
    pub content: Vec<u8>,
    /// For the guard and the record.
    pub rendered: RenderedRequest,
}

impl<'b> ControlList<'b> {
    /// Cuts `bytes` into lines.
    ///
    /// # Errors
    /// `drifted`, with the number of the first line that is not as declared.
    pub fn parse(settings: &'b Settings, bytes: &'b [u8]) -> Result<Self, Failure> {
        if bytes.starts_with(BYTE_ORDER_MARK) {
            let why = "begins with a byte order mark";
            return Err(classify::unparsable(&settings.path, 1, why));
        }
        let mut lines = Vec::new();
        for (number, raw) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let entry = entry(settings, raw)
                .map_err(|why| classify::unparsable(&settings.path, number + 1, why))?;
            lines.push(Line { raw, entry });
        }
        Ok(Self { lines })
    }

    /// The accounts in the order of their first line.
    pub fn accounts(&self) -> Vec<Account> {
        let mut order: Vec<&str> = Vec::new();
        let mut found: BTreeMap<&str, Account> = BTreeMap::new();
        let mut note = |login: &'b str| -> Option<()> {
            if !found.contains_key(login) {
                order.push(login);
                found.insert(login, bare(login));
            }
            Some(())
        };
        for line in &self.lines {
            match &line.entry {
                Some(Entry::Account { login, .. }) => {
                    note(login);
                }
                Some(Entry::Group { members, .. }) => {
                    for member in members {
                        note(member);
                    }
                }
                None => {}
            }
        }
        for line in &self.lines {
            match &line.entry {
                Some(Entry::Account { login, attributes }) => {
                    if let Some(account) = found.get_mut(login) {
                        for (name, value) in attributes {
                            let entry = account.attributes.entry((*name).to_owned());
                            entry.or_insert_with(|| (*value).to_owned());
                        }
                    }
                }
                Some(Entry::Group { name, members }) => {
                    for member in members.iter().collect::<BTreeSet<_>>() {
                        if let Some(account) = found.get_mut(*member) {
                            account.entitlements.push(group(name));
                        }
                    }
                }
                None => {}
            }
        }
        order
            .into_iter()
            .filter_map(|login| found.remove(login))
            .collect()
    }

    /// The list without what `change` takes away; `None` when it holds nothing of that.
    ///
    /// # Errors
    /// `ambiguous` when more lines name the account than may, `refused` when no entry would be
    /// left, `unsupported` for what such a list cannot do.
    pub fn without(&self, settings: &Settings, change: &Change) -> Result<Option<Edit>, Failure> {
        if change.account.as_str() != change.login {
            return Err(classify::another_login(&settings.path));
        }
        if !settings.operations().contains(&change.operation) {
            return Err(unsupported(change.operation.as_str()));
        }
        match change.operation {
            Operation::Delete => self.without_account(settings, change),
            Operation::RevokeEntitlement => self.without_member(settings, change),
            Operation::List
            | Operation::Read
            | Operation::Disable
            | Operation::EndSessions
            | Operation::RevokeCredential => Err(unsupported(change.operation.as_str())),
        }
    }

    fn without_account(
        &self,
        settings: &Settings,
        change: &Change,
    ) -> Result<Option<Edit>, Failure> {
        let named = |line: &Line<'_>| matches!(&line.entry, Some(Entry::Account { login, .. }) if *login == change.login);
        let taken = self.lines.iter().filter(|line| named(line)).count();
        if taken == 0 {
            return Ok(None);
        }
        if taken > settings.max_lines {
            return Err(classify::too_many_lines(
                &settings.path,
                taken,
                settings.max_lines,
            ));
        }
        let left = self.lines.iter().filter(|line| !named(line));
        let content: Vec<u8> = left.flat_map(|line| line.raw).copied().collect();
        self.checked(settings, content, taken).map(|content| {
            Some(Edit {
                content,
                rendered: rendered(settings, change, "*", "line of the account"),
            })
        })
    }

    fn without_member(
        &self,
        settings: &Settings,
        change: &Change,
    ) -> Result<Option<Edit>, Failure> {
        let Some(entitlement) = &change.entitlement else {
            return Err(unsupported("revoke an entitlement that is not named"));
        };
        let concerned = |line: &Line<'_>| {
            matches!(&line.entry, Some(Entry::Group { name, members })
                if *name == entitlement.id.as_str() && members.contains(&change.login.as_str()))
        };
        let found = self.lines.iter().filter(|line| concerned(line)).count();
        if found == 0 {
            return Ok(None);
        }
        if found > settings.max_lines {
            return Err(classify::too_many_lines(
                &settings.path,
                found,
                settings.max_lines,
            ));
        }
        let mut content = Vec::new();
        for line in &self.lines {
            if concerned(line) {
                content.extend(drop_member(line.raw, &change.login));
            } else {
                content.extend_from_slice(line.raw);
            }
        }
        let what = format!("member of group {}", entitlement.id);
        self.checked(settings, content, 0).map(|content| {
            Some(Edit {
                content,
                rendered: rendered(settings, change, "members", &what),
            })
        })
    }

    /// The last look before a list may replace another: it is parsed again as a reader would, must
    /// not be without entries, and lacks exactly the lines that the change names.
    fn checked(
        &self,
        settings: &Settings,
        content: Vec<u8>,
        taken: usize,
    ) -> Result<Vec<u8>, Failure> {
        let entries = |list: &ControlList<'_>| {
            let lines = list.lines.iter();
            lines.filter(|line| line.entry.is_some()).count()
        };
        let after = ControlList::parse(settings, &content)?;
        if entries(&after) == 0 {
            return Err(classify::would_overreach(
                &settings.path,
                "be left without an entry",
            ));
        }
        if after.lines.len() + taken != self.lines.len() || entries(&after) + taken != entries(self)
        {
            return Err(classify::would_overreach(
                &settings.path,
                "lose more lines than the change names",
            ));
        }
        drop(after);
        Ok(content)
    }
}

/// The entry on a line; `None` for a comment or a blank line.
fn entry<'b>(settings: &'b Settings, raw: &'b [u8]) -> Result<Option<Entry<'b>>, &'static str> {
    let text = std::str::from_utf8(raw).map_err(|_| "not UTF-8")?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.contains(['\0', '\r']) {
        return Err("a control character");
    }
    let bare = text.trim();
    let comment = |prefix: &String| bare.starts_with(prefix.as_str());
    if bare.is_empty() || settings.comments.iter().any(comment) {
        return Ok(None);
    }
    match &settings.format {
        Format::Htpasswd => match text.split_once(':').map(|(l, h)| (trimmed(l), h)) {
            Some((login, hash)) if !login.is_empty() && !hash.is_empty() => {
                Ok(Some(Entry::Account {
                    login,
                    attributes: Vec::new(),
                }))
            }
            _ => Err("not `login:hash`"),
        },
        Format::Lines { separator, fields } => line_entry(bare, *separator, fields).map(Some),
        Format::Group => group_entry(text).map(Some),
    }
}

fn line_entry<'b>(
    text: &'b str,
    separator: Option<char>,
    fields: &'b [String],
) -> Result<Entry<'b>, &'static str> {
    // Taking one physical line out of a continued one would change the meaning of the next.
    if text.ends_with('\\') {
        return Err("goes on in the next line, which this format cannot hold");
    }
    let values: Vec<&str> = match separator {
        Some(separator) => text.split(separator).map(str::trim).collect(),
        None => text.split_whitespace().collect(),
    };
    let mut login = None;
    let mut attributes = Vec::new();
    for (name, value) in fields.iter().zip(values) {
        if name == "login" {
            login = Some(value);
        } else if !value.is_empty() {
            attributes.push((name.as_str(), value));
        }
    }
    match login {
        Some(login) if !login.is_empty() => Ok(Entry::Account { login, attributes }),
        _ => Err("without a login"),
    }
}

fn group_entry(text: &str) -> Result<Entry<'_>, &'static str> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [name, _, gid, members] if !name.is_empty() && gid.parse::<u32>().is_ok() => {
            Ok(Entry::Group {
                name,
                members: members
                    .split(',')
                    .map(trimmed)
                    .filter(|member| !member.is_empty())
                    .collect(),
            })
        }
        _ => Err("not `name:password:gid:members`"),
    }
}

/// A name without the white space around it, which readers of such lists skip (glibc, Apache).
fn trimmed(name: &str) -> &str {
    name.trim_matches([' ', '\t', '\x0b', '\x0c'])
}

/// The line without one member; the others keep their order and spelling.
fn drop_member(raw: &[u8], login: &str) -> Vec<u8> {
    let end = raw
        .iter()
        .rposition(|byte| !matches!(byte, b'\n' | b'\r'))
        .map_or(0, |last| last + 1);
    let (text, ending) = raw.split_at(end);
    let start = text
        .iter()
        .rposition(|byte| *byte == b':')
        .map_or(0, |colon| colon + 1);
    let (head, members) = text.split_at(start);
    let kept: Vec<&[u8]> = members
        .split(|byte| *byte == b',')
        .filter(|member| !std::str::from_utf8(member).is_ok_and(|name| trimmed(name) == login))
        .collect();
    [head, &kept.join(&b','), ending].concat()
}

fn rendered(settings: &Settings, change: &Change, field: &str, what: &str) -> RenderedRequest {
    RenderedRequest {
        operation: Some(change.operation),
        account: Some(change.account.clone()),
        writes: BTreeSet::from([field.to_owned()]),
        line: format!("REPLACE {} without the {what}", settings.path.display()),
    }
}

fn bare(login: &str) -> Account {
    Account {
        id: login.into(),
        login: login.to_owned(),
        display_name: None,
        state: AccountState::NotTold,
        attributes: BTreeMap::new(),
        entitlements: Vec::new(),
        sessions: None,
        further: BTreeMap::new(),
        privileged: false,
    }
}

fn group(name: &str) -> Entitlement {
    Entitlement {
        id: name.into(),
        kind: EntitlementKind::Group,
        name: name.to_owned(),
        inherited_from: None,
    }
}
