//! `clawback connectors test` through the built binary, on targets that nobody here wrote.
//!
//! Owns the proof that the suite passes on real programs of each kind, takes apart the canary and
//! nobody else, and changes nothing unless it is told to.

use serde_json::Value;

use crate::house::{House, Plan};

fn marked(points: &Value, mark: &str) -> Vec<String> {
    let points = points.as_array().expect("points").iter();
    let marked = points.filter(|one| one["mark"] == mark);
    marked
        .map(|one| format!("{}: {}", one["point"], one["found"]))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_real_programs_pass_the_examination_and_only_the_canary_is_touched() {
    let house = House::build(Plan {
        name: "examination",
        leavers: 1,
        ..Plan::default()
    })
    .await;
    for name in ["crm", "shop", "portal"] {
        let told = house.cli(&["connectors", "test", name], "");
        let failed = marked(&told.data, "failed");
        assert_eq!(
            (told.code, failed),
            (0, Vec::new()),
            "{name} {}",
            told.words
        );
    }
    house.everybody_is_there().await;

    let crm = house.crm_id(0).await;
    for (name, canary) in [("crm", crm.as_str()), ("shop", "0"), ("portal", "p0")] {
        let arguments = ["connectors", "test", name, "--account", canary, "--change"];
        let told = house.cli(&arguments, "");
        let failed = marked(&told.data, "failed");
        assert_eq!(
            (told.code, failed),
            (0, Vec::new()),
            "{name} {}",
            told.words
        );
        let held = marked(&told.data, "held").join("\n");
        assert!(held.contains("has an effect"), "{name}: {held}");
        assert!(held.contains("can be repeated"), "{name}: {held}");
    }
    house.leavers_are_gone_and_nobody_else().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_a_canary_that_is_not_there_fails_the_examination() {
    let house = House::build(Plan {
        name: "nobody",
        leavers: 1,
        ..Plan::default()
    })
    .await;
    let told = house.cli(&["connectors", "test", "portal", "--account", "eve"], "");
    assert_eq!(told.code, 1, "{}", told.data);
    let failed = marked(&told.data, "failed");
    assert!(failed[0].contains("the canary is listed"), "{failed:?}");
    let told = house.cli(&["connectors", "test", "nobody"], "");
    assert_eq!(told.code, 4, "{}", told.words);
    // Without a name there is no canary to take apart.
    let told = house.cli(&["connectors", "test", "portal", "--change"], "");
    assert_eq!(told.code, 2, "{}", told.words);
    house.everybody_is_there().await;
}
