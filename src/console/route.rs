//! One route as data: what it is, what it takes, what is said of it.
//!
//! Owns the terms of the route table and the few shapes that its rows have. Which routes there are is
//! the table's.

use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::deeds::Outcome;
use super::office::Shared;
use crate::domain::user::Role;

/// GET reads, POST changes; there is nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Changes.
    Post,
}

/// What it takes to use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nobody,
    /// Being signed in.
    Somebody,
    /// A role.
    Role(Role),
}

/// To whom a route speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// To people: a page.
    Page,
    /// To people: a form is taken, a page follows.
    Form,
    /// To a page: a stream, or a file.
    Stream,
    /// To programs: JSON, by token.
    Api,
}

impl Speaks {
    /// True where somebody who is not signed in is sent to the sign-in page.
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Page | Self::Form)
    }
}

/// The schema of a type.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What the API's description says of a route.
#[derive(Clone, Copy)]
pub(super) struct Doc {
    /// In one line.
    pub what: &'static str,
    /// What it gives.
    pub gives: Shape,
    /// What it takes as body.
    pub takes: Option<Shape>,
    /// What it takes in the query.
    pub asked: Option<Shape>,
}

/// One route.
pub struct Route {
    /// Its method.
    pub verb: Verb,
    /// Its path; `{name}` stands for a part.
    pub path: &'static str,
    /// What it takes.
    pub need: Need,
    /// To whom it speaks.
    pub speaks: Speaks,
    pub(super) doc: Option<Doc>,
    pub(super) serve: fn() -> MethodRouter<Shared>,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {} ({:?})", self.verb, self.path, self.need)
    }
}

pub(super) const fn page(
    path: &'static str,
    need: Need,
    serve: fn() -> MethodRouter<Shared>,
) -> Route {
    Route {
        verb: Verb::Get,
        path,
        need,
        speaks: Speaks::Page,
        doc: None,
        serve,
    }
}

pub(super) const fn stream(
    path: &'static str,
    need: Need,
    serve: fn() -> MethodRouter<Shared>,
) -> Route {
    Route {
        speaks: Speaks::Stream,
        ..page(path, need, serve)
    }
}

pub(super) const fn form(
    path: &'static str,
    need: Need,
    serve: fn() -> MethodRouter<Shared>,
) -> Route {
    Route {
        verb: Verb::Post,
        speaks: Speaks::Form,
        ..page(path, need, serve)
    }
}

pub(super) const fn read(
    path: &'static str,
    need: Need,
    (what, gives, asked): (&'static str, Shape, Option<Shape>),
    serve: fn() -> MethodRouter<Shared>,
) -> Route {
    let doc = Some(Doc {
        what,
        gives,
        takes: None,
        asked,
    });
    Route {
        speaks: Speaks::Api,
        doc,
        ..page(path, need, serve)
    }
}

/// As `act`, with an answer of its own shape.
pub(super) const fn hand(
    path: &'static str,
    need: Need,
    (what, gives): (&'static str, Shape),
    serve: fn() -> MethodRouter<Shared>,
) -> Route {
    Route {
        verb: Verb::Post,
        ..read(path, need, (what, gives, None), serve)
    }
}

pub(super) const fn act(
    path: &'static str,
    need: Need,
    (what, takes): (&'static str, Option<Shape>),
    serve: fn() -> MethodRouter<Shared>,
) -> Route {
    let doc = Some(Doc {
        what,
        gives: shape::<Outcome>,
        takes,
        asked: None,
    });
    Route {
        verb: Verb::Post,
        speaks: Speaks::Api,
        doc,
        ..page(path, need, serve)
    }
}

pub(super) fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

pub(super) fn inline<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

pub(super) fn anything(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object" })
}
