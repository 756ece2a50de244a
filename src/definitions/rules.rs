//! What follows an outcome, as a workflow file writes it.
//!
//! Owns one edge: the name of a state, or a table with `retry` or `rotate`. What is left to the state
//! or to its machine's failures is filled in by `read`.

use crate::document::{Item, Table};
use crate::domain::id::StateName;
use crate::domain::retry::RetryPolicy;

/// Seconds of a day, the longest wait between two attempts.
pub const A_DAY: i64 = 86_400;

/// An edge as written: `from` and `then` may be left to the state.
pub struct Rule {
    /// Its line.
    pub line: u32,
    /// What it says.
    pub form: Form,
}

/// What an edge says.
pub enum Form {
    /// Where it goes.
    Go(StateName),
    /// It is tried again.
    Again {
        /// Whether the secret is replaced first.
        rotate: bool,
        /// How often, and how far apart.
        policy: RetryPolicy,
        /// Where it is taken up again.
        from: Option<StateName>,
        /// What follows the last attempt.
        then: Option<StateName>,
    },
}

impl Rule {
    /// Tells every state that it names.
    pub fn leads_to(&self, mut tell: impl FnMut(&StateName)) {
        match &self.form {
            Form::Go(to) => tell(to),
            Form::Again { from, then, .. } => from.iter().chain(then).for_each(tell),
        }
    }
}

/// One edge: the name of a state, or a table with `retry` or `rotate`.
pub fn rule(table: &Table<'_>, key: &Item<String>) -> Option<Rule> {
    let value = table.json(&key.value)?;
    let form = if value.value.is_object() {
        let inner = table.table(&key.value)?;
        let counts = ["retry", "rotate"].map(|word| (word, inner.integer(word, 1..=1000)));
        let first = required_integer(&inner, "first_seconds", 0..=A_DAY);
        let most = inner.integer("at_most_seconds", 0..=A_DAY);
        let from = inner.string("from").map(|item| StateName(item.value));
        let then = inner.string("then").map(|item| StateName(item.value));
        inner.finish();
        let (rotate, attempts) = match counts {
            [(_, Some(retry)), (_, None)] => (false, retry),
            [(_, None), (_, Some(rotate))] => (true, rotate),
            [_, _] => {
                if inner.has("retry") == inner.has("rotate") {
                    inner.report(
                        value.line,
                        format!("`{}` must say `retry` or `rotate`, and not both", key.value),
                        "give the number of further attempts, for example `retry = 5`",
                    );
                }
                return None;
            }
        };
        let first = first?.value.unsigned_abs();
        let most = most.map_or(first, |item| item.value.unsigned_abs());
        if most < first {
            inner.report(
                value.line,
                format!(
                    "`at_most_seconds` of `{}` is less than the first wait",
                    key.value
                ),
                "the wait begins at `first_seconds` and doubles up to `at_most_seconds`",
            );
        }
        Form::Again {
            rotate,
            policy: RetryPolicy {
                attempts: u32::try_from(attempts.value).unwrap_or(u32::MAX),
                first_seconds: first,
                at_most_seconds: most,
            },
            from,
            then,
        }
    } else {
        Form::Go(StateName(table.string(&key.value)?.value))
    };
    Some(Rule {
        line: value.line,
        form,
    })
}

/// A whole number that must be there.
pub fn required_integer(
    table: &Table<'_>,
    key: &str,
    allowed: std::ops::RangeInclusive<i64>,
) -> Option<Item<i64>> {
    if !table.has(key) {
        table.report(
            table.line(),
            format!("`{key}` is missing"),
            format!("add a whole number named `{key}`"),
        );
    }
    table.integer(key, allowed)
}
