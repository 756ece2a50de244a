//! What a wrong workflow file is told.
//!
//! Owns the tests of the room's face: wrong files are refused with all problems at once, by line and
//! with a remedy; right ones keep their digest through the store. Only tests.

use super::*;
use crate::domain::event::EventKind;
use crate::domain::id::{DefinitionDigest, WorkflowName};
use crate::domain::workflow::{Action, RunKind};

fn told(text: &str) -> Vec<(u32, String)> {
    let problems = check("mine.toml", text).expect_err("is refused");
    problems
        .0
        .into_iter()
        .map(|p| (p.line, p.message))
        .collect()
}

fn leaver() -> String {
    BUILT_IN[0].1.to_owned()
}

/// The built-in file with one line replaced, and the number of that line.
fn with(old: &str, new: &str) -> (String, u32) {
    let text = leaver();
    let place = text
        .find(old)
        .unwrap_or_else(|| panic!("`{old}` is not there"));
    let line = u32::try_from(text[..place].matches('\n').count()).expect("few") + 1;
    (text.replacen(old, new, 1), line)
}

fn refusal(old: &str, new: &str) -> Vec<String> {
    let (text, line) = with(old, new);
    let told = told(&text);
    assert!(
        told.iter().any(|(at, _)| *at == line),
        "line {line}: {told:?}"
    );
    told.into_iter().map(|(_, message)| message).collect()
}

/// A file of one's own has to keep up with the proofs; the benchmark's is one.
#[test]
fn the_benchmarks_own_leaver_is_proved() {
    let text = include_str!("../../benches/engine/leaver.toml");
    let loaded = load(&[("leaver.toml".to_owned(), text.to_owned())]);
    let library = loaded.expect("is proved");
    assert!(library.by_event(EventKind::WorkerTerminated).is_some());
}

#[test]
fn what_is_built_in_is_proved_and_opens_on_every_event() {
    let library = built_in().expect("is proved");
    for kind in EventKind::ALL {
        let workflow = library.by_event(kind).expect("is opened");
        let opened = match kind {
            EventKind::NhiSilent => "silent_nhi",
            _ => "leaver",
        };
        assert_eq!(workflow.name.as_str(), opened);
        assert!(library.get(&workflow.digest).is_some());
    }
    assert!(library.rotation().machines.contains_key(&RunKind::Rotation));
}

#[test]
fn all_problems_of_a_file_are_told_at_once_by_line() {
    let text = "\
name = \"Mine\"
version = 1
opens_on = [\"clawback.worker.left\"]
colour = \"red\"
[removal]
start = \"go\"
[removal.failures]
lasting = \"person\"
at_once = [\"lazy\"]
unreachable = { retry = 0, first_seconds = 5 }
rate_limited = { first_seconds = 5 }
[removal.states.go]
do = \"enable\"
on.finished = \"gone\"
[removal.states.gone]
end = \"deleted\"
[removal.states.nothing]
[[test]]
name = \"t\"
run = \"removal\"
outcomes = [\"done*x\"]
";
    assert_eq!(
        told(text),
        [
            (1, "`Mine` is no name for a workflow".to_owned()),
            (3, "`clawback.worker.left` is no kind of event".to_owned()),
            (4, "unknown key `colour`".to_owned()),
            (9, "`lazy` is no failure class".to_owned()),
            (10, "`removal.failures.unreachable.retry` is 0".to_owned()),
            (
                11,
                "`rate_limited` must say `retry` or `rotate`, and not both".to_owned()
            ),
            (13, "`enable` is no action".to_owned()),
            (14, "`finished` is no outcome".to_owned()),
            (16, "`deleted` is no end".to_owned()),
            (
                17,
                "state `nothing` must say `do` or `end`, and not both".to_owned()
            ),
            (
                18,
                "a test must say `ends` or `reaches`, and not both".to_owned()
            ),
            (
                21,
                "`done*x` is nothing that can happen to a run".to_owned()
            ),
        ]
    );
}

#[test]
fn words_that_mean_nothing_are_told_together_with_states_that_are_none() {
    let text = leaver()
        .replace("do = \"disable\"", "do = \"dissable\"")
        .replace("on.done = \"end_sessions\"", "on.done = \"end_sesions\"")
        .replace("on.done = \"verify\"", "on.done = \"verifi\"");
    let told = told(&text);
    let messages: Vec<_> = told.iter().map(|(_, message)| message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "`dissable` is no action",
            "there is no state `end_sesions`",
            "there is no state `verifi`",
        ],
        "and `disable` is a state, though nobody knows what it does"
    );
    assert!(told.is_sorted_by_key(|(line, _)| *line));
}

#[test]
fn all_proofs_of_a_file_fail_at_once_by_line() {
    let text = leaver()
        .replace("lasting = \"verify\"", "lasting = \"removed\"")
        .replace("check = \"verify\"", "check = \"inspect\"")
        .replace("from = \"inspect\"", "from = \"with_person\"");
    let messages: Vec<_> = told(&text)
        .into_iter()
        .map(|(_, message)| message)
        .collect();
    for expected in [
        "`delete` leads to `removed`, which says `verified`, without proof",
        "`with_person` does not check what a person claims",
        "`reverify` cannot be tried again from `with_person`, which never leads to it",
    ] {
        assert!(
            messages.iter().any(|m| m == expected),
            "{expected}: {messages:?}"
        );
    }
}

#[test]
fn p_no_file_may_call_a_write_a_proof() {
    let told = refusal("on.done = \"verify\"", "on.done = \"removed\"");
    assert!(told.iter().any(|m| m.contains("without proof")), "{told:?}");
}

#[test]
fn p_no_file_may_leave_an_outcome_open() {
    let (text, _) = with(
        "on.inconclusive = { retry = 8, first_seconds = 5, at_most_seconds = 900 }",
        "",
    );
    let told = told(&text);
    assert!(
        told.iter()
            .any(|(_, m)| m == "state `verify` does not say what follows `inconclusive`"),
        "{told:?}"
    );
}

#[test]
fn p_no_file_may_go_round_for_ever() {
    let told = refusal("on.done = \"verify\"", "on.done = \"disable\"");
    assert!(
        told.iter().any(|m| m.contains("nothing bounds this")),
        "{told:?}"
    );
}

#[test]
fn e3_no_file_may_call_a_first_look_a_second_one() {
    let (text, _) = with("on.absent = \"settle\"", "on.absent = \"reverify\"");
    let told = told(&text);
    assert!(
        told.iter()
            .any(|(_, m)| m == "`reverify` can be come to without `done` of `wait`"),
        "{told:?}"
    );
}

#[test]
fn e3_no_file_may_look_again_without_a_wait_in_between() {
    let removal = leaver().find("[removal]").expect("is there");
    let (before, after) = (
        leaver()[..removal].to_owned(),
        leaver()[removal..].to_owned(),
    );
    let pause =
        "[removal.states.pause]\ndo = \"wait\"\nwait_seconds = 60\non.done = \"inspect\"\n\n";
    let after = after
        .replacen("start = \"inspect\"", "start = \"pause\"", 1)
        .replace("resume = \"inspect\"", "resume = \"pause\"")
        .replacen(
            "[removal.states.inspect]",
            &format!("{pause}[removal.states.inspect]"),
            1,
        )
        .replace("= \"settle\"", "= \"reverify\"");
    let told = told(&(before + &after));
    assert!(
        told.iter()
            .any(|(_, m)| m == "`reverify` can be come to from `verify` without a wait"),
        "{told:?}"
    );
    let first = "`reverify` can be come to without `done` of `wait`";
    assert!(!told.iter().any(|(_, m)| m == first), "{told:?}");
}

#[test]
fn d2_no_file_may_retire_a_secret_before_the_new_one_has_worked() {
    let text = BUILT_IN[1]
        .1
        .replace("on.done = \"test\"", "on.done = \"promote\"");
    let told = told(&text);
    assert!(
        told.iter()
            .any(|(_, m)| m == "`promote` can be come to without `done` of `test_secret`"),
        "{told:?}"
    );
}

#[test]
fn ends_of_the_engine_are_not_for_files() {
    let (text, line) = with("end = \"attested\"", "end = \"rescinded\"");
    let told = told(&text);
    assert!(
        told.contains(&(line - 1, "a case cannot end `rescinded`".to_owned())),
        "{told:?}"
    );
}

#[test]
fn a_test_that_does_not_come_out_is_a_problem_at_its_line() {
    let (text, line) = with(
        "outcomes = [\"done\", \"absent\"]",
        "outcomes = [\"done\", \"done\"]",
    );
    let told = told(&text);
    assert_eq!(
        told,
        [(
            line - 3,
            "test `a leaver whom no target knows goes to a person` fails: the run comes to `look_again`"
                .to_owned()
        )]
    );
}

#[test]
fn p_no_file_may_leave_more_of_a_leaver_than_the_manifests_say() {
    let text = leaver().replace("\n[removal]\n", "\n[removal]\nleaves = \"no_way_in\"\n");
    let problems = check("mine.toml", &text).expect_err("is refused");
    assert_eq!(problems.0.len(), 1, "{problems}");
    assert!(
        problems.to_string().contains("what manifests want gone"),
        "{problems}"
    );
    for (machine, word) in [("removal", "all"), ("discovery", "no_way_in")] {
        let (from, to) = (
            format!("\n[{machine}]\n"),
            format!("\n[{machine}]\nleaves = \"{word}\"\n"),
        );
        let problems = check("mine.toml", &leaver().replace(&from, &to)).expect_err("is refused");
        assert!(problems.to_string().contains("means nothing"), "{problems}");
    }
}

#[test]
fn a_file_replaces_the_built_in_workflow_of_its_name_and_no_event_is_lost() {
    let mine = leaver().replace("wait_seconds = 3600", "wait_seconds = 60");
    let library = load(&[("mine.toml".to_owned(), mine.clone())]).expect("is proved");
    let name = WorkflowName("leaver".to_owned());
    let built = built_in().expect("is proved");
    let (mine_checked, original) = (
        library.by_name(&name).expect("is there"),
        built.by_name(&name).expect("is there"),
    );
    assert_ne!(mine_checked.digest, original.digest);

    let second = mine.replace("name = \"leaver\"\n", "name = \"second\"\n");
    let both = [
        ("mine.toml".to_owned(), mine),
        ("second.toml".to_owned(), second),
    ];
    let problems = load(&both).expect_err("both open on the same events");
    // All but what `silent_nhi` opens on.
    assert_eq!(problems.0.len(), EventKind::ALL.len() - 1);
    assert!(
        problems
            .0
            .iter()
            .all(|p| p.file == "second.toml" && p.line > 1)
    );

    let fewer = leaver().replace("  \"clawback.worker.moved.v1\",\n", "");
    let problems = load(&[("mine.toml".to_owned(), fewer)]).expect_err("one event is lost");
    assert_eq!(
        problems.0[0].message,
        "no workflow opens on `clawback.worker.moved.v1`"
    );
}

#[test]
fn b1_a_definition_comes_back_from_the_store_exactly_or_not_at_all() {
    let library = built_in().expect("is proved");
    for workflow in library.all() {
        let json = canonical(workflow);
        let kept = &workflow.digest;
        assert_eq!(&restore(&json, kept).expect("is whole"), workflow.as_ref());
        let tampered = json.replacen("\"with_person\"", "\"removed\"", 1);
        if tampered != json {
            assert!(matches!(
                restore(&tampered, kept),
                Err(RestoreError::Changed { .. })
            ));
        }
    }
    let kept = DefinitionDigest(String::new());
    assert!(matches!(restore("{}", &kept), Err(RestoreError::Form(_))));
}

#[test]
fn b1_a_definition_does_not_come_back_in_the_place_of_another() {
    let library = built_in().expect("is proved");
    let mut all = library.all();
    let (wanted, other) = (all.next().expect("one"), all.next().expect("another"));
    // Whole, and with the digest that it names itself; but not the one that was asked for.
    let swapped = restore(&canonical(other), &wanted.digest).expect_err("another");
    assert_eq!(
        swapped.to_string(),
        format!(
            "CB-DEFINITION-2: a stored definition was changed: its digest is {}, not {}",
            other.digest, wanted.digest
        )
    );
    let mut posing = other.as_ref().clone();
    posing.digest = wanted.digest.clone();
    let posing = restore(&canonical(&posing), &wanted.digest);
    assert!(matches!(posing, Err(RestoreError::Changed { .. })));
    let mut misnamed = wanted.as_ref().clone();
    misnamed.digest = other.digest.clone();
    let misnamed = restore(&canonical(&misnamed), &wanted.digest);
    assert!(matches!(misnamed, Err(RestoreError::Changed { .. })));
}

#[test]
fn a_quicker_pace_changes_waits_and_nothing_else() {
    let library = built_in().expect("is proved").at_pace(600);
    let leaver = library
        .by_event(EventKind::WorkerTerminated)
        .expect("is there");
    let settle = leaver
        .state(RunKind::Removal, &"settle".into())
        .expect("is there");
    assert_eq!(settle.action, Action::Wait { seconds: 6 });
    assert_eq!(library.get(&leaver.digest), Some(leaver));
    let (file, places) = ("quick", places::Places::new());
    assert!(proof::check(file, leaver, &places).is_empty());
}

#[test]
fn pictures_show_every_state_and_the_ways_between() {
    let library = built_in().expect("is proved");
    for workflow in library.all() {
        let (mermaid, dot) = (graph::mermaid(workflow), graph::dot(workflow));
        for (kind, machine) in &workflow.machines {
            for name in machine.states.keys() {
                assert!(mermaid.contains(&format!("{}_{name}", kind.as_str())));
                assert!(dot.contains(&format!("\"{}/{name}\"", kind.as_str())));
            }
        }
        assert_eq!(dot.matches('{').count(), dot.matches('}').count());
    }
    let leaver = library
        .by_event(EventKind::WorkerTerminated)
        .expect("is there");
    let mermaid = graph::mermaid(leaver);
    assert!(
        mermaid
            .contains("removal_verify -.->|\"present:<br/>again, up to 3 times\"| removal_disable"),
        "{mermaid}"
    );
}
