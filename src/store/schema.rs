//! Whether the database's schema is the one that this program was built with.
//!
//! Owns the comparison of embedded and applied migrations; each database brings its own list.
//! Migrations only go forward, so an unknown one means that a newer program was here.

use sqlx::migrate::{MigrateError, Migrator};

use super::{StoreError, Stored};

/// The names of migrations that are embedded and not applied.
pub(super) fn pending(migrator: &Migrator, applied: &[i64]) -> Vec<String> {
    migrator
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
        .map(|migration| format!("{:04} {}", migration.version, migration.description))
        .collect()
}

/// Refuses a schema that is older or newer than this program.
pub(super) fn check(migrator: &Migrator, applied: &[i64]) -> Stored<()> {
    let missing = pending(migrator, applied);
    if !missing.is_empty() {
        return Err(StoreError::Schema(format!(
            "not yet applied: {}; run `clawback migrate`",
            missing.join(", ")
        )));
    }
    let unknown = applied
        .iter()
        .find(|version| !migrator.version_exists(**version));
    match unknown {
        Some(version) => Err(StoreError::Schema(format!(
            "migration {version:04} is unknown here; a newer version of this program has been run"
        ))),
        None => Ok(()),
    }
}

/// The versions that were read; none if the database has no list of them yet.
pub(super) fn or_none(applied: Result<Vec<i64>, sqlx::Error>) -> Stored<Vec<i64>> {
    match applied.map_err(StoreError::from) {
        Err(StoreError::Refused(_)) => Ok(Vec::new()),
        other => other,
    }
}

/// A migration that did not go through.
pub(super) fn refused(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Schema(other.to_string()),
    }
}
