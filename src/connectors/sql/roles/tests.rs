//! The checks of the `[sql.roles]` table, and the manifests of the documentation.
//!
//! Owns what can be seen without a server; what servers do is in `tests/integration/roles.rs`.
