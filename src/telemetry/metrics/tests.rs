//! The page and the documentation name the same metrics.
//!
//! Owns a touch of every family, so that each is on the page. Judges no number but a few.

use std::collections::BTreeSet;

use super::*;

/// Touches every family, so that each is on the page.
fn touch() {
    events("new", 1);
    dead_letter("CB-X");
    case_opened("leaver");
    case_ended("verified");
    removal_ended("crm", "verified");
    contained("crm", 3.0);
    proved("crm", 30.0);
    step("crm", "disable", "done", 0.02);
    verify_lag("crm", 2.0);
    tasks(3, 1, Some(9));
    rotation_ended("crm", "writer", "rotated");
    secret_age("crm", "writer", 5);
    call("crm", "disable", "ok", 0.01);
    breaker("crm", true);
    manifest("crm", true, false);
    drill("crm", true, Some(3));
    connector_state("crm", "healthy", true);
    connector_ages("crm", Some(4), Some(3), Some(2));
    connector_accounts("crm", 12);
    desk_call("servicedesk", "create", "ok");
    desk_copies("servicedesk", 3, 1, 60);
    connector_nhis("crm", 4, 1);
    drill("crm", true, Some(60));
    settled(17, 0.004);
    settlements_refused(1);
    run_failed();
    kafka_lag("identity.lifecycle.v1", 0, 4);
    waiting(Some(1), 2);
    spans_exported(1);
}

fn named<'a>(text: &'a str, line: impl Fn(&'a str) -> Option<&'a str>) -> BTreeSet<&'a str> {
    text.lines().filter_map(line).collect()
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
    assert_eq!(on_page, documented);
    assert!(page.contains("clawback_tasks{state=\"overdue\"} 1"));
    let steps = "clawback_steps_total{action=\"disable\",connector=\"crm\",outcome=\"done\"}";
    assert!(page.contains(steps), "{page}");
}
