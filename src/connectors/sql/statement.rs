//! Statements of a manifest, checked at load and turned into bound ones.
//!
//! Owns just enough of SQL to know which table and columns a statement writes and that its WHERE
//! names the account: a list of tokens and a few strict patterns. What does not fit the patterns is
//! refused with the reason; nobody has to guess what a clever statement would do. Values are always
//! bound, never written into the text.

use std::collections::BTreeSet;

use super::reads;
use super::token::{Token, cut, name, sign, split, word};

/// What a statement may take from the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parameter {
    /// `:account`, the immutable id.
    Account,
    /// `:login`, as last read.
    Login,
    /// `:entitlement`, the id of the one to take away.
    Entitlement,
}

/// Which database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL: `$1`.
    Postgres,
    /// SQLite: `?1`.
    Sqlite,
}

/// A checked statement with numbered places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text for the database.
    pub sql: String,
    /// What goes into each place, in order.
    pub parameters: Vec<Parameter>,
    /// `table.column` for each column written, `table.*` where rows are deleted.
    pub writes: BTreeSet<String>,
    /// The tables that a reading statement reads; `None` where its text does not tell them all.
    pub reads: Option<BTreeSet<String>>,
}

/// Words that read more than they seem to, or write.
const NEVER_READ: [&str; 16] = [
    "insert",
    "update",
    "delete",
    "merge",
    "truncate",
    "into",
    "call",
    "do",
    "copy",
    "nextval",
    "setval",
    "set_config",
    "drop",
    "alter",
    "create",
    "grant",
];
/// Words that show a part of what is there as if it were all.
const PARTS: [&str; 4] = ["limit", "offset", "fetch", "tablesample"];
/// How functions begin that have effects of their own, or carry out a statement given as text.
const HIDDEN: [&str; 7] = [
    "pg_",
    "lo_",
    "dblink",
    "load_",
    "write",
    "query_to_",
    "cursor_to_",
];
/// Words that open another statement, take rows from elsewhere, or open a part of a condition that is
/// not one of those that all have to hold, inside a write.
const NEVER_WRITE: [&str; 17] = [
    "select",
    "with",
    "returning",
    "using",
    "from",
    "order",
    "limit",
    "union",
    "join",
    "values",
    "group",
    "offset",
    "between",
    "into",
    "exists",
    "any",
    "case",
];
/// What may stand before a bracket in a write.
const CALLS: [&str; 9] = [
    "now", "lower", "upper", "coalesce", "nullif", "cast", "datetime", "in", "and",
];

impl Statement {
    /// A reading statement that takes exactly the parameters `wanted`.
    ///
    /// # Errors
    /// What is wrong, for the author.
    pub fn reading(text: &str, dialect: Dialect, wanted: &[Parameter]) -> Result<Self, String> {
        let (sql, parameters, tokens) = cut(text, dialect)?;
        if tokens.first() != Some(&word("select")) {
            return Err("a reading statement begins with SELECT".into());
        }
        for (i, token) in tokens.iter().enumerate() {
            let Some(found) = name(token) else { continue };
            let plain = matches!(token, Token::Word(_));
            let called = tokens.get(i + 1) == Some(&sign("("));
            if called && !plain {
                return Err(format!("`{found}` is called by a name in quotes"));
            }
            if (plain && (NEVER_READ.contains(&found) || PARTS.contains(&found)))
                || (called && HIDDEN.iter().any(|prefix| found.starts_with(prefix)))
            {
                return Err(format!("`{found}` has no place in a reading statement"));
            }
        }
        for parameter in wanted {
            if !parameters.contains(parameter) {
                return Err(format!("it does not use `{}`", parameter.as_str()));
            }
        }
        match parameters.iter().find(|p| !wanted.contains(p)) {
            Some(other) => Err(format!("it cannot use `{}`", other.as_str())),
            None => Ok(Self {
                sql,
                parameters,
                writes: BTreeSet::new(),
                reads: reads::tables(&tokens),
            }),
        }
    }

    /// A writing statement whose WHERE pins each of `pinned` by equality.
    ///
    /// # Errors
    /// What is wrong, for the author.
    pub fn writing(text: &str, dialect: Dialect, pinned: &[Parameter]) -> Result<Self, String> {
        let (sql, parameters, tokens) = cut(text, dialect)?;
        let (table, columns, condition) = parts(&tokens)?;
        harmless(&tokens[1..])?;
        let conjuncts = conjuncts(condition)?;
        for parameter in pinned {
            if !conjuncts.iter().any(|c| pins(c, *parameter)) {
                return Err(format!(
                    "its WHERE does not say `column = {}`",
                    parameter.as_str()
                ));
            }
        }
        if let Some(other) = parameters
            .iter()
            .find(|p| **p == Parameter::Entitlement && !pinned.contains(p))
        {
            return Err(format!("it cannot use `{}`", other.as_str()));
        }
        let writes = if columns.is_empty() {
            BTreeSet::from([format!("{table}.*")])
        } else {
            columns.iter().map(|c| format!("{table}.{c}")).collect()
        };
        Ok(Self {
            sql,
            parameters,
            writes,
            reads: None,
        })
    }
}

impl Parameter {
    /// As it is written in a statement.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => ":account",
            Self::Login => ":login",
            Self::Entitlement => ":entitlement",
        }
    }

    /// The parameter with this name, without its colon.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Account, Self::Login, Self::Entitlement]
            .into_iter()
            .find(|parameter| parameter.as_str()[1..] == *name)
    }
}

/// Table, written columns (none for a DELETE) and the tokens of the condition.
fn parts(tokens: &[Token]) -> Result<(String, Vec<String>, &[Token]), String> {
    let at = tokens
        .iter()
        .position(|token| *token == word("where"))
        .ok_or("it has no WHERE")?;
    let (head, condition) = (&tokens[..at], &tokens[at + 1..]);
    match head.first() {
        Some(Token::Word(verb)) if verb == "update" => {
            let (table, rest) = table_name(&head[1..])?;
            if rest.first() != Some(&word("set")) {
                return Err("after UPDATE comes one table and SET".into());
            }
            Ok((table, written(&rest[1..])?, condition))
        }
        Some(Token::Word(verb)) if verb == "delete" => {
            if head.get(1) != Some(&word("from")) {
                return Err("after DELETE comes FROM".into());
            }
            let (table, rest) = table_name(&head[2..])?;
            if !rest.is_empty() {
                return Err("after DELETE FROM comes one table and WHERE".into());
            }
            Ok((table, Vec::new(), condition))
        }
        _ => Err("only UPDATE … SET … WHERE and DELETE FROM … WHERE can be judged".into()),
    }
}

fn table_name(tokens: &[Token]) -> Result<(String, &[Token]), String> {
    let first = tokens.first().and_then(name).ok_or("it names no table")?;
    if tokens.get(1) == Some(&sign(".")) {
        let second = tokens.get(2).and_then(name).ok_or("it names no table")?;
        return Ok((format!("{first}.{second}"), &tokens[3..]));
    }
    Ok((first.to_owned(), &tokens[1..]))
}

/// The columns on the left of a SET list.
fn written(tokens: &[Token]) -> Result<Vec<String>, String> {
    let mut columns = Vec::new();
    for part in split(tokens, &sign(",")) {
        match part {
            [column, equals, _, ..] if *equals == sign("=") => {
                let column = name(column).ok_or("SET does not name a column")?;
                columns.push(column.to_owned());
            }
            _ => return Err("SET is not a list of `column = value`".into()),
        }
    }
    Ok(columns)
}

/// No part of a write may call what could have effects of its own or take other rows along.
fn harmless(tokens: &[Token]) -> Result<(), String> {
    // The FROM of DELETE FROM is the one that may stand.
    let rest = match tokens.first() {
        Some(first) if *first == word("from") => &tokens[1..],
        _ => tokens,
    };
    for (i, token) in rest.iter().enumerate() {
        if let Token::Word(found) = token
            && NEVER_WRITE.contains(&found.as_str())
        {
            return Err(format!("`{found}` has no place in a writing statement"));
        }
        let called = rest.get(i + 1) == Some(&sign("("));
        if let (true, Some(found)) = (called, name(token))
            && !CALLS.contains(&found)
            && *token != word("where")
        {
            return Err(format!("the function `{found}` is not on the list"));
        }
    }
    Ok(())
}

/// The parts of a condition that all have to hold.
fn conjuncts(condition: &[Token]) -> Result<Vec<&[Token]>, String> {
    if split(condition, &word("or")).len() > 1 {
        return Err("an OR in its WHERE could take in other rows".into());
    }
    Ok(split(condition, &word("and")))
}

/// True for `column = :parameter`, with a cast on either side.
fn pins(conjunct: &[Token], parameter: Parameter) -> bool {
    let sides = split(conjunct, &sign("="));
    let [left, right] = sides.as_slice() else {
        return false;
    };
    let place = |t: &Token| *t == Token::Place(parameter);
    let column = |t: &Token| name(t).is_some();
    (bare(left, &column) && bare(right, &place)) || (bare(left, &place) && bare(right, &column))
}

/// True when nothing but `wanted` stands there: itself, qualified, or cast to a type.
fn bare(side: &[Token], wanted: &dyn Fn(&Token) -> bool) -> bool {
    let typed = |rest: &[Token]| !rest.is_empty() && rest.iter().all(|t| name(t).is_some());
    match side {
        [one] => wanted(one),
        [table, dot, one] if *dot == sign(".") => name(table).is_some() && wanted(one),
        [one, cast, rest @ ..] if *cast == sign("::") => wanted(one) && typed(rest),
        [call, open, one, by, rest @ .., close]
            if *call == word("cast")
                && *open == sign("(")
                && *by == word("as")
                && *close == sign(")") =>
        {
            wanted(one) && typed(rest)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &str) -> Result<Vec<String>, String> {
        Statement::writing(text, Dialect::Postgres, &[Parameter::Account])
            .map(|statement| statement.writes.into_iter().collect())
    }

    #[test]
    fn c3_a_write_says_which_columns_it_writes() {
        let update = "UPDATE crm.\"User\" SET active = FALSE, Left_At = now() WHERE id = CAST(:account AS bigint) AND login = :login";
        let statement = Statement::writing(update, Dialect::Postgres, &[Parameter::Account]);
        let statement = statement.expect("fits");
        assert_eq!(
            Vec::from_iter(statement.writes),
            ["crm.User.active", "crm.User.left_at"]
        );
        assert!(statement.sql.ends_with("CAST($1 AS bigint) AND login = $2"));
        assert_eq!(statement.parameters, [Parameter::Account, Parameter::Login]);
        assert_eq!(
            write("delete from app_user where id=:account::int;"),
            Ok(vec!["app_user.*".to_owned()])
        );
        let sqlite = Statement::writing(
            "DELETE FROM t WHERE t.id = :account AND x IN ('a;--b', \"c\")",
            Dialect::Sqlite,
            &[Parameter::Account],
        );
        assert!(sqlite.expect("fits").sql.contains("t.id = ?1"));
    }

    #[test]
    fn c3_what_cannot_be_judged_is_refused_at_load() {
        for text in [
            "DELETE FROM t",
            "DELETE FROM t WHERE TRUE",
            "DELETE FROM t WHERE id = :account OR 1 = 1",
            "DELETE FROM t WHERE (id = :account OR TRUE)",
            "DELETE FROM t WHERE id = id AND NOT id = :account",
            "DELETE FROM t WHERE id <> :account",
            "DELETE FROM t WHERE CASE WHEN TRUE AND id = :account AND TRUE THEN TRUE ELSE TRUE END",
            "UPDATE t SET a = CASE WHEN b THEN 1 ELSE 2 END WHERE id = :account",
            "DELETE FROM t WHERE id >= :account",
            "DELETE FROM t WHERE lower(:account) = lower(:account)",
            "DELETE FROM t WHERE :account = :account",
            "DELETE FROM t USING u WHERE id = :account",
            "DELETE FROM t WHERE id = :account; DROP TABLE t",
            "DELETE FROM t WHERE id = :account -- AND safe",
            "DELETE FROM t WHERE id = :account RETURNING pg_sleep(9)",
            "UPDATE t SET a = (SELECT 1) WHERE id = :account",
            "UPDATE t SET a = pg_terminate_backend(1) WHERE id = :account",
            "UPDATE t SET (a, b) = (1, 2) WHERE id = :account",
            "UPDATE t AS u SET a = 1 WHERE id = :account",
            "UPDATE t SET a = 1 FROM u WHERE id = :account",
            "UPDATE t SET a = :password WHERE id = :account",
            "UPDATE t SET a = $1 WHERE id = :account",
            "UPDATE t SET a = E'\\'' WHERE id = :account",
            "UPDATE t SET a = :entitlement WHERE id = :account",
            "INSERT INTO t VALUES (:account)",
            "TRUNCATE t",
            "WITH x AS (SELECT 1) DELETE FROM t WHERE id = :account",
            "UPDATE t SET a = 'x WHERE id = :account",
            "",
        ] {
            assert!(write(text).is_err(), "let through: {text}");
        }
    }

    #[test]
    fn a_reading_statement_cannot_write() {
        let read = |text: &str| {
            Statement::reading(text, Dialect::Postgres, &[Parameter::Account]).map(|s| s.sql)
        };
        assert_eq!(
            read("SELECT id, login FROM t WHERE id = :account ;"),
            Ok("SELECT id, login FROM t WHERE id = $1".to_owned())
        );
        for text in [
            "SELECT 1",
            "SELECT :login FROM t WHERE id = :account",
            "DELETE FROM t WHERE id = :account",
            "SELECT id INTO x FROM t WHERE id = :account",
            "SELECT pg_terminate_backend(1) FROM t WHERE id = :account",
            "SELECT nextval('s') FROM t WHERE id = :account",
            "SELECT \"pg_terminate_backend\"(1) FROM t WHERE id = :account",
            "SELECT pg_catalog.\"pg_terminate_backend\"(1) FROM t WHERE id = :account",
            "SELECT query_to_xml('SELECT 1', true, true, '') FROM t WHERE id = :account",
            "SELECT id FROM t WHERE id = :account LIMIT 1",
            "SELECT id FROM t WHERE id = :account FETCH FIRST ROW ONLY",
            "SELECT id FROM t TABLESAMPLE SYSTEM (1) WHERE id = :account",
            "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d WHERE id = :account",
        ] {
            assert!(read(text).is_err(), "let through: {text}");
        }
    }
}
