//! What a drill puts in the place of a connector to make it fail.
//!
//! Owns the fault. It stands behind the guard of one call of one drill's run and nowhere else; it sends
//! nothing, so the target never hears of it.

use async_trait::async_trait;

use super::contract::{
    Answered, Call, Change, Connector, KnownSecret, Listing, MintOrder, Minted, Reading,
};
use crate::domain::drill::FAULT;
use crate::domain::id::AccountId;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::verdict::CredentialRole;

/// A target that is down.
#[derive(Debug)]
pub(super) struct Failing;

fn down() -> Failure {
    Failure::new(
        FailureClass::Unreachable,
        FAULT,
        "the drill makes the connector fail; the target was not asked",
    )
}

#[async_trait]
impl Connector for Failing {
    async fn list(&self, _: &Call<'_>) -> Result<Listing, Failure> {
        Err(down())
    }

    async fn read(&self, _: &Call<'_>, _: &AccountId) -> Result<Reading, Failure> {
        Err(down())
    }

    async fn write(&self, _: &Call<'_>, _: &Change) -> Result<Answered, Failure> {
        Err(down())
    }

    async fn try_credential(&self, _: &Call<'_>) -> Result<(), Failure> {
        Err(down())
    }

    async fn mint(&self, _: &Call<'_>, _: &MintOrder) -> Result<Minted, Failure> {
        Err(down())
    }

    async fn minted(&self, _: &Call<'_>, _: CredentialRole) -> Result<Vec<KnownSecret>, Failure> {
        Err(down())
    }

    async fn retire(&self, _: &Call<'_>, _: CredentialRole, _: &str) -> Result<(), Failure> {
        Err(down())
    }
}
