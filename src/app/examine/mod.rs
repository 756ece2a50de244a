//! The examination of one connector: does it tell the truth, and keep within its bounds?
//!
//! Owns one suite for every kind, run against the real target with a canary account: credentials,
//! reads, absence, bounds and, if wished, every approved change with a look at what came of it and
//! a repetition. A connector that cannot be examined cannot prove anything. Grants nothing, so a
//! canary that was changed has to be made anew by its owner.

mod canary;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::Serialize;

use crate::connectors::{Change, Credential, Guarded, Listing, Registry};
use crate::domain::access::{Account, Operation};
use crate::domain::id::{AccountId, ConnectorName};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::verdict::CredentialRole;
use crate::secrets::{Secrets, Vault};
use canary::{cannot_be_seen, change, example, nobody, taken_by};

/// What is wished of an examination.
#[derive(Debug, Clone)]
pub struct Order {
    /// The account to look at; the first of the listing when none is named.
    pub canary: Option<AccountId>,
    /// Whether the canary may be changed, and at last deleted.
    pub change: bool,
    /// How long the target may take to show a change.
    pub patience: Duration,
}

/// How one point came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// As it must be.
    Held,
    /// Not as it must be.
    Failed,
    /// Could not be looked at, for the reason told.
    Left,
}

/// One point of the suite.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// What was examined.
    pub point: String,
    /// How it came out.
    pub mark: Mark,
    /// What was found, for a person; holds no secret.
    pub found: String,
}

/// The connector's credentials as the vault hands them out.
pub type Keys = BTreeMap<CredentialRole, Result<Credential, Failure>>;

/// Runs the suite with the credentials of the vault; `None` when there is no such connector.
pub async fn connector(
    registry: &Registry,
    vault: Arc<dyn Vault>,
    name: &ConnectorName,
    order: &Order,
) -> Option<Vec<Point>> {
    let connector = registry.get(name)?;
    let manifest = connector.manifest();
    let secrets = Secrets::new(vault);
    let mut keys = Keys::new();
    for role in manifest.credentials.keys() {
        keys.insert(*role, secrets.credential(manifest, *role).await);
    }
    Some(examine(&connector, &keys, order).await)
}

/// Runs the suite.
pub async fn examine(connector: &Guarded, keys: &Keys, order: &Order) -> Vec<Point> {
    let mut suite = Suite {
        connector,
        points: Vec::new(),
    };
    suite.credentials(keys).await;
    suite.powers(keys).await;
    let (Some(Ok(writer)), Some(Ok(verifier))) = (
        keys.get(&CredentialRole::Writer),
        keys.get(&CredentialRole::Verifier),
    ) else {
        suite.left("everything else", "it takes a writer and a verifier");
        return suite.points;
    };
    let Some(listing) = suite.listings(writer, verifier).await else {
        suite.left("everything else", "nothing could be listed");
        return suite.points;
    };
    suite.correlation(&listing);
    let wanted = order.canary.as_ref();
    let mut accounts = listing.accounts.iter();
    let listed = accounts.find(|one| wanted.is_none_or(|wanted| one.id == *wanted));
    suite.bounds(writer, verifier, listed).await;
    let Some(listed) = listed else {
        suite.failed("the canary is listed", "no such account is in the listing");
        return suite.points;
    };
    suite.absence(verifier, &listed.id).await;
    let Some(canary) = suite.canary(verifier, listed).await else {
        return suite.points;
    };
    if order.change {
        suite
            .changes(writer, verifier, &canary, order.patience)
            .await;
        suite.others(verifier, &listing, &canary.id).await;
    } else {
        suite.left(
            "changes",
            "not wished; --change with --account takes a canary apart",
        );
    }
    suite.points
}

struct Suite<'a> {
    connector: &'a Guarded,
    points: Vec<Point>,
}

impl Suite<'_> {
    fn note(&mut self, point: impl Into<String>, mark: Mark, found: impl Into<String>) {
        self.points.push(Point {
            point: point.into(),
            mark,
            found: found.into(),
        });
    }

    fn failed(&mut self, point: impl Into<String>, found: impl Into<String>) {
        self.note(point, Mark::Failed, found);
    }

    fn left(&mut self, point: impl Into<String>, why: impl Into<String>) {
        self.note(point, Mark::Left, why);
    }

    fn judge(&mut self, point: impl Into<String>, held: bool, found: impl Into<String>) {
        let mark = if held { Mark::Held } else { Mark::Failed };
        self.note(point, mark, found);
    }

    /// Each works, and one that is wrong is told apart from a target that is down.
    async fn credentials(&mut self, keys: &Keys) {
        for (role, key) in keys {
            let point = format!("the {} works", role.as_str());
            let tried = match key {
                Ok(credential) => self.connector.try_credential(credential).await,
                Err(failure) => Err(failure.clone()),
            };
            match tried {
                Ok(()) => self.note(point, Mark::Held, "the target takes it"),
                Err(failure) => self.failed(point, failure.to_string()),
            }
        }
        let point = "a wrong credential is told as such";
        let declared = &self.connector.manifest().credentials;
        let Some(Ok(verifier)) = keys.get(&CredentialRole::Verifier) else {
            return self.left(point, "there is no verifier");
        };
        if declared
            .get(&CredentialRole::Verifier)
            .is_none_or(|declared| !declared.needs_secret())
        {
            return self.left(point, "the target takes no secret");
        }
        let wrong = Credential {
            secret: SecretString::from("clawback-examines-a-wrong-secret"),
            version: u64::MAX,
            ..verifier.clone()
        };
        match self.connector.try_credential(&wrong).await {
            Ok(()) => self.failed(point, "the target took a secret that nobody made"),
            Err(failure) => {
                let held = failure.class == FailureClass::AuthFailure;
                self.judge(point, held, failure.to_string());
            }
        }
    }

    /// None may do more than its part, as far as the target tells.
    async fn powers(&mut self, keys: &Keys) {
        for (role, key) in keys {
            let point = format!("the {} may do no more than it needs", role.as_str());
            let Ok(credential) = key else { continue };
            match self.connector.powers(credential).await {
                Ok(None) => self.left(point, "the target does not tell"),
                Ok(Some(powers)) if powers.excess.is_empty() => {
                    self.note(point, Mark::Held, powers.method);
                }
                Ok(Some(powers)) => self.failed(point, powers.excess.join(", ")),
                Err(failure) => self.failed(point, failure.to_string()),
            }
        }
    }

    /// Both see everything, and the verifier sees no less than the writer.
    async fn listings(&mut self, writer: &Credential, verifier: &Credential) -> Option<Listing> {
        let mut seen = Vec::new();
        for (role, credential) in [("writer", writer), ("verifier", verifier)] {
            let point = format!("the {role} lists every account");
            match self.connector.list(credential).await {
                Ok(listing) => {
                    let expect = &self.connector.manifest().expect;
                    let gap = listing.gap(listing.completeness, expect);
                    let found = gap.clone().unwrap_or_else(|| {
                        format!("{} by {}", listing.accounts.len(), listing.method)
                    });
                    self.judge(point, gap.is_none(), found);
                    seen.push(listing);
                }
                Err(failure) => self.failed(point, failure.to_string()),
            }
        }
        let verifiers = seen.pop()?;
        let Some(writers) = seen.pop() else {
            return Some(verifiers);
        };
        let known: BTreeSet<_> = verifiers.accounts.iter().map(|one| &one.id).collect();
        let mut hidden = writers.accounts.iter().map(|one| &one.id);
        let hidden = hidden.by_ref().find(|id| !known.contains(id));
        let point = "the verifier sees what the writer sees";
        match hidden {
            None => self.note(point, Mark::Held, "no account is hidden from it"),
            Some(id) => self.failed(point, format!("account {id} is hidden from it")),
        }
        Some(verifiers)
    }

    /// Without its attributes an account is never matched to the person who leaves.
    fn correlation(&mut self, listing: &Listing) {
        let rule = &self.connector.manifest().correlation;
        let deciding = rule.pairs.iter().filter(|pair| pair.decides);
        let lacks = |account: &&Account| {
            !deciding.clone().any(|pair| match pair.attribute.as_str() {
                "login" => !account.login.is_empty(),
                "id" => true,
                attribute => account.attributes.contains_key(attribute),
            })
        };
        let without = listing.accounts.iter().filter(lacks).count();
        let all = listing.accounts.len();
        let found = format!("{without} of {all} accounts lack every attribute that decides");
        self.judge("accounts can be matched to people", without < all, found);
    }

    /// What is not approved is refused before anything is sent.
    async fn bounds(&mut self, writer: &Credential, verifier: &Credential, on: Option<&Account>) {
        let Some(account) = on else { return };
        let operations = &self.connector.manifest().operations;
        let mut refused = Vec::new();
        for operation in Operation::ALL.into_iter().filter(|op| op.writes()) {
            let approved = operations.contains(&operation);
            // Approved ones are tried with the credential that may not write.
            let (whose, credential) = if approved {
                ("the verifier's", verifier)
            } else {
                ("the writer's", writer)
            };
            let change = change(operation, account, example(operation));
            let result = self.connector.write(credential, &change).await;
            match result {
                Err(failure) if failure.class == FailureClass::Refused => {
                    refused.push(operation.as_str());
                }
                other => {
                    let found = format!("{whose} {} came to {other:?}", operation.as_str());
                    return self.failed("what is not approved is refused", found);
                }
            }
        }
        let found = format!("{}, before a byte was sent", refused.join(", "));
        self.note("what is not approved is refused", Mark::Held, found);
    }

    /// An account that cannot exist is seen not to be there: no error, no doubt, nobody else.
    async fn absence(&mut self, verifier: &Credential, like: &AccountId) {
        let nobody = nobody(like);
        let point = "an account that is not there is seen not to be there";
        match self.connector.read(verifier, &nobody).await {
            Ok(reading) => {
                let gap = reading.completeness.gap();
                let held = reading.account.is_none() && gap.is_none();
                let found = match (&reading.account, gap) {
                    (Some(account), _) => format!("{nobody} is {}", account.login),
                    (None, Some(gap)) => gap.to_owned(),
                    (None, None) => reading.method,
                };
                self.judge(point, held, found);
            }
            Err(failure) => self.failed(point, failure.to_string()),
        }
    }

    /// Read by its id, the canary is who the listing says it is.
    async fn canary(&mut self, verifier: &Credential, listed: &Account) -> Option<Account> {
        let point = "an account is read by its id";
        let reading = match self.connector.read(verifier, &listed.id).await {
            Ok(reading) => reading,
            Err(failure) => {
                self.failed(point, failure.to_string());
                return None;
            }
        };
        if let Some(gap) = reading.completeness.gap() {
            self.failed(point, gap);
            return None;
        }
        let Some(account) = reading.account else {
            self.failed(point, format!("{} is listed and cannot be read", listed.id));
            return None;
        };
        let same = (&account.id, &account.login) == (&listed.id, &listed.login);
        let found = format!(
            "{} with {} entitlements, by {}",
            account.login,
            account.entitlements.len(),
            reading.method
        );
        self.judge(point, same, found);
        same.then_some(account)
    }

    /// Every approved change, in the order of a removal.
    async fn changes(
        &mut self,
        writer: &Credential,
        verifier: &Credential,
        canary: &Account,
        patience: Duration,
    ) {
        let approved = self.connector.manifest().operations.clone();
        for operation in [
            Operation::Disable,
            Operation::EndSessions,
            Operation::RevokeEntitlement,
            Operation::RevokeCredential,
            Operation::Delete,
        ] {
            if !approved.contains(&operation) {
                continue;
            }
            let taken = taken_by(operation, canary);
            if taken.is_empty() {
                let why = "the canary has nothing of the kind; give it some";
                self.left(operation.as_str(), why);
            }
            for entitlement in taken {
                let change = change(operation, canary, entitlement);
                self.one_change(writer, verifier, &change, patience).await;
            }
        }
    }

    async fn one_change(
        &mut self,
        writer: &Credential,
        verifier: &Credential,
        change: &Change,
        patience: Duration,
    ) {
        let what = match &change.entitlement {
            Some(one) => format!("{} {}", change.operation.as_str(), one.id),
            None => change.operation.as_str().to_owned(),
        };
        match self.connector.write(writer, change).await {
            Ok(answer) => {
                let seen = self.seen(verifier, change, patience).await;
                let found = match &seen {
                    Ok(()) => format!("answered {answer:?}, and the verifier sees it"),
                    Err(why) => format!("answered {answer:?}, but {why}"),
                };
                self.judge(format!("{what} has an effect"), seen.is_ok(), found);
            }
            Err(failure) => {
                return self.failed(format!("{what} has an effect"), failure.to_string());
            }
        }
        let point = format!("{what} can be repeated");
        match self.connector.write(writer, change).await {
            Ok(answer) => self.note(point, Mark::Held, format!("answered {answer:?}")),
            Err(failure) => self.failed(point, failure.to_string()),
        }
    }

    /// Waits until the verifier no longer sees what was taken.
    async fn seen(
        &self,
        verifier: &Credential,
        change: &Change,
        patience: Duration,
    ) -> Result<(), String> {
        const PAUSE: Duration = Duration::from_millis(500);
        let mut pauses = patience.as_millis() / PAUSE.as_millis();
        loop {
            let why = match self.connector.read(verifier, &change.account).await {
                Ok(reading) => match (reading.completeness.gap(), reading.account) {
                    (Some(gap), _) => gap.to_owned(),
                    (None, None) => return Ok(()),
                    (None, Some(account)) if change.is_done_in(&account) => return Ok(()),
                    (None, Some(account)) if cannot_be_seen(change, &account) => {
                        "the target does not tell whether it is so".to_owned()
                    }
                    (None, Some(_)) => "the verifier still sees it".to_owned(),
                },
                Err(failure) => failure.to_string(),
            };
            if pauses == 0 {
                return Err(why);
            }
            pauses -= 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Nobody else has lost anything.
    async fn others(&mut self, verifier: &Credential, before: &Listing, canary: &AccountId) {
        let point = "nobody else is touched";
        let after = match self.connector.list(verifier).await {
            Ok(after) => after,
            Err(failure) => return self.failed(point, failure.to_string()),
        };
        let now: BTreeMap<_, _> = after.accounts.iter().map(|one| (&one.id, one)).collect();
        let mut others = before.accounts.iter().filter(|one| one.id != *canary);
        let changed = others.find(|one| {
            let now = now.get(&one.id);
            now.is_none_or(|now| (&now.login, now.state) != (&one.login, one.state))
        });
        match changed {
            None => self.note(point, Mark::Held, "all others are listed as before"),
            Some(one) => self.failed(point, format!("{} is not as it was", one.login)),
        }
    }
}
