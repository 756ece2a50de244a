//! One visit at a desk: a copy is brought up to date, move by move.
//!
//! Owns the order of look, change and look again, and what a failure of a desk means for the copy. An order is
//! committed as begun before it is sent, so that after a crash or a lost answer the ticket is looked for
//! before another is made. Which copies are due is the courier's; what comes next, the domain's.

use secrecy::SecretString;

use crate::desks::{Call, DeskEntry, work_order};
use crate::domain::desk::{Cursor, DeskCopy, Move, Note, Stands, Ticket, cursor};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::task::TaskState;
use crate::domain::time::{Timestamp, after};
use crate::store::{CopyLease, NextVisit, StoreError};
use crate::telemetry::metrics;

use super::{Engine, EngineError};

/// Changes of one visit at most.
const MOVES: usize = 8;
/// How long a desk is left alone that fails for all copies alike.
const REST_SECONDS: u64 = 5;
/// The longest that a desk may ask to be left alone.
const LONGEST_REST_SECONDS: u64 = 900;

impl Engine {
    /// Brings one copy up to date and commits what came of it. Returns until when the desk is better left
    /// alone, where what failed would fail for every copy: a thousand of them would each knock at a
    /// locked door.
    ///
    /// # Errors
    /// When the store fails: then the lease runs out, and what was sent is looked for.
    pub async fn visit(
        &self,
        desk: &DeskEntry,
        mut lease: CopyLease,
    ) -> Result<Option<Timestamp>, EngineError> {
        let mut copy = lease.copy.clone();
        let worked = self.work(desk, &mut lease, &mut copy).await;
        let now = self.clock.now();
        let mut rest = None;
        let next = match worked {
            Ok(()) => NextVisit {
                due: copy.agree(now, desk.poll_seconds),
                troubled: None,
            },
            Err(Setback::NotBefore(due)) => NextVisit {
                due,
                troubled: None,
            },
            Err(Setback::Failed(failure)) => {
                if lease.copy.trouble.is_none() {
                    tracing::warn!(
                        code = failure.code,
                        desk = desk.name.as_str(),
                        task = %copy.task,
                        "a copy is held up: {failure}"
                    );
                }
                rest = resting(&failure, now);
                NextVisit {
                    due: copy.fail(failure, now, self.chance.fraction()),
                    troubled: Some(now),
                }
            }
            Err(Setback::Store(error)) => return Err(error.into()),
            Err(Setback::Lost) => return Ok(None),
        };
        self.store.keep_copy(&lease, &copy, Some(next)).await?;
        Ok(rest)
    }

    async fn work(
        &self,
        desk: &DeskEntry,
        lease: &mut CopyLease,
        copy: &mut DeskCopy,
    ) -> Result<(), Setback> {
        let Some(desks) = &self.desks else {
            return Ok(());
        };
        let secret = (desks.keyring)(&desk.secret).await?;
        let visit = Visit {
            engine: self,
            desk,
            secret: &secret,
        };
        let Some(ticket) = visit.ticket(lease, copy).await? else {
            copy.finished = true;
            return Ok(());
        };
        let mut made = None;
        for _ in 0..MOVES {
            let next = visit.next(lease, copy, &ticket).await?;
            let kind = name(&next);
            // A text that is not there is noticed where it is said; another may have come meanwhile.
            if made == Some(kind) && kind != "note" {
                return Err(refused(kind, &ticket).into());
            }
            made = Some(kind);
            if !visit.make(next, lease, copy, &ticket).await? {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Why a visit did not come to its end.
enum Setback {
    /// The desk, or its secret.
    Failed(Failure),
    /// The store.
    Store(StoreError),
    /// Another worker has the copy.
    Lost,
    /// Nothing can be known before this.
    NotBefore(Timestamp),
}

impl From<Failure> for Setback {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<StoreError> for Setback {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// One visit at a desk.
struct Visit<'a> {
    engine: &'a Engine,
    desk: &'a DeskEntry,
    secret: &'a SecretString,
}

impl Visit<'_> {
    fn call(&self) -> Call<'_> {
        Call {
            secret: self.secret,
            now: self.engine.clock.now(),
        }
    }

    /// The copy's ticket, found or made; none for a task that was closed before it had one.
    async fn ticket(
        &self,
        lease: &CopyLease,
        copy: &mut DeskCopy,
    ) -> Result<Option<Ticket>, Setback> {
        if let Some(ticket) = &copy.ticket {
            return Ok(Some(ticket.clone()));
        }
        let closed = matches!(lease.task.state, TaskState::Closed { .. });
        if closed && copy.begun.is_none() {
            return Ok(None);
        }
        let shows = copy
            .begun
            .map(|begun| after(begun, self.desk.desk.search_lag_seconds()));
        if let Some(shows) = shows.filter(|shows| *shows > self.engine.clock.now()) {
            return Err(Setback::NotBefore(shows));
        }
        let found = self.desk.desk.find(self.call(), copy.task).await;
        if let Some(ticket) = self.told("find", found)? {
            let told = copy.begun.map(|at| Cursor {
                at,
                text: String::new(),
            });
            copy.adopt(ticket.clone(), told);
            return Ok(Some(ticket));
        }
        // Where nothing can be found, an order under way is repeated, which does nothing twice.
        if closed && self.desk.desk.can_find() {
            return Ok(None);
        }
        self.create(lease, copy).await.map(Some)
    }

    async fn create(&self, lease: &CopyLease, copy: &mut DeskCopy) -> Result<Ticket, Setback> {
        copy.begun = Some(self.engine.clock.now());
        self.intend(lease, copy).await?;
        let order = work_order(&lease.task);
        let made = self.desk.desk.create(self.call(), &order).await;
        if let Err(failure) = &made
            && not_done(failure.class)
        {
            copy.begun = None;
        }
        let ticket = self.told("create", made)?;
        if !ticket.keyed {
            tracing::warn!(
                code = "CB-DESK-4",
                desk = self.desk.name.as_str(),
                ticket = ticket.shown,
                "the desk did not keep our key: after a crash this ticket would not be found again"
            );
        }
        copy.adopt(ticket.clone(), cursor(&lease.task));
        self.intend(lease, copy).await?;
        Ok(ticket)
    }

    /// Commits what the copy says, and keeps the lease.
    async fn intend(&self, lease: &CopyLease, copy: &DeskCopy) -> Result<(), Setback> {
        if self.engine.store.keep_copy(lease, copy, None).await? {
            return Ok(());
        }
        Err(Setback::Lost)
    }

    /// Looks at the ticket and at the task, in this order, and asks what comes next.
    async fn next(
        &self,
        lease: &mut CopyLease,
        copy: &mut DeskCopy,
        ticket: &Ticket,
    ) -> Result<Move, Setback> {
        let seen = match self.told("look", self.desk.desk.look(self.call(), ticket).await)? {
            Some(seen) => seen,
            None => copy.by_its_word(),
        };
        // The answer first: what was accepted shows at a task that is read after it.
        let answer = match copy.claim {
            Some(claim) => self.engine.store.answer(claim).await?,
            None => None,
        };
        if let Some(task) = self.engine.store.task(copy.task).await? {
            lease.task = task;
        }
        let now = self.engine.clock.now();
        let next = copy.next(&lease.task, &seen, answer.as_ref(), now);
        if next != Move::Hidden {
            copy.stands = seen.stands;
        }
        Ok(next)
    }

    /// Makes one move; false when the visit is over.
    async fn make(
        &self,
        next: Move,
        lease: &CopyLease,
        copy: &mut DeskCopy,
        ticket: &Ticket,
    ) -> Result<bool, Setback> {
        let desk = &self.desk.desk;
        match next {
            Move::Say(note) => self.say(&note, copy, ticket).await?,
            Move::Close(note) => {
                self.told("close", desk.close(self.call(), ticket, &note).await)?;
                copy.closed(&note);
            }
            Move::Reopen(note) => {
                self.told("reopen", desk.reopen(self.call(), ticket, &note).await)?;
                let seen = self.told("look", desk.look(self.call(), ticket).await)?;
                if seen.is_some_and(|seen| seen.stands == Stands::Closed) {
                    return Err(refused("reopen", ticket).into());
                }
                copy.reopened(&note);
            }
            Move::Claim(command) => {
                self.engine.store.wish(&command).await?;
                copy.claim = Some(command.id);
                self.intend(lease, copy).await?;
                metrics::desk_call(self.desk.name.as_str(), "claim", "ok");
            }
            Move::Withdraw => copy.withdraw(),
            Move::Forget => {
                copy.forget();
                return Err(Setback::NotBefore(self.engine.clock.now()));
            }
            Move::Hidden => return Err(hidden(ticket).into()),
            Move::Wait => return Ok(false),
            Move::Finish => {
                copy.finished = true;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn say(&self, note: &Note, copy: &mut DeskCopy, ticket: &Ticket) -> Result<(), Setback> {
        let desk = &self.desk.desk;
        let there = |seen: Option<bool>| seen == Some(true);
        // After a failure it may be there without our knowing.
        let before = match copy.trouble {
            Some(_) => self.told("look", desk.noted(self.call(), ticket, &note.mark).await)?,
            None => None,
        };
        if !there(before) {
            self.told("note", desk.note(self.call(), ticket, note).await)?;
            let after = desk.noted(self.call(), ticket, &note.mark).await;
            if self.told("look", after)? == Some(false) {
                return Err(refused("note", ticket).into());
            }
        }
        copy.said(note);
        Ok(())
    }

    /// Counts what a call came to.
    fn told<T>(&self, action: &str, result: Result<T, Failure>) -> Result<T, Failure> {
        let outcome = match &result {
            Ok(_) => "ok",
            Err(failure) => failure.class.as_str(),
        };
        metrics::desk_call(self.desk.name.as_str(), action, outcome);
        result
    }
}

/// Classes of which it is known that nothing was made.
fn not_done(class: FailureClass) -> bool {
    matches!(
        class,
        FailureClass::AuthFailure
            | FailureClass::RateLimited
            | FailureClass::WriteFailure
            | FailureClass::Refused
            | FailureClass::Unreachable
    )
}

/// Until when no copy needs to go to this desk, since each would fare alike.
fn resting(failure: &Failure, now: Timestamp) -> Option<Timestamp> {
    let shared = matches!(
        failure.class,
        FailureClass::AuthFailure | FailureClass::RateLimited | FailureClass::Unreachable
    );
    let asked = failure.retry_after_seconds.unwrap_or(REST_SECONDS);
    shared.then(|| after(now, asked.min(LONGEST_REST_SECONDS)))
}

fn name(next: &Move) -> &'static str {
    match next {
        Move::Say(_) => "note",
        Move::Close(_) => "close",
        Move::Reopen(_) => "reopen",
        Move::Claim(_) => "claim",
        Move::Withdraw => "withdraw",
        Move::Forget => "forget",
        Move::Hidden => "hidden",
        Move::Wait => "wait",
        Move::Finish => "finish",
    }
}

/// Another ticket would be made and not be seen either, again and again.
fn hidden(ticket: &Ticket) -> Failure {
    Failure::new(
        FailureClass::AuthFailure,
        "CB-DESK-11",
        format!("the desk made {} and does not show it", ticket.shown),
    )
}

/// The desk said yes, and the next look shows that nothing changed.
fn refused(kind: &str, ticket: &Ticket) -> Failure {
    Failure::new(
        FailureClass::WriteFailure,
        "CB-DESK-4",
        format!(
            "{kind} of {} was answered with yes and is not there",
            ticket.shown
        ),
    )
}
