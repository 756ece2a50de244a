//! What every user of Kafka shares: how to reach the brokers, and the CloudEvents binding.
//!
//! Owns connection properties (passed through, masked, checked), librdkafka's log with its floods
//! cut down, and CloudEvents 1.0 to and from Kafka records. Consumes nothing (that is `intake`),
//! relays nothing (that is `publish`), and does not know what a lifecycle event means.

pub mod cloudevent;
mod connection;
mod log;

pub use cloudevent::{CloudEvent, Data, Mode, Record, Unreadable};
pub use connection::{Connection, Property, Unresolved, without_value};
pub use log::{QuietClient, Throttle};
