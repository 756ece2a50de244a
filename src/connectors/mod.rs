//! Everything that talks to targets, behind one trait and one guard.
//!
//! Owns the trait, the guard, the manifests and the kinds. The trait has no operation that grants,
//! on purpose. The engine never holds a bare connector: it holds a guarded one, whose every request
//! is judged as rendered before a byte is sent. Credentials are arguments; no vault, no store here.

mod comparison;
mod contract;
mod credentials;
mod drill;
mod file;
#[cfg(test)]
pub(crate) mod fixture;
mod governance;
mod guard;
mod http;
mod http_secrets;
mod ldap;
mod limits;
mod mandate;
mod manifest;
mod probe;
mod process;
mod registry;
#[cfg(test)]
mod rehearsal;
mod rest;
mod scim;
mod sql;
mod written;

pub use comparison::{Difference, Effect, compare, effect, narrowed};
pub use contract::*;
pub use governance::{Placed, Roll, Standing};
pub use guard::{Guarded, PAUSED, Shown, Vitals};
pub use mandate::{BARRED, Mandate};
pub use manifest::{CredentialDeclaration, Expect, Limits, Manifest, WHOLE_ACCOUNT};
pub use probe::{Caller, Probe, Tries, WRONG_PASSWORD};
pub use registry::{Registry, drafts, problems};
pub use written::{Draft, Written, matter, retirement};
