//! Connector kind `file`: a control list in which each line is one account.
//!
//! Owns the calls on such a list: htpasswd, one login on each line, or group(5). An account's id is
//! its login, because the file holds nothing else. The credential is the right of this process to
//! the file, so no secret exists; the verifier opens the file afresh, or opens the published copy
//! that consumers read. Disabling is unsupported: an entry that is there is access.

mod classify;
mod client;
mod render;
mod settings;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Answered, Call, Change, Connector, KnownSecret, Listing, Manifest, MintOrder, Minted, Reading,
    RenderedRequest, unsupported,
};
use crate::document::Table;
use crate::domain::access::Operation;
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;
use crate::domain::time::Clock;
use crate::domain::verdict::{Completeness, CredentialRole};
use client::{Look, Replaced, Replacement, Snapshot};
use render::ControlList;
use settings::Settings;

/// How often a change is rendered again when the list changed meanwhile.
const RENDERINGS: usize = 5;
/// How often, and how long apart, a lock of another program is waited for.
const LOCK_TRIES: usize = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// What a control list can be asked to do; the format narrows it further.
pub const CAN: &[Operation] = &[
    Operation::List,
    Operation::Read,
    Operation::RevokeEntitlement,
    Operation::Delete,
];

/// Reads the `[file]` table and makes the connector.
pub fn build(
    manifest: &Manifest,
    table: &Table<'_>,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<dyn Connector>> {
    let line = table.line();
    let settings = Settings::read(table)?;
    let able = settings.operations();
    for operation in manifest.operations.iter().filter(|op| !able.contains(op)) {
        // What no list can do is told by the registry.
        if !CAN.contains(operation) {
            continue;
        }
        table.report(
            line,
            format!(
                "a control list of this format cannot `{}`",
                operation.as_str()
            ),
            "remove it from `operations`, and say under [without] why the target needs none",
        );
    }
    Some(Arc::new(FileConnector {
        settings,
        clock: Arc::clone(clock),
    }))
}

/// One control list.
#[derive(Debug)]
struct FileConnector {
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl FileConnector {
    /// Where the credential of this call looks.
    fn place(&self, call: &Call<'_>) -> &Path {
        match (call.credential.role, &self.settings.verify_path) {
            (CredentialRole::Verifier, Some(copy)) => copy,
            _ => &self.settings.path,
        }
    }

    async fn look(
        &self,
        call: &Call<'_>,
        path: &Path,
        operation: Operation,
        account: Option<&AccountId>,
    ) -> Result<Snapshot, Failure> {
        let rendered = RenderedRequest {
            operation: Some(operation),
            account: account.cloned(),
            writes: BTreeSet::new(),
            line: format!("READ {}", path.display()),
        };
        let permit = call.permit(rendered, Look(path.to_owned())).await?;
        blocking(path, move || client::look(permit)).await
    }

    /// Seconds since a published copy was made, where the list has changed since. What was there when it was
    /// made is all that it shows, however short a while later the list changed; times of the same second
    /// do not tell which came first.
    async fn copy_age(
        &self,
        call: &Call<'_>,
        looked: &Path,
        seen: &Snapshot,
    ) -> Result<u64, Failure> {
        if looked == self.settings.path {
            return Ok(0);
        }
        let original = self
            .look(call, &self.settings.path, Operation::List, None)
            .await?;
        if original.digest == seen.digest || seen.modified > original.modified {
            return Ok(0);
        }
        // A clock that is behind the file's makes no copy younger than the list tells.
        let now = self.clock.now().as_second().max(original.modified);
        Ok(u64::try_from(now.saturating_sub(seen.modified)).unwrap_or(0))
    }
}

#[async_trait]
impl Connector for FileConnector {
    async fn list(&self, call: &Call<'_>) -> Result<Listing, Failure> {
        let path = self.place(call);
        let seen = self.look(call, path, Operation::List, None).await?;
        let accounts = ControlList::parse(&self.settings, &seen.bytes)?.accounts();
        Ok(Listing {
            accounts,
            completeness: completeness(&seen),
            data_age_seconds: self.copy_age(call, path, &seen).await?,
            method: format!("READ {} whole", path.display()),
        })
    }

    async fn read(&self, call: &Call<'_>, account: &AccountId) -> Result<Reading, Failure> {
        let path = self.place(call);
        let seen = self
            .look(call, path, Operation::Read, Some(account))
            .await?;
        let accounts = ControlList::parse(&self.settings, &seen.bytes)?.accounts();
        Ok(Reading {
            account: accounts.into_iter().find(|found| found.id == *account),
            completeness: completeness(&seen),
            data_age_seconds: self.copy_age(call, path, &seen).await?,
            method: format!("READ {} whole", path.display()),
        })
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        let path = &self.settings.path;
        let (mut renderings, mut waits, mut absent) = (0, 0, false);
        while renderings < RENDERINGS && waits < LOCK_TRIES {
            let seen = self
                .look(call, path, Operation::Read, Some(&change.account))
                .await?;
            let list = ControlList::parse(&self.settings, &seen.bytes)?;
            let Some(edit) = list.without(&self.settings, change)? else {
                // Not there: believed after a second look, and only if no one is writing.
                if absent && seen.steady {
                    return Ok(Answered::Absent);
                }
                absent = true;
                renderings += 1;
                continue;
            };
            let replacement = Replacement {
                path: path.clone(),
                before: seen.digest,
                content: edit.content,
            };
            let permit = call.permit(edit.rendered, replacement).await?;
            match blocking(path, move || client::replace(permit)).await? {
                Replaced::Done => return Ok(Answered::Accepted),
                Replaced::ChangedMeanwhile => renderings += 1,
                Replaced::Locked => {
                    waits += 1;
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
            }
        }
        Err(classify::contended(path))
    }

    async fn try_credential(&self, call: &Call<'_>) -> Result<(), Failure> {
        let path = self.place(call).to_owned();
        if call.credential.role != CredentialRole::Writer {
            return self
                .look(call, &path, Operation::List, None)
                .await
                .map(drop);
        }
        let rendered = RenderedRequest {
            operation: Some(Operation::List),
            account: None,
            writes: BTreeSet::new(),
            line: format!("ACCESS {}", path.display()),
        };
        let permit = call.permit(rendered, Look(path.clone())).await?;
        blocking(&path, move || client::may_replace(permit)).await
    }

    async fn mint(&self, _call: &Call<'_>, _order: &MintOrder) -> Result<Minted, Failure> {
        Err(unsupported("mint a secret: a file has none"))
    }

    async fn minted(
        &self,
        _call: &Call<'_>,
        _role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        Ok(Vec::new())
    }

    async fn retire(
        &self,
        _call: &Call<'_>,
        _role: CredentialRole,
        _remote_ref: &str,
    ) -> Result<(), Failure> {
        Err(unsupported("retire a secret: a file has none"))
    }
}

/// One open and one read to the end show everything, unless someone wrote meanwhile.
fn completeness(seen: &Snapshot) -> Completeness {
    Completeness {
        pages_closed: seen.steady,
        ..Completeness::WHOLE
    }
}

/// Runs system calls off the reactor. They end even if the caller stops waiting.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let path = PathBuf::from(path);
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(classify::died(&path)),
    }
}
