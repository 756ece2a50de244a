//! A dead letter on its way back to the topic that it came from.
//!
//! Owns the message: key, headers and value as they came, and which letter it is a replay of. It
//! goes through the outbox, so that a crash neither loses nor forgets it. Whether it can be read
//! now is for intake to find out.

use crate::domain::id::MessageId;
use crate::domain::settlement::OutboxMessage;
use crate::domain::time::{Chance, Clock};
use crate::store::{DeadLetter, Store, StoreError};

/// Names the dead letter that a message is a replay of.
pub const REPLAY_OF: &str = "clawback-replay-of";
const ATTEMPTS: &str = "clawback-dlq-attempts";

/// Puts the letter into the outbox, addressed to its original topic, and marks it as replayed.
///
/// # Errors
/// When the store does not take it.
pub async fn replay(
    store: &dyn Store,
    letter: &DeadLetter,
    clock: &dyn Clock,
    chance: &dyn Chance,
) -> Result<MessageId, StoreError> {
    let attempts = letter
        .headers
        .iter()
        .rfind(|(name, _)| name.eq_ignore_ascii_case(ATTEMPTS))
        .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<u32>().ok())
        .unwrap_or(0)
        .saturating_add(1);
    let mut headers: Vec<_> = letter
        .headers
        .iter()
        .filter(|(name, _)| {
            !name.eq_ignore_ascii_case(REPLAY_OF) && !name.eq_ignore_ascii_case(ATTEMPTS)
        })
        .cloned()
        .collect();
    headers.push((REPLAY_OF.to_owned(), letter.id.to_string().into_bytes()));
    headers.push((ATTEMPTS.to_owned(), attempts.to_string().into_bytes()));
    let message = OutboxMessage {
        // Drawn and not derived: a letter may be replayed again after the next fix.
        id: MessageId(chance.id()),
        topic: letter.origin.topic.clone(),
        key: letter.key.clone().unwrap_or_default(),
        headers,
        payload: letter.payload.clone(),
        created: clock.now(),
    };
    store.post(&message, Some(letter.id)).await?;
    Ok(message.id)
}
