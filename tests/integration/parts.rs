//! The real parts that `scripts/test` provides, and private ones that a test may break.
//!
//! Owns the reading of the environment and the calls to `tests/services/ctl`. A part that is not
//! there fails with its name and the way to get it. Starts nothing by itself.
#![allow(dead_code)] // Each topic uses its own share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// What takes longer does not come any more, or has stopped moving.
const BOUND: Duration = Duration::from_secs(240);

/// The value of an environment variable that `scripts/test` sets.
#[allow(clippy::disallowed_methods)] // The contract between scripts/test and the tests is the environment.
pub fn part(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run scripts/test, which provides this part"))
}

/// A private instance of a service; stopped when dropped.
#[derive(Debug)]
pub struct Service {
    name: String,
    dir: PathBuf,
    pub values: BTreeMap<String, String>,
}

impl Service {
    /// Brings up a fresh `kind` with these settings, under a name that no other test uses.
    pub fn up(kind: &str, name: &str, settings: &[&str]) -> Self {
        let dir = PathBuf::from(part("CLAWBACK_TEST_SERVICES_DIR"));
        let mut arguments = vec!["up".to_owned(), kind.to_owned(), dir.display().to_string()];
        arguments.push(format!("name={name}"));
        arguments.extend(settings.iter().map(|s| (*s).to_owned()));
        let printed = ctl(&arguments);
        let values = printed
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Self {
            name: name.to_owned(),
            dir,
            values,
        }
    }

    /// One of the values that `ctl up` printed.
    pub fn value(&self, key: &str) -> &str {
        self.values
            .get(key)
            .unwrap_or_else(|| panic!("{} has no {key}", self.name))
    }

    /// `restart`, `kill`, `start`, `stop`, `pause` or `resume`; back when it is done.
    pub fn ctl(&self, verb: &str) {
        ctl(&[
            verb.to_owned(),
            self.name.clone(),
            self.dir.display().to_string(),
        ]);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.ctl("kill");
        }
    }
}

fn ctl(arguments: &[String]) -> String {
    let program = part("CLAWBACK_TEST_SERVICES");
    let output = Command::new(&program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    assert!(
        output.status.success(),
        "ctl {arguments:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("ctl prints text")
}

/// Waits until a level is reached; it has to stay there long enough to be seen.
pub async fn until(what: &str, level: impl AsyncFnMut() -> bool) {
    until_done(what, level, async || 0).await;
}

/// The same for long work: waits for as long as `moved`, which counts what was done, goes up.
pub async fn until_done(
    what: &str,
    mut level: impl AsyncFnMut() -> bool,
    mut moved: impl AsyncFnMut() -> i64,
) {
    let mut before = moved().await;
    loop {
        let waited = tokio::time::timeout(BOUND, async {
            while !level().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        if waited.await.is_ok() {
            return;
        }
        let now = moved().await;
        assert!(now > before, "waited in vain until {what}");
        before = now;
    }
}
