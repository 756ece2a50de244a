//! The guard before changes of the connector's own secrets: made, listed, taken away.
//!
//! Owns that only the rotation's credential does so, and none of it while a pause binds.

use super::Guarded;
use super::judge::refused;
use super::purpose::Purpose;
use crate::connectors::contract::{Credential, KnownSecret, MintOrder, Minted};
use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;

impl Guarded {
    /// Makes a new secret for one of the connector's own credentials.
    pub async fn mint(
        &self,
        credential: &Credential,
        order: &MintOrder,
    ) -> Result<Minted, Failure> {
        rotator_only(credential)?;
        self.pausing.check()?;
        let judge = self.judge(Purpose::ChangeSecret);
        let call = judge.call(credential);
        let work = self.connector.mint(&call, order);
        self.run(&judge, work).await
    }

    /// When the target by itself ends a password of this role, where it tells. The credential whose
    /// password it is may ask, too: nothing is changed.
    pub async fn password_end(
        &self,
        credential: &Credential,
        role: CredentialRole,
        name: Option<&str>,
    ) -> Result<Option<Timestamp>, Failure> {
        let judge = self.judge(Purpose::Try);
        let call = judge.call(credential);
        let work = self.connector.password_end(&call, role, name);
        self.run(&judge, work).await
    }

    /// The target's list of the connector's own secrets of one role.
    pub async fn minted(
        &self,
        credential: &Credential,
        role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        rotator_only(credential)?;
        let judge = self.judge(Purpose::ListSecrets);
        let call = judge.call(credential);
        let work = self.connector.minted(&call, role);
        self.run(&judge, work).await
    }

    /// Takes one of the connector's own secrets away at the target.
    pub async fn retire(
        &self,
        credential: &Credential,
        role: CredentialRole,
        remote_ref: &str,
    ) -> Result<(), Failure> {
        rotator_only(credential)?;
        self.pausing.check()?;
        let judge = self.judge(Purpose::ChangeSecret);
        let call = judge.call(credential);
        let work = self.connector.retire(&call, role, remote_ref);
        self.run(&judge, work).await
    }
}

fn rotator_only(credential: &Credential) -> Result<(), Failure> {
    if credential.role == CredentialRole::Rotator {
        return Ok(());
    }
    Err(refused(
        "CB-GUARD-2",
        format!("the {} may not rotate secrets", credential.role.as_str()),
    ))
}
