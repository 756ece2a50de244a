//! The page and the documentation name the same metrics.
//!
//! Owns a touch of every family, so that each is on the page. Judges no number but a few.

use std::collections::BTreeSet;

use super::*;

/// Touches every family, so that each is on the page.
fn touch() {
    events("new", 1);
    dead_letter("CB-X");
    letters(1);
    events_lost("identity.lifecycle.v1", 2);
    intake_held(true);
    case_opened("leaver");
    case_ended("verified");
    removal_ended("crm", "verified");
    contained("crm", 3.0);
    proved("crm", 30.0);
    step("crm", "disable", "done", 0.02);
    verify_lag("crm", 2.0);
    tasks(3, 1, Some(9));
    rotation_ended("crm", "writer", "rotated");
    let gone = SecretTime {
        connector: "gone",
        role: "writer",
        age: 5,
        left: Some(0),
        overdue: 9,
    };
    secrets([gone].into_iter());
    let connector = "crm";
    secrets([SecretTime { connector, ..gone }].into_iter());
    unreadable_secrets([(connector, "writer")].into_iter());
    call("crm", "disable", "ok", 0.01);
    breaker("crm", true);
    manifest("crm", true, false);
    drill("crm", true, Some(3));
    connector_state("crm", "healthy", true);
    connector_ages("crm", Some(4), Some(3), Some(2));
    connector_accounts("crm", 12);
    task_escalated("crm", "owner");
    paused("crm", true, 3);
    pause_escalated("crm", "owner");
    desk_call("servicedesk", "create", "ok");
    desk_copies("servicedesk", 3, 1, 60);
    connector_nhis("crm", 4, 1);
    drill("crm", true, Some(60));
    settled(17, 0.004);
    settlements_refused(1);
    run_failed();
    row_unreadable("events");
    clock_apart(12);
    part_ready("store", true);
    kafka_lag("identity.lifecycle.v1", 0, 4);
    waiting(Some(1), 2);
    spans_exported(1);
}

fn named<'a>(text: &'a str, line: impl Fn(&'a str) -> Option<&'a str>) -> BTreeSet<&'a str> {
    text.lines().filter_map(line).collect()
}

#[test]
fn h2_what_has_left_is_told_no_more() {
    let tell = |connector: &str| {
        breaker(connector, true);
        manifest(connector, true, true);
        drill(connector, true, Some(3));
        connector_state(connector, "healthy", true);
        connector_state(connector, "stale", false);
        connector_ages(connector, Some(4), Some(3), Some(2));
        connector_accounts(connector, 12);
        connector_nhis(connector, 4, 1);
        paused(connector, true, 3);
    };
    tell("retired");
    tell("serving");
    kafka_lag("moved", 3, 7);
    kafka_lag("moved", 4, 7);
    let count = |word: &str| page().matches(word).count();
    let told = count("connector=\"serving\"");
    assert_eq!(told, 15);
    assert_eq!(count("connector=\"retired\""), told);

    connector_gone("retired");
    kafka_given_up("moved", 3);
    assert_eq!(count("connector=\"retired\""), 0);
    assert_eq!(count("connector=\"serving\""), told);
    assert_eq!(count("partition=\"3\",topic=\"moved\""), 0);
    assert_eq!(count("partition=\"4\",topic=\"moved\""), 1);
    // Nobody need have told of it before.
    connector_gone("unknown");
    kafka_given_up("unknown", 0);
}

#[test]
fn h2_the_page_has_every_metric_that_the_documentation_names() {
    touch();
    let page = page();
    let on_page = named(&page, |line| {
        line.strip_prefix("# TYPE ")?.split_whitespace().next()
    });
    let documented = named(include_str!("../../../docs/telemetry.md"), |line| {
        line.strip_prefix("| `clawback_")?;
        line.strip_prefix("| `")?.split(['`', '{']).next()
    });
    // What an alarm looks at is there to be looked at.
    let rules = [
        include_str!("../../../deploy/alerts/secrets.rules.yml"),
        include_str!("../../../deploy/alerts/pauses.rules.yml"),
        include_str!("../../../deploy/alerts/work.rules.yml"),
    ];
    let expressions = rules
        .iter()
        .flat_map(|rules| rules.lines())
        .filter(|line| line.trim_start().starts_with("expr:"));
    let words = expressions.flat_map(|line| line.split([' ', '(', ')', '{', '[']));
    let alarms: BTreeSet<_> = words.filter(|word| word.starts_with("clawback_")).collect();
    assert_eq!(alarms.len(), 19, "{alarms:?}");
    assert!(alarms.is_subset(&on_page), "{alarms:?}");
    assert_eq!(on_page, documented);
    assert!(
        page.contains("clawback_secret_expires_in_seconds{connector=\"crm\",role=\"writer\"} 0")
    );
    assert!(
        !page.contains("connector=\"gone\""),
        "what is retired is told no more"
    );
    assert!(page.contains("clawback_tasks{state=\"overdue\"} 1"));
    let steps = "clawback_steps_total{action=\"disable\",connector=\"crm\",outcome=\"done\"}";
    assert!(page.contains(steps), "{page}");
}

/// What a word of an expression names: a family, or a series of a histogram.
fn family<'a>(word: &'a str, on_page: &BTreeSet<&'a str>) -> Option<&'a str> {
    let series = ["_bucket", "_sum", "_count"];
    let family = series.iter().find_map(|end| word.strip_suffix(end));
    family
        .filter(|family| on_page.contains(family))
        .or(Some(word))
}

#[test]
fn h2_the_dashboard_shows_only_what_the_page_has() {
    touch();
    let page = page();
    let on_page = named(&page, |line| {
        line.strip_prefix("# TYPE ")?.split_whitespace().next()
    });
    let board = include_str!("../../../deploy/dashboards/clawback.json");
    let board: serde_json::Value = serde_json::from_str(board).expect("JSON");
    let panels = board["panels"].as_array().expect("panels").iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array());
    let expressions: Vec<_> = targets
        .flatten()
        .map(|target| target["expr"].as_str().expect("an expression"))
        .collect();
    assert!(expressions.len() > 30, "{expressions:?}");
    for expression in expressions {
        let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        let mut words = expression
            .split(word)
            .filter(|word| word.starts_with("clawback_"));
        let shown: Vec<_> = words
            .by_ref()
            .filter_map(|word| family(word, &on_page))
            .collect();
        assert!(!shown.is_empty(), "{expression}");
        // What is read from the store every worker tells alike.
        let of_store = ["clawback_tasks", "clawback_connector_"];
        let summed = expression.starts_with("sum")
            && of_store
                .iter()
                .any(|one| shown.iter().any(|name| name.starts_with(one)))
            && !expression.contains('[');
        assert!(!summed, "{expression}: workers are counted, too");
        for one in shown {
            assert!(on_page.contains(one), "{expression}: {one}");
        }
    }
}
