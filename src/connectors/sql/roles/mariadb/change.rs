//! What is done to a MariaDB account: each change as a task.
//!
//! Owns the statements. The server writes each of them out of its grant tables with `QUOTE`, and a
//! look follows. Unlike PostgreSQL's they act at once: nothing is rolled back, so a lost answer is
//! `unknown_outcome`, and what is still there afterwards a `write_failure`.

use super::super::super::render::Bound;
use super::super::settings::Roles;
use super::super::task::{Step, Task};
use super::look::{DEFINERS, Name};
use crate::connectors::{Change, RenderedRequest, WHOLE_ACCOUNT};

/// A change of one account.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// What the manifest declares.
    pub roles: &'a Roles,
    /// What is asked.
    pub change: &'a Change,
    /// The account.
    pub name: &'a Name,
}

const LOCKED: &str = "COALESCE(JSON_VALUE(u.Priv, '$.account_locked'), '0') IN ('1', 'true')";

/// `'user'@'host'` out of the columns of a table called `u`.
const WHOM: &str = "QUOTE(u.User), '@', QUOTE(u.Host)";

/// The row of the account itself.
const ACCOUNT: &str = "FROM mysql.global_priv u WHERE u.User = ? AND u.Host = ?";

impl Target<'_> {
    /// Makes signing in impossible.
    pub fn disable(&self) -> (RenderedRequest, Task) {
        let run = format!(
            "SELECT CONCAT('ALTER USER ', {WHOM}, ' ACCOUNT LOCK') AS statement {ACCOUNT} AND NOT {LOCKED}"
        );
        let left = format!("SELECT 'the right to sign in' AS `left` {ACCOUNT} AND NOT {LOCKED}");
        let steps = vec![self.run(&run, &[]), self.gone(&left, &[])];
        self.task("account_locked", "ALTER USER ACCOUNT LOCK", steps)
    }

    /// Ends the sessions of the user name; what that came to is seen afterwards.
    pub fn end_sessions(&self) -> (RenderedRequest, Task) {
        let run = Step::Run(Bound {
            sql: "SELECT DISTINCT CONCAT('KILL USER ', QUOTE(p.USER)) AS statement \
                  FROM information_schema.PROCESSLIST p WHERE BINARY p.USER = BINARY ?"
                .to_owned(),
            values: vec![self.name.user.clone()],
        });
        self.task("session", "KILL USER", vec![run])
    }

    /// Takes a role.
    pub fn role(&self, role: &str) -> (RenderedRequest, Task) {
        let rows = "FROM mysql.roles_mapping u WHERE u.User = ? AND u.Host = ? AND u.Role = ?";
        // A role is a name and no text: in backquotes.
        let run = format!(
            "SELECT CONCAT('REVOKE `', REPLACE(u.Role, '`', '``'), '` FROM ', {WHOM}) AS statement {rows}"
        );
        let left = format!("SELECT CAST(u.Role AS CHAR) AS `left` {rows}");
        let steps = vec![self.run(&run, &[role]), self.gone(&left, &[role])];
        self.task("membership", "REVOKE role", steps)
    }

    /// Takes the privileges on the whole server.
    pub fn global(&self) -> (RenderedRequest, Task) {
        let rows = format!("{ACCOUNT} AND CAST(JSON_VALUE(u.Priv, '$.access') AS UNSIGNED) <> 0");
        self.privileges("'*.*'", &rows, &[])
    }

    /// Takes the privileges on a schema, or on a pattern of schemas just as it was granted.
    pub fn schema(&self, schema: &str) -> (RenderedRequest, Task) {
        let rows = "FROM mysql.db u WHERE u.User = ? AND u.Host = ? AND u.Db = ?";
        let place = "CONCAT('`', REPLACE(u.Db, '`', '``'), '`.*')";
        self.privileges(place, rows, &[schema])
    }

    /// Takes the privileges on the tables and columns of a schema.
    pub fn tables(&self, schema: &str) -> (RenderedRequest, Task) {
        let rows = "FROM mysql.tables_priv u WHERE u.User = ? AND u.Host = ? AND u.Db = ?";
        let place =
            "CONCAT('`', REPLACE(u.Db, '`', '``'), '`.`', REPLACE(u.Table_name, '`', '``'), '`')";
        self.privileges(place, rows, &[schema])
    }

    /// Takes the privileges on the routines of a schema.
    pub fn routines(&self, schema: &str) -> (RenderedRequest, Task) {
        let rows = "FROM mysql.procs_priv u WHERE u.User = ? AND u.Host = ? AND u.Db = ?";
        let place = "CONCAT(u.Routine_type, ' `', REPLACE(u.Db, '`', '``'), '`.`', \
                     REPLACE(u.Routine_name, '`', '``'), '`')";
        self.privileges(place, rows, &[schema])
    }

    /// Takes the right to act as other accounts.
    pub fn proxy(&self) -> (RenderedRequest, Task) {
        let rows = "FROM mysql.proxies_priv u WHERE u.User = ? AND u.Host = ?";
        let run = format!(
            "SELECT CONCAT('REVOKE PROXY ON ', QUOTE(u.Proxied_user), '@', QUOTE(u.Proxied_host), \
             ' FROM ', {WHOM}) AS statement {rows}"
        );
        let left = format!("SELECT CAST(u.Proxied_user AS CHAR) AS `left` {rows}");
        let steps = vec![self.run(&run, &[]), self.gone(&left, &[])];
        self.task("privilege", "REVOKE PROXY", steps)
    }

    /// Drops the account, unless something runs in its name.
    pub fn drop(&self) -> (RenderedRequest, Task) {
        let mut steps = Vec::new();
        if !self.roles.keep_definers {
            steps.push(Step::Gone(Bound {
                sql: format!("SELECT d.name AS `left` FROM ({DEFINERS}) AS d"),
                values: vec![self.name.definer(); 4],
            }));
        }
        let run = format!("SELECT CONCAT('DROP USER ', {WHOM}) AS statement {ACCOUNT}");
        let left = format!("SELECT 'the account' AS `left` {ACCOUNT}");
        steps.extend([self.run(&run, &[]), self.gone(&left, &[])]);
        self.task(WHOLE_ACCOUNT, "DROP USER", steps)
    }

    /// GRANT OPTION goes first: with the last privilege the row that it stands in goes too.
    fn privileges(&self, place: &str, rows: &str, more: &[&str]) -> (RenderedRequest, Task) {
        let verb = |what: &str| {
            let sql = format!(
                "SELECT CONCAT('REVOKE {what} ON ', {place}, ' FROM ', {WHOM}) AS statement {rows}"
            );
            self.run(&sql, more)
        };
        let left = format!("SELECT {place} AS `left` {rows}");
        let steps = vec![
            verb("GRANT OPTION"),
            verb("ALL PRIVILEGES"),
            self.gone(&left, more),
        ];
        self.task("privilege", "REVOKE ALL PRIVILEGES", steps)
    }

    fn run(&self, sql: &str, more: &[&str]) -> Step {
        Step::Run(self.name.bind(sql, 1, more))
    }

    fn gone(&self, sql: &str, more: &[&str]) -> Step {
        Step::Gone(self.name.bind(sql, 1, more))
    }

    fn task(&self, writes: &str, line: &str, steps: Vec<Step>) -> (RenderedRequest, Task) {
        let guarded = if self.roles.superusers {
            "'false'"
        } else {
            "IF(CAST(JSON_VALUE(u.Priv, '$.access') AS UNSIGNED) & 32768 <> 0, 'true', 'false')"
        };
        let who = format!("SELECT CAST(u.User AS CHAR) AS login, {guarded} AS guarded {ACCOUNT}");
        let rendered = RenderedRequest {
            operation: Some(self.change.operation),
            account: Some(self.change.account.clone()),
            writes: [writes.to_owned()].into(),
            line: line.to_owned(),
        };
        let task = Task {
            database: None,
            before: Bound::plain("SELECT '' AS nothing"),
            who: self.name.bind(&who, 1, &[]),
            login: self.change.login.clone(),
            steps,
            immediate: true,
        };
        (rendered, task)
    }
}
