//! Typed ids: no bare `Uuid` or `String` id crosses a room's border.
//!
//! Ids of things that Clawback makes are derived, not drawn: a child's id follows from its parent's
//! and its name (`UUIDv8`, RFC 9562 §5.8: 48 bits of the parent's time, then SHA-256). Repeating a
//! step after a crash therefore yields the same child, and a primary key makes "exactly one" hold.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::approval::{Matter, Signed};
use super::time::Timestamp;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

uuid_id! {
    /// A recorded lifecycle event; derived from its CloudEvents `source` and `id`.
    EventKey
}
uuid_id! {
    /// One durable deprovisioning of one subject. Also the trace id of its story.
    CaseId
}
uuid_id! {
    /// One instance of a state machine.
    RunId
}
uuid_id! {
    /// One fallback task; derived from its run, so a run can have only one.
    TaskId
}
uuid_id! {
    /// One wish of an operator on its way to the engine.
    CommandId
}
uuid_id! {
    /// One message in the outbox; receivers recognise repeats by it.
    MessageId
}
uuid_id! {
    /// One message that could not be read or mapped.
    DeadLetterId
}
uuid_id! {
    /// One life of one worker process; never reused after a restart.
    WorkerId
}
text_id! {
    /// The name of a connector: lower case letters, digits and `-`; also the name of its target.
    ConnectorName
}
text_id! {
    /// The name of a desk besides the built-in queue: lower case letters, digits and `-`.
    DeskName
}
text_id! {
    /// The target's own immutable id of an account. Never an e-mail address that can be reassigned,
    /// unless the target has nothing else.
    AccountId
}
text_id! {
    /// The target's own id of an entitlement, unique within one account.
    EntitlementId
}
text_id! {
    /// The name of a workflow.
    WorkflowName
}
text_id! {
    /// The name of a state in a workflow file.
    StateName
}
text_id! {
    /// SHA-256 of a checked workflow in canonical form, as lower-case hex.
    DefinitionDigest
}

text_id! {
    /// SHA-256 of what two people decide about, in canonical form, as lower-case hex.
    ContentDigest
}
uuid_id! {
    /// One drill of a connector.
    DrillId
}
uuid_id! {
    /// One proposal of something that takes two people.
    ProposalId
}
uuid_id! {
    /// One sign-in of one user.
    SessionId
}
uuid_id! {
    /// One token of the API.
    TokenId
}

/// Counts the claims of one run. A write that shows an older token than the row's is refused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct FencingToken(pub i64);

impl ContentDigest {
    /// The digest of this text.
    pub fn of(text: &str) -> Self {
        let bytes = Sha256::digest(text);
        let hex = bytes.iter().map(|byte| format!("{byte:02x}"));
        Self(hex.collect())
    }
}

impl EventKey {
    /// The key of the event with this CloudEvents `source` and `id`, which together are unique
    /// (CloudEvents 1.0.2, section "id").
    pub fn of(source: &str, id: &str) -> Self {
        Self(derive(
            Uuid::nil(),
            &[b"event", source.as_bytes(), id.as_bytes()],
        ))
    }
}

impl CaseId {
    /// The case that this event opens; `recorded` gives the id its place in time.
    pub fn of(event: EventKey, recorded: Timestamp) -> Self {
        Self(derive_at(
            recorded.as_millisecond().unsigned_abs(),
            event.0,
            &[b"case"],
        ))
    }

    /// The run of kind `case` of this case.
    pub fn run(self) -> RunId {
        RunId(derive(self.0, &[b"run"]))
    }
}

impl RunId {
    /// The child run with this name, for example a connector's name or an account's id.
    pub fn child(self, kind: &str, name: &str) -> Self {
        Self(derive(self.0, &[kind.as_bytes(), name.as_bytes()]))
    }

    /// The rotation of one secret that `cause` (a run, a command, a sweep) asked for at `at`.
    pub fn rotation(connector: &ConnectorName, role: &str, cause: &str, at: Timestamp) -> Self {
        Self(derive_at(
            at.as_millisecond().unsigned_abs(),
            Uuid::nil(),
            &[
                b"rotation",
                connector.0.as_bytes(),
                role.as_bytes(),
                cause.as_bytes(),
            ],
        ))
    }

    /// The run that holds the task about a connector that has been in this state since `at`.
    pub fn care(connector: &ConnectorName, state: &str, at: Timestamp) -> Self {
        Self(derive_at(
            at.as_millisecond().unsigned_abs(),
            Uuid::nil(),
            &[b"care", connector.0.as_bytes(), state.as_bytes()],
        ))
    }

    /// The one fallback task that this run can have.
    pub fn task(self) -> TaskId {
        TaskId(derive(self.0, &[b"task"]))
    }

    /// The message that tells about this run's step `sequence`.
    pub fn message(self, sequence: u64) -> MessageId {
        MessageId(derive(self.0, &[b"message", &sequence.to_be_bytes()]))
    }
}

impl TaskId {
    /// The message that tells that this task, opened then, was escalated for so many times. What is asked
    /// of a person once more is told once more.
    pub fn escalation(self, opened: Timestamp, times: u32) -> MessageId {
        let opened = opened.as_microsecond().to_be_bytes();
        MessageId(derive(
            self.0,
            &[b"escalation", &opened, &times.to_be_bytes()],
        ))
    }
}

impl CommandId {
    /// The close that a desk's person claims: the same however often it is sent.
    pub fn of_desk(task: TaskId, desk: &DeskName, claims: u32) -> Self {
        Self(derive(
            task.0,
            &[b"desk", desk.0.as_bytes(), &claims.to_be_bytes()],
        ))
    }
}

impl MessageId {
    /// The message that tells that the pause of this number, begun at `since`, was escalated for so many
    /// times.
    pub fn pause(number: u64, since: Timestamp, times: u32) -> Self {
        Self(derive_at(
            since.as_millisecond().unsigned_abs(),
            Uuid::nil(),
            &[b"pause", &number.to_be_bytes(), &times.to_be_bytes()],
        ))
    }

    /// The message that tells that a connector's state changed with the survey begun at `at`.
    pub fn health(connector: &ConnectorName, at: Timestamp) -> Self {
        Self(derive_at(
            at.as_millisecond().unsigned_abs(),
            Uuid::nil(),
            &[
                b"health",
                connector.0.as_bytes(),
                &at.as_microsecond().to_be_bytes(),
            ],
        ))
    }
}

impl DeadLetterId {
    /// The dead letter of the message at this place of a topic. The content is part of it, because
    /// a topic that is made anew counts its offsets from 0 again.
    pub fn of(topic: &str, partition: i32, offset: i64, content: &[u8]) -> Self {
        Self(derive(
            Uuid::nil(),
            &[
                b"dead-letter",
                topic.as_bytes(),
                &partition.to_be_bytes(),
                &offset.to_be_bytes(),
                content,
            ],
        ))
    }
}

impl ProposalId {
    /// What this person proposed at this moment.
    pub fn of(matter: &Matter, digest: &ContentDigest, proposed: &Signed) -> Self {
        Self(derive_at(
            proposed.at.as_millisecond().unsigned_abs(),
            Uuid::nil(),
            &[
                b"proposal",
                matter.kind.as_str().as_bytes(),
                matter.name.as_bytes(),
                digest.0.as_bytes(),
                proposed.by.as_bytes(),
                &proposed.at.as_microsecond().to_be_bytes(),
            ],
        ))
    }
}

/// The id that follows from `parent` and `parts`, in the parent's millisecond.
fn derive(parent: Uuid, parts: &[&[u8]]) -> Uuid {
    let millisecond = u64::from_be_bytes({
        let b = parent.as_bytes();
        [0, 0, b[0], b[1], b[2], b[3], b[4], b[5]]
    });
    derive_at(millisecond, parent, parts)
}

fn derive_at(millisecond: u64, parent: Uuid, parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(parent.as_bytes());
    for part in parts {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&millisecond.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&digest[..10]);
    Uuid::new_v8(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_id_is_the_same_every_time_and_keeps_its_parents_time() {
        let event = EventKey::of("urn:hr", "1");
        let case = CaseId::of(
            event,
            Timestamp::from_millisecond(1_700_000_000_000).expect("valid"),
        );
        let a = case.run().child("removal", "crm");
        assert_eq!(a, case.run().child("removal", "crm"));
        assert_ne!(a, case.run().child("removal", "crm2"));
        assert_eq!(a.0.as_bytes()[..6], case.0.as_bytes()[..6]);
        assert_eq!(a.0.get_version_num(), 8);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(EventKey::of("ab", "c"), EventKey::of("a", "bc"));
    }
}
