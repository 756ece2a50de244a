//! A part of the log: whole windows between two marks, with the rows that they recorded last.
//!
//! Owns where such a part begins and ends, and what is left out of it. The chain of all checkpoints is
//! verified in any case, so that a part begins at ends of strands that were signed.

use std::fmt;

use super::super::{Checkpoint, Entries, Link, Signed, Tip};
use super::Verifier;
use crate::domain::time::Timestamp;

/// Items between two reports of progress.
const EVERY: u64 = 50_000;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The window in which this instant lies.
    At(Timestamp),
    /// The window in which the link of this number lies.
    Link(i64),
}

/// Whole windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Links up to here come before it.
    pub after: i64,
    /// Its last link; the largest number where it has no end.
    pub until: i64,
    /// The link that it was asked to begin with, which must be there; none where it is the least number.
    pub names: i64,
}

impl Span {
    /// From the window of one mark to that of another, as far as checkpoints closed any.
    pub fn between(checkpoints: &[Signed], from: Option<Mark>, to: Option<Mark>) -> Self {
        let says: Vec<Checkpoint> = checkpoints.iter().filter_map(Signed::read).collect();
        let window = |mark: Mark| {
            says.iter().find(|one| match mark {
                Mark::At(at) => one.at >= at,
                Mark::Link(number) => one.until >= number,
            })
        };
        // After the last checkpoint there is the part that none has closed yet.
        let open = says.last().map_or(i64::MIN, |last| last.until);
        // Before the first there is nothing, not even under a number that nobody gave.
        let first = says.first().map(|first| first.after);
        let begin = |one: &Checkpoint| {
            if Some(one.after) == first {
                i64::MIN
            } else {
                one.after
            }
        };
        Self {
            after: from.map_or(i64::MIN, |mark| window(mark).map_or(open, begin)),
            until: to.and_then(window).map_or(i64::MAX, |one| one.until),
            names: match from {
                Some(Mark::Link(number)) => number,
                Some(Mark::At(_)) | None => i64::MIN,
            },
        }
    }
}

/// Who is told how far it is.
pub(super) struct Progress {
    tell: Box<dyn Fn(u64) + Send + Sync>,
    count: u64,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} so far", self.count)
    }
}

impl Verifier {
    /// Looks only at this part of the log.
    #[must_use]
    pub fn only(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Tells now and then how many links and rows it has looked at.
    #[must_use]
    pub fn telling(mut self, tell: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.progress = Some(Progress {
            tell: Box::new(tell),
            count: 0,
        });
        self
    }

    /// Links up to this one are not asked for.
    pub fn begins_after(&self) -> i64 {
        self.span.map_or(i64::MIN, |span| span.after)
    }

    /// True for a checkpoint whose window comes before the part: its strands' ends are where that begins.
    pub(super) fn comes_before(&mut self, says: &Checkpoint) -> bool {
        let before = self.span.is_some_and(|span| says.until <= span.after);
        if before {
            for head in &says.heads {
                let tip = Tip {
                    strand: head.strand,
                    sequence: head.sequence,
                    hash: head.hash,
                };
                self.strands.insert(head.strand, tip);
            }
            self.window = super::Window::after(says.until);
        }
        before
    }

    /// True for a link that comes after the part. What it recorded anew is not held against the part's
    /// older record.
    pub(super) fn comes_after(&mut self, link: &Link) -> bool {
        let Some(span) = self.span.filter(|span| link.seq > span.until) else {
            return false;
        };
        self.close_windows_until(span.until);
        for entry in Entries::read(&link.entries).into_iter().flatten() {
            if self.let_go(&entry) {
                continue;
            }
            let key = (entry.table, entry.key.into());
            if let Some(recorded) = self.recorded.get_mut(&key) {
                recorded.later = true;
            }
        }
        true
    }

    pub(super) fn close_windows_until(&mut self, until: i64) {
        while let Some((_, checkpoint)) = self.checkpoints.front()
            && checkpoint.until <= until
        {
            self.close_window();
        }
    }

    pub(super) fn progressed(&mut self) {
        if let Some(progress) = &mut self.progress {
            progress.count += 1;
            if progress.count.is_multiple_of(EVERY) {
                (progress.tell)(progress.count);
            }
        }
    }
}
