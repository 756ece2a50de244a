//! The console's office, put together from the parts of a process.
//!
//! Owns what the console has done for it by rooms that it may not name: manifests and their approvals,
//! the ages of secrets, the replay of dead letters. All by the same calls as the command line.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::governance::{Chosen, Done, Governance, Stands};
use super::holds::Holds;
use super::{AppError, Parts, audit, evidence, post, report, vault};
use crate::connectors::Standing;
use crate::console::{
    Backing, Change, ConnectorFact, EvidenceFile, Governed, LogVerdict, Office, Proposed, Provider,
    ReportTable, SecretFact, Shared, Trouble, TroubleKind,
};
use crate::domain::access::Operation;
use crate::domain::approval::{Matter, Past, Signed};
use crate::domain::id::{CaseId, ConnectorName, DeadLetterId, MessageId, TaskId};
use crate::domain::time::Timestamp;
use crate::store::StoreError;

/// Other rooms, as the console asks them.
#[derive(Debug)]
struct Backstage {
    parts: Parts,
}

/// Where a provider's client secret is referred to, in words.
pub(super) const OIDC_SECRET: &str = "`client_secret` under [console.oidc]";

/// The office of this process; `closing` ends its streams. The client's secret at an identity provider is
/// looked up at each sign-in: without it nobody comes in that way, and everything else goes on.
///
/// # Errors
/// When no HTTP client can be made for an identity provider.
pub(super) fn office(parts: &Parts, closing: CancellationToken) -> Result<Shared, AppError> {
    let settings = parts.settings().console.clone();
    let provider = match (&settings.oidc, &settings.public_url) {
        (Some(oidc), Some(public_url)) => Some(Provider::new(oidc.clone(), public_url)?),
        _ => None,
    };
    let mut office = Office::new(
        parts.store.clone(),
        Arc::new(Backstage {
            parts: parts.clone(),
        }),
        (parts.clock.clone(), parts.chance.clone()),
        settings,
        provider,
    );
    office.closing = closing;
    Ok(Arc::new(office))
}

impl From<AppError> for Trouble {
    fn from(error: AppError) -> Self {
        let kind = match &error {
            AppError::NoConnector(_) => TroubleKind::NotFound,
            AppError::Disapproved(_)
            | AppError::NotHeld
            | AppError::Definition(_)
            | AppError::Tampered { .. } => TroubleKind::Refused,
            AppError::Store(StoreError::Unavailable(_)) => TroubleKind::Unavailable,
            _ => TroubleKind::Failed,
        };
        told(kind, &error.to_string())
    }
}

/// A code that stands at the beginning of the words is told beside them.
fn told(kind: TroubleKind, words: &str) -> Trouble {
    match words.split_once(": ") {
        Some((code, words)) if code.starts_with("CB-") => Trouble {
            kind,
            code: Some(code.to_owned()),
            words: words.to_owned(),
        },
        Some(_) | None => Trouble {
            kind,
            code: None,
            words: words.to_owned(),
        },
    }
}

fn governed(stands: Stands) -> Governed {
    let differs = stands.file != stands.in_force;
    let proposed = stands.proposed.as_ref();
    let already = proposed.map(|open| &open.content.digest) == stands.file.as_ref();
    let wants = matches!(
        stands.standing,
        Standing::Unapproved | Standing::Expired | Standing::Waiting
    );
    Governed {
        connector: stands.connector.to_string(),
        standing: stands.standing.as_str().to_owned(),
        wants_person: wants || proposed.is_some(),
        in_force: stands.in_force.map(|digest| digest.to_string()),
        until: stands.until,
        file: stands.file.map(|digest| digest.to_string()),
        can_propose: stands.standing != Standing::Ungoverned
            && (differs || stands.standing == Standing::Expired)
            && !(already && proposed.is_some()),
        proposal: stands.proposed.map(|open| Proposed {
            digest: open.content.digest.to_string(),
            by: open.proposed.by,
            at: open.proposed.at,
            reason: open.proposed.reason,
            text: open.content.text,
        }),
    }
}

impl Backstage {
    fn governance(&self) -> Result<Governance, Trouble> {
        let parts = &self.parts;
        Ok(Governance::open(
            parts.settings(),
            parts.store.clone(),
            &parts.clock,
        )?)
    }

    fn holds(&self) -> Holds {
        let parts = &self.parts;
        Holds::new(
            parts.store.clone(),
            (parts.clock.clone(), parts.chance.clone()),
        )
    }
}

fn one(connector: &str) -> Chosen {
    Chosen::One(ConnectorName(connector.to_owned()))
}

fn words(done: Result<Vec<Done>, AppError>) -> Result<String, Trouble> {
    let words: Vec<_> = done?.into_iter().map(|one| one.came_to).collect();
    Ok(words.join(", "))
}

#[async_trait]
impl Backing for Backstage {
    fn connectors(&self) -> Vec<ConnectorFact> {
        let connectors = self.parts.registry.iter();
        let facts = connectors.map(|connector| {
            let manifest = connector.manifest();
            ConnectorFact {
                name: manifest.name.to_string(),
                kind: manifest.kind.clone(),
                purpose: manifest.purpose.clone(),
                owner: manifest.owner.clone(),
                deputy: manifest.deputy.clone(),
                review_by: manifest.review_by.to_string(),
                privileged: manifest.privileged,
                operations: manifest
                    .operations
                    .iter()
                    .map(|operation| Operation::as_str(*operation))
                    .collect(),
                bounds: manifest.bounds(),
            }
        });
        facts.collect()
    }

    async fn governed(&self) -> Result<Vec<Governed>, Trouble> {
        let stands = self.governance()?.stands().await?;
        Ok(stands.into_iter().map(governed).collect())
    }

    async fn changes(&self, connector: &str) -> Result<Vec<Change>, Trouble> {
        let name = ConnectorName(connector.to_owned());
        let diffs = self.governance()?.diff(&name).await?;
        let changes = diffs.into_iter().flat_map(|diff| {
            let from = diff.from;
            diff.differences.into_iter().map(move |one| Change {
                from: from.to_owned(),
                what: one.what,
                was: one.was,
                becomes: one.becomes,
                effect: one.effect.as_str().to_owned(),
                why: one.why.to_owned(),
            })
        });
        Ok(changes.collect())
    }

    async fn history(&self, connector: &str) -> Result<Past, Trouble> {
        let name = ConnectorName(connector.to_owned());
        Ok(self.governance()?.history(&name).await?)
    }

    async fn propose(&self, connector: &str, signed: &Signed) -> Result<String, Trouble> {
        let governance = self.governance()?;
        words(governance.propose(&one(connector), signed).await)
    }

    async fn approve(
        &self,
        connector: &str,
        digest: &str,
        signed: &Signed,
    ) -> Result<String, Trouble> {
        let governance = self.governance()?;
        let chosen = one(connector);
        words(governance.approve(&chosen, Some(digest), signed).await)
    }

    async fn reject(&self, connector: &str, signed: &Signed) -> Result<String, Trouble> {
        let name = ConnectorName(connector.to_owned());
        words(self.governance()?.reject(&name, signed).await)
    }

    async fn secrets(&self) -> Result<Vec<SecretFact>, Trouble> {
        let parts = &self.parts;
        let manifests = parts.registry.iter().map(|connector| connector.manifest());
        let secrets = parts.secrets();
        let listed = secrets.list(manifests, parts.clock.now()).await;
        let facts = listed.into_iter().map(|secret| {
            let record = secret.record.as_ref();
            let pending = record.is_some_and(|record| record.pending.is_some());
            let previous = record.is_some_and(|record| record.previous.is_some());
            SecretFact {
                connector: secret.connector.to_string(),
                role: secret.role.as_str().to_owned(),
                // A right of this process (a file) needs no secret; see `CredentialDeclaration`.
                is_needed: !secret.reference.starts_with("none:"),
                reference: secret.reference,
                age_seconds: secret.age_seconds,
                max_age_seconds: secret.max_age_seconds,
                expires: secret.expires,
                alarm: secret.alarm,
                unreadable: secret.unreadable.as_ref().map(ToString::to_string),
                can_rotate: secret.rotation.is_some(),
                under_way: match (pending, previous) {
                    (true, _) => "a new one is pending",
                    (false, true) => "the old one is not yet shown to be refused",
                    (false, false) => "",
                }
                .to_owned(),
            }
        });
        Ok(facts.collect())
    }

    async fn platform_secret(&self, reference: &str) -> Result<SecretString, Trouble> {
        let vault = self.parts.vault.as_ref();
        let secret = vault::platform_secret(vault, reference, OIDC_SECRET).await;
        secret.map_err(|failure| told(TroubleKind::Unavailable, &failure.to_string()))
    }

    async fn propose_hold(
        &self,
        task: TaskId,
        hours: u64,
        signed: &Signed,
    ) -> Result<Option<String>, Trouble> {
        let proposed = self.holds().propose(task, hours, signed).await?;
        Ok(proposed.map(|one| format!("proposed; it holds {} tasks", one.held)))
    }

    async fn try_again(&self, matter: &Matter, by: &str) -> Result<usize, Trouble> {
        Ok(self.holds().try_again(matter, by).await?)
    }

    async fn evidence(&self, case: CaseId) -> Result<Option<EvidenceFile>, Trouble> {
        let parts = &self.parts;
        let (store, vault) = (parts.store.as_ref(), parts.vault.as_ref());
        let clock = parts.clock.as_ref();
        let exported = evidence::export(store, vault, parts.settings(), clock, case).await?;
        let Some(envelope) = exported else {
            return Ok(None);
        };
        let says = envelope.says().map_err(|error| Trouble {
            kind: TroubleKind::Failed,
            code: None,
            words: error.to_string(),
        })?;
        let signers = envelope.signatures.iter().map(|one| one.keyid.clone());
        Ok(Some(EvidenceFile {
            file: envelope.text(),
            page: evidence::page(&says),
            key: signers.collect::<Vec<_>>().join(", "),
        }))
    }

    async fn verify_log(&self) -> Result<LogVerdict, Trouble> {
        let parts = &self.parts;
        let (store, vault) = (parts.store.as_ref(), parts.vault.as_ref());
        let verified = audit::verify(store, None, None).await?;
        let now = parts.clock.now();
        let verified = audit::by_own_key(verified, store, vault, parts.settings(), now).await?;
        Ok(LogVerdict {
            whole: verified.findings.is_empty(),
            words: verified.words(),
            findings: verified.findings.iter().map(ToString::to_string).collect(),
        })
    }

    async fn report(&self, from: Timestamp, to: Timestamp) -> Result<ReportTable, Trouble> {
        let rows = report::rows(self.parts.store.as_ref(), from, to).await?;
        Ok(ReportTable {
            columns: report::COLUMNS.map(str::to_owned).to_vec(),
            csv: report::csv(&rows),
            rows: rows.into_iter().map(|row| row.cells.to_vec()).collect(),
        })
    }

    async fn replay(&self, letter: DeadLetterId) -> Result<Option<MessageId>, Trouble> {
        let parts = &self.parts;
        let (clock, chance) = (parts.clock.as_ref(), parts.chance.as_ref());
        let replayed = post::replay(parts.store.as_ref(), letter, clock, chance).await;
        Ok(replayed.map_err(AppError::from)?)
    }
}
