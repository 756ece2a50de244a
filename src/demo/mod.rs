//! The simulated estate of `clawback dev`: four targets on loopback that speak the real protocols.
//!
//! Owns a SCIM directory, a REST application that lies, a SQL access table and a control list that
//! a web server enforces; the believable company whose access they hold; the events of its leavers;
//! and the judge that compares what was reported with what is really there. Connectors reach the
//! targets like any other; the judge never looks through a connector.

pub mod broker;
mod company;
mod crm;
mod directory;
mod estate;
mod judge;
mod manifests;
mod message;
mod payroll;
#[cfg(test)]
mod rehearsal;
mod seed;
mod site;
mod story;
mod stream;
mod tokens;
mod truth;
mod wiki;

pub use company::{Company, Employment, Person, TENANT};
pub use estate::{Estate, EstateError, InitialSecret, Newcomer, Options, Outage};
pub use judge::{InHands, Report, Violation, judge};
pub use message::Message;
pub use story::{Expected, Story};
pub use stream::{Next, Stream};
pub use truth::{AccountTruth, GroundTruth, SecretTruth, TargetTruth};
