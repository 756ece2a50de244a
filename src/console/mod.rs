//! What operators and their machines ask the running program over HTTP.
//!
//! Owns `/livez`, `/readyz` and `/metrics`, and the serving of them. Reads; changes nothing, so it
//! needs no sign-in, and listens on loopback unless it is told otherwise.

mod health;
mod serve;
mod settings;

pub use health::{Check, Parts, StorePing};
pub use serve::{router, serve};
pub use settings::Settings;
