//! Tests against real parts: Apache Kafka, PostgreSQL, a SCIM server, nginx, the built binary.
//!
//! Owns the list of topics; each topic is one file. One binary, because linking is what costs.
//! A missing part fails with its name and is never skipped; `scripts/test` provides all of them.

mod demonstration;
mod estate;
mod examination;
mod file;
mod governance;
mod house;
mod kafka;
mod kill;
mod main_job;
mod parts;
mod process;
mod scim;
mod sql;
mod store;
mod telemetry;
