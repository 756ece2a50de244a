//! Which tables a reading statement reads, as far as its text can tell.
//!
//! Owns one list: the names that stand where a table can stand, in every part of the statement. It errs
//! to one side: a name too many is harmless, and where something could read tables that the text does
//! not name (a function of the database's own, a table by parameter) there is no list at all. A view
//! is a name like any.

use std::collections::BTreeSet;

use super::token::{Token, name, sign};

/// What may stand before a bracket and reads no table: words of the language, and functions known to read
/// nothing but their arguments.
const HARMLESS: &[&str] = &[
    "all",
    "and",
    "any",
    "as",
    "avg",
    "between",
    "by",
    "case",
    "cast",
    "coalesce",
    "concat",
    "count",
    "datetime",
    "distinct",
    "else",
    "except",
    "exists",
    "filter",
    "from",
    "having",
    "in",
    "intersect",
    "join",
    "lateral",
    "like",
    "lower",
    "max",
    "min",
    "not",
    "now",
    "nullif",
    "on",
    "or",
    "over",
    "replace",
    "select",
    "sum",
    "then",
    "trim",
    "union",
    "upper",
    "using",
    "values",
    "when",
    "where",
    "substr",
];

/// Words that end a list of tables.
const ENDS: &[&str] = &[
    "where",
    "group",
    "having",
    "order",
    "union",
    "intersect",
    "except",
    "select",
    "window",
];

/// What may stand at a spot of the statement.
#[derive(Debug, Clone, Copy, Default)]
struct Spot {
    /// A list of tables is open here, so that a comma begins another one.
    listing: bool,
    /// The next name is a table.
    table: bool,
}

/// The tables that the statement reads, by the last part of their names and in lower case; `None` where
/// the text does not tell all of them.
pub fn tables(tokens: &[Token]) -> Option<BTreeSet<String>> {
    let mut tables = BTreeSet::new();
    let (mut here, mut outer) = (Spot::default(), Vec::new());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            Token::Word(word) if ENDS.contains(&word.as_str()) => here = Spot::default(),
            Token::Word(word) if word == "from" => {
                here = Spot {
                    listing: true,
                    table: true,
                };
            }
            // PostgreSQL takes a table after TABLE, and SQLite one after IN.
            Token::Word(word) if matches!(word.as_str(), "join" | "table") => here.table = true,
            Token::Word(word) if word == "in" => here.table = tokens.get(at) != Some(&sign("(")),
            Token::Word(word) if matches!(word.as_str(), "only" | "lateral") && here.table => {}
            Token::Word(_) | Token::Name(_) => {
                let mut last = name(token)?;
                let first = at;
                while tokens.get(at) == Some(&sign(".")) {
                    last = tokens.get(at + 1).and_then(name).unwrap_or(last);
                    at += 2;
                }
                let called = tokens.get(at) == Some(&sign("("));
                if called && (at > first || !HARMLESS.contains(&last)) {
                    return None;
                }
                if here.table {
                    tables.insert(last.to_lowercase());
                    here.table = false;
                }
            }
            Token::Sign(sign) if sign == "(" => {
                outer.push(Spot {
                    table: false,
                    ..here
                });
                here.listing = here.table;
            }
            Token::Sign(sign) if sign == ")" => here = outer.pop()?,
            Token::Sign(sign) if sign == "," => here.table |= here.listing,
            Token::Place(_) | Token::Text if here.table && here.listing => return None,
            Token::Sign(_) | Token::Text | Token::Number | Token::Place(_) => here.table = false,
        }
    }
    Some(tables)
}

#[cfg(test)]
mod tests {
    use super::super::statement::Dialect;
    use super::super::token::cut;
    use super::*;

    fn told(text: &str) -> Option<Vec<String>> {
        let (_, _, tokens) = cut(text, Dialect::Postgres).expect("tokens");
        tables(&tokens).map(|tables| tables.into_iter().collect())
    }

    #[test]
    fn e1_every_table_that_a_statement_reads_is_told() {
        for (text, tables) in [
            ("SELECT id FROM staff WHERE id = :account", vec!["staff"]),
            (
                "SELECT staff AS id FROM app.\"Staff_Role\" AS staff",
                vec!["staff_role"],
            ),
            (
                "SELECT 1 FROM key k JOIN staff s ON s.id = k.staff",
                vec!["key", "staff"],
            ),
            (
                "SELECT 1 FROM key k LEFT JOIN (staff s CROSS JOIN unit) ON TRUE",
                vec!["key", "staff", "unit"],
            ),
            (
                "SELECT 1 FROM key, ONLY staff AS s, (unit)",
                vec!["key", "staff", "unit"],
            ),
            (
                "SELECT 1 FROM key k JOIN a ON k.x = lower(a.x), staff",
                vec!["a", "key", "staff"],
            ),
            (
                "SELECT 1 FROM (SELECT id, x FROM staff WHERE a IN (1, 2)) AS s, key",
                vec!["key", "staff"],
            ),
            (
                "SELECT 1 FROM key WHERE EXISTS (SELECT 1 FROM staff WHERE id = :account)",
                vec!["key", "staff"],
            ),
            (
                "SELECT (SELECT count(*) FROM staff) FROM key GROUP BY a, b",
                vec!["key", "staff"],
            ),
            ("SELECT a FROM key WHERE x IN ('a', :account)", vec!["key"]),
            ("SELECT a FROM key WHERE x IN staff", vec!["key", "staff"]),
            (
                "SELECT a FROM key WHERE x IN (TABLE staff)",
                vec!["key", "staff"],
            ),
            (
                "SELECT a FROM key WHERE x IN (SELECT y FROM staff)",
                vec!["key", "staff"],
            ),
            (
                "SELECT a FROM key UNION SELECT b, c FROM staff",
                vec!["key", "staff"],
            ),
        ] {
            assert_eq!(
                told(text),
                Some(tables.iter().map(ToString::to_string).collect()),
                "{text}"
            );
        }
        for text in [
            "SELECT id FROM keys_of(:account)",
            "SELECT id FROM key WHERE is_live(staff)",
            "SELECT id FROM key JOIN app.owners(:account) ON TRUE",
            "SELECT id FROM key WHERE app.lower(id)",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
    }
}
