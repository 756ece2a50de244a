//! The operators' pages and API, and what machines ask the running program over HTTP.
//!
//! Owns sign-in, roles, pages, the JSON API and its description, and `/livez`, `/readyz` and
//! `/metrics`, which need no sign-in and change nothing. What an operator wants is a row that the
//! engine picks up; what other rooms do for the console comes in as [`Backing`].

mod account;
mod api;
mod assets;
mod audit;
mod backing;
mod cookies;
mod deeds;
mod doors;
mod gate;
mod health;
mod live;
mod matters;
mod office;
mod oidc;
mod openapi;
mod page;
mod pages;
mod password;
mod picture;
mod problem;
mod route;
mod routes;
mod serve;
mod settings;
mod sign_in;
mod stops;
#[cfg(test)]
mod tests;
mod throttle;
mod turns;
mod view;
mod words;

pub use backing::{
    Backing, Change, ConnectorFact, EvidenceFile, Governed, LogVerdict, Proposed, ReportTable,
    SecretFact, Trouble, TroubleKind,
};
pub use health::{Check, Parts, StorePing};
pub use office::{Office, Shared};
pub use oidc::{Provider, ProviderError};
pub use password::{PasswordError, hash, secret};
pub use route::{Need, Route, Speaks, Verb};
pub use routes::ROUTES;
pub use serve::{router, serve};
pub use settings::{OidcSettings, Settings};
