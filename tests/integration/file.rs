//! The file kind on a list that a real nginx serves by.
//!
//! Owns one proof: after the removal the person is turned away and everybody else still comes in,
//! as nginx itself sees it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use clawback::connectors::{Answered, Change, Credential, Registry};
use clawback::domain::access::Operation;
use clawback::domain::id::ConnectorName;
use clawback::domain::outcome::FailureClass;
use clawback::domain::time::{Clock, Timestamp};
use clawback::domain::verdict::CredentialRole;

use super::parts::Service;

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// The manifest that the documentation shows, with another path.
fn manifest(path: &Path) -> (String, String) {
    let page = include_str!("../../docs/connectors/file.md");
    let text = page.split("```toml\n").nth(1).expect("a manifest");
    let text = text.split("```").next().expect("it ends");
    let shown = path.display().to_string();
    let text = text.replace("\"/etc/nginx/partners.htpasswd\"", &format!("\"{shown}\""));
    ("partner-portal.toml".to_owned(), text)
}

fn credential(role: CredentialRole) -> Credential {
    Credential {
        role,
        version: 1,
        remote_ref: None,
        username: None,
        secret: String::new().into(),
    }
}

async fn statuses(url: &str, users: &BTreeMap<&str, &str>) -> BTreeMap<String, u16> {
    let client = reqwest::Client::builder().no_proxy().build();
    let client = client.expect("a client");
    let mut statuses = BTreeMap::new();
    for (login, password) in users {
        let request = client.get(url).basic_auth(login, Some(password));
        let answer = request.send().await.expect("nginx answers");
        statuses.insert((*login).to_owned(), answer.status().as_u16());
    }
    statuses
}

#[tokio::test]
async fn p1_nginx_turns_the_leaver_away_and_lets_the_others_in() {
    let users = ["user=ada:one", "user=bob:two", "user=zoe:three"];
    let nginx = Service::up("nginx", "file-kind", &users);
    let known = BTreeMap::from([("ada", "one"), ("bob", "two"), ("zoe", "three")]);
    let url = nginx.value("PRIVATE_URL");
    let list = Path::new(nginx.value("HTPASSWD"));
    let list = list.canonicalize().expect("the list");
    let before = std::fs::read_to_string(&list).expect("readable");
    let stood = std::fs::metadata(&list).expect("is there");
    assert!(before.starts_with('#'), "it has a comment to keep");
    assert!(statuses(url, &known).await.values().all(|s| *s == 200));

    let clock: Arc<dyn Clock> = Arc::new(Still);
    let registry = Registry::load(&[manifest(&list)], &clock);
    let registry = registry.unwrap_or_else(|problems| panic!("{problems}"));
    let name = ConnectorName::from("partner-portal");
    let portal = registry.get(&name).expect("loaded");
    let (writer, verifier) = (
        credential(CredentialRole::Writer),
        credential(CredentialRole::Verifier),
    );
    let delete = Change {
        operation: Operation::Delete,
        account: "bob".into(),
        login: "bob".to_owned(),
        entitlement: None,
    };
    let failure = portal.write(&verifier, &delete).await;
    assert_eq!(failure.expect_err("no writer").class, FailureClass::Refused);
    assert_eq!(portal.write(&writer, &delete).await, Ok(Answered::Accepted));

    let after = statuses(url, &known).await;
    assert_eq!((after["ada"], after["bob"], after["zoe"]), (200, 401, 200));
    let left = std::fs::read_to_string(&list).expect("readable");
    let expected: String = before
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("bob:"))
        .collect();
    assert_eq!(left, expected);
    let stands = std::fs::metadata(&list).expect("is there");
    assert_eq!(
        (stands.mode(), stands.uid(), stands.gid()),
        (stood.mode(), stood.uid(), stood.gid())
    );
    let reading = portal.read(&verifier, &"bob".into()).await.expect("read");
    assert_eq!(reading.account, None);
    assert_eq!(reading.completeness.gap(), None);
    assert_eq!(portal.write(&writer, &delete).await, Ok(Answered::Absent));
}
