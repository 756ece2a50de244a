//! What the server says that a credential of ours may do, held against what the manifest needs.
//!
//! Owns the questions and the comparison. A credential that may do more than it needs is a finding
//! for its owner and changes nothing here: the guard judges requests whatever the server would let
//! through. A superuser may do everything, so nothing else is told of one.

use std::collections::BTreeSet;

use super::client::Client;
use super::place::Target;
use super::render::{Batch, Bound, Row, read_request};
use crate::connectors::{Call, Powers};
use crate::domain::access::Operation;
use crate::domain::outcome::Failure;
use crate::domain::verdict::CredentialRole;

/// What a credential needs to be allowed.
#[derive(Debug, Default)]
pub struct Need {
    /// Words of the server that it needs, such as CREATEROLE.
    pub words: BTreeSet<&'static str>,
    /// `table.column` to update and `table.*` to delete; `None` where tables are not judged.
    pub tables: Option<BTreeSet<String>>,
}

const ATTRIBUTES: &str = "SELECT a.word FROM pg_catalog.pg_roles r, LATERAL (VALUES \
       ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole), ('CREATEDB', r.rolcreatedb), \
       ('REPLICATION', r.rolreplication), ('BYPASSRLS', r.rolbypassrls)) AS a (word, held) \
     WHERE r.rolname = current_user AND a.held \
     UNION ALL SELECT g.rolname::text FROM pg_catalog.pg_roles g WHERE g.rolname IN \
       ('pg_write_all_data', 'pg_write_server_files', 'pg_read_server_files', \
        'pg_execute_server_program', 'pg_signal_backend') AND pg_has_role(current_user, g.oid, 'MEMBER')";

/// Tables of users that the role may write, and columns where it may not write the whole table.
const TABLES: &str = "SELECT n.nspname::text AS place, c.relname::text AS name, p.verb, NULL AS field \
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, \
       (VALUES ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) AS p (verb) \
       WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname !~ '^(pg_|information_schema$)' \
         AND has_table_privilege(c.oid, p.verb) \
     UNION ALL SELECT n.nspname::text, c.relname::text, p.verb, a.attname::text \
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
       JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped, \
       (VALUES ('INSERT'), ('UPDATE')) AS p (verb) \
       WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname !~ '^(pg_|information_schema$)' \
         AND has_column_privilege(c.oid, a.attnum, p.verb) AND NOT has_table_privilege(c.oid, p.verb) \
     ORDER BY 1, 2, 3, 4 LIMIT 1000";

/// As many as `TABLES` tells at most.
const MOST_PRIVILEGES: usize = 1000;

/// Everything granted to the account directly. Its own name is cut at the last sign.
const GRANTED: &str = "SELECT CAST(g.verb AS CHAR) AS verb, CAST(g.place AS CHAR) AS place FROM (\
       SELECT PRIVILEGE_TYPE AS verb, '*.*' AS place, GRANTEE FROM information_schema.USER_PRIVILEGES \
       UNION ALL SELECT PRIVILEGE_TYPE, CONCAT(TABLE_SCHEMA, '.*'), GRANTEE FROM information_schema.SCHEMA_PRIVILEGES \
       UNION ALL SELECT PRIVILEGE_TYPE, CONCAT(TABLE_SCHEMA, '.', TABLE_NAME), GRANTEE \
         FROM information_schema.TABLE_PRIVILEGES \
       UNION ALL SELECT PRIVILEGE_TYPE, CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, '.', COLUMN_NAME), GRANTEE \
         FROM information_schema.COLUMN_PRIVILEGES) AS g \
     WHERE g.GRANTEE = CONCAT('''', LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) \
       - CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)) - 1), '''@''', \
       SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')";

/// What lets nobody write.
const HARMLESS: [&str; 7] = [
    "USAGE",
    "SELECT",
    "PROCESS",
    "SHOW VIEW",
    "SHOW DATABASES",
    "BINLOG MONITOR",
    "SLAVE MONITOR",
];

/// Asks the server and compares; `None` where it has no such notion (a SQLite file).
///
/// # Errors
/// As a read.
pub async fn judge(
    client: &Client,
    call: &Call<'_>,
    need: &Need,
) -> Result<Option<Powers>, Failure> {
    let (questions, method) = match client.place().target {
        Target::Postgres(_) => (vec![ATTRIBUTES, TABLES], "SELECT attributes and privileges"),
        Target::Mariadb(_) => (vec![GRANTED], "SELECT what is granted"),
        Target::Sqlite(_) => return Ok(None),
    };
    let batch = Batch(questions.into_iter().map(Bound::plain).collect());
    let permit = call
        .permit(read_request(Operation::List, None, method), batch)
        .await?;
    let seen = client.read(call.credential, permit).await?;
    let excess = match seen.rows.as_slice() {
        [attributes, tables] => postgres(need, attributes, tables),
        [granted] => mariadb(need, granted),
        _ => Vec::new(),
    };
    Ok(Some(Powers {
        excess,
        method: method.to_owned(),
    }))
}

/// What of `touched` (`table.column` to update, `table.*` to delete from) PostgreSQL says that the
/// credential may not do; nothing where a server tells no such thing, or too much to be read.
///
/// # Errors
/// As a read.
pub async fn lacking(
    client: &Client,
    call: &Call<'_>,
    touched: &BTreeSet<String>,
) -> Result<Vec<String>, Failure> {
    let Target::Postgres(_) = client.place().target else {
        return Ok(Vec::new());
    };
    let batch = Batch(vec![Bound::plain(TABLES)]);
    let request = read_request(Operation::List, None, "SELECT privileges");
    let permit = call.permit(request, batch).await?;
    let seen = client.read(call.credential, permit).await?;
    Ok(missing(touched, &seen.rows.concat()))
}

/// A table without its schema may be any of that name.
fn missing(touched: &BTreeSet<String>, tables: &[Row]) -> Vec<String> {
    if tables.len() >= MOST_PRIVILEGES {
        return Vec::new();
    }
    let allows = |row: &Row, table: &str, field: &str| {
        let part = |column| text(row, column).unwrap_or_default();
        let (place, name) = (part("place"), part("name"));
        let verb = match (part("verb"), text(row, "field")) {
            ("DELETE", None) => field == "*",
            ("UPDATE", None) => field != "*",
            ("UPDATE", Some(column)) => field == column,
            _ => false,
        };
        verb && (name == table || format!("{place}.{name}") == table)
    };
    let lacks = |touched: &&String| {
        let (table, field) = touched.rsplit_once('.').unwrap_or((touched, "*"));
        !tables.iter().any(|row| allows(row, table, field))
    };
    touched.iter().filter(lacks).cloned().collect()
}

/// What the words of the kind on a server's own roles need.
pub fn need_for_roles(role: CredentialRole) -> Need {
    let words: &[&'static str] = match role {
        CredentialRole::Verifier => &[],
        CredentialRole::Rotator => &["CREATEROLE", "CREATE USER"],
        CredentialRole::Writer => &[
            "CREATEROLE",
            "pg_signal_backend",
            "CREATE USER",
            "CONNECTION ADMIN",
            "TRIGGER",
        ],
    };
    Need {
        words: words.iter().copied().collect(),
        // Who takes privileges on a table has to have them.
        tables: (role != CredentialRole::Writer).then(BTreeSet::new),
    }
}

fn postgres(need: &Need, attributes: &[Row], tables: &[Row]) -> Vec<String> {
    let words: Vec<&str> = attributes
        .iter()
        .filter_map(|row| text(row, "word"))
        .collect();
    if words.contains(&"SUPERUSER") {
        return vec!["is a superuser".to_owned()];
    }
    let unneeded = words.into_iter().filter(|word| !need.words.contains(word));
    let mut excess: Vec<String> = unneeded.map(|word| format!("has {word}")).collect();
    let Some(needed) = &need.tables else {
        return excess;
    };
    for row in tables {
        let part = |column| text(row, column).unwrap_or_default();
        let (place, name, verb) = (part("place"), part("name"), part("verb"));
        let field = text(row, "field");
        let wanted = match (verb, field) {
            ("DELETE", None) => Some("*"),
            ("UPDATE", Some(field)) => Some(field),
            _ => None,
        };
        let is_needed = wanted.is_some_and(|field| {
            needed.contains(&format!("{name}.{field}"))
                || needed.contains(&format!("{place}.{name}.{field}"))
        });
        if !is_needed {
            let field = field.map_or(String::new(), |field| format!(" ({field})"));
            excess.push(format!("may {verb}{field} on {place}.{name}"));
        }
    }
    excess
}

fn mariadb(need: &Need, granted: &[Row]) -> Vec<String> {
    let mut excess = Vec::new();
    for row in granted {
        let part = |column| text(row, column).unwrap_or_default();
        let (verb, place) = (part("verb"), part("place"));
        let server_wide = matches!(verb, "SUPER" | "FILE" | "SHUTDOWN" | "SET USER");
        let unneeded = !HARMLESS.contains(&verb) && !need.words.contains(verb);
        // A writer needs what it is to take; what reaches beyond the accounts is told still.
        if unneeded && (server_wide || need.tables.is_some()) {
            excess.push(format!("has {verb} ON {place}"));
        }
    }
    excess
}

fn text<'r>(row: &'r Row, column: &str) -> Option<&'r str> {
    row.get(column).and_then(Option::as_deref)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[(&str, &str)]) -> Row {
        let columns = columns.iter();
        columns
            .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())))
            .collect()
    }

    #[test]
    fn c3_what_is_not_needed_is_told() {
        let need = Need {
            words: BTreeSet::new(),
            tables: Some(["staff.active".to_owned(), "app.session.*".to_owned()].into()),
        };
        let on = |name: &str, verb: &str, field: &str| {
            let mut columns = vec![("place", "app"), ("name", name), ("verb", verb)];
            if !field.is_empty() {
                columns.push(("field", field));
            }
            row(&columns)
        };
        let tables = [
            on("staff", "UPDATE", "active"),
            on("session", "DELETE", ""),
            on("staff", "UPDATE", "salary"),
            on("staff", "DELETE", ""),
            on("session", "INSERT", ""),
        ];
        let attributes = [row(&[("word", "CREATEDB")])];
        assert_eq!(
            postgres(&need, &attributes, &tables),
            [
                "has CREATEDB",
                "may UPDATE (salary) on app.staff",
                "may DELETE on app.staff",
                "may INSERT on app.session",
            ]
        );
        assert_eq!(
            missing(need.tables.as_ref().expect("told"), &tables),
            [""; 0]
        );
        let all = [row(&[("word", "SUPERUSER")])];
        assert_eq!(postgres(&need, &all, &tables), ["is a superuser"]);
        // Of what is needed, this one may do nothing: to write another column, or to read, is not enough.
        let others = [
            on("staff", "UPDATE", "salary"),
            on("staff", "DELETE", ""),
            on("session", "UPDATE", ""),
        ];
        let touched = need.tables.as_ref().expect("told");
        assert_eq!(missing(touched, &others), ["app.session.*", "staff.active"]);
        assert_eq!(
            missing(touched, &vec![on("x", "INSERT", ""); 1000]),
            [""; 0]
        );
        let granted = [
            row(&[("verb", "SELECT"), ("place", "mysql.*")]),
            row(&[("verb", "INSERT"), ("place", "shop.*")]),
            row(&[("verb", "FILE"), ("place", "*.*")]),
        ];
        let verifier = need_for_roles(CredentialRole::Verifier);
        assert_eq!(
            mariadb(&verifier, &granted),
            ["has INSERT ON shop.*", "has FILE ON *.*"]
        );
        let writer = need_for_roles(CredentialRole::Writer);
        assert_eq!(mariadb(&writer, &granted), ["has FILE ON *.*"]);
    }
}
