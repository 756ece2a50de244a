//! The wall between the rooms of `src`, and tidiness as a test.
//!
//! Reads the source as text and fails with file and line. The rules and the room table are in
//! `structure/rooms.rs` and `structure/tidiness.rs`, each tested there with planted faults.
//! Does not run anything of Clawback.
#![allow(clippy::unwrap_used)] // a test that cannot read the source has nothing to say

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

#[path = "structure/rooms.rs"]
mod rooms;
#[path = "structure/source.rs"]
mod source;
#[path = "structure/tidiness.rs"]
mod tidiness;

use rooms::{Files, ROOMS};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read_into(files: &mut Files, folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_into(files, &path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path
                .strip_prefix(top())
                .unwrap()
                .to_string_lossy()
                .replace('\\', "/");
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

fn src() -> Files {
    let mut files = Files::new();
    read_into(&mut files, &top().join("src"));
    assert!(files.contains_key("src/lib.rs"), "the source was not found");
    files
}

fn page(name: &str) -> String {
    fs::read_to_string(top().join(name)).unwrap()
}

/// Fails with every finding at once.
fn nothing(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_room_names_a_room_that_it_may_not() {
    nothing(&rooms::violations(&src(), ROOMS));
}

#[test]
fn rooms_do_not_go_round_in_circles() {
    assert_eq!(rooms::circle(ROOMS), None);
}

#[test]
fn the_architecture_page_tells_the_same_rooms() {
    let table: BTreeMap<String, BTreeSet<String>> = ROOMS
        .iter()
        .map(|(room, named)| {
            (
                (*room).to_owned(),
                named.iter().map(|n| (*n).to_owned()).collect(),
            )
        })
        .collect();
    let told = rooms::documented(&page("docs/ARCHITECTURE.md"));
    for (room, named) in &table {
        assert_eq!(
            told.get(room),
            Some(named),
            "docs/ARCHITECTURE.md, row `{room}`"
        );
    }
    assert_eq!(
        told.len(),
        table.len(),
        "docs/ARCHITECTURE.md tells rooms that do not exist"
    );
}

#[test]
fn files_are_short_and_say_what_they_own() {
    nothing(&tidiness::sizes_and_docs(&src()));
}

#[test]
fn modules_are_named_after_what_they_own() {
    nothing(&tidiness::names(&src()));
}

#[test]
fn the_core_has_no_effects() {
    nothing(&tidiness::purity(&src()));
}

#[test]
fn sql_stays_in_its_rooms() {
    nothing(&tidiness::sql(&src()));
}

#[test]
fn every_error_code_has_its_heading() {
    nothing(&tidiness::error_codes(&src(), &page("docs/errors.md")));
}

#[test]
fn every_test_that_the_map_of_controls_names_exists() {
    let mut files = src();
    read_into(&mut files, &top().join("tests"));
    nothing(&tidiness::controls(&files, &page("docs/controls.md")));
}

#[test]
fn every_dependency_has_its_reason() {
    nothing(&tidiness::dependencies(
        &page("Cargo.toml"),
        &page("docs/decisions/0002-dependencies.md"),
    ));
}
