//! The `[rest]` table of a manifest: the shape of answers, and what each operation sends.
//!
//! Owns the reading and checking of the table; every fault is reported with its line. Requests are
//! read by `request`, lists by `paging`, the account's shape by `account`, declared errors by
//! `words`. JSONPath expressions (RFC 9535) are parsed once. Sends nothing.

use std::collections::BTreeMap;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json_path::JsonPath;

use super::account::{self, AccountShape, VersionPlace};
use super::paging::{Collection, ListPlace, read_collection, read_items};
use super::request::{
    ACCOUNT, CHANGE, Request, TAKING, Use, names_its_object, optional_path, path_or, read_request,
    required_path,
};
use super::template::Place;
use super::words::Words;
use crate::connectors::Manifest;
use crate::connectors::probe::check_listed;
use crate::document::Table;
use crate::domain::access::{EntitlementKind, Operation};

/// Everything that the manifest says about one API.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Headers that go with every request.
    pub headers: HeaderMap,
    /// What the target's words mean.
    pub words: Words,
    /// The shape of one account.
    pub account: AccountShape,
    /// All accounts: the list, and where that hides some, the lists of those.
    pub lists: Vec<Listed>,
    /// One account, asked in this order until one shows it.
    pub reads: Vec<Look>,
    /// Where entitlements are shown.
    pub entitlements: Vec<Entitlements>,
    /// What each operation sends.
    pub writes: BTreeMap<Operation, Request>,
}

/// A list of accounts.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its request and pages.
    pub collection: Collection,
    /// Where an item holds the account.
    pub account: JsonPath,
}

/// A request that shows one account.
#[derive(Debug, Clone)]
pub enum Look {
    /// Alone.
    Single {
        /// Its request.
        request: Box<Request>,
        /// Where the answer holds the account.
        account: JsonPath,
    },
    /// Among others, of which the one with the id counts.
    Among(Box<Listed>),
}

/// Entitlements of one kind.
#[derive(Debug, Clone)]
pub struct Entitlements {
    /// A request of their own; without one they are part of the account.
    pub request: Option<Collection>,
    /// Where the account holds the list, without a request.
    pub items: ListPlace,
    /// The id; starts at the item.
    pub id: JsonPath,
    /// The id is a secret: a key that is known by its value.
    pub secret_id: bool,
    /// Whose it is, by id or login; starts at the item.
    pub owner: Option<JsonPath>,
    /// For people to read.
    pub name: Option<JsonPath>,
    /// Group, role, …
    pub kind: EntitlementKind,
    /// The rule or parent that it comes from.
    pub inherited_from: Option<JsonPath>,
    /// The items are groups of all, and these are whom they name.
    pub members: Option<Members>,
}

/// Who is in a group.
#[derive(Debug, Clone)]
pub struct Members {
    /// A request for each group; without one the group holds the list.
    pub request: Option<Collection>,
    /// Where the group holds the list, without a request.
    pub items: ListPlace,
    /// The account's id, or its login; starts at the member.
    pub id: JsonPath,
    /// Members are named by login.
    pub by_login: bool,
    /// There may be no group with a member at all.
    pub may_be_empty: bool,
}

impl Settings {
    /// Reads what the transport has not; problems go into the document.
    pub fn read(table: &Table<'_>, manifest: &Manifest) -> Option<Self> {
        let headers = read_headers(table);
        let words = Words::read(table);
        let account = table
            .required_table("account")
            .and_then(|table| account::read(&table, manifest));
        let list = table.required_table("list");
        let others = table.tables("list_also");
        let lists = list.iter().chain(&others);
        let lists: Vec<_> = lists
            .map(|table| read_listed(table, manifest.expect.accounts_max))
            .collect();
        let read = table.required_table("read");
        let others = table.tables("read_also");
        let etag = account
            .as_ref()
            .is_some_and(|shape| matches!(shape.version, Some(VersionPlace::Etag)));
        let reads = read.iter().chain(&others).map(|one| read_look(one, etag));
        let reads: Vec<_> = reads.collect();
        let entitlements = table.tables("entitlements");
        let entitlements: Vec<_> = entitlements.iter().map(read_entitlements).collect();
        let digests = |one: &Option<Entitlements>| one.as_ref().is_some_and(|one| one.secret_id);
        if entitlements.iter().any(digests) {
            check_listed(table, &manifest.probes);
        }
        if account.as_ref().is_some_and(|shape| shape.state.is_none()) {
            manifest.check_powerless(table, "`account.state`");
        }
        let versioned = account.as_ref().is_none_or(|shape| shape.version.is_some());
        let groups =
            |one: &Option<Entitlements>| one.as_ref().is_some_and(|one| one.members.is_some());
        let grouped = entitlements.iter().any(groups);
        let writes = read_writes(table, manifest, (versioned, grouped));
        read.and(list)?;
        Some(Self {
            headers: headers?,
            words: words?,
            account: account?,
            lists: lists.into_iter().collect::<Option<_>>()?,
            reads: reads.into_iter().collect::<Option<_>>()?,
            entitlements: entitlements.into_iter().collect::<Option<_>>()?,
            writes: writes?,
        })
    }
}

fn read_listed(table: &Table<'_>, accounts_max: u64) -> Option<Listed> {
    let collection = read_collection(table, &[]);
    let account = path_or(table, "account", "$");
    table.finish();
    let mut collection = collection?;
    collection.most = collection.most.min(accounts_max);
    Some(Listed {
        collection,
        account: account?,
    })
}

fn read_look(table: &Table<'_>, etag: bool) -> Option<Look> {
    let account = path_or(table, "account", "$");
    if table.has("items") {
        let collection = read_collection(table, ACCOUNT);
        if etag {
            table.report(
                table.line(),
                "the header ETag of a list is not the account's version",
                "read the account alone, or name a member of it in `version`",
            );
        }
        table.finish();
        return Some(Look::Among(Box::new(Listed {
            collection: collection?,
            account: account?,
        })));
    }
    let request = read_request(table, ACCOUNT, Use::Read);
    if request
        .as_ref()
        .is_some_and(|request| !request.uses(Place::AccountId))
    {
        table.report(
            table.line(),
            "the request does not name `account.id`",
            "put it into the path or the body, or say with `items` that the answer is a list",
        );
    }
    table.finish();
    Some(Look::Single {
        request: Box::new(request?),
        account: account?,
    })
}

fn read_headers(table: &Table<'_>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut sound = true;
    let Some(declared) = table.table("headers") else {
        return (!table.has("headers")).then_some(headers);
    };
    let own = table.string("auth_header").map(|item| item.value);
    for key in declared.keys() {
        let name = HeaderName::try_from(key.value.as_str()).ok();
        let value = declared.required_string(&key.value);
        let value = value.and_then(|item| HeaderValue::try_from(item.value).ok());
        match (name, value) {
            (Some(name), Some(value)) if is_plain(&name, own.as_deref()) => {
                headers.insert(name, value);
            }
            _ => {
                sound = false;
                declared.report(
                    key.line,
                    format!("`{}` is no header that may stand here", key.value),
                    "use plain headers; the credential goes in by `auth`",
                );
            }
        }
    }
    declared.finish();
    sound.then_some(headers)
}

/// False for headers that say whose request it is, or another request than its line: what the guard judges
/// is the line.
fn is_plain(name: &HeaderName, own: Option<&str>) -> bool {
    let name = name.as_str();
    let taken = [
        "authorization",
        "cookie",
        "host",
        "if-match",
        "transfer-encoding",
        "x-method-override",
    ];
    let begins = ["content-", "x-http-method"];
    !taken.contains(&name)
        && !begins.iter().any(|begin| name.starts_with(begin))
        && !own.is_some_and(|own| own.eq_ignore_ascii_case(name))
}

fn read_entitlements(table: &Table<'_>) -> Option<Entitlements> {
    let members = table.table("members");
    let members = members.as_ref().map(read_members);
    let request = if table.has("path") {
        Some(read_collection(
            table,
            &[Place::AccountId, Place::AccountLogin],
        ))
    } else {
        None
    };
    if members.is_some() && request.is_none() {
        table.report(
            table.line(),
            "`members` without `path`",
            "say which request lists the groups; what the account holds itself needs no `members`",
        );
    }
    if let (Some(Some(collection)), None) = (&request, &members) {
        asks_for_one(table, &collection.request);
    }
    if members.is_some() && table.has("owner") {
        table.report(
            table.line(),
            "`owner` beside `members`",
            "leave `owner` out: the members of a group say whose it is",
        );
    }
    let items = read_items(table);
    let id = required_path(table, "id");
    let secret_id = table.boolean("secret_id").is_some_and(|item| item.value);
    let owner = optional_path(table, "owner");
    let name = optional_path(table, "name");
    let inherited_from = optional_path(table, "inherited_from");
    let kind = read_kind(table);
    table.finish();
    Some(Entitlements {
        request: match request {
            Some(request) => Some(request?),
            None => None,
        },
        items: items?,
        id: id?,
        secret_id,
        owner: owner?,
        name: name?,
        kind: kind?,
        inherited_from: inherited_from?,
        members: match members {
            Some(members) => Some(members?),
            None => None,
        },
    })
}

/// A list of everybody's would be taken away from everybody. A server that does not know a parameter
/// shows such a list, so what stands behind `?` or in a body is believed only with an owner to see.
fn asks_for_one(table: &Table<'_>, request: &Request) {
    let whose = [Place::AccountId, Place::AccountLogin];
    let path = table.path();
    if !whose.iter().any(|place| request.uses(*place)) {
        table.report(
            table.line(),
            format!("the request of `{path}` does not name the account, so it lists everybody's"),
            "put `{account.id}` or `{account.login}` into the path; for a list of groups declare \
             `members`",
        );
    } else if !whose.iter().any(|place| request.path.leads_to(*place)) && !table.has("owner") {
        table.report(
            table.line(),
            format!(
                "the request of `{path}` names the account only behind `?` or in its body, which \
                 a server may overlook"
            ),
            "say with `owner` where an item shows its owner's id or login, such as \"$.user_id\", \
             or put the account into the path",
        );
    }
}

fn read_kind(table: &Table<'_>) -> Option<EntitlementKind> {
    let item = table.required_string("kind")?;
    match item.value.as_str() {
        "group" => Some(EntitlementKind::Group),
        "role" => Some(EntitlementKind::Role),
        "licence" => Some(EntitlementKind::Licence),
        "permission" => Some(EntitlementKind::Permission),
        "credential" => Some(EntitlementKind::Credential),
        other => {
            table.report(
                item.line,
                format!("`{other}` is no kind of entitlement"),
                "use group, role, licence, permission or credential",
            );
            None
        }
    }
}

fn read_members(table: &Table<'_>) -> Option<Members> {
    let places = [Place::AccountId, Place::EntitlementId];
    let request = if table.has("path") {
        let collection = read_collection(table, &places);
        let names = |one: &Collection| one.request.uses(Place::EntitlementId);
        if collection.as_ref().is_some_and(|one| !names(one)) {
            table.report(
                table.line(),
                "the request does not name `entitlement.id`",
                "put it into the path: the members of one group are asked for",
            );
        }
        Some(collection)
    } else {
        None
    };
    let items = read_items(table);
    let id = path_or(table, "id", "$");
    let by_login = match table.string("by") {
        None => Some(false),
        Some(item) => match item.value.as_str() {
            "id" => Some(false),
            "login" => Some(true),
            other => {
                table.report(
                    item.line,
                    format!("members are not named by `{other}`"),
                    "use id or login",
                );
                None
            }
        },
    };
    let may_be_empty = table.boolean("may_be_empty");
    table.finish();
    Some(Members {
        request: match request {
            Some(request) => Some(request?),
            None => None,
        },
        items: items?,
        id: id?,
        by_login: by_login?,
        may_be_empty: may_be_empty.is_some_and(|item| item.value),
    })
}

fn read_writes(
    table: &Table<'_>,
    manifest: &Manifest,
    (versioned, grouped): (bool, bool),
) -> Option<BTreeMap<Operation, Request>> {
    let mut writes = BTreeMap::new();
    let mut sound = true;
    for operation in Operation::ALL.into_iter().filter(|op| op.writes()) {
        let key = operation.as_str();
        let approved = manifest.operations.contains(&operation);
        if approved != table.has(key) {
            sound = false;
            let (message, remedy) = if approved {
                ("is approved but has no request", "add the table")
            } else {
                (
                    "has a request but is not in `operations`",
                    "remove one or add the other",
                )
            };
            table.report(table.line(), format!("`{key}` {message}"), remedy);
        }
        let Some(declared) = table.table(key) else {
            continue;
        };
        let takes = matches!(
            operation,
            Operation::RevokeEntitlement | Operation::RevokeCredential
        );
        let places = if takes { TAKING } else { CHANGE };
        let request = read_request(&declared, places, Use::Write);
        declared.finish();
        let Some(request) = request else {
            sound = false;
            continue;
        };
        sound &= names_its_object(&declared, operation, &request, grouped);
        sound &= has_its_version(&declared, &request, versioned);
        sound &= has_time(&declared, &request, manifest.limits.timeout_seconds);
        if request.patches_the_whole() {
            sound = false;
            declared.report(
                declared.line(),
                "a step of the JSON Patch names no member, and may write the whole account",
                "begin `path` and `from` with the member that is meant, such as \"/active\"",
            );
        }
        for field in request.fields(operation).difference(&manifest.writes) {
            sound = false;
            declared.report(
                declared.line(),
                format!("the request writes `{field}`, which `writes` does not allow"),
                format!("add \"{field}\" to `writes` if it is meant"),
            );
        }
        writes.insert(operation, request);
    }
    sound.then_some(writes)
}

fn has_its_version(table: &Table<'_>, request: &Request, versioned: bool) -> bool {
    let needed = request.if_match || request.uses(Place::AccountVersion);
    if needed && !versioned {
        table.report(
            table.line(),
            "the request takes a version, and it is not said where an account shows one",
            "add `version = \"etag\"` or a JSONPath to the table `account`",
        );
    }
    versioned || !needed
}

/// The questions about a job fit into one call, so that its end is told and not cut off.
fn has_time(table: &Table<'_>, request: &Request, timeout_seconds: u64) -> bool {
    let Some(job) = &request.job else {
        return true;
    };
    let waits = u64::from(job.polls).saturating_mul(job.wait_milliseconds);
    let fits = waits < timeout_seconds.saturating_mul(1000);
    if !fits {
        table.report(
            job.line,
            format!(
                "{} polls of {} ms take longer than `limits.timeout_seconds`, {timeout_seconds} s",
                job.polls, job.wait_milliseconds
            ),
            "ask less often or less long, or raise the timeout; what takes longer is read again later",
        );
    }
    fits
}
