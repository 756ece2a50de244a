//! How a MariaDB server is asked about its accounts: the reads, and what their rows mean.
//!
//! Owns the reading queries. They ask the grant tables in schema `mysql` and not the views over
//! them: whoever may not read those is refused there, and would be shown a part in the views.
//! Every column comes as text. The grant tables know no snapshot; each read is of its own instant.

use super::super::super::classify;
use super::super::super::client::Seen;
use super::super::super::render::{self, Batch, Bound, Row, read_request, required};
use super::super::settings::Roles;
use crate::connectors::{Call, RenderedRequest};
use crate::domain::access::{Account, Entitlement, EntitlementKind, Operation};
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;
use crate::domain::verdict::{Completeness, CredentialRole};

/// Accounts: no roles, not the server's own, not the nameless one. 32768 is SUPER.
const ACCOUNT: &str = "SELECT CONCAT(u.User, '@', u.Host) AS id, CAST(u.User AS CHAR) AS login, \
     IF(COALESCE(JSON_VALUE(u.Priv, '$.account_locked'), '0') IN ('1', 'true'), 'disabled', 'enabled') AS state, \
     IF(CAST(JSON_VALUE(u.Priv, '$.access') AS UNSIGNED) & 32768 <> 0, 'true', 'false') AS privileged, \
     CAST(u.Host AS CHAR) AS host FROM mysql.global_priv u \
     WHERE COALESCE(JSON_VALUE(u.Priv, '$.is_role'), '0') NOT IN ('1', 'true') AND u.User <> ''";

/// One account of these; its places are user and host.
pub const ONE: &str = "u.User = ? AND u.Host = ?";

/// What is granted directly, one row for each entitlement. Its places are user and host, six times.
const GRANTS: &str = "SELECT CONCAT('role:', m.Role) AS id, 'role' AS kind, \
       CONCAT(m.Role, IF(m.Admin_option = 'Y', ' (with admin option)', '')) AS name \
       FROM mysql.roles_mapping m WHERE m.User = ? AND m.Host = ? \
     UNION ALL SELECT 'global', 'permission', 'privileges on the whole server' FROM mysql.global_priv u \
       WHERE u.User = ? AND u.Host = ? AND CAST(JSON_VALUE(u.Priv, '$.access') AS UNSIGNED) <> 0 \
     UNION ALL SELECT CONCAT('schema:', d.Db), 'permission', CONCAT('privileges on schema ', d.Db) \
       FROM mysql.db d WHERE d.User = ? AND d.Host = ? \
     UNION ALL SELECT DISTINCT CONCAT('tables:', t.Db), 'permission', \
       CONCAT('privileges on tables in schema ', t.Db) FROM mysql.tables_priv t WHERE t.User = ? AND t.Host = ? \
     UNION ALL SELECT DISTINCT CONCAT('routines:', p.Db), 'permission', \
       CONCAT('privileges on routines in schema ', p.Db) FROM mysql.procs_priv p WHERE p.User = ? AND p.Host = ? \
     UNION ALL SELECT DISTINCT 'proxy', 'permission', 'may act as other accounts' \
       FROM mysql.proxies_priv x WHERE x.User = ? AND x.Host = ?";

/// Roles that come with a granted one. Its places are user and host.
const INHERITED: &str = "WITH RECURSIVE above (role, via) AS (\
       SELECT CAST(n.Role AS CHAR(128)), CAST(m.Role AS CHAR(128)) FROM mysql.roles_mapping m \
         JOIN mysql.roles_mapping n ON n.User = m.Role AND n.Host = '' WHERE m.User = ? AND m.Host = ? \
       UNION SELECT CAST(n.Role AS CHAR(128)), a.via FROM above a \
         JOIN mysql.roles_mapping n ON n.User = a.role AND n.Host = '') \
     SELECT CONCAT('inherited:', a.via, ':', a.role) AS id, 'role' AS kind, a.role AS name, \
       a.via AS inherited_from FROM above a";

/// What runs in the account's name, by schema. Its place is `user@host`, four times.
pub const DEFINERS: &str = "SELECT CONCAT('definer:', o.place) AS id, 'permission' AS kind, \
       CONCAT(CAST(COUNT(*) AS CHAR), ' objects in schema ', o.place, ' run in its name: ', \
         GROUP_CONCAT(o.name ORDER BY o.name SEPARATOR ', ')) AS name FROM (\
       SELECT CAST(v.TABLE_SCHEMA AS CHAR) AS place, CAST(v.TABLE_NAME AS CHAR) AS name \
         FROM information_schema.VIEWS v WHERE BINARY v.DEFINER = BINARY ? \
       UNION ALL SELECT CAST(t.TRIGGER_SCHEMA AS CHAR), CAST(t.TRIGGER_NAME AS CHAR) \
         FROM information_schema.TRIGGERS t WHERE BINARY t.DEFINER = BINARY ? \
       UNION ALL SELECT CAST(p.db AS CHAR), CAST(p.name AS CHAR) FROM mysql.proc p WHERE p.definer = ? \
       UNION ALL SELECT CAST(e.db AS CHAR), CAST(e.name AS CHAR) FROM mysql.event e WHERE e.definer = ?\
     ) AS o GROUP BY o.place";

/// Sessions of the user name, from whatever host; these views would take `Ada` for `ada`. And whether an
/// account of that name is there, whose they may be. Its places are the user, twice.
const SESSIONS: &str = "SELECT CAST(COUNT(*) AS CHAR) AS sessions, \
       (SELECT IF(COUNT(*) > 0, 'true', 'false') FROM mysql.global_priv u WHERE u.User = ?) AS named \
     FROM information_schema.PROCESSLIST WHERE BINARY USER = BINARY ? AND ID <> CONNECTION_ID()";

/// Whether the reader is shown everybody's sessions and views, and this is no replica. The bits of
/// `access` are those of the server: 256 PROCESS, 4194304 SHOW VIEW.
const EYES: &str = "SELECT IF(MAX(CAST(JSON_VALUE(u.Priv, '$.access') AS UNSIGNED) & 256) <> 0, 'true', 'false') AS sessions, \
     IF(MAX(CAST(JSON_VALUE(u.Priv, '$.access') AS UNSIGNED) & 4194304) <> 0, 'true', 'false') AS views, \
     IF(@@read_only, 'true', 'false') AS replica FROM mysql.global_priv u \
     WHERE CONCAT(u.User, '@', u.Host) = CURRENT_USER()";

/// An account's id in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The user.
    pub user: String,
    /// The host part, often a pattern; it holds no `@`.
    pub host: String,
}

impl Name {
    /// From `user@host`.
    pub fn from_id(account: &AccountId) -> Option<Self> {
        let (user, host) = account.as_str().rsplit_once('@')?;
        (!user.is_empty()).then(|| Self {
            user: user.to_owned(),
            host: host.to_owned(),
        })
    }

    /// Bound to a statement whose places are user and host by turns, and then `more`.
    pub fn bind(&self, sql: &str, times: usize, more: &[&str]) -> Bound {
        let mut values = Vec::new();
        for _ in 0..times {
            values.extend([self.user.clone(), self.host.clone()]);
        }
        values.extend(more.iter().map(ToString::to_string));
        Bound {
            sql: sql.to_owned(),
            values,
        }
    }

    /// As definers are written.
    pub fn definer(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }
}

/// The reads that show one account.
pub fn reading(account: &AccountId, name: &Name) -> (RenderedRequest, Batch) {
    let definers = Bound {
        sql: DEFINERS.to_owned(),
        values: vec![name.definer(); 4],
    };
    let sessions = Bound {
        sql: SESSIONS.to_owned(),
        values: vec![name.user.clone(); 2],
    };
    let batch = Batch(vec![
        name.bind(&format!("{ACCOUNT} AND {ONE}"), 1, &[]),
        name.bind(GRANTS, 6, &[]),
        name.bind(INHERITED, 1, &[]),
        definers,
        sessions,
        Bound::plain(EYES),
    ]);
    let line = "SELECT one account, its roles, grants, definers and sessions";
    (read_request(Operation::Read, Some(account), line), batch)
}

/// The account in the rows of [`reading`], and how sure that is.
///
/// # Errors
/// `drifted` when the rows are not as they must be.
pub fn read(
    roles: &Roles,
    account: &AccountId,
    call: &Call<'_>,
    seen: &mut Seen,
) -> Result<(Option<Account>, Completeness), Failure> {
    let [one, grants, inherited, definers, sessions, eyes] =
        <[Vec<Row>; 6]>::try_from(std::mem::take(&mut seen.rows))
            .map_err(|_| classify::drifted("the server answered another number of reads"))?;
    let sees = |column: &str, value: &str| eyes.iter().any(|row| is(row, column, value));
    let judged = call.credential.role == CredentialRole::Verifier;
    let completeness = Completeness {
        fields_present: render::fields_present(&roles.shape, &one),
        permission_cut: judged && !(sees("sessions", "true") && sees("views", "true")),
        pages_closed: sees("replica", "false"),
        ..Completeness::WHOLE
    };
    let nobodys = sessions.iter().any(|row| is(row, "named", "false"));
    let sessions = render::sessions(sessions)?;
    // A session outlives its account. Where another account has the name, it counts as that one's.
    let left = (sessions > 0 && nobodys).then(|| Account::left_behind(account, call.login));
    let Some(mut found) = render::one(&roles.shape, account, one)?.or(left) else {
        return Ok((None, completeness));
    };
    for row in grants.into_iter().chain(inherited) {
        found.entitlements.push(render::entitlement(row)?);
    }
    if !roles.keep_definers {
        for row in definers {
            found.entitlements.push(definer(row)?);
        }
    }
    found.sessions = Some(sessions);
    Ok((Some(found), completeness))
}

/// The read that shows all accounts.
pub fn listing() -> (RenderedRequest, Batch) {
    let batch = Batch(vec![Bound::plain(format!("{ACCOUNT} ORDER BY 1"))]);
    let line = "SELECT all accounts";
    (read_request(Operation::List, None, line), batch)
}

/// The accounts in the rows of [`listing`], and how sure that is.
///
/// # Errors
/// `drifted` when the rows are not as they must be.
pub fn list(roles: &Roles, seen: &mut Seen) -> Result<(Vec<Account>, Completeness), Failure> {
    let taken_in = |row: &Row| {
        let login = row.get("login").and_then(Option::as_deref);
        login.is_some_and(|login| roles.take_in(login) && !is_the_servers(login))
            && (roles.superusers || is(row, "privileged", "false"))
    };
    let rows = std::mem::take(&mut seen.rows).into_iter().flatten();
    let rows: Vec<Row> = rows.filter(taken_in).collect();
    let completeness = Completeness {
        fields_present: render::fields_present(&roles.shape, &rows),
        ..Completeness::WHOLE
    };
    let accounts = rows
        .into_iter()
        .map(|row| render::account(&roles.shape, row));
    Ok((accounts.collect::<Result<_, _>>()?, completeness))
}

/// The smallest read that needs what the real ones need.
pub fn trial() -> (RenderedRequest, Batch) {
    let batch = Batch(vec![
        Bound::plain(format!("{ACCOUNT} LIMIT 1")),
        Bound::plain("SELECT CAST(Role AS CHAR) AS id FROM mysql.roles_mapping LIMIT 1"),
        Bound::plain("SELECT CAST(Db AS CHAR) AS id FROM mysql.db LIMIT 1"),
        Bound::plain("SELECT CAST(name AS CHAR) AS id FROM mysql.proc LIMIT 1"),
    ]);
    let line = "SELECT one account, one role, one grant and one routine";
    (read_request(Operation::List, None, line), batch)
}

/// Accounts by which the server itself works.
pub fn is_the_servers(login: &str) -> bool {
    matches!(login, "root" | "mysql" | "mariadb.sys")
}

fn definer(mut row: Row) -> Result<Entitlement, Failure> {
    let id = required(&mut row, "id")?;
    Ok(Entitlement {
        id: id.as_str().into(),
        kind: EntitlementKind::Permission,
        name: required(&mut row, "name")?,
        inherited_from: None,
    })
}

fn is(row: &Row, column: &str, value: &str) -> bool {
    row.get(column).and_then(Option::as_deref) == Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_cut_at_its_last_sign() {
        let name = |id: &str| Name::from_id(&AccountId(id.to_owned()));
        let odd = name("a@b@10.%").expect("an account");
        assert_eq!((odd.user.as_str(), odd.host.as_str()), ("a@b", "10.%"));
        assert_eq!(odd.definer(), "a@b@10.%");
        assert_eq!(name("ada"), None);
        assert_eq!(name("@%"), None);
    }
}
