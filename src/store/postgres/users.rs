//! Those who may sign in: users, sessions, API tokens, and the record of acts.
//!
//! Statements and rows are those of `store::users`; this file owns how they are carried out here.

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};

use crate::domain::id::SessionId;
use crate::domain::time::Timestamp;
use crate::domain::user::{Act, ApiToken, SecretDigest, Session, User};
use crate::store::Stored;
use crate::store::audit::Notes;
use crate::store::shape::{json, micros};
use crate::store::users::{
    self, ActFilter, ActRow, ChangeFn, KeptRow, Leaver, LeaverRow, OwnedRow, Users,
};

use super::funnel::within;
use super::{PostgresStore, audit};

#[async_trait]
impl Users for PostgresStore {
    async fn add_user(&self, user: &User) -> Stored<bool> {
        let mut reader = self.funnel.reader("add_user").await?;
        let done = within(async {
            let mut tx = reader.begin().await?;
            let body = json(user)?;
            let done = sqlx::query(users::ADD_USER)
                .bind(&user.name)
                .bind(&body)
                .execute(&mut *tx)
                .await?;
            if done.rows_affected() == 0 {
                return Ok(false);
            }
            let mut notes = Notes::default();
            notes.user(&user.name, &body);
            let tip = audit::write(&mut tx, &self.funnel.strands, &notes).await?;
            tx.commit().await?;
            self.funnel.strands.give(tip);
            Ok(true)
        });
        let done = done.await;
        reader.ended(done)
    }

    async fn users(&self) -> Stored<Vec<User>> {
        let rows: Vec<KeptRow> = sqlx::query_as(users::ALL_USERS)
            .fetch_all(self.funnel.readers())
            .await?;
        rows.iter().map(|row| row.kept("users")).collect()
    }

    async fn user(&self, name: &str) -> Stored<Option<User>> {
        let row: Option<KeptRow> = sqlx::query_as(users::ONE_USER)
            .bind(name)
            .fetch_optional(self.funnel.readers())
            .await?;
        row.map(|row| row.kept("users")).transpose()
    }

    async fn change_user(&self, name: &str, change: ChangeFn<'_>) -> Stored<Option<User>> {
        let mut reader = self.funnel.reader("change_user").await?;
        let done = within(async {
            let mut tx = reader.begin().await?;
            let row: Option<KeptRow> = sqlx::query_as(users::LOCKED_USER)
                .bind(name)
                .fetch_optional(&mut *tx)
                .await?;
            let Some(row) = row else {
                return Ok(None);
            };
            let mut user: User = row.kept("users")?;
            if !change(&mut user) {
                return Ok(Some(user));
            }
            let body = json(&user)?;
            sqlx::query(users::SAVE_USER)
                .bind(name)
                .bind(&body)
                .execute(&mut *tx)
                .await?;
            let mut notes = Notes::default();
            notes.user(name, &body);
            let tip = audit::write(&mut tx, &self.funnel.strands, &notes).await?;
            tx.commit().await?;
            self.funnel.strands.give(tip);
            Ok(Some(user))
        });
        let done = done.await;
        reader.ended(done)
    }

    async fn begin_session(
        &self,
        session: &Session,
        replaces: Option<(&SecretDigest, Timestamp)>,
    ) -> Stored<()> {
        let mut reader = self.funnel.reader("begin_session").await?;
        let done = within(async {
            let mut tx = reader.begin().await?;
            sqlx::query(users::FORGET_SESSIONS)
                .bind(micros(session.issued))
                .execute(&mut *tx)
                .await?;
            if let Some((digest, ends)) = replaces {
                replace(&mut tx, digest, ends).await?;
            }
            sqlx::query(users::ADD_SESSION)
                .bind(&session.digest.0)
                .bind(users::session_key(session))
                .bind(&session.user)
                .bind(micros(session.ends))
                .bind(json(session)?)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(())
        });
        let done = done.await;
        reader.ended(done)
    }

    async fn session(&self, digest: &SecretDigest) -> Stored<Option<(Session, User)>> {
        let row: Option<OwnedRow> = sqlx::query_as(users::ONE_SESSION)
            .bind(&digest.0)
            .fetch_optional(self.funnel.readers())
            .await?;
        row.map(|row| row.owned("sessions")).transpose()
    }

    async fn saw_session(&self, session: &Session) -> Stored<()> {
        sqlx::query(users::SAW_SESSION)
            .bind(&session.digest.0)
            .bind(json(session)?)
            .bind(micros(session.ends))
            .execute(self.funnel.readers())
            .await?;
        Ok(())
    }

    async fn sessions(&self, user: &str) -> Stored<Vec<Session>> {
        let rows: Vec<KeptRow> = sqlx::query_as(users::SESSIONS_OF)
            .bind(user)
            .fetch_all(self.funnel.readers())
            .await?;
        let sessions = rows.iter().map(|row| row.kept("sessions"));
        Ok(users::newest_sessions(sessions.collect::<Stored<_>>()?))
    }

    async fn end_sessions(&self, user: &str, only: Option<SessionId>) -> Stored<u64> {
        let query = match only {
            Some(id) => sqlx::query(users::END_ONE).bind(user).bind(id.0),
            None => sqlx::query(users::END_ALL).bind(user),
        };
        Ok(query.execute(self.funnel.readers()).await?.rows_affected())
    }

    async fn add_token(&self, token: &ApiToken) -> Stored<()> {
        sqlx::query(users::ADD_TOKEN)
            .bind(token.id.0)
            .bind(&token.digest.0)
            .bind(&token.user)
            .bind(json(token)?)
            .execute(self.funnel.readers())
            .await?;
        Ok(())
    }

    async fn token(&self, digest: &SecretDigest) -> Stored<Option<(ApiToken, User)>> {
        let row: Option<OwnedRow> = sqlx::query_as(users::ONE_TOKEN)
            .bind(&digest.0)
            .fetch_optional(self.funnel.readers())
            .await?;
        row.map(|row| row.owned("api_tokens")).transpose()
    }

    async fn tokens(&self, user: Option<&str>) -> Stored<Vec<ApiToken>> {
        let query = match user {
            Some(user) => sqlx::query_as::<_, KeptRow>(users::TOKENS_OF).bind(user),
            None => sqlx::query_as(users::ALL_TOKENS),
        };
        let rows = query.fetch_all(self.funnel.readers()).await?;
        let tokens = rows.iter().map(|row| row.kept("api_tokens"));
        Ok(users::newest_tokens(tokens.collect::<Stored<_>>()?))
    }

    async fn save_token(&self, token: &ApiToken) -> Stored<()> {
        let mut reader = self.funnel.reader("save_token").await?;
        let done = within(async {
            let mut tx = reader.begin().await?;
            let row: Option<KeptRow> = sqlx::query_as(users::LOCKED_TOKEN)
                .bind(token.id.0)
                .fetch_optional(&mut *tx)
                .await?;
            if let Some(row) = row {
                let kept = users::kept_token(row.kept("api_tokens")?, token);
                sqlx::query(users::SAVE_TOKEN)
                    .bind(token.id.0)
                    .bind(json(&kept)?)
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
            Ok(())
        });
        let done = done.await;
        reader.ended(done)
    }

    async fn note_act(&self, act: &Act) -> Stored<()> {
        let mut reader = self.funnel.reader("note_act").await?;
        let done = within(async {
            let mut tx = reader.begin().await?;
            let number: i64 = sqlx::query_scalar(users::ADD_ACT)
                .bind(micros(act.at))
                .bind(&act.by)
                .bind(&act.from)
                .bind(&act.what)
                .bind(&act.about)
                .bind(&act.came_to)
                .fetch_one(&mut *tx)
                .await?;
            let mut notes = Notes::default();
            notes.act(number, act);
            let tip = audit::write(&mut tx, &self.funnel.strands, &notes).await?;
            tx.commit().await?;
            self.funnel.strands.give(tip);
            Ok(())
        });
        let done = done.await;
        reader.ended(done)
    }

    async fn acts(&self, filter: &ActFilter) -> Stored<Vec<(u64, Act)>> {
        let (before, limit) = users::page(filter);
        let rows: Vec<ActRow> = sqlx::query_as(users::ACTS)
            .bind(before)
            .bind(limit)
            .bind(filter.by.as_deref().unwrap_or_default())
            .bind(filter.about.as_deref().unwrap_or_default())
            .fetch_all(self.funnel.readers())
            .await?;
        rows.into_iter().map(ActRow::act).collect()
    }

    async fn leavers(&self, since: Timestamp, now: Timestamp) -> Stored<Vec<Leaver>> {
        let rows: Vec<LeaverRow> = sqlx::query_as(users::LEAVERS)
            .bind(micros(since))
            .bind(micros(now))
            .fetch_all(self.funnel.readers())
            .await?;
        let mut leavers = Vec::new();
        for row in &rows {
            let read = self.funnel.aside.read("runs", row.run.id, row.leaver())?;
            leavers.extend(read.flatten());
        }
        Ok(leavers)
    }
}

/// The old secret is taken until then, for requests under way.
async fn replace(tx: &mut PgConnection, digest: &SecretDigest, ends: Timestamp) -> Stored<()> {
    let row: Option<KeptRow> = sqlx::query_as(users::SESSION_BODY)
        .bind(&digest.0)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else {
        return Ok(());
    };
    let old = users::ending(row.kept("sessions")?, ends);
    sqlx::query(users::SAW_SESSION)
        .bind(&digest.0)
        .bind(json(&old)?)
        .bind(micros(old.ends))
        .execute(tx)
        .await?;
    Ok(())
}
