//! Tests against real parts: Apache Kafka, PostgreSQL, a SCIM server, nginx, slapd, Request
//! Tracker, the built binary.
//!
//! Owns the list of topics; each topic is one file. One binary, because linking is what costs.
//! A missing part fails with its name and is never skipped; `scripts/test` provides all of them.

mod ages;
mod audit;
mod canaries;
mod chaos;
mod console;
mod demonstration;
mod desks;
mod drills;
mod estate;
mod examination;
mod farewell;
mod file;
mod governance;
mod health;
mod house;
mod isolation;
mod kafka;
mod keycloak;
mod kill;
mod ldap;
mod main_job;
mod mariadb_roles;
mod oauth_secrets;
mod parts;
mod people;
mod probes;
mod process;
mod rest;
mod retirement;
mod roles;
mod rotation;
mod rotation_kills;
mod scim;
mod sql;
mod store;
mod store_patience;
mod telemetry;
mod vaults;
mod webhook;
mod worker;
