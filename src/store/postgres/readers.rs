//! Single statements that operators wait for, and that a worker makes off the path of a step.
//!
//! Owns that each of them has an end on this side as well: a connection that fell silent would hold its
//! statement for a quarter of an hour or for good, and with a few of them nobody reads anything.

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, Postgres, SqlStr};

use crate::store::{StoreError, Stored};

use super::funnel::{Funnel, READING, within_for};

/// The connections for reading, used statement by statement. What a statement returns is kept until it is
/// over: it is for answers that fit into memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Readers<'c>(pub(super) &'c Funnel);

impl Readers<'_> {
    /// Has one statement carried out on a connection that comes back only if it ended.
    async fn carry_out<'q, E>(self, query: E) -> Stored<Vec<Either<PgQueryResult, PgRow>>>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let mut reader = self.0.reader("one statement").await?;
        let all = within_for(READING, async {
            Ok(reader.fetch_many(query).try_collect().await?)
        });
        let all = all.await;
        reader.ended(all)
    }
}

/// As the trait tells errors, which are the store's again right after.
fn told(error: StoreError) -> sqlx::Error {
    match error {
        StoreError::Unavailable(source)
        | StoreError::Refused(source)
        | StoreError::Broken { source, .. } => match source.downcast::<sqlx::Error>() {
            Ok(said) => *said,
            Err(other) => sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, other)),
        },
        other => sqlx::Error::Io(std::io::Error::other(other)),
    }
}

impl<'c> Executor<'c> for Readers<'c> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let all = async move { self.carry_out(query).await.map_err(told) };
        stream::once(all)
            .map_ok(|all| stream::iter(all.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let all = self.carry_out(query).await.map_err(told)?;
            Ok(all.into_iter().find_map(Either::right))
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let mut reader = self.0.reader("prepare").await.map_err(told)?;
            let made = within_for(READING, async {
                Ok(reader.prepare_with(sql, parameters).await?)
            });
            let made = made.await;
            reader.ended(made).map_err(told)
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let mut reader = self.0.reader("describe").await.map_err(told)?;
            let told_of = within_for(READING, async { Ok(reader.describe(sql).await?) });
            let told_of = told_of.await;
            reader.ended(told_of).map_err(told)
        })
    }
}
