//! The server's own roles as accounts: `[sql.roles]`.
//!
//! Owns which server it is. The manifest declares which roles are people's; their statements are
//! not in it, because the server's own words for roles are known here. What the listing would never
//! show (the connector's own roles, superusers unless declared) is never changed either.

mod mariadb;
mod postgres;
mod settings;
mod task;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::client::Client;
use super::place::{Place, Target};
use crate::connectors::{Connector, Manifest};
use crate::document::Table;
use mariadb::MariadbRoles;
use postgres::PostgresRoles;
use settings::Roles;
pub use task::Task;

/// Reads the rest of the `[sql]` table and makes the connector.
pub fn build(
    manifest: &Manifest,
    table: &Table<'_>,
    place: Option<Place>,
) -> Option<Arc<dyn Connector>> {
    let target = place.as_ref().map(|place| &place.target);
    let roles = Roles::read(table, manifest, target);
    table.finish();
    let (place, roles) = (place?, roles?);
    match place.target {
        Target::Postgres(_) => Some(Arc::new(PostgresRoles::new(Client::new(place), roles))),
        Target::Mariadb(_) => Some(Arc::new(MariadbRoles::new(Client::new(place), roles))),
        // Refused with its line when the table was read.
        Target::Sqlite(_) => None,
    }
}
