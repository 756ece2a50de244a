//! Deadlines of tasks, and what happens when one passes: nothing expires quietly.
//!
//! Owns how long a task may take by its rank, who is told when it takes longer, and when it is told
//! again. An escalation is a change of the task, so it is durable and in its history; it repeats until
//! somebody acts, and goes on when they act and do not finish. A pause that nobody ends is escalated
//! likewise. Pure; tells nobody itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::calendar::Calendar;
use super::estate::{ConnectorFacts, Instructions};
use super::id::DeskName;
use super::pause::Pause;
use super::settlement::OutboxMessage;
use super::status;
use super::task::{FallbackTask, TaskState};
use super::time::{Timestamp, after};

/// Hours to the deadline where no manifest and no configuration says otherwise, and for which a pause is
/// nobody's worry.
const USUAL_HOURS: u64 = 24;

/// How urgent a task is, from its priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// For cause, or a connector's own secret: around the clock.
    Urgent,
    /// Planned, of a privileged or non-human subject.
    High,
    /// Everything else.
    Normal,
}

impl Rank {
    /// Every rank.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::High, Self::Normal];

    /// The rank of a priority; see [`super::run::priority`].
    pub fn of(priority: i16) -> Self {
        match priority {
            ..=10 => Self::Urgent,
            11..=25 => Self::High,
            26.. => Self::Normal,
        }
    }

    /// The name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::High => "high",
            Self::Normal => "normal",
        }
    }
}

/// When people work, and who is told of what they have not done in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct People {
    /// When they work; around the clock where nobody said.
    pub calendar: Option<Calendar>,
    /// Hours to the deadline by rank; a manifest may ask for fewer.
    pub hours: BTreeMap<Rank, u64>,
    /// Named desks that are told after the owner and the deputy.
    pub desks: Vec<String>,
    /// Hours between two escalations of one task.
    pub again_hours: u64,
    /// Hours that a pause may last before somebody is told that it does.
    pub pause_hours: u64,
}

impl Default for People {
    fn default() -> Self {
        Self {
            calendar: None,
            hours: BTreeMap::new(),
            desks: Vec::new(),
            again_hours: 4,
            pause_hours: USUAL_HOURS,
        }
    }
}

/// Who is told that a task is overdue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// As what.
    pub role: Role,
    /// Who, or which desk.
    pub name: String,
}

/// As what somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Who answers for the connector.
    Owner,
    /// Who answers when the owner does not.
    Deputy,
    /// A named desk.
    Desk,
}

impl Role {
    /// The name in metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Deputy => "deputy",
            Self::Desk => "desk",
        }
    }
}

/// How far a task has been escalated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// How often.
    pub times: u32,
    /// Who was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Rung>,
    /// True when nobody comes after them: they are told again and again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
    /// When it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// When it is escalated next unless it is closed by then; `None` means at the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
}

impl Escalation {
    /// True where nobody was told yet.
    pub fn is_none(&self) -> bool {
        self.times == 0
    }
}

/// A pause that was escalated, and the message that tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reminded {
    /// The pause as it stands afterwards.
    pub pause: Pause,
    /// For the outbox.
    pub message: Option<OutboxMessage>,
}

/// A task that was escalated, and the message that tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalated {
    /// The task as it stands afterwards.
    pub task: FallbackTask,
    /// For the outbox.
    pub message: Option<OutboxMessage>,
    /// A desk besides the task's own that gets a copy from here on.
    pub copy_at: Option<DeskName>,
}

impl Escalated {
    /// With a copy at the desk that was told, where it is one of these and not the task's own. The name of
    /// a chain may be a team's alone, without tickets.
    #[must_use]
    pub fn with_copy(mut self, has_tickets: impl Fn(&str) -> bool) -> Self {
        let to = self.task.escalation.to.as_ref();
        let desk = to.filter(|to| to.role == Role::Desk && to.name != self.task.desk);
        let desk = desk.filter(|to| !self.task.drill && has_tickets(&to.name));
        self.copy_at = desk.map(|to| DeskName(to.name.clone()));
        self
    }
}

impl People {
    /// When a task of this priority should be done; the sooner of what the connector's manifest and
    /// what the configuration allow.
    pub fn deadline(
        &self,
        fallback: Option<&Instructions>,
        priority: i16,
        now: Timestamp,
    ) -> Timestamp {
        let rank = Rank::of(priority);
        let declared = fallback.map(|fallback| fallback.deadline_hours);
        let configured = self.hours.get(&rank).copied();
        let hours = [declared, configured].into_iter().flatten().min();
        self.after(rank, now, hours.unwrap_or(USUAL_HOURS))
    }

    /// These hours later: of working time, unless it is urgent.
    fn after(&self, rank: Rank, now: Timestamp, hours: u64) -> Timestamp {
        let seconds = hours.saturating_mul(3600);
        match &self.calendar {
            Some(calendar) if rank != Rank::Urgent => calendar.after(now, seconds),
            Some(_) | None => after(now, seconds),
        }
    }

    /// Whom manifest and configuration name, one after the other.
    fn named(&self, facts: Option<&ConnectorFacts>) -> Vec<Rung> {
        let rung = |role, name: &String| Rung {
            role,
            name: name.clone(),
        };
        let mut chain = Vec::new();
        if let Some(facts) = facts {
            let people = [(Role::Owner, &facts.owner), (Role::Deputy, &facts.deputy)];
            let named = people.into_iter().filter(|(_, name)| !name.is_empty());
            chain.extend(named.map(|(role, name)| rung(role, name)));
            let desks = facts.fallback.escalate_to.iter();
            chain.extend(desks.map(|name| rung(Role::Desk, name)));
        }
        chain.extend(self.desks.iter().map(|name| rung(Role::Desk, name)));
        chain
    }

    /// The next of the chain is told; the last of them again and again.
    fn next(&self, chain: &[Rung], times: u32, rank: Rank, now: Timestamp) -> Option<Escalation> {
        let end = chain.len().saturating_sub(1);
        let place = (times as usize).min(end);
        Some(Escalation {
            times: times.saturating_add(1),
            to: Some(chain.get(place)?.clone()),
            last: place == end,
            at: Some(now),
            next: Some(self.after(rank, now, self.again_hours)),
        })
    }

    /// Escalates a task whose time has come; `None` if it has not.
    pub fn escalate(
        &self,
        task: &FallbackTask,
        facts: Option<&ConnectorFacts>,
        topic: Option<&str>,
        now: Timestamp,
    ) -> Option<Escalated> {
        if matches!(task.state, TaskState::Closed { .. }) || task.chased_at() > now {
            return None;
        }
        let mut chain = self.named(facts);
        if chain.is_empty() {
            chain.push(Rung {
                role: Role::Desk,
                name: task.desk.clone(),
            });
        }
        let rank = Rank::of(task.priority);
        let escalation = self.next(&chain, task.escalation.times, rank, now)?;
        let to = escalation.to.clone()?;
        let mut task = task.clone();
        let deadline = task.deadline;
        let mut text = format!(
            "overdue since {deadline:.0}: told {} ({})",
            to.name,
            to.role.as_str()
        );
        if escalation.last {
            let hours = self.again_hours;
            let ends = format!(
                "; the chain ends here, and they are told every {hours} h until somebody acts"
            );
            text.push_str(&ends);
        }
        task.remember(now, "clawback", text);
        task.escalation = escalation;
        let message = topic.map(|topic| status::escalated(&task, topic, now));
        Some(Escalated {
            task,
            message,
            copy_at: None,
        })
    }

    /// Escalates a pause that nobody has ended in time; `None` if its time has not come. Who paused is
    /// asked first where no connector's owner is.
    pub fn remind(
        &self,
        pause: &Pause,
        facts: Option<&ConnectorFacts>,
        topic: Option<&str>,
        now: Timestamp,
    ) -> Option<Reminded> {
        let first = after(pause.paused.at, self.pause_hours.saturating_mul(3600));
        if pause.escalation.next.unwrap_or(first) > now {
            return None;
        }
        let mut chain = self.named(facts);
        if facts.is_none() {
            let began = Rung {
                role: Role::Owner,
                name: pause.paused.by.clone(),
            };
            chain.insert(0, began);
        }
        // What is stopped may be what is most urgent: around the clock.
        let escalation = self.next(&chain, pause.escalation.times, Rank::Urgent, now)?;
        let pause = Pause {
            escalation,
            ..pause.clone()
        };
        let message = topic.map(|topic| status::pause_escalated(&pause, topic, now));
        Some(Reminded { pause, message })
    }

    /// Somebody has acted on a task: if it is overdue it is left alone for a while.
    pub fn acted(&self, task: &mut FallbackTask, now: Timestamp) {
        if task.chased_at() <= after(now, self.again_hours.saturating_mul(3600)) {
            let rank = Rank::of(task.priority);
            let next = self.after(rank, now, self.again_hours);
            task.escalation.next = Some(next.max(task.deadline));
        }
    }
}
