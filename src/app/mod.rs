//! Wiring: what a command needs of the other rooms, put together.
//!
//! Owns the one place that reads the wall clock and draws random ids, and the order in which parts
//! are started, drained and stopped. Decides nothing about access; each part keeps its own rules.

pub mod audit;
mod chronicle;
mod console;
pub mod desks;
pub mod dev;
pub mod drilling;
pub mod evidence;
pub mod examine;
mod farewell;
pub mod governance;
mod health;
pub mod holds;
pub mod ocsf;
mod parts;
pub mod plan;
pub mod platform;
pub mod post;
pub mod probe;
pub mod report;
pub mod retention;
pub mod retire;
mod serve;
mod telling;
mod told;
pub mod users;
pub mod vault;
pub mod wall;

pub use crate::secrets::forbid_core_dumps;
pub use parts::{AppError, Parts};
pub use serve::{Duties, listen, serve};
pub use telling::Telling;
// For the words in which a command ends.
pub use crate::telemetry::scrub;
