//! Pauses: an operator stops all work at one target, or at all of them.
//!
//! Owns the terms. A pause binds before the next write, and lasts until somebody ends it, whatever is
//! restarted meanwhile. Paused work stays owed: its runs stay due, and are taken up when it ends. One that
//! nobody ends is told to people again and again ([`super::escalation`]), and never ends by itself.
//! Does not know how workers learn of it; that is the engine's.

use serde::{Deserialize, Serialize};

use super::approval::Signed;
use super::escalation::Escalation;
use super::id::ConnectorName;

/// One pause that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Counts all pauses that ever were; workers say up to which they know them.
    pub number: u64,
    /// At which target; none means at all of them.
    pub connector: Option<ConnectorName>,
    /// Who paused, when and why.
    pub paused: Signed,
    /// How far it was escalated because nobody has ended it.
    #[serde(default, skip_serializing_if = "Escalation::is_none")]
    pub escalation: Escalation,
}

/// All pauses that are in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pauses(pub Vec<Pause>);

impl Pauses {
    /// The pause that binds at this target, if one does; one for all targets before its own.
    pub fn at(&self, connector: &ConnectorName) -> Option<&Pause> {
        let own = |pause: &&Pause| pause.connector.as_ref() == Some(connector);
        self.everywhere().or_else(|| self.0.iter().find(own))
    }

    /// The pause of all targets.
    pub fn everywhere(&self) -> Option<&Pause> {
        self.0.iter().find(|pause| pause.connector.is_none())
    }

    /// The highest number among them; 0 for none.
    pub fn newest(&self) -> u64 {
        self.0.iter().map(|pause| pause.number).max().unwrap_or(0)
    }
}

/// What a wish changes about pauses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseChange {
    /// One begins; nothing changes where one is in force.
    Begin {
        /// At which target; none means at all of them.
        connector: Option<ConnectorName>,
        /// Who, when and why.
        signed: Signed,
    },
    /// The one in force ends, if there is one.
    End {
        /// At which target; none means the pause of all of them.
        connector: Option<ConnectorName>,
        /// Who, when and why.
        signed: Signed,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(number: u64, connector: Option<&str>) -> Pause {
        Pause {
            number,
            connector: connector.map(Into::into),
            paused: Signed {
                by: "ann".to_owned(),
                at: super::super::time::Timestamp::UNIX_EPOCH,
                reason: "it misbehaves".to_owned(),
            },
            escalation: Escalation::default(),
        }
    }

    #[test]
    fn g4_a_pause_binds_at_its_target_and_one_without_binds_everywhere() {
        let mut pauses = Pauses(vec![pause(3, Some("crm"))]);
        assert_eq!(pauses.at(&"crm".into()).map(|one| one.number), Some(3));
        assert_eq!(pauses.at(&"wiki".into()), None);
        pauses.0.push(pause(4, None));
        assert_eq!(pauses.at(&"wiki".into()).map(|one| one.number), Some(4));
        assert_eq!(pauses.newest(), 4);
        assert_eq!(Pauses::default().newest(), 0);
    }
}
