//! A call turned into bound statements and the words that the guard judges; rows into accounts.
//!
//! Owns the mapping both ways. A statement's text comes from the manifest and never changes; what
//! comes from a target or an event is only ever a bound value.

use std::collections::{BTreeMap, BTreeSet};

use super::classify;
use super::settings::{Settings, Shape};
use super::statement::{Parameter, Statement};
use crate::connectors::{Change, RenderedRequest, unsupported};
use crate::domain::access::{Account, AccountState, Entitlement, EntitlementKind, Operation};
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;

/// A row by column name; `None` is NULL.
pub type Row = BTreeMap<String, Option<String>>;

/// A statement with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The text, with numbered places.
    pub sql: String,
    /// What goes into them.
    pub values: Vec<String>,
}

/// Reads that see one and the same state of the database.
#[derive(Debug)]
pub struct Batch(pub Vec<Bound>);

/// One write and what must hold before and after it.
#[derive(Debug)]
pub struct Edit {
    /// Reads the account in the same transaction.
    pub read: Bound,
    /// The login that it must show.
    pub login: String,
    /// The write.
    pub write: Bound,
    /// Most rows that it may touch.
    pub max_rows: u64,
    /// What it is part of.
    pub operation: Operation,
}

/// What the reads of one account are, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The account's row.
    Account,
    /// Its entitlements.
    Entitlements,
    /// Its sessions.
    Sessions,
}

/// The reads that show one account.
pub fn reading(settings: &Settings, account: &AccountId) -> (RenderedRequest, Batch, Vec<Part>) {
    let parts = [
        (Part::Account, Some(&settings.read)),
        (Part::Entitlements, settings.entitlements.as_ref()),
        (Part::Sessions, settings.sessions.as_ref()),
    ];
    let (mut order, mut bound) = (Vec::new(), Vec::new());
    for (part, statement) in parts {
        if let Some(statement) = statement {
            order.push(part);
            bound.push(bind(statement, account, "", ""));
        }
    }
    let rendered = read_request(Operation::Read, Some(account), "SELECT one account");
    (rendered, Batch(bound), order)
}

/// The read that shows all accounts.
pub fn listing(settings: &Settings) -> (RenderedRequest, Batch) {
    let bound = Bound {
        sql: settings.list.sql.clone(),
        values: Vec::new(),
    };
    let rendered = read_request(Operation::List, None, "SELECT all accounts");
    (rendered, Batch(vec![bound]))
}

/// The smallest read that needs the grants of the real ones.
pub fn trial(settings: &Settings) -> (RenderedRequest, Batch) {
    let bound = Bound {
        sql: format!("SELECT 1 AS one FROM ({}) AS q LIMIT 1", settings.list.sql),
        values: Vec::new(),
    };
    let rendered = read_request(Operation::List, None, "SELECT one row of the accounts");
    (rendered, Batch(vec![bound]))
}

/// Nothing but signing in.
pub fn knock() -> (RenderedRequest, Batch) {
    let rendered = read_request(Operation::List, None, "SELECT 1");
    (rendered, Batch(vec![Bound::plain("SELECT 1 AS one")]))
}

/// The write for a change.
///
/// # Errors
/// `unsupported` when the manifest has no statement for it.
pub fn writing(settings: &Settings, change: &Change) -> Result<(RenderedRequest, Edit), Failure> {
    let operation = change.operation;
    let write = settings
        .writes
        .get(&operation)
        .ok_or_else(|| unsupported(operation.as_str()))?;
    let entitlement = match &change.entitlement {
        Some(entitlement) => entitlement.id.as_str(),
        None if write.statement.parameters.contains(&Parameter::Entitlement) => {
            return Err(unsupported("take away an entitlement that is not named"));
        }
        None => "",
    };
    let rendered = RenderedRequest {
        operation: Some(operation),
        account: Some(change.account.clone()),
        writes: write.statement.writes.clone(),
        line: write.statement.sql.clone(),
    };
    let edit = Edit {
        read: bind(&settings.read, &change.account, &change.login, entitlement),
        login: change.login.clone(),
        write: bind(
            &write.statement,
            &change.account,
            &change.login,
            entitlement,
        ),
        max_rows: write.max_rows,
        operation,
    };
    Ok((rendered, edit))
}

/// A rendered request that writes nothing.
pub fn read_request(
    operation: Operation,
    account: Option<&AccountId>,
    line: &str,
) -> RenderedRequest {
    RenderedRequest {
        operation: Some(operation),
        account: account.cloned(),
        writes: BTreeSet::new(),
        line: line.to_owned(),
    }
}

fn bind(statement: &Statement, account: &AccountId, login: &str, entitlement: &str) -> Bound {
    let value = |parameter: &Parameter| match parameter {
        Parameter::Account => account.as_str().to_owned(),
        Parameter::Login => login.to_owned(),
        Parameter::Entitlement => entitlement.to_owned(),
    };
    Bound {
        sql: statement.sql.clone(),
        values: statement.parameters.iter().map(value).collect(),
    }
}

/// The account among `rows`, which may be one at most.
///
/// # Errors
/// `ambiguous` for several rows, `drifted` as below.
pub fn one(shape: &Shape, id: &AccountId, rows: Vec<Row>) -> Result<Option<Account>, Failure> {
    if rows.len() > 1 {
        return Err(classify::several_rows(rows.len()));
    }
    let Some(row) = rows.into_iter().next() else {
        return Ok(None);
    };
    let account = account(shape, row)?;
    if account.id != *id {
        return Err(classify::drifted("`read` answered with another id"));
    }
    Ok(Some(account))
}

/// An account from its row.
///
/// # Errors
/// `drifted` when a column is missing or a value has no declared meaning.
pub fn account(shape: &Shape, mut row: Row) -> Result<Account, Failure> {
    for field in &shape.fields {
        if !row.contains_key(field) {
            return Err(classify::drifted(format!(
                "the column `{field}` is missing"
            )));
        }
    }
    let id = required(&mut row, "id")?;
    let login = required(&mut row, "login")?;
    let state = match row.remove("state") {
        None => AccountState::NotTold,
        Some(Some(value)) => *shape
            .states
            .get(&value.to_lowercase())
            .ok_or_else(|| classify::drifted("the column `state` holds an undeclared value"))?,
        Some(None) => return Err(classify::drifted("the column `state` is NULL")),
    };
    let privileged = match row.remove("privileged").flatten().as_deref() {
        None | Some("false" | "f" | "0") => false,
        Some("true" | "t" | "1") => true,
        Some(_) => return Err(classify::drifted("the column `privileged` is no yes or no")),
    };
    Ok(Account {
        id: AccountId(id),
        login,
        display_name: row.remove("display_name").flatten(),
        state,
        attributes: row
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect(),
        entitlements: Vec::new(),
        sessions: None,
        further: BTreeMap::new(),
        privileged,
    })
}

/// True when no declared column of any row is NULL.
pub fn fields_present(shape: &Shape, rows: &[Row]) -> bool {
    let shown = |row: &Row| {
        let mut fields = shape.fields.iter();
        fields.all(|field| row.get(field).is_some_and(Option::is_some))
    };
    rows.iter().all(shown)
}

/// An entitlement from its row.
///
/// # Errors
/// `drifted` as above.
pub fn entitlement(mut row: Row) -> Result<Entitlement, Failure> {
    let id = required(&mut row, "id")?;
    let kind = match row.remove("kind").flatten().as_deref() {
        None | Some("permission") => EntitlementKind::Permission,
        Some("group") => EntitlementKind::Group,
        Some("role") => EntitlementKind::Role,
        Some("licence") => EntitlementKind::Licence,
        Some("credential") => EntitlementKind::Credential,
        Some(_) => {
            return Err(classify::drifted(
                "the column `kind` holds an unknown value",
            ));
        }
    };
    Ok(Entitlement {
        name: row.remove("name").flatten().unwrap_or_else(|| id.clone()),
        id: id.as_str().into(),
        kind,
        inherited_from: row.remove("inherited_from").flatten(),
    })
}

/// The number of sessions from its row.
///
/// # Errors
/// `drifted` as above.
pub fn sessions(rows: Vec<Row>) -> Result<u64, Failure> {
    let [row] = <[Row; 1]>::try_from(rows)
        .map_err(|_| classify::drifted("`sessions` does not answer with one row"))?;
    row.get("sessions")
        .and_then(Option::as_deref)
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| classify::drifted("the column `sessions` is no number"))
}

/// The text in a column that must be there and hold something.
///
/// # Errors
/// `drifted` as above.
pub fn required(row: &mut Row, column: &str) -> Result<String, Failure> {
    match row.remove(column) {
        Some(Some(value)) if !value.is_empty() => Ok(value),
        Some(_) => Err(classify::drifted(format!("the column `{column}` is empty"))),
        None => Err(classify::drifted(format!(
            "the column `{column}` is missing"
        ))),
    }
}
