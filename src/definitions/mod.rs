//! Workflow files: read, proved, tested and drawn.
//!
//! Owns the way from `workflows/*.toml` to a checked [`Workflow`](crate::domain::workflow::Workflow).
//! A file that could let a case end silently cannot be loaded; all its problems are reported at
//! once, with line and remedy. Does not run workflows, and does not touch the file system.

mod actions;
mod edges;
mod ends;
pub mod graph;
mod leaves;
mod library;
#[cfg(test)]
mod oracle;
mod pace;
mod places;
mod proof;
mod read;
#[cfg(test)]
mod refusals;
mod rehearsal;
mod rules;

pub use library::{
    BUILT_IN, Checked, Library, RestoreError, built_in, canonical, check, digest, load, restore,
};
pub use rehearsal::Rehearsal;
