//! What a connector is approved to do, as its owner wrote it down.
//!
//! Owns the manifest, its reading from `connectors/<name>.toml` with every problem at once, and the
//! facts that the planner gets from it. Deny by default: what is not written here is refused by the
//! guard. Holds references to secrets, never values, and leaves the kind's own table to the kind.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use sha2::{Digest, Sha256};

use crate::document::{Item, Table};
use crate::domain::access::Operation;
use crate::domain::correlation::{Pair, Rule};
use crate::domain::drill::Terms;
use crate::domain::estate::{ConnectorFacts, Instructions, Upstream};
use crate::domain::health::{Bounds, Identities};
use crate::domain::id::{ConnectorName, EntitlementId};
use crate::domain::rotation::Strategy;
use crate::domain::verdict::{CredentialRole, Expectation};

use super::probe::Probe;

mod bounds;
mod drill;
mod fallback;
mod identities;
pub(super) mod upstream;

pub use bounds::{Expect, Limits};

/// The field that a deletion of the account writes.
pub const WHOLE_ACCOUNT: &str = "*";

/// One approved connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Also the name of the target.
    pub name: ConnectorName,
    /// Which protocol: `scim`, `rest`, `sql`, `ldap`, `file`, `process`.
    pub kind: String,
    /// What the target is for.
    pub purpose: String,
    /// Who answers for the connector.
    pub owner: String,
    /// Who answers when the owner is away or leaves.
    pub deputy: String,
    /// When the approval must be looked at again.
    pub review_by: Date,
    /// A target where access weighs more.
    pub privileged: bool,
    /// What must no longer be seen after a removal.
    pub after_removal: Expectation,
    /// What it may do.
    pub operations: BTreeSet<Operation>,
    /// Fields that it may write, in the target's words; [`WHOLE_ACCOUNT`] for a deletion.
    pub writes: BTreeSet<String>,
    /// What the target has no need of, and why.
    pub without: BTreeMap<Operation, String>,
    /// How accounts are matched to a subject.
    pub correlation: Rule,
    /// Its credentials by role.
    pub credentials: BTreeMap<CredentialRole, CredentialDeclaration>,
    /// How long old and new secret live side by side.
    pub overlap_seconds: u64,
    /// The leaver's ways in that must be refused before a removal is verified.
    pub probes: Vec<Probe>,
    /// Who creates accounts here: a connector's name, or words. The likely source of a return.
    pub fed_by: Option<String>,
    /// How hard the target may be pressed.
    pub limits: Limits,
    /// What a healthy answer looks like.
    pub expect: Expect,
    /// Logins of accounts for emergencies: not touched without approval by two people.
    pub break_glass: BTreeSet<String>,
    /// Entitlements that only administrators have: the last who has one is not touched without it.
    pub administrators: BTreeSet<EntitlementId>,
    /// How non-human identities are told, where the target has any.
    pub nhi: Option<Identities>,
    /// Where access to the target is cut when it will not obey itself.
    pub upstream: Option<Upstream>,
    /// What a person does when the machine cannot.
    pub fallback: Instructions,
    /// Whose access drills take away, and when.
    pub drill: Option<Terms>,
    /// SHA-256 of the file's text: names exactly what was written.
    pub digest: String,
}

/// One credential: where its secret lies and how it ages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialDeclaration {
    /// Reference such as `local:crm/writer`.
    pub secret: String,
    /// Sign-in name, where the protocol has one.
    pub username: Option<String>,
    /// The other sign-in name of two that take turns (`dual_slot`).
    pub alternate: Option<String>,
    /// Oldest age before a rotation is due; `None` means no limit.
    pub max_age_seconds: Option<u64>,
    /// How it is replaced; `None` means that the machine cannot.
    pub rotation: Option<Strategy>,
    /// How long before its known end a rotation is due.
    pub renew_before_seconds: u64,
    /// After how long the target itself ends what a rotation made; `None`: not by itself.
    pub lasts_seconds: Option<u64>,
    /// Who could read its value: identifiers of people as events name them. When one of them
    /// leaves, it is replaced.
    pub known_by: BTreeSet<String>,
}

impl CredentialDeclaration {
    /// False for `none:<name>`: the access is a right of this process (a file), and no vault is
    /// asked. Each role still has a name of its own, and the verifier still looks for itself.
    pub fn needs_secret(&self) -> bool {
        !self.secret.starts_with("none:")
    }
}

impl Manifest {
    /// Refuses an expectation that no look could ever fulfil, where the state of accounts is not told.
    pub fn check_powerless(&self, table: &Table<'_>, lacks: &str) {
        if self.after_removal == Expectation::AccountPowerless {
            table.report(
                table.line(),
                format!("`account_powerless` without {lacks}: no read could show that an account is disabled"),
                format!("declare {lacks}, or let removals end with `account_gone`"),
            );
        }
    }

    /// What the planner must know.
    pub fn facts(&self) -> ConnectorFacts {
        ConnectorFacts {
            operations: self.operations.clone(),
            without: self.without.clone(),
            expect: self.after_removal,
            max_data_age_seconds: self.expect.max_data_age_seconds,
            privileged: self.privileged,
            probes: self.probes.iter().map(Probe::facts).collect(),
            fed_by: self.fed_by.clone(),
            rotation: self
                .credentials
                .iter()
                .filter_map(|(role, declared)| Some((*role, declared.rotation?)))
                .collect(),
            keepers: [&self.owner, &self.deputy].map(Clone::clone).into(),
            known_by: self
                .credentials
                .iter()
                .filter(|(_, declared)| declared.needs_secret())
                .map(|(role, declared)| (*role, declared.known_by.clone()))
                .collect(),
            overlap_seconds: self.overlap_seconds,
            owner: self.owner.clone(),
            deputy: self.deputy.clone(),
            break_glass: self.break_glass.clone(),
            administrators: self.administrators.clone(),
            upstream: self.upstream.clone(),
            fallback: self.fallback.clone(),
            drill: self.drill.clone(),
        }
    }

    /// What health is judged by.
    pub fn bounds(&self) -> Bounds {
        let deciding = self.correlation.pairs.iter().filter(|pair| pair.decides);
        Bounds {
            refresh_seconds: self.expect.refresh_seconds,
            max_data_age_seconds: self.expect.max_data_age_seconds,
            change_at_most_percent: self.expect.change_at_most_percent,
            deciding: deciding.map(|pair| pair.attribute.clone()).collect(),
            nhi: self.nhi.clone(),
            manifest: self.digest.clone(),
        }
    }

    /// Reads everything but the kind's own table; the caller finishes the root when the kind has
    /// read its part. Problems go into the document, and only a document without any makes the
    /// manifest valid: what could not be read holds a placeholder, so that the kind can be checked
    /// in the same go.
    pub fn read(root: &Table<'_>) -> Self {
        let name = read_name(root);
        let kind = root.required_string("kind");
        let purpose = text(root, "purpose");
        let owner = text(root, "owner");
        let deputy = text(root, "deputy");
        if let (Some(owner), Some(deputy)) = (&owner, &deputy)
            && owner.value == deputy.value
        {
            root.report(
                deputy.line,
                "owner and deputy are the same",
                "name a second person, who answers when the owner leaves",
            );
        }
        let review_by = read_review_by(root);
        let operations = read_operations(root);
        let writes = read_writes(root, &operations);
        let without = read_without(root, &operations);
        let correlation = read_correlation(root);
        let credentials = super::credentials::read(root, operations.iter().any(|op| op.writes()));
        let upstream = upstream::read(root, name.as_ref());
        let nhi = identities::read(root, &credentials);
        let overlap_seconds = read_overlap(root);
        let after_removal = read_after_removal(root);
        let spoken = kind.as_ref().map_or("", |kind| kind.value.as_str());
        let probes = super::probe::read(root, spoken);
        let fallback = fallback::read(root);
        let name = name.unwrap_or_else(|| "unnamed".into());
        let drill = drill::read(root, &name, &correlation);
        let written = |item: Option<Item<String>>| item.map_or_else(String::new, |item| item.value);
        Self {
            name,
            kind: written(kind),
            purpose: written(purpose),
            owner: written(owner),
            deputy: written(deputy),
            review_by: review_by.unwrap_or(Date::MIN),
            privileged: root.boolean("privileged").is_some_and(|item| item.value),
            after_removal: after_removal.unwrap_or(Expectation::AccountGone),
            operations,
            writes,
            without,
            correlation,
            credentials,
            nhi,
            upstream,
            overlap_seconds,
            probes,
            fed_by: text_if_there(root, "fed_by"),
            limits: bounds::read_limits(root),
            expect: bounds::read_expect(root),
            break_glass: strings(root, "break_glass").collect(),
            administrators: strings(root, "administrators").map(EntitlementId).collect(),
            fallback: fallback.unwrap_or_else(fallback::none),
            drill,
            digest: digest(root.text()),
        }
    }
}

fn read_overlap(root: &Table<'_>) -> u64 {
    let table = root.table("rotation");
    let seconds = table.and_then(|table| {
        let seconds = number(&table, "overlap_seconds", 0..=30 * 86_400);
        table.finish();
        seconds
    });
    seconds.unwrap_or(600)
}

fn digest(text: &str) -> String {
    let bytes = Sha256::digest(text);
    let hex = bytes.iter().map(|byte| format!("{byte:02x}"));
    hex.collect()
}

fn read_review_by(root: &Table<'_>) -> Option<Date> {
    let item = root.required_string("review_by")?;
    let date = item.value.parse().ok();
    if date.is_none() {
        root.report(
            item.line,
            format!("`review_by` is `{}`", item.value),
            "write a date such as 2027-03-31",
        );
    }
    date
}

/// A string that must be there and hold something.
fn text(table: &Table<'_>, key: &str) -> Option<Item<String>> {
    let item = table.required_string(key)?;
    if item.value.trim().is_empty() {
        table.report(item.line, format!("`{key}` is empty"), "fill it in");
        return None;
    }
    Some(item)
}

/// The same for one that may be left out.
fn text_if_there(table: &Table<'_>, key: &str) -> Option<String> {
    table
        .has(key)
        .then(|| text(table, key))
        .flatten()
        .map(|item| item.value)
}

fn number(table: &Table<'_>, key: &str, allowed: std::ops::RangeInclusive<i64>) -> Option<u64> {
    table
        .integer(key, allowed)
        .map(|item| item.value.unsigned_abs())
}

fn strings(table: &Table<'_>, key: &str) -> impl Iterator<Item = String> {
    table.strings(key).into_iter().map(|item| item.value)
}

fn read_name(root: &Table<'_>) -> Option<ConnectorName> {
    let item = root.required_string("name")?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if item.value.is_empty() || item.value.len() > 63 || !item.value.chars().all(fits) {
        root.report(
            item.line,
            format!("`name` is `{}`", item.value),
            "use up to 63 lower-case letters, digits and `-`",
        );
        return None;
    }
    Some(ConnectorName(item.value))
}

fn read_operations(root: &Table<'_>) -> BTreeSet<Operation> {
    let mut operations = BTreeSet::new();
    if !root.has("operations") {
        root.report(
            root.line(),
            "`operations` is missing",
            "list what the connector may do, at least \"list\" and \"read\"",
        );
    }
    let items = root.strings("operations");
    let line = items.first().map_or(root.line(), |item| item.line);
    for item in items {
        match Operation::from_name(&item.value) {
            Some(operation) => {
                operations.insert(operation);
            }
            None => unknown_operation(root, &item),
        }
    }
    for needed in [Operation::List, Operation::Read] {
        if root.has("operations") && !operations.contains(&needed) {
            root.report(
                line,
                format!("`operations` lacks \"{}\"", needed.as_str()),
                "add it: without reading nothing can be proved",
            );
        }
    }
    operations
}

fn unknown_operation(table: &Table<'_>, item: &Item<String>) {
    let known: Vec<_> = Operation::ALL.iter().map(|op| op.as_str()).collect();
    table.report(
        item.line,
        format!("unknown operation `{}`", item.value),
        format!("use one of: {}", known.join(", ")),
    );
}

/// `writes` and `operations` must agree both ways: a field without an operation that writes is an
/// approval nobody needs, an operation without a field would be refused at the worst moment.
fn read_writes(root: &Table<'_>, operations: &BTreeSet<Operation>) -> BTreeSet<String> {
    let items = root.strings("writes");
    let line = items.first().map_or(root.line(), |item| item.line);
    let deletes = operations.contains(&Operation::Delete);
    let changes = operations
        .iter()
        .any(|op| op.writes() && *op != Operation::Delete);
    for item in &items {
        if item.value == WHOLE_ACCOUNT && !deletes {
            root.report(
                item.line,
                "`writes` allows \"*\", the deletion of an account, but `operations` lacks \"delete\"",
                "remove one or add the other",
            );
        } else if item.value != WHOLE_ACCOUNT && !changes {
            root.report(
                item.line,
                format!("`writes` allows `{}` but no operation writes", item.value),
                "remove the field or add the operation",
            );
        }
    }
    let writes: BTreeSet<_> = items.into_iter().map(|item| item.value).collect();
    if deletes && !writes.contains(WHOLE_ACCOUNT) {
        root.report(
            line,
            "`operations` has \"delete\" but `writes` lacks \"*\"",
            "add \"*\" to `writes` to approve the deletion of accounts",
        );
    }
    if changes && !writes.iter().any(|field| field != WHOLE_ACCOUNT) {
        root.report(
            line,
            "an operation writes but `writes` names no field",
            "list the fields that it may write, in the target's words",
        );
    }
    writes
}

fn read_without(root: &Table<'_>, operations: &BTreeSet<Operation>) -> BTreeMap<Operation, String> {
    let mut without = BTreeMap::new();
    let Some(table) = root.table("without") else {
        return without;
    };
    for key in table.keys() {
        let reason = text(&table, &key.value);
        let Some(operation) = Operation::from_name(&key.value) else {
            unknown_operation(&table, &key);
            continue;
        };
        if operations.contains(&operation) || !operation.writes() {
            table.report(
                key.line,
                format!("`{}` cannot be both done and not needed", key.value),
                "remove it from `operations` or from `without`",
            );
        }
        if let Some(reason) = reason {
            without.insert(operation, reason.value);
        }
    }
    without
}

fn read_correlation(root: &Table<'_>) -> Rule {
    let mut pairs = Vec::new();
    for table in root.tables("correlation") {
        let identifier = text(&table, "identifier");
        let attribute = text(&table, "attribute");
        let decides = table.boolean("decides");
        if decides.is_none() && !table.has("decides") {
            table.report(
                table.line(),
                "`decides` is missing",
                "say true if equality decides, false if it only points to an account",
            );
        }
        let also = read_forms(&table);
        let contradicts = table.boolean("contradicts");
        table.finish();
        if let (Some(identifier), Some(attribute), Some(decides)) = (identifier, attribute, decides)
        {
            if decides.value && identifier.value == "email" {
                table.report(
                    decides.line,
                    "an e-mail address decides",
                    "addresses are reassigned: set `decides = false` and match by an immutable id",
                );
            }
            pairs.push(Pair {
                identifier: identifier.value,
                attribute: attribute.value,
                decides: decides.value,
                also,
                contradicts: contradicts.is_none_or(|item| item.value),
            });
        }
    }
    if !pairs.iter().any(|pair| pair.decides) {
        root.report(
            root.line(),
            "no `[[correlation]]` decides",
            "add one with `decides = true` on an identifier that is never reassigned",
        );
    }
    Rule { pairs }
}

/// The further forms of a name, by which second, admin and test accounts are found.
fn read_forms(table: &Table<'_>) -> Vec<String> {
    let forms = table.strings("also");
    for form in &forms {
        let rest = form.value.replacen("{}", "", 1);
        if rest == form.value || rest.is_empty() || rest.contains(['{', '}']) {
            table.report(
                form.line,
                format!("`also` has the form `{}`", form.value),
                "write the name with `{}` once for the identifier, such as \"adm-{}\"",
            );
        }
    }
    forms.into_iter().map(|form| form.value).collect()
}

fn read_after_removal(root: &Table<'_>) -> Option<Expectation> {
    let item = root.required_string("after_removal")?;
    match item.value.as_str() {
        "account_gone" => Some(Expectation::AccountGone),
        "account_powerless" => Some(Expectation::AccountPowerless),
        other => {
            root.report(
                item.line,
                format!("`after_removal` is `{other}`"),
                "use account_gone or account_powerless",
            );
            None
        }
    }
}
