//! Everything that talks to targets, behind one trait and one guard.
//!
//! Owns the trait, the guard, the manifests and the kinds. The trait has no operation that grants,
//! on purpose. The engine never holds a bare connector: it holds a guarded one, whose every request
//! is judged as rendered before a byte is sent. Credentials are arguments; no vault, no store here.

mod contract;
mod credentials;
mod file;
#[cfg(test)]
pub(crate) mod fixture;
mod guard;
mod http;
mod http_secrets;
mod ldap;
mod limits;
mod manifest;
mod process;
mod registry;
#[cfg(test)]
mod rehearsal;
mod rest;
mod scim;
mod sql;

pub use contract::*;
pub use guard::Guarded;
pub use manifest::{CredentialDeclaration, Expect, Limits, Manifest, WHOLE_ACCOUNT};
pub use registry::Registry;
