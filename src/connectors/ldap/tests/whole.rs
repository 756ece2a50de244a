//! What leaves a look at a directory open though every answer was well.
//!
//! Owns floods, and attributes of keys that no entry shows to the credential that asks.

use super::*;

#[tokio::test]
async fn b4_a_flood_is_not_read_on_beyond_the_declared_band() {
    // New people on each page, for ever: no more are read than the manifest says there may be.
    let head = HEAD.replace("[expect]\n", "[expect]\naccounts_max = 3\n");
    let flood = Stage::with(&head, OPEN, |asked, before| match asked {
        Asked::Search(base, _) if base == "ou=people" => {
            let cookie = ["a", "b", "c", "d", "e", "f"][before.min(5)];
            let people = [person("1", "a"), person("2", "b")];
            Some(
                people
                    .into_iter()
                    .chain([Said::Done(0, Some(cookie))])
                    .collect(),
            )
        }
        _ => None,
    })
    .await;
    let listing = flood.list().await.expect("listed");
    assert_eq!(listing.accounts.len(), 4, "the second page is one too many");
    assert!(!listing.completeness.pages_closed);
    assert!(listing.method.contains("more came than was declared"));
}

#[tokio::test]
async fn e1_an_attribute_of_keys_that_no_entry_shows_proves_nothing() {
    let told = |table: String, shown: bool| async move {
        let stage = Stage::new(&table, move |asked, _| match asked {
            // Somebody has a key, or nobody, or nobody may see one.
            Asked::Search(_, filter) if filter.contains("(sshPublicKey=*)") => Some(if shown {
                vec![person("18", "bob"), END]
            } else {
                vec![END]
            }),
            _ => ada(asked),
        })
        .await;
        let reading = stage.read("17").await.expect("read");
        reading.completeness.permission_cut
    };
    assert!(!told(OPEN.to_owned(), true).await);
    assert!(told(OPEN.to_owned(), false).await);
    let keys = "credentials = [\"sshPublicKey\"]\n";
    let bare = format!("{keys}credentials_may_be_empty = [\"sshPublicKey\"]\n");
    assert!(!told(OPEN.replace(keys, &bare), false).await);
    let other = bare.replace("empty = [\"ssh", "empty = [\"pgp");
    let text = format!(
        "{HEAD}{}",
        OPEN.replace(keys, &other)
            .replace("{url}", "ldap://localhost")
    );
    let problems = read_settings(&text).expect_err("a typo").to_string();
    assert!(
        problems.contains("`pgpPublicKey` is not among `credentials`"),
        "{problems}"
    );
}
