//! TOML documents that people write (workflows, manifests, configuration), read with positions.
//!
//! Owns: parsing, typed look-ups, and [`Problem`]s that each name file, line and remedy. A reader
//! collects every problem of a document before it gives up, and an unknown key is a problem too.
//! Does not touch the file system: callers hand in the text and the name to blame.

mod problem;
mod table;

pub use problem::{Problem, Problems};
pub use table::{Document, Item, Table};
