//! One change of a role within one database: everything between BEGIN and COMMIT.
//!
//! Owns the order: who is it, what is to be run, what must no longer be there. The statements are
//! written by the server itself out of its catalog, found by the role's immutable id and quoted by
//! `format('%I')`; no name that comes from a target is ever put into a text here.

use super::super::classify::{self, NO_SUCH_ROLE, Phase};
use super::super::client::Written;
use super::super::link::Link;
use super::super::render::{Bound, Row};
use crate::domain::outcome::Failure;

/// One change.
#[derive(Debug)]
pub struct Task {
    /// The database to do it in; `None` for the one that the address names.
    pub database: Option<String>,
    /// Comes first of all.
    pub before: Bound,
    /// Shows the role in one row with the columns `login` and `guarded`.
    pub who: Bound,
    /// The login that it must show.
    pub login: String,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// True where the statements act at once and not at COMMIT: a lost answer says nothing then.
    pub immediate: bool,
}

/// One part of a change.
#[derive(Debug)]
pub enum Step {
    /// Answers with the statements to run, in a column `statement`.
    Run(Bound),
    /// Must answer with no row; its column `left` says what is still there.
    Gone(Bound),
}

impl Task {
    /// Does it, up to COMMIT.
    ///
    /// # Errors
    /// `ambiguous` for another login, `refused` for a role that is guarded, `write_failure` for what
    /// is still there afterwards, else as `classify` says.
    pub async fn attempt(&self, link: &mut Link) -> Result<Written, Failure> {
        link.fetch(&self.before).await?;
        let rows = link.fetch(&self.who).await?;
        let row = match <[Row; 1]>::try_from(rows) {
            Ok([row]) => row,
            Err(rows) if rows.is_empty() => return Ok(Written::NoAccount),
            Err(rows) => return Err(classify::several_rows(rows.len())),
        };
        if text(&row, "login") != Some(&self.login) {
            return Err(classify::another_login());
        }
        if text(&row, "guarded") != Some("false") {
            return Err(classify::out_of_bounds(&self.login, "is a superuser"));
        }
        let phase = if self.immediate {
            Phase::Commit
        } else {
            Phase::Statement
        };
        let mut ran = false;
        for step in &self.steps {
            match step {
                Step::Run(source) => {
                    for row in link.fetch(source).await? {
                        let Some(statement) = text(&row, "statement") else {
                            return Err(classify::drifted("the server wrote no statement"));
                        };
                        link.run(statement.to_owned(), phase).await?;
                        ran = true;
                    }
                }
                Step::Gone(source) => {
                    let rows = link.fetch(source).await?;
                    if !rows.is_empty() {
                        let left = rows.iter().filter_map(|row| text(row, "left"));
                        let left = left.collect::<Vec<_>>().join(", ");
                        return Err(classify::still_there(&left, self.immediate));
                    }
                }
            }
        }
        Ok(if ran {
            Written::Committed
        } else {
            Written::NoRows
        })
    }
}

/// True when the role may have gone while it was being changed: it has to be looked for again.
pub fn may_be_gone(failure: &Failure) -> bool {
    failure.code == NO_SUCH_ROLE
}

fn text<'r>(row: &'r Row, column: &str) -> Option<&'r str> {
    row.get(column).and_then(Option::as_deref)
}
