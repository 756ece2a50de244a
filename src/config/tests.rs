//! Faults in several files at once: none hides another.
//!
//! Owns folders with faults of each sort. What each room makes of its own table is tested there.

use std::path::Path;

use super::*;
use crate::domain::time::Timestamp;

const WIKI: &str = include_str!("../demo/manifests/wiki.toml");

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// A manifest whose seventh line is wrong, with this desk.
fn wrong_on_line_7(desk: &str) -> String {
    let text = WIKI
        .replace("{path}", "/nowhere")
        .replace("2099-12-31", "soon");
    text.replace("desk = \"built-in\"", &format!("desk = \"{desk}\""))
}

/// Writes files below a folder and loads it; tells every problem as file name and line.
fn problems(files: &[(&str, &str)]) -> Vec<(String, u32)> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        let parent = path.parent().expect("is below");
        std::fs::create_dir_all(parent).expect("made");
        std::fs::write(path, text).expect("written");
    }
    let clock: Arc<dyn Clock> = Arc::new(Still);
    let loaded = Config::load(&folder.path().join(DEFAULT_FILE), &clock);
    let found = loaded.err().unwrap_or_default().0.into_iter();
    let short = |file: &str| {
        let path = Path::new(file).strip_prefix(folder.path());
        path.expect("is below").display().to_string()
    };
    let mut told: Vec<_> = found.map(|one| (short(&one.file), one.line)).collect();
    // A syntax error may be told in two ways.
    told.dedup();
    told
}

fn told(file: &str, line: u32) -> (String, u32) {
    (file.to_owned(), line)
}

#[test]
fn h3_faults_in_clawback_toml_hide_none_in_the_files_that_it_names() {
    let toml = "[store]\nurl = \"mysql://x\"\n[connectors]\ndirectory = \"c\"\n\
                [workflows]\ndirectory = \"w\"\n[desks.helpdesk]\nkind = \"telepathy\"\n\
                url = \"https://x.example\"\nsecret = \"local:x\"\n";
    let found = problems(&[
        ("clawback.toml", toml),
        // Its desk has a table, though a wrong one: that is told where it is wrong.
        ("c/wiki.toml", &wrong_on_line_7("helpdesk")),
        ("c/crm.toml", "name = = 1\n"),
        ("w/leaver.toml", "name = = 1\n"),
    ]);
    let expected = [
        told("c/crm.toml", 1),
        told("c/wiki.toml", 7),
        told("clawback.toml", 2),
        told("clawback.toml", 8),
        told("w/leaver.toml", 1),
    ];
    assert_eq!(found, expected);
}

#[test]
fn h3_what_is_no_toml_hides_none_in_the_files_that_it_names() {
    let toml = "[store]\nurl = = 1\n[connectors]\ndirectory = \"c\"\n";
    let found = problems(&[
        ("clawback.toml", toml),
        ("c/wiki.toml", &wrong_on_line_7("helpdesk")),
    ]);
    assert_eq!(found, [told("c/wiki.toml", 7), told("clawback.toml", 2)]);
}

#[test]
fn h3_a_folder_that_is_not_known_is_not_guessed() {
    let wiki = wrong_on_line_7("built-in");
    for line in [
        "directory = \"${CLAWBACK_NO_SUCH_VARIABLE}\"",
        "directory = 3",
    ] {
        let toml = format!("[connectors]\n{line}\n");
        let found = problems(&[("clawback.toml", &toml), ("connectors/wiki.toml", &wiki)]);
        assert_eq!(found, [told("clawback.toml", 2)], "{line}");
    }
}

#[test]
fn h3_a_desk_that_nobody_serves_and_a_file_that_cannot_be_read_hide_nothing_else() {
    let wiki = wrong_on_line_7("nobody");
    let line = wiki
        .lines()
        .position(|line| line.starts_with("desk ="))
        .expect("there");
    let desk = u32::try_from(line).expect("short") + 1;
    let found = problems(&[
        ("clawback.toml", ""),
        ("connectors/wiki.toml", &wiki),
        // A folder by the name of a file cannot be read as one, by anybody.
        ("connectors/shop.toml/x", ""),
    ]);
    let expected = [
        told("connectors/shop.toml", 1),
        told("connectors/wiki.toml", 7),
        told("connectors/wiki.toml", desk),
    ];
    assert_eq!(found, expected);
}

#[test]
fn h2_a_file_with_faults_still_says_in_which_form_they_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(DEFAULT_FILE);
    for (text, is_json) in [
        (
            "[store]\nurl = \"mysql://x\"\n[telemetry]\nlog_format = \"json\"\n",
            true,
        ),
        ("[telemetry]\nlog_format = \"xml\"\n", false),
    ] {
        std::fs::write(&file, text).expect("written");
        assert_eq!(tells_json(&file), is_json, "{text}");
    }
    assert!(!tells_json(&folder.path().join("none.toml")));
}
