//! How a PostgreSQL server is asked about its roles: the reads, and what their rows mean.
//!
//! Owns the reading queries. `pg_shdepend` is what the server itself asks before it drops a role:
//! it tells of every database without a connection to it. All reads of one look see one snapshot,
//! and see it through `pg_catalog` alone, whatever stands in the search path.

use super::super::super::classify;
use super::super::super::client::Seen;
use super::super::super::render::{self, Batch, Bound, Row, read_request};
use super::super::settings::Roles;
use super::held::{self, ATTRIBUTES};
use crate::connectors::{Call, RenderedRequest};
use crate::domain::access::{Account, Operation};
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;
use crate::domain::verdict::{Completeness, CredentialRole};

/// Names are looked for in the catalog only, until the transaction ends.
pub const PIN: &str = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true) AS path";

/// The value of a place as an object id.
pub const OID: &str = "CAST(CAST($1 AS text) AS oid)";

/// Below are the roles that came with the server; they are nobody's accounts.
const FIRST: &str = "16384";

const ROLE: &str = "SELECT r.oid::text AS id, r.rolname::text AS login, \
     CASE WHEN r.rolcanlogin THEN 'enabled' ELSE 'disabled' END AS state, \
     r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls \
     OR pg_has_role(r.oid, 'pg_execute_server_program', 'MEMBER') \
     OR pg_has_role(r.oid, 'pg_read_server_files', 'MEMBER') \
     OR pg_has_role(r.oid, 'pg_write_server_files', 'MEMBER') AS privileged, \
     shobj_description(r.oid, 'pg_authid') AS comment";

/// Direct memberships, and what comes with each of them.
const MEMBERSHIPS: &str = "WITH RECURSIVE \
     direct AS (SELECT roleid, bool_or(admin_option) AS admin FROM pg_auth_members \
       WHERE member = {oid} GROUP BY roleid), \
     above (roleid, via) AS (\
       SELECT m.roleid, d.roleid FROM direct d JOIN pg_auth_members m ON m.member = d.roleid \
       UNION SELECT m.roleid, a.via FROM above a JOIN pg_auth_members m ON m.member = a.roleid) \
     SELECT 'role:' || d.roleid AS id, 'role' AS kind, NULL AS inherited_from, \
       r.rolname || CASE WHEN d.admin THEN ' (with admin option)' ELSE '' END AS name \
       FROM direct d JOIN pg_roles r ON r.oid = d.roleid \
     UNION ALL SELECT 'role:' || a.roleid || ':via:' || a.via, 'role', p.rolname::text, \
       r.rolname::text FROM above a JOIN pg_roles r ON r.oid = a.roleid \
       JOIN pg_roles p ON p.oid = a.via ORDER BY 1";

/// Everything that the role owns or is named in an access list of, in all databases. Its own
/// default privileges give power to others only, on objects that it would have to make first.
const DEPENDENTS: &str = "SELECT d.dbid::text AS database, b.datname::text AS name, \
       c.relname::text AS catalog, d.deptype::text AS how, count(DISTINCT d.objid)::text AS objects \
     FROM pg_shdepend d JOIN pg_class c ON c.oid = d.classid LEFT JOIN pg_database b ON b.oid = d.dbid \
     WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = {oid} \
       AND (d.deptype = 'a' OR d.deptype = 'o' AND c.relname <> 'pg_default_acl') \
     GROUP BY 1, 2, 3, 4 ORDER BY 1, 3, 4";

const SESSIONS: &str = "SELECT count(*) AS sessions FROM pg_stat_activity WHERE usesysid = {oid}";

/// Whether the reader is shown everybody's sessions, and those of this very server.
const EYES: &str = "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sessions, \
     pg_is_in_recovery() AS replica";

/// Which declared groups there are.
const GROUPS: &str = "SELECT g.rolname::text AS name FROM pg_roles g WHERE g.rolname::text IN \
     (SELECT json_array_elements_text(CAST(CAST($1 AS text) AS json)))";

/// A bound statement about one object id.
pub fn about(sql: &str, oid: u32) -> Bound {
    Bound {
        sql: sql.replace("{oid}", OID),
        values: vec![oid.to_string()],
    }
}

/// The object id that an account's id is; `None` when no role can have it.
pub fn oid(account: &AccountId) -> Option<u32> {
    account.as_str().parse().ok().filter(|oid: &u32| *oid > 0)
}

/// The reads that show one role.
pub fn reading(account: &AccountId, oid: u32) -> (RenderedRequest, Batch) {
    let role = format!("{ROLE} FROM pg_roles r WHERE r.oid = {OID}");
    let attributes =
        ATTRIBUTES.map(|one| format!("('{}', '{}', r.{})", one.column, one.word, one.column));
    let attributes = format!(
        "SELECT 'attribute:' || a.name AS id, 'permission' AS kind, a.word AS name \
         FROM pg_roles r, LATERAL (VALUES {}) AS a (name, word, held) \
         WHERE r.oid = {OID} AND a.held ORDER BY 1",
        attributes.join(", ")
    );
    let batch = Batch(vec![
        Bound::plain(PIN),
        about(&role, oid),
        about(MEMBERSHIPS, oid),
        about(&attributes, oid),
        about(DEPENDENTS, oid),
        about(SESSIONS, oid),
        Bound::plain(EYES),
    ]);
    let line = "SELECT one role, its memberships, attributes, privileges, objects and sessions";
    (read_request(Operation::Read, Some(account), line), batch)
}

/// The role in the rows of [`reading`], and how sure that is.
///
/// # Errors
/// `drifted` when the rows are not as they must be.
pub fn read(
    roles: &Roles,
    account: &AccountId,
    call: &Call<'_>,
    seen: &mut Seen,
) -> Result<(Option<Account>, Completeness), Failure> {
    let [_, role, memberships, attributes, dependents, sessions, eyes] =
        <[Vec<Row>; 7]>::try_from(std::mem::take(&mut seen.rows))
            .map_err(|_| classify::drifted("the server answered another number of reads"))?;
    let whole = completeness(roles, call.credential.role, &role, eyes);
    let sessions = render::sessions(sessions)?;
    // A session outlives its role.
    let left = (sessions > 0).then(|| Account::left_behind(account, call.login));
    let Some(mut found) = render::one(&roles.shape, account, role)?.or(left) else {
        return Ok((None, whole));
    };
    for row in memberships.into_iter().chain(attributes) {
        found.entitlements.push(render::entitlement(row)?);
    }
    found.entitlements.extend(held::dependents(dependents)?);
    found.sessions = Some(sessions);
    Ok((Some(found), whole))
}

/// The read that shows all roles that are accounts. A role that was disabled by its connection
/// limit too is told from a group, which has none, and stays in the listing.
pub fn listing(roles: &Roles) -> (RenderedRequest, Batch) {
    let groups = serde_json::Value::from(roles.member_of.clone()).to_string();
    let all = format!(
        "{ROLE}, r.rolsuper AS superuser, EXISTS (SELECT FROM ({GROUPS}) AS g \
         WHERE pg_has_role(r.oid, g.name::name, 'MEMBER')) AS belongs FROM pg_roles r \
         WHERE r.oid >= {FIRST} AND (r.rolcanlogin OR r.rolconnlimit = 0) ORDER BY r.oid"
    );
    let bound = |sql: String| Bound {
        sql,
        values: vec![groups.clone()],
    };
    let batch = Batch(vec![
        Bound::plain(PIN),
        bound(all),
        bound(GROUPS.to_owned()),
    ]);
    let line = "SELECT all roles that can sign in";
    (read_request(Operation::List, None, line), batch)
}

/// The accounts in the rows of [`listing`], and how sure that is.
///
/// # Errors
/// `drifted` when a declared group is not there, or the rows are not as they must be.
pub fn list(roles: &Roles, seen: &mut Seen) -> Result<(Vec<Account>, Completeness), Failure> {
    let [_, all, groups] = <[Vec<Row>; 3]>::try_from(std::mem::take(&mut seen.rows))
        .map_err(|_| classify::drifted("the server answered another number of reads"))?;
    let shown = |group: &str| groups.iter().any(|row| is(row, "name", group));
    if let Some(group) = roles.member_of.iter().find(|group| !shown(group)) {
        return Err(classify::drifted(format!(
            "`member_of` names {group:?}, and there is no such role"
        )));
    }
    let taken_in = |row: &Row| {
        let login = row.get("login").and_then(Option::as_deref);
        login.is_some_and(|login| roles.take_in(login))
            && (roles.superusers || is(row, "superuser", "false"))
            && (roles.member_of.is_empty() || is(row, "belongs", "true"))
    };
    let rows: Vec<Row> = all.into_iter().filter(taken_in).collect();
    let completeness = Completeness {
        fields_present: render::fields_present(&roles.shape, &rows),
        ..Completeness::WHOLE
    };
    let account = |mut row: Row| {
        row.remove("superuser");
        row.remove("belongs");
        render::account(&roles.shape, row)
    };
    let accounts = rows.into_iter().map(account);
    Ok((accounts.collect::<Result<_, _>>()?, completeness))
}

/// The smallest read that needs what the real ones need.
pub fn trial() -> (RenderedRequest, Batch) {
    let batch = Batch(vec![
        Bound::plain("SELECT oid::text AS id FROM pg_catalog.pg_roles LIMIT 1"),
        Bound::plain("SELECT dbid::text AS id FROM pg_catalog.pg_shdepend LIMIT 1"),
        Bound::plain("SELECT pid FROM pg_catalog.pg_stat_activity LIMIT 1"),
    ]);
    let line = "SELECT one role, one dependency and one session";
    (read_request(Operation::List, None, line), batch)
}

/// What the verifier must be shown for its look to prove that there is no session: PostgreSQL shows
/// whose session it is to everyone, but promises all of it to `pg_read_all_stats` alone, and a
/// replica shows its own sessions instead of its primary's.
fn completeness(
    roles: &Roles,
    reader: CredentialRole,
    rows: &[Row],
    eyes: Vec<Row>,
) -> Completeness {
    let sees = |column: &str, value: &str| eyes.iter().any(|row| is(row, column, value));
    let judged = reader == CredentialRole::Verifier;
    Completeness {
        fields_present: render::fields_present(&roles.shape, rows),
        permission_cut: judged && !sees("sessions", "true"),
        pages_closed: sees("replica", "false"),
        ..Completeness::WHOLE
    }
}

fn is(row: &Row, column: &str, value: &str) -> bool {
    row.get(column).and_then(Option::as_deref) == Some(value)
}
