//! E2: which probes a manifest may declare.
//!
//! Owns one case for each way in which a probe would prove nothing, and the page that documents them.

use std::sync::Arc;

use super::super::Probe;
use super::manifest;
use crate::connectors::fixture::Moved;
use crate::domain::time::Clock;

/// The problems of a probe table, or none.
fn told(probe: &str) -> Vec<String> {
    manifest(&format!("[[probe]]\nname = \"p\"\n{probe}"))
        .err()
        .unwrap_or_default()
}

#[test]
fn e2_a_probe_that_could_not_tell_is_refused_at_load() {
    let http = "kind = \"http\"\nurl = \"https://x.example\"\npath = \"/login\"\n";
    let form = "form = { user = \"{login}\", password = \"{secret}\" }\nmethod = \"POST\"\n";
    let control = "control = { login = \"canary\", secret = \"local:crm/probe/canary\" }\n";
    let wrong = "tries = \"wrong_password\"\n";
    let cases = [
        (
            format!("{http}{form}{wrong}{control}refused = {{ status = [\"401\"] }}"),
            "a wrong password is refused so at any account",
        ),
        (
            format!("{http}{wrong}{control}refused = {{ status = [\"403\"] }}"),
            "the request does not carry what the probe is to try",
        ),
        (
            format!("{http}{form}tries = \"name\"\n{control}refused = {{ status = [\"403\"] }}"),
            "the request does not carry what the probe is to try",
        ),
        (
            format!(
                "{http}{form}kept = {{ a = \"local:a\" }}\ncontrol = {{ health = \"/up\" }}\n\
                 refused = {{ status = [\"401\"] }}"
            ),
            "`probe[0].control.login` is missing",
        ),
        (
            format!("{http}{form}{wrong}{control}refused = {{ }}"),
            "`refused` fits every answer",
        ),
        (
            format!("{http}{form}{wrong}refused = {{ status = [\"403\"] }}"),
            "control` is missing",
        ),
        (
            "kind = \"sql_login\"\nkept = { a = \"local:a\" }".to_owned(),
            "a probe of kind sql_login needs a connector of kind sql",
        ),
        (
            "kind = \"ldap_bind\"\nsign_in_name = \"uid={login}\"\ntries = \"wrong_password\"\n\
             refused = [\"49\"]"
                .to_owned(),
            "a wrong password is refused so at any account",
        ),
        (
            "kind = \"ldap_bind\"\nsign_in_name = \"uid={login},ou=poeple\"\n\
             kept = { a = \"local:a\" }"
                .to_owned(),
            "nobody signs in by a name of this form beside it",
        ),
        (
            "kind = \"introspection\"\nurl = \"https://x.example\"\npath = \"/introspect\"\n\
             control = { token_path = \"/token\" }"
                .to_owned(),
            "a token that the verifier may not see is called dead as well",
        ),
        (
            "kind = \"telepathy\"".to_owned(),
            "`telepathy` is no kind of probe",
        ),
    ];
    for (probe, expected) in cases {
        let found = told(&probe);
        let fits = found.iter().any(|message| message.contains(expected));
        assert!(fits, "lacks {expected}:\n{found:?}\n{probe}");
    }
}

#[test]
fn e2_a_header_that_carries_nothing_or_goes_another_way_is_refused_at_load() {
    let http = "kind = \"http\"\nurl = \"https://x.example\"\npath = \"/login\"\n";
    let control = "control = { login = \"canary\", secret = \"local:crm/probe/canary\" }\n";
    let cases = [
        (
            format!(
                "{http}{control}shown_as = \"header:X-Key:key\"\nrefused = {{ status = [\"401\"] }}"
            ),
            "`shown_as` is `header:X-Key:key`",
        ),
        (
            format!(
                "{http}{control}shown_as = \"bearer\"\nheaders = {{ Cookie = \"a=b\" }}\n\
                 refused = {{ status = [\"401\"] }}"
            ),
            "`Cookie` is no header that can be set here",
        ),
    ];
    for (probe, expected) in cases {
        let found = told(&probe);
        let fits = found.iter().any(|message| message.contains(expected));
        assert!(fits, "lacks {expected}:\n{found:?}\n{probe}");
    }
}

#[test]
fn e2_keys_that_are_known_by_a_digest_cannot_be_tried() {
    let page = include_str!("../../../../docs/connectors/probes.md");
    let (name, text) = crate::connectors::rehearsal::manifest_in(page);
    let probe = "\n[[probe]]\nname = \"tokens\"\nkind = \"introspection\"\nurl = \"https://x.example\"\n\
        path = \"/introspect\"\ncontrol = { token_path = \"/token\", sees_every_token = true }\n";
    let clock: Arc<dyn Clock> = Moved::new();
    let file = (name, format!("{text}{probe}"));
    let problems = crate::connectors::Registry::load(&[file], &clock).expect_err("refused");
    let all = problems.to_string();
    assert!(all.contains("the probe `tokens` tries `listed`"), "{all}");
}

#[test]
fn h3_the_manifest_in_the_documentation_can_be_loaded() {
    let page = include_str!("../../../../docs/connectors/probes.md");
    let file = crate::connectors::rehearsal::manifest_in(page);
    let clock: Arc<dyn Clock> = Moved::new();
    let registry = crate::connectors::Registry::load(&[file], &clock);
    let registry = registry.unwrap_or_else(|problems| panic!("{problems}"));
    let staff = registry.get(&"staff".into()).expect("loaded");
    let once: Vec<_> = staff.manifest().probes.iter().map(Probe::once).collect();
    assert_eq!(once, [true, false, false]);
    assert!(staff.manifest().probes[2].refers_to("local:staff/probe/canary"));
}

#[test]
fn e2_a_probe_that_tells_a_disabled_account_from_a_wrong_password_is_taken() {
    let found = told(
        "kind = \"http\"\nurl = \"https://x.example\"\npath = \"/login\"\nmethod = \"POST\"\n\
         form = { user = \"{login}\", password = \"{secret}\" }\ntries = \"wrong_password\"\n\
         refused = { status = [\"401\"], body = \"account is disabled\" }\n\
         control = { login = \"canary\", secret = \"local:crm/probe/canary\" }",
    );
    assert_eq!(found, Vec::<String>::new());
}
