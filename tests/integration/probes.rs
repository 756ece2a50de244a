//! E2: probes on programs that nobody here wrote: what they let in, refuse, and cannot tell.
//!
//! Owns accounts, files and tokens of its own for each test. Each test first shows that the way in
//! is open, closes it at the target past Clawback, and shows that it is refused; and that a target
//! which cannot tell is never taken for one that refuses.

use std::sync::Arc;

use clawback::connectors::{Credential, Guarded, Registry};
use clawback::domain::access::{Account, AccountState};
use clawback::domain::id::ConnectorName;
use clawback::domain::probe::{ProbeFinding, Probed};
use clawback::domain::time::{Clock, Timestamp};
use clawback::domain::verdict::CredentialRole;
use clawback::verification::{Trial, Verification};
use ldap3::{LdapConnAsync, Mod};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection};
use tokio::task::JoinSet;

use super::parts::{Service, part};

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

const HEAD: &str = r#"
name = "target"
purpose = "Probed"
owner = "it@acme.example"
deputy = "iam@acme.example"
review_by = "2099-03-31"
after_removal = "account_gone"
operations = ["list", "read"]
[[correlation]]
identifier = "username"
attribute = "login"
decides = true
[limits]
timeout_seconds = 60
requests_per_second = 1000
[fallback]
steps = ["By hand"]
"#;

pub const LDAP: &str = r#"
kind = "ldap"
[credentials.verifier]
secret = "local:target/verifier"
username = "cn=verifier,ou=services,dc=acme,dc=example"
[ldap]
url = "{url}"
base = "dc=acme,dc=example"
object_class = "inetOrgPerson"
login = "uid"
"#;

/// A connector of this kind with this probe.
pub struct Bench {
    connector: Arc<Guarded>,
    verifier: Credential,
    verification: Verification,
}

impl Bench {
    pub fn new(kind: &str, probe: &str, username: &str, secret: &str) -> Self {
        // Keys of the root come before every table.
        let (root, tables) = kind.trim_start().split_once('\n').expect("kind and tables");
        let text = format!("{root}\n{HEAD}\n{tables}\n{probe}");
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let registry = Registry::load(&[("target.toml".to_owned(), text)], &clock)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let connector = registry.get(&ConnectorName::from("target"));
        Self {
            connector: connector.expect("loaded"),
            verifier: Credential {
                role: CredentialRole::Verifier,
                version: 1,
                remote_ref: None,
                username: Some(username.to_owned()),
                secret: secret.to_owned().into(),
            },
            verification: Verification::new(clock),
        }
    }

    /// The one probe, of this login: with a kept secret, or with keys.
    pub async fn tried(
        &self,
        login: &str,
        id: &str,
        kept: Option<&str>,
        control: Option<&str>,
    ) -> Probed {
        let account = account(login, id);
        let trial = Trial {
            probe: &self.connector.manifest().probes[0],
            account: &account,
            keys: Vec::new(),
            kept: kept.map(|secret| ("local:target/kept".to_owned(), secret.into())),
            control: control.map(Into::into),
        };
        let tries = self
            .verification
            .probe(&self.connector, &self.verifier, &trial);
        let mut tries = tries.await;
        assert_eq!(tries.len(), 1, "{tries:?}");
        let one = tries.remove(0);
        for secret in [kept, control].into_iter().flatten() {
            assert!(!format!("{one:?}").contains(secret), "{one:?}");
        }
        one
    }

    /// The one probe, of one key of this login.
    async fn keyed(&self, login: &str, key: &str, control: &str) -> Probed {
        let account = account(login, login);
        let trial = Trial {
            probe: &self.connector.manifest().probes[0],
            account: &account,
            keys: vec![key.to_owned()],
            kept: None,
            control: Some(control.into()),
        };
        let tries = self
            .verification
            .probe(&self.connector, &self.verifier, &trial);
        let mut tries = tries.await;
        assert_eq!(tries.len(), 1, "{tries:?}");
        tries.remove(0)
    }
}

fn account(login: &str, id: &str) -> Account {
    Account {
        id: id.into(),
        login: login.to_owned(),
        display_name: None,
        state: AccountState::Disabled,
        attributes: std::collections::BTreeMap::new(),
        entitlements: Vec::new(),
        sessions: None,
        further: std::collections::BTreeMap::new(),
        privileged: false,
    }
}

/// A person in the directory, and the directory's manager.
async fn person(uid: &str) -> (ldap3::Ldap, String, JoinSet<()>) {
    let url = part("CLAWBACK_TEST_SLAPD");
    let (connection, mut manager) = LdapConnAsync::new(&url).await.expect("the directory");
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // It ends with its test.
        let _ = connection.drive().await;
    });
    let bound = manager.simple_bind("cn=admin,dc=acme,dc=example", "admin-password");
    bound.await.expect("asked").success().expect("signed in");
    let dn = format!("uid={uid},dc=acme,dc=example");
    let attributes = vec![
        ("objectClass", ["inetOrgPerson"].into()),
        ("uid", [uid].into()),
        ("cn", [uid].into()),
        ("sn", [uid].into()),
        ("userPassword", ["own-password"].into()),
    ];
    let added = manager.add(&dn, attributes).await.expect("asked");
    added.success().expect("added");
    (manager, dn, driver)
}

async fn lock(manager: &mut ldap3::Ldap, dn: &str) {
    let locked = Mod::Replace("pwdAccountLockedTime", ["000001010000Z"].into());
    let done = manager.modify(dn, vec![locked]).await.expect("asked");
    done.success().expect("locked");
}

#[tokio::test]
async fn e2_slapd_refuses_the_bind_of_an_account_that_is_locked() {
    let uid = format!("probed-{}", std::process::id());
    let (mut manager, dn, _driver) = person(&uid).await;
    let canary = format!("canary-{uid}");
    let (_, _, _canary) = person(&canary).await;
    let probe = format!(
        "[[probe]]\nname = \"bind\"\nkind = \"ldap_bind\"\n\
         sign_in_name = \"uid={{login}},dc=acme,dc=example\"\nkept = {{ {uid} = \"local:x\" }}\n\
         control = {{ login = \"{canary}\", secret = \"local:target/canary\" }}"
    );
    let ldap = LDAP.replace("{url}", &part("CLAWBACK_TEST_SLAPD"));
    let name = "cn=verifier,ou=services,dc=acme,dc=example";
    let bench = Bench::new(&ldap, &probe, name, "verifier-password");
    let own = Some("own-password");
    let tried = bench.tried(&uid, &uid, own, own).await;
    assert_eq!(tried.finding, ProbeFinding::LetIn, "{tried:?}");
    assert!(tried.control.contains("was let in by ldap_bind"));
    lock(&mut manager, &dn).await;
    let tried = bench.tried(&uid, &uid, own, own).await;
    assert_eq!(tried.finding, ProbeFinding::Refused, "{tried:?}");
    // And of one that is gone.
    manager
        .delete(&dn)
        .await
        .expect("asked")
        .success()
        .expect("gone");
    let tried = bench.tried(&uid, &uid, own, own).await;
    assert_eq!(tried.finding, ProbeFinding::Refused, "{tried:?}");
    // A control that is turned away itself leaves everything untold.
    let tried = bench.tried(&uid, &uid, own, Some("another")).await;
    assert_eq!(tried.finding, ProbeFinding::CouldNotTell, "{tried:?}");
}

#[tokio::test]
async fn e2_slapd_tells_a_locked_account_without_its_password_where_its_policy_does() {
    let uid = format!("policed-{}", std::process::id());
    let (mut manager, dn, _driver) = person(&uid).await;
    let probe = "[[probe]]\nname = \"bind\"\nkind = \"ldap_bind\"\ntries = \"wrong_password\"\n\
                 sign_in_name = \"uid={login},dc=acme,dc=example\"\nrefused = [\"locked\"]";
    let ldap = LDAP.replace("{url}", &part("CLAWBACK_TEST_SLAPD"));
    let name = "cn=verifier,ou=services,dc=acme,dc=example";
    let bench = Bench::new(&ldap, probe, name, "verifier-password");
    // An account that can sign in answers as to any wrong password: that tells nothing.
    let tried = bench.tried(&uid, &uid, None, None).await;
    assert_eq!(tried.finding, ProbeFinding::CouldNotTell, "{tried:?}");
    assert!(tried.spent, "it is not tried again");
    lock(&mut manager, &dn).await;
    let tried = bench.tried(&uid, &uid, None, None).await;
    assert_eq!(tried.finding, ProbeFinding::Refused, "{tried:?}");
    manager
        .delete(&dn)
        .await
        .expect("asked")
        .success()
        .expect("gone");
    // Nobody by that name answers like a wrong password too.
    let tried = bench.tried(&uid, &uid, None, None).await;
    assert_eq!(tried.finding, ProbeFinding::CouldNotTell, "{tried:?}");
}

#[tokio::test]
async fn e2_nginx_refuses_a_page_to_a_name_that_left_its_password_file() {
    let site = Service::up(
        "nginx",
        "nginx-probed",
        &["user=ada:ada-password", "user=canary:canary-password"],
    );
    let probe = format!(
        "[[probe]]\nname = \"site\"\nkind = \"http\"\nurl = \"{}\"\npath = \"/private/\"\n\
         shown_as = \"basic\"\nrefused = {{ status = [\"401\"] }}\n\
         kept = {{ ada = \"local:x\" }}\n\
         control = {{ login = \"canary\", secret = \"local:target/canary\" }}",
        site.value("URL")
    );
    let ldap = LDAP.replace("{url}", "ldap://127.0.0.1:1");
    let bench = Bench::new(&ldap, &probe, "v", "v");
    let canary = Some("canary-password");
    let tried = bench
        .tried("ada", "ada", Some("ada-password"), canary)
        .await;
    assert_eq!(tried.finding, ProbeFinding::LetIn, "{tried:?}");
    let file = site.value("HTPASSWD");
    let kept = std::fs::read_to_string(file).expect("readable");
    let rest = kept.lines().filter(|line| !line.starts_with("ada:"));
    let rest: Vec<_> = rest.map(|line| format!("{line}\n")).collect();
    std::fs::write(file, rest.concat()).expect("writable");
    let tried = bench
        .tried("ada", "ada", Some("ada-password"), canary)
        .await;
    assert_eq!(tried.finding, ProbeFinding::Refused, "{tried:?}");
    assert_eq!(tried.method, "GET /private/");
    // Where the control is turned away too, nobody can tell.
    std::fs::write(file, "# nobody\n").expect("writable");
    let tried = bench
        .tried("ada", "ada", Some("ada-password"), canary)
        .await;
    assert_eq!(tried.finding, ProbeFinding::CouldNotTell, "{tried:?}");
    site.ctl("stop");
    let tried = bench
        .tried("ada", "ada", Some("ada-password"), canary)
        .await;
    assert_eq!(tried.finding, ProbeFinding::CouldNotTell, "{tried:?}");
}

/// An `[sql]` table for the roles of a server, and a probe of one login.
fn sql(url: &str, login: &str) -> (String, String) {
    let kind = format!(
        "kind = \"sql\"\n[credentials.verifier]\nsecret = \"local:target/verifier\"\n\
         username = \"{login}_v\"\n[sql]\nurl = \"{url}\"\n[sql.roles]\nnames = [\"{login}*\"]\n"
    );
    let probe = format!(
        "[[probe]]\nname = \"login\"\nkind = \"sql_login\"\nkept = {{ {login} = \"local:x\" }}"
    );
    (kind, probe)
}

#[tokio::test]
async fn e2_postgresql_refuses_the_login_and_holds_no_session() {
    let login = format!("probed{}", std::process::id());
    let url = part("CLAWBACK_TEST_POSTGRES");
    let admin_url = part("CLAWBACK_TEST_POSTGRES_ADMIN");
    let mut admin = PgConnection::connect(&admin_url).await.expect("the server");
    let run = async |admin: &mut PgConnection, text: String| {
        sqlx::raw_sql(AssertSqlSafe(text))
            .execute(admin)
            .await
            .expect("run");
    };
    run(
        &mut admin,
        format!("CREATE ROLE {login} LOGIN PASSWORD 'own-password'"),
    )
    .await;
    let reader = format!("CREATE ROLE {login}_v LOGIN PASSWORD 'v' IN ROLE pg_read_all_stats");
    run(&mut admin, reader).await;
    let (_, place) = url.rsplit_once('@').expect("an address with a user");
    let (kind, probe) = sql(&format!("postgres://{place}"), &login);
    let bench = Bench::new(&kind, &probe, &format!("{login}_v"), "v");
    let oid: i64 = sqlx::query_scalar("SELECT oid::bigint FROM pg_roles WHERE rolname = $1")
        .bind(&login)
        .fetch_one(&mut admin)
        .await
        .expect("there");
    let id = oid.to_string();
    let own = Some("own-password");
    let tried = bench.tried(&login, &id, own, None).await;
    assert_eq!(tried.finding, ProbeFinding::LetIn, "{tried:?}");
    // Given a session that was opened before the role lost its login.
    let as_role = format!("postgres://{login}:own-password@{place}");
    let session = PgConnection::connect(&as_role).await.expect("signed in");
    run(&mut admin, format!("ALTER ROLE {login} NOLOGIN")).await;
    let tried = bench.tried(&login, &id, own, None).await;
    assert_eq!(tried.finding, ProbeFinding::LetIn, "{tried:?}");
    assert!(tried.words.contains("28000; 1 live sessions"), "{tried:?}");
    // It outlives even the role; without a kept password it is seen all the same.
    run(&mut admin, format!("DROP ROLE {login}")).await;
    let tried = bench.tried(&login, &id, None, None).await;
    assert_eq!(tried.finding, ProbeFinding::LetIn, "{tried:?}");
    session.close().await.expect("closed");
    let tried = bench.tried(&login, &id, own, None).await;
    assert_eq!(tried.finding, ProbeFinding::Refused, "{tried:?}");
    let tried = bench.tried(&login, &id, None, None).await;
    assert_eq!(tried.finding, ProbeFinding::NothingToTry, "{tried:?}");
    run(&mut admin, format!("DROP ROLE {login}_v")).await;
}

#[tokio::test]
async fn e2_mariadb_refuses_the_login_and_holds_no_session() {
    let login = format!("probed{}", std::process::id());
    let url = part("CLAWBACK_TEST_MARIADB_ADMIN");
    let mut admin = MySqlConnection::connect(&url).await.expect("the server");
    let run = async |admin: &mut MySqlConnection, text: String| {
        sqlx::raw_sql(AssertSqlSafe(text))
            .execute(admin)
            .await
            .expect("run");
    };
    let user = format!("{login}@'%'");
    run(
        &mut admin,
        format!("CREATE USER {user} IDENTIFIED BY 'own-password'"),
    )
    .await;
    run(
        &mut admin,
        format!("CREATE USER {login}_v@'%' IDENTIFIED BY 'v'"),
    )
    .await;
    run(&mut admin, format!("GRANT PROCESS ON *.* TO {login}_v@'%'")).await;
    let (_, place) = url.rsplit_once('@').expect("an address with a user");
    let (kind, probe) = sql(&format!("mariadb://{place}"), &login);
    let bench = Bench::new(&kind, &probe, &format!("{login}_v"), "v");
    let id = format!("{login}@%");
    let own = Some("own-password");
    let tried = bench.tried(&login, &id, own, None).await;
    assert_eq!(tried.finding, ProbeFinding::LetIn, "{tried:?}");
    let as_user = format!("mariadb://{login}:own-password@{place}");
    let session = MySqlConnection::connect(&as_user).await.expect("signed in");
    run(&mut admin, format!("ALTER USER {user} ACCOUNT LOCK")).await;
    let tried = bench.tried(&login, &id, own, None).await;
    assert_eq!(tried.finding, ProbeFinding::LetIn, "{tried:?}");
    assert!(tried.words.contains("4151; 1 live sessions"), "{tried:?}");
    session.close().await.expect("closed");
    // The server may count a session for a moment after its client has gone.
    super::parts::until("the session has ended", async || {
        let tried = bench.tried(&login, &id, own, None).await;
        tried.finding == ProbeFinding::Refused
    })
    .await;
    for name in [&login, &format!("{login}_v")] {
        run(&mut admin, format!("DROP USER {name}@'%'")).await;
    }
}

async fn token(client: &str) -> String {
    let secret = part(&format!(
        "CLAWBACK_TEST_CANAILLE_{}_SECRET",
        client.to_uppercase()
    ));
    let asked = reqwest::Client::new()
        .post(part("CLAWBACK_TEST_CANAILLE_TOKEN_URL"))
        .basic_auth(client, Some(secret))
        .form(&[("grant_type", "client_credentials"), ("scope", "profile")])
        .send();
    let answer: serde_json::Value = asked.await.expect("asked").json().await.expect("JSON");
    let token = answer["access_token"].as_str();
    token.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn e2_an_oauth_server_that_shows_the_verifier_no_token_cannot_tell() {
    let tokens = part("CLAWBACK_TEST_CANAILLE_TOKEN_URL");
    let base = tokens.strip_suffix("/oauth/token").expect("the server");
    let probe = format!(
        "[[probe]]\nname = \"token\"\nkind = \"introspection\"\nurl = \"{base}\"\n\
         path = \"/oauth/introspect\"\ntries = \"kept\"\nkept = {{ ada = \"local:x\" }}\n\
         control = {{ secret = \"local:target/canary-token\" }}"
    );
    let ldap = LDAP.replace("{url}", "ldap://127.0.0.1:1");
    let secret = part("CLAWBACK_TEST_CANAILLE_VERIFIER_SECRET");
    let bench = Bench::new(&ldap, &probe, "verifier", &secret);
    // This server shows a token only to clients of its audience, and calls every other one dead:
    // the leaver's token, which is alive, would pass for revoked but for the control.
    let (leavers, canary) = (token("verifier").await, token("verifier").await);
    let tried = bench
        .tried("ada", "ada", Some(&leavers), Some(&canary))
        .await;
    assert_eq!(tried.finding, ProbeFinding::CouldNotTell, "{tried:?}");
    assert!(tried.words.contains("active is false"), "{tried:?}");
}

/// An OAuth server of its own with two people, and a client of which each token is shown to that client.
struct Portal {
    service: Service,
    http: reqwest::Client,
}

impl Portal {
    fn up(name: &str) -> Self {
        let people = "people=ada:ada-password,canary:canary-password";
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        Self {
            service: Service::up("canaille", name, &[people]),
            http: http.build().expect("a client"),
        }
    }

    fn at(&self, path: &str) -> String {
        let tokens = self.service.value("TOKEN_URL");
        let base = tokens.strip_suffix("/oauth/token").expect("the server");
        format!("{base}{path}")
    }

    async fn asked(&self, path: &str, form: &[(&str, &str)]) -> serde_json::Value {
        let asked = self.http.post(self.at(path)).form(form);
        let asked = asked.basic_auth("portal", Some(self.service.value("PORTAL_SECRET")));
        let answer = asked.send().await.expect("asked");
        answer.json().await.expect("JSON")
    }

    /// An access token and a refresh token of this person.
    async fn tokens(&self, who: &str) -> (String, String) {
        let password = format!("{who}-password");
        let form = [
            ("grant_type", "password"),
            ("username", who),
            ("password", &password),
            ("scope", "profile"),
        ];
        let told = self.asked("/oauth/token", &form).await;
        let part = |name: &str| {
            let text = told[name].as_str();
            text.unwrap_or_else(|| panic!("{told}")).to_owned()
        };
        (part("access_token"), part("refresh_token"))
    }

    /// The cookie of a session of this person, as their browser gets it.
    async fn session(&self, who: &str) -> String {
        let mut cookie = String::new();
        let password = format!("{who}-password");
        for (path, field, value) in [
            ("/login", "login", who),
            ("/auth/password", "password", password.as_str()),
        ] {
            let page = self.http.get(self.at(path)).header("Cookie", &cookie);
            let page = page.send().await.expect("asked");
            cookie = renewed(&page).unwrap_or(cookie);
            let text = page.text().await.expect("text");
            let (_, token) = text
                .split_once("name=\"csrf_token\" value=\"")
                .expect("a form");
            let token = token.split('"').next().expect("it ends").to_owned();
            let sent = self.http.post(self.at(path)).header("Cookie", &cookie);
            let sent = sent.form(&[("csrf_token", token.as_str()), (field, value)]);
            let sent = sent.send().await.expect("asked");
            assert_eq!(sent.status(), 302, "{who} at {path}");
            cookie = renewed(&sent).unwrap_or(cookie);
        }
        let (_, value) = cookie.split_once('=').expect("a cookie");
        value.to_owned()
    }
}

/// The session cookie of an answer, if it sets one.
fn renewed(answer: &reqwest::Response) -> Option<String> {
    let set = answer.headers().get("set-cookie")?.to_str().ok()?;
    Some(set.split(';').next()?.to_owned())
}

#[tokio::test]
async fn e2_an_oauth_server_calls_revoked_access_and_refresh_tokens_dead() {
    let portal = Portal::up("canaille-tokens");
    let probe = format!(
        "[[probe]]\nname = \"token\"\nkind = \"introspection\"\nurl = \"{}\"\n\
         path = \"/oauth/introspect\"\ntries = \"kept\"\nkept = {{ ada = \"local:x\" }}\n\
         control = {{ secret = \"local:target/canary-token\" }}",
        portal.at("")
    );
    let ldap = LDAP.replace("{url}", "ldap://127.0.0.1:1");
    let bench = Bench::new(
        &ldap,
        &probe,
        "portal",
        portal.service.value("PORTAL_SECRET"),
    );
    let (access, refresh) = portal.tokens("ada").await;
    let (canary, _) = portal.tokens("canary").await;
    for token in [&access, &refresh] {
        let tried = bench.tried("ada", "ada", Some(token), Some(&canary)).await;
        assert_eq!(tried.finding, ProbeFinding::LetIn, "{tried:?}");
    }
    // When the refresh token is revoked (RFC 7009), both are dead, and it buys no new one.
    portal.asked("/oauth/revoke", &[("token", &refresh)]).await;
    for token in [&access, &refresh] {
        let tried = bench.tried("ada", "ada", Some(token), Some(&canary)).await;
        assert_eq!(tried.finding, ProbeFinding::Refused, "{tried:?}");
    }
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*refresh),
    ];
    let told = portal.asked("/oauth/token", &form).await;
    assert_eq!(told["error"], "invalid_grant", "{told}");
    // With a control that is dead as well nobody can tell.
    portal.asked("/oauth/revoke", &[("token", &canary)]).await;
    let tried = bench
        .tried("ada", "ada", Some(&access), Some(&canary))
        .await;
    assert_eq!(tried.finding, ProbeFinding::CouldNotTell, "{tried:?}");
}

#[tokio::test]
async fn e2_a_page_refuses_a_session_of_somebody_who_is_gone() {
    let portal = Portal::up("canaille-session");
    let probe = format!(
        "[[probe]]\nname = \"session\"\nkind = \"http\"\nurl = \"{}\"\n\
         path = \"/profile/{{login}}\"\nshown_as = \"cookie:canaille\"\n\
         refused = {{ status = [\"403\", \"404\"] }}\nkept = {{ ada = \"local:x\" }}\n\
         control = {{ login = \"canary\", secret = \"local:target/canary\" }}",
        portal.at("")
    );
    let ldap = LDAP.replace("{url}", "ldap://127.0.0.1:1");
    let bench = Bench::new(&ldap, &probe, "v", "v");
    let (session, canary) = (portal.session("ada").await, portal.session("canary").await);
    let tried = bench
        .tried("ada", "ada", Some(&session), Some(&canary))
        .await;
    assert_eq!(tried.finding, ProbeFinding::LetIn, "{tried:?}");
    let writer = portal.http.post(portal.at("/oauth/token"));
    let writer = writer.basic_auth("writer", Some(portal.service.value("WRITER_SECRET")));
    let writer = writer.form(&[("grant_type", "client_credentials"), ("scope", "profile")]);
    let writer: serde_json::Value = writer
        .send()
        .await
        .expect("asked")
        .json()
        .await
        .expect("JSON");
    let gone = portal.http.delete(portal.at("/scim/v2/Users/ada"));
    let gone = gone.bearer_auth(writer["access_token"].as_str().expect("a token"));
    assert!(gone.send().await.expect("asked").status().is_success());
    let tried = bench
        .tried("ada", "ada", Some(&session), Some(&canary))
        .await;
    assert_eq!(tried.finding, ProbeFinding::Refused, "{tried:?}");
    let tried = bench
        .tried("ada", "ada", Some(&session), Some("no-session"))
        .await;
    assert_eq!(tried.finding, ProbeFinding::CouldNotTell, "{tried:?}");
}

#[tokio::test]
async fn e2_aws_iam_refuses_a_key_that_is_gone_before_it_looks_at_the_signature() {
    let service = Service::up("moto", "moto-probed", &[]);
    let iam = super::rotation::Iam::at(service.value("URL"));
    let key = |made: &str| made.split(':').next().expect("an id").to_owned();
    let (leaver, canary) = (key(&iam.user("ada").await), key(&iam.user("canary").await));
    iam.check_signatures(0).await;
    let probe = format!(
        "[[probe]]\nname = \"key\"\nkind = \"http\"\nurl = \"{}\"\npath = \"/\"\n\
         method = \"POST\"\ntries = \"listed\"\nform = {{ Action = \"GetUser\", Version = \"2010-05-08\" }}\n\
         shown_as = \"header:Authorization:AWS4-HMAC-SHA256 \
         Credential={{secret}}/20260101/us-east-1/iam/aws4_request, SignedHeaders=host;x-amz-date, Signature=00\"\n\
         headers = {{ X-Amz-Date = \"20260101T000000Z\" }}\n\
         refused = {{ status = [\"403\"], body = \"InvalidClientTokenId\" }}\n\
         let_in = {{ status = [\"403\"], body = \"SignatureDoesNotMatch\" }}\n\
         control = {{ login = \"canary\", secret = \"local:target/canary-key\" }}",
        service.value("URL")
    );
    // The target itself is not asked; its kind is one whose ids of keys may be what is presented.
    let (kind, _) = sql("postgres://127.0.0.1:1/postgres", "ada");
    let bench = Bench::new(&kind, &probe, "v", "v");
    let tried = bench.keyed("ada", &leaver, &canary).await;
    assert_eq!(tried.finding, ProbeFinding::LetIn, "{tried:?}");
    // The key goes, past Clawback.
    iam.check_signatures(1).await;
    let gone = [
        ("Action", "DeleteAccessKey"),
        ("UserName", "ada"),
        ("AccessKeyId", &*leaver),
    ];
    iam.call(&gone).await;
    iam.check_signatures(0).await;
    let tried = bench.keyed("ada", &leaver, &canary).await;
    assert_eq!(tried.finding, ProbeFinding::Refused, "{tried:?}");
    // Where the canary's key is gone too, nobody can tell.
    let tried = bench.keyed("ada", &leaver, &leaver).await;
    assert_eq!(tried.finding, ProbeFinding::CouldNotTell, "{tried:?}");
}

#[tokio::test]
async fn e2_a_scim_server_shows_the_control_and_no_more_the_leaver() {
    let server = Service::up("scim", "scim-probed", &[]);
    let (url, writer) = (server.value("URL"), server.value("WRITER_TOKEN"));
    let client = reqwest::Client::new();
    let add = async |name: &str| {
        let user = serde_json::json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name
        });
        let added = client
            .post(format!("{url}/Users"))
            .bearer_auth(writer)
            .json(&user);
        let answer = added.send().await.expect("asked");
        let told: serde_json::Value = answer.json().await.expect("JSON");
        told["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{told}"))
            .to_owned()
    };
    let (canary, leaver) = (add("canary").await, add("leaver").await);
    let base = url.strip_suffix("/v2").expect("the server");
    let probe = format!(
        "[[probe]]\nname = \"downstream\"\nkind = \"page\"\nurl = \"{base}\"\n\
         path = \"/v2/Users/{{id}}\"\nsign_in = \"bearer\"\n\
         refused = {{ status = [\"404\"] }}\ncontrol = {{ login = \"canary\", id = \"{canary}\" }}"
    );
    let ldap = LDAP.replace("{url}", "ldap://127.0.0.1:1");
    let bench = Bench::new(&ldap, &probe, "v", server.value("VERIFIER_TOKEN"));
    let tried = bench.tried("leaver", &leaver, None, None).await;
    assert_eq!(tried.finding, ProbeFinding::LetIn, "{tried:?}");
    let gone = client
        .delete(format!("{url}/Users/{leaver}"))
        .bearer_auth(writer);
    assert!(gone.send().await.expect("asked").status().is_success());
    let tried = bench.tried("leaver", &leaver, None, None).await;
    assert_eq!(tried.finding, ProbeFinding::Refused, "{tried:?}");
    // Turned away itself, Clawback cannot tell.
    let blind = Bench::new(&ldap, &probe, "v", "not-a-token");
    let tried = blind.tried("leaver", &leaver, None, None).await;
    assert_eq!(tried.finding, ProbeFinding::CouldNotTell, "{tried:?}");
}
