//! B2, D2: kill -9 at every point of a rotation, on real targets.
//!
//! Owns the points: each step after its effect and before its settlement, and each change of the target
//! before it arrives, after its effect, and with its answer lost. The worker is killed there and another
//! one goes on. At the end the new secret works, every older one is refused, and the target holds no
//! other. What works is asked of the target itself.

pub mod gate;

use std::sync::Arc;

use clawback::connectors::{Guarded, Registry};
use clawback::domain::id::ConnectorName;
use clawback::domain::outcome::FailureClass;
use clawback::domain::time::{Clock, Timestamp};
use clawback::domain::verdict::CredentialRole;
use clawback::secrets::{LocalVault, Owner, Secrets, Slot};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use self::gate::{Gate, Point};
use crate::house::{House, Plan, Worker};
use crate::parts::{Service, part, until};
use crate::rotation::{Iam, aws_manifest};

/// Held by the test; a settlement that is to stop waits for it.
const LOCK: i64 = 4711;

/// Makes the settlement of a named state wait, in the transaction that writes it.
const STOPS: &str = "
CREATE TABLE test_stop (state text);
CREATE FUNCTION test_stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM test_stop WHERE state = NEW.state) THEN
        PERFORM pg_advisory_xact_lock(4711);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER test_stop BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION test_stop();";

/// The states of `rotate_secret.toml` that do something; the overlap only waits, and leaves no line.
const STATES: [&str; 6] = ["prepare", "create", "test", "promote", "retire", "prove"];

/// Where a rotation is broken off.
#[derive(Debug, Clone)]
pub enum Break {
    /// What the state does is done, and not settled.
    BeforeSettle(&'static str),
    /// At a request to the target. Held, and then the worker is killed; or the line is cut.
    OnTheLine(Point),
}

impl Break {
    /// Before each settlement, and at each change of the target.
    pub fn all(changes: &[(&'static str, &'static str)]) -> Vec<Self> {
        let mut all: Vec<_> = STATES.into_iter().map(Self::BeforeSettle).collect();
        for (request, answer) in changes {
            let ways = [(None, true), (Some(*answer), true), (Some(*answer), false)];
            all.extend(ways.map(|(answer, hold)| {
                Self::OnTheLine(Point {
                    request,
                    answer,
                    hold,
                })
            }));
        }
        all
    }
}

/// A house whose connector's own secret is rotated again and again.
pub struct Bench {
    house: House,
    gate: Gate,
    worker: Worker,
    workers: usize,
    connector: &'static str,
    role: CredentialRole,
    vault: LocalVault,
    rotated: i64,
    lock: PgConnection,
}

impl Bench {
    pub async fn begin(
        house: House,
        gate: Gate,
        (connector, role): (&'static str, CredentialRole),
    ) -> Self {
        house.two_people();
        house.in_own_database(STOPS).await;
        let folder = house.folder.path();
        let vault = LocalVault::open_by_file(&folder.join("vault"), &folder.join("vault.key"));
        let mut lock = PgConnection::connect(&house.database)
            .await
            .expect("the database");
        let taken = sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(LOCK)
            .execute(&mut lock);
        taken.await.expect("taken");
        let mut worker = house.worker("0");
        house.ready(&mut worker).await;
        Self {
            vault: vault.expect("it opens"),
            house,
            gate,
            worker,
            workers: 1,
            connector,
            role,
            rotated: 0,
            lock,
        }
    }

    /// What the vault keeps as current: sign-in name and value. Nothing else is left in it.
    fn current(&self) -> (Option<String>, String) {
        for slot in [Slot::Pending, Slot::Previous] {
            // Before the first rotation an operator's own value may have one before it.
            let left = self.kept(slot).is_some() && self.rotated > 0;
            assert!(!left, "{slot:?} is left");
        }
        self.kept(Slot::Current).expect("there")
    }

    /// Sign-in name and value in one slot of the vault.
    pub fn kept(&self, slot: Slot) -> Option<(Option<String>, String)> {
        let owner = Owner {
            reference: format!("local:{}/{}", self.connector, self.role.as_str()),
            connector: self.connector.into(),
            role: self.role,
        };
        let held = self.vault.reveal(&owner, slot).expect("readable")?;
        Some((held.record.username, held.value.expose_secret().to_owned()))
    }

    /// Settlements that wait where they were told to.
    async fn waiting(&mut self) -> Vec<i32> {
        let text = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let all = sqlx::query_scalar(text).fetch_all(&mut self.lock);
        all.await.expect("asked")
    }

    /// One rotation that is broken off once, and ends well all the same.
    async fn rotate(&mut self, broken: &Break) {
        let stuck = self.break_off(broken).await;
        self.get_over(broken, stuck).await;
    }

    /// A rotation comes to where it is to be broken off, and stands there. Returns the settlements that wait.
    pub async fn break_off(&mut self, broken: &Break) -> Vec<i32> {
        match broken {
            Break::BeforeSettle(state) => {
                let text = format!("INSERT INTO test_stop VALUES ('{state}')");
                self.house.in_own_database(&text).await;
            }
            Break::OnTheLine(point) => self.gate.arm(point.clone()),
        }
        let role = self.role.as_str();
        let order = [
            "secrets",
            "rotate",
            self.connector,
            "--role",
            role,
            "--as",
            "ada",
        ];
        let told = self.house.cli(&order, "");
        assert_eq!(told.code, 0, "{broken:?}: {}", told.words);
        let mut stuck = Vec::new();
        until(&format!("{broken:?} comes"), async || {
            stuck = self.waiting().await;
            !stuck.is_empty() || self.gate.fired()
        })
        .await;
        match broken {
            Break::BeforeSettle(_) => assert!(!stuck.is_empty(), "{broken:?} never came"),
            Break::OnTheLine(_) => assert!(self.gate.fired(), "{broken:?} never came"),
        }
        stuck
    }

    /// The worker is killed where it stands, if it does, and another one goes on to the end.
    pub async fn get_over(&mut self, broken: &Break, stuck: Vec<i32>) {
        if !matches!(broken, Break::OnTheLine(point) if !point.hold) {
            self.worker.process.kill().expect("killed");
            self.worker.process.wait().expect("gone");
            // What it had sent to the store is not to arrive after its death.
            for process in stuck {
                let end = sqlx::query("SELECT pg_terminate_backend($1)").bind(process);
                end.execute(&mut self.lock).await.expect("ended");
            }
            self.house.in_own_database("DELETE FROM test_stop").await;
            self.worker = self.house.worker(&self.workers.to_string());
            self.workers += 1;
            self.house.ready(&mut self.worker).await;
        }
        self.rotated += 1;
        let (done, house) = (self.rotated, &self.house);
        until(&format!("{broken:?} is got over"), async || {
            let of = "runs WHERE kind = 'rotation' AND ended";
            house.count(&format!("{of} IS NULL")).await == 0
                && house.count(&format!("{of} = 'rotated'")).await == done
        })
        .await;
        assert_eq!(
            self.house.count("tasks").await,
            0,
            "{broken:?}: nobody was needed"
        );
    }
}

async fn opens(place: &str, name: &str, password: &str) -> bool {
    let url = format!("postgres://{name}:{password}@{place}");
    PgConnection::connect(&url).await.is_ok()
}

/// The shop behind a gate, and where it is without one.
async fn shop(name: &'static str) -> (House, Gate, String) {
    let house = House::build(Plan {
        name,
        leavers: 1,
        ..Plan::default()
    })
    .await;
    let (_, place) = house.shop.rsplit_once('@').expect("an address with a user");
    let (host, database) = place.split_once('/').expect("a database");
    let gate = Gate::before(host).await;
    let behind = format!("postgres://{}/{database}", gate.address);
    house.rewrite("shop", &format!("postgres://{place}"), &behind);
    let place = place.to_owned();
    (house, gate, place)
}

/// What a change of the password looks like on PostgreSQL's line (its COMMIT is what makes it so).
const SET: (&str, &str) = ("PASSWORD 'SCRAM", "COMMIT");
const CLOSE: (&str, &str) = ("PASSWORD NULL", "COMMIT");

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_worker_killed_anywhere_in_a_rotation_of_one_password_leaves_one_that_works() {
    let (house, gate, place) = shop("killone").await;
    let name = format!("killone_{}_writer", std::process::id());
    let mut bench = Bench::begin(house, gate, ("shop", CredentialRole::Writer)).await;
    let mut older = vec![bench.current().1];
    for broken in Break::all(&[SET]) {
        bench.rotate(&broken).await;
        let (_, value) = bench.current();
        assert!(
            opens(&place, &name, &value).await,
            "{broken:?}: the new one"
        );
        for old in &older {
            assert!(!opens(&place, &name, old).await, "{broken:?}: an old one");
        }
        older.push(value);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_worker_killed_anywhere_in_a_rotation_of_two_roles_leaves_one_that_opens() {
    let (house, gate, place) = shop("killtwo").await;
    let unique = format!("killtwo_{}", std::process::id());
    let mut admin = PgConnection::connect(&part("CLAWBACK_TEST_POSTGRES_ADMIN"))
        .await
        .expect("the server");
    let second = format!(
        "CREATE ROLE {unique}_second LOGIN IN ROLE {unique}_writer; \
         GRANT {unique}_second TO {unique}_rotator WITH ADMIN OPTION"
    );
    let done = sqlx::raw_sql(AssertSqlSafe(second)).execute(&mut admin);
    done.await.expect("done");
    let both = format!("rotation = \"dual_slot\"\nalternate_username = \"{unique}_second\"");
    house.rewrite("shop", "rotation = \"choose\"", &both);
    let mut bench = Bench::begin(house, gate, ("shop", CredentialRole::Writer)).await;
    let first = format!("{unique}_writer");
    let mut older = vec![(first, bench.current().1)];
    for broken in Break::all(&[SET, CLOSE]) {
        bench.rotate(&broken).await;
        let (name, value) = bench.current();
        let name = name.expect("one of the two");
        assert!(
            opens(&place, &name, &value).await,
            "{broken:?}: the new one"
        );
        for (name, old) in &older {
            assert!(!opens(&place, name, old).await, "{broken:?}: an old one");
        }
        older.push((name, value));
        let text = format!(
            "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL \
             AND rolname IN ('{unique}_writer', '{unique}_second')"
        );
        let open: i64 = sqlx::query_scalar(AssertSqlSafe(text))
            .fetch_one(&mut admin)
            .await
            .expect("asked");
        assert_eq!(open, 1, "{broken:?}: the other name has no password");
    }
}

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// The connector as the test itself asks by it, past gate and worker.
fn guarded(text: &str) -> Arc<Guarded> {
    let clock: Arc<dyn Clock> = Arc::new(Still);
    let registry = Registry::load(&[("aws.toml".to_owned(), text.to_owned())], &clock);
    let registry = registry.unwrap_or_else(|problems| panic!("{problems}"));
    registry
        .get(&ConnectorName::from("aws"))
        .expect("it is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_worker_killed_anywhere_in_a_rotation_of_access_keys_orphans_none() {
    let service = Service::up("moto", "rotation-kills", &[]);
    let iam = Iam::at(service.value("URL"));
    let first = iam.user("clawback-verifier").await;
    let rotator = iam.user("clawback-rotator").await;
    iam.check_signatures(0).await;
    let host = service.value("URL").trim_start_matches("http://");
    let gate = Gate::before(host).await;
    let house = House::build(Plan {
        name: "killkeys",
        leavers: 1,
        ..Plan::default()
    })
    .await;
    let text = |url: &str| aws_manifest(url, house.folder.path()).replace("= 300", "= 1");
    let through = text(&format!("http://{}", gate.address));
    let path = house.folder.path().join("connectors/aws.toml");
    std::fs::write(path, through).expect("written");
    for (role, value) in [
        ("writer", &rotator),
        ("verifier", &first),
        ("rotator", &rotator),
    ] {
        let told = house.cli(
            &["secrets", "set", "--as", "ada", "aws", "--role", role],
            value,
        );
        assert_eq!(told.code, 0, "{}", told.words);
    }
    let asked = guarded(&text(service.value("URL")));
    let mut bench = Bench::begin(house, gate, ("aws", CredentialRole::Verifier)).await;
    let secrets = Secrets::new(Arc::new(bench.vault.clone()));
    let mut older = vec![first];
    let made = ("Action=CreateAccessKey", "HTTP/1");
    let deleted = ("Action=DeleteAccessKey", "HTTP/1");
    for broken in Break::all(&[made, deleted]) {
        bench.rotate(&broken).await;
        let (_, value) = bench.current();
        let credential = |role| secrets.credential(asked.manifest(), role);
        let mut own = credential(CredentialRole::Verifier).await.expect("there");
        assert_eq!(
            asked.try_credential(&own).await,
            Ok(()),
            "{broken:?}: the new one"
        );
        for old in &older {
            own.version += 1000;
            own.secret = SecretString::from(old.as_str());
            let failure = asked.try_credential(&own).await.expect_err("it is dead");
            assert_eq!(
                failure.class,
                FailureClass::AuthFailure,
                "{broken:?}: {failure}"
            );
        }
        let rotator = credential(CredentialRole::Rotator).await.expect("there");
        let listed = asked.minted(&rotator, CredentialRole::Verifier).await;
        let listed = listed.expect("listed");
        let ids: Vec<_> = listed.iter().map(|key| key.remote_ref.as_str()).collect();
        let kept = value.split(':').next().expect("an id");
        assert_eq!(ids, [kept], "{broken:?}: nothing is orphaned");
        older.push(value);
    }
}
