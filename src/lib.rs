//! Clawback takes access back: durable deprovisioning that ends in proof or in a person's hands.
//!
//! Each module is a room; `docs/ARCHITECTURE.md` says what each owns and `tests/structure.rs` is
//! the wall between them. A lifecycle event travels one way: intake, store, engine, connectors,
//! verification, store again.

pub mod app;
pub mod cli;
pub mod config;
pub mod connectors;
pub mod console;
pub mod definitions;
pub mod demo;
pub mod desks;
pub mod document;
pub mod domain;
pub mod engine;
pub mod intake;
pub mod kafka;
pub mod publish;
pub mod secrets;
pub mod store;
pub mod telemetry;
pub mod verification;
