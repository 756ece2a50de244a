//! Where fallback tasks go besides the built-in queue: ServiceNow, Jira, Request Tracker, a webhook.
//!
//! Owns the trait of a desk, its kinds with their settings, clients and classification, and the
//! signed callback. A desk gets a copy: it is told what to do and what happened, and asked how its
//! ticket stands. Decides nothing (`domain::desk`), keeps nothing durable, and gets its secret as an
//! argument of each call.

mod callback;
mod contract;
mod http;
pub(crate) mod jira;
mod order;
mod request_tracker;
pub(crate) mod servicenow;
mod settings;
mod signature;
pub(crate) mod webhook;

#[cfg(test)]
pub(crate) mod tests;

pub use callback::{Callback, Unheard};
pub use contract::{Call, Desk, key};
pub use order::{Section, WorkOrder, work_order};
pub use settings::{DeskEntry, Settings, read};
