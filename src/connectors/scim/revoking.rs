//! Taking one entitlement away: a membership, a role, an entitlement, a certificate.
//!
//! Owns the ladder of forms and the look after each: servers are known to answer 200 to a filtered
//! removal and to remove nobody. The form that lists the member as a value is read by others as the
//! removal of all members, so it is sent only where nobody else can be hit, or where the owner says
//! that the target is safe. The last rung is a PUT that counts only at the version that was read,
//! and is left out where nobody says that the target looks at versions.

use serde_json::{Value, json};

use super::super::contract::{Answered, Change};
use super::super::http::{HttpAnswer, segment};
use super::client::{Found, Session};
use super::resource::{self, GROUP, VALUED, elements, value_of};
use super::{classify, render, writing};
use crate::domain::access::Entitlement;
use crate::domain::outcome::{Failure, FailureClass};

/// Takes the change's entitlement away.
pub(super) async fn revoke(session: &Session<'_>, change: &Change) -> Result<Answered, Failure> {
    let Some(entitlement) = &change.entitlement else {
        return Err(foreign("no entitlement is named"));
    };
    if let Some(group) = entitlement.id.as_str().strip_prefix(GROUP) {
        // Asserts the login. A user that is gone can still be a member.
        session.user_for(change).await?;
        return OneOf {
            session,
            change,
            path: format!("/Groups/{}", segment(group)?),
            holder: Holder::Group(group),
            attribute: "members",
            value: change.account.as_str().to_owned(),
        }
        .take_away()
        .await;
    }
    let Some(user) = session.user_for(change).await? else {
        return Ok(Answered::Absent);
    };
    let Some((attribute, value)) = find(&user.body, entitlement)? else {
        return Ok(Answered::Absent);
    };
    OneOf {
        session,
        change,
        path: format!("/Users/{}", segment(change.account.as_str())?),
        holder: Holder::User,
        attribute,
        value,
    }
    .take_away()
    .await
}

/// Where the user resource holds the entitlement now: attribute and value.
fn find(
    user: &Value,
    entitlement: &Entitlement,
) -> Result<Option<(&'static str, String)>, Failure> {
    let id = entitlement.id.as_str();
    let Some((attribute, prefix, _)) = VALUED.iter().find(|(_, prefix, _)| id.starts_with(prefix))
    else {
        return Err(foreign("the entitlement is none of SCIM's"));
    };
    let mut found = None;
    for element in elements(user, attribute)? {
        let value = value_of(attribute, element)?;
        if found.is_none() && resource::valued_id(prefix, &value) == entitlement.id {
            found = Some((*attribute, value.into_owned()));
        }
    }
    Ok(found)
}

fn foreign(what: &str) -> Failure {
    Failure::new(FailureClass::Unsupported, "CB-SCIM-8", what)
}

enum Holder<'a> {
    Group(&'a str),
    User,
}

/// One element of a multi-valued attribute that is to go.
struct OneOf<'a> {
    session: &'a Session<'a>,
    change: &'a Change,
    path: String,
    holder: Holder<'a>,
    attribute: &'static str,
    value: String,
}

impl OneOf<'_> {
    async fn take_away(&self) -> Result<Answered, Failure> {
        let Some(before) = self.read().await? else {
            return Ok(Answered::Absent);
        };
        if !self.is_in(&before.body)? {
            return Ok(Answered::Absent);
        }
        let (now, patched) = if self.session.abilities().await?.patch == Some(false) {
            (before, false)
        } else {
            match self.by_patch(before).await? {
                Rung::Taken(answered) => return Ok(answered),
                Rung::Still(found) => (found, true),
                Rung::NoPatch(found) => (found, false),
            }
        };
        if patched && !self.session.may_replace(&now).await? {
            return Err(classify::without_effect("the removal"));
        }
        let changed = self.without(&now.body)?;
        let answered =
            writing::replace(self.session, self.change, &self.path, &now, &changed).await?;
        match self.read().await? {
            Some(after) if self.is_in(&after.body)? => Err(classify::without_effect("the removal")),
            Some(_) | None => Ok(answered),
        }
    }

    async fn by_patch(&self, before: Found) -> Result<Rung, Failure> {
        let filter = render::element(self.attribute, &self.value);
        let mut forms = vec![json!({ "op": "remove", "path": filter })];
        let others = elements(&before.body, self.attribute)?.len() > 1;
        if !others || self.session.settings.value_removal {
            forms.push(json!({
                "op": "remove",
                "path": self.attribute,
                "value": [{ "value": self.value }],
            }));
        }
        let mut found = before;
        let mut refusal = None;
        for form in forms {
            let mut request = render::patch(&self.path, &form);
            if form.get("value").is_some() {
                // Nobody may join between the look and this.
                render::only_at(&mut request, found.etag.as_deref());
            }
            let answer = self.session.change(self.change, request, &found).await?;
            if classify::no_patch(&answer) {
                return Ok(Rung::NoPatch(found));
            }
            refusal = self.refusal(&answer)?;
            // 202: it is still to happen, so still being there says nothing (RFC 9967).
            let pending = answer.status == 202;
            match self.read().await? {
                Some(after) if self.is_in(&after.body)? && !pending => found = after,
                Some(_) | None if refusal.is_some() => return Ok(Rung::Taken(Answered::Absent)),
                Some(_) | None => return Ok(Rung::Taken(Answered::Accepted)),
            }
            if let Some(refusal) = refusal.take_if(|_| answer.status != 400) {
                return Err(refusal);
            }
        }
        match refusal {
            // Nothing but a version that is looked at makes the last rung safe.
            Some(refusal) if !self.session.may_replace(&found).await? => Err(refusal),
            Some(_) | None => Ok(Rung::Still(found)),
        }
    }

    /// A refusal that another look or another form may get over: 400 may mean the form and not the
    /// matter, and what is gone already is answered 404 by some servers and 500 by others.
    fn refusal(&self, answer: &HttpAnswer) -> Result<Option<Failure>, Failure> {
        if answer.is_success() {
            return Ok(None);
        }
        if answer.status == 412 {
            return Err(classify::stale("it was changed by someone else meanwhile"));
        }
        let failure = classify::failure(answer);
        if failure.class == FailureClass::Unsupported
            || !matches!(answer.status, 400 | 404 | 410 | 500)
        {
            return Err(failure);
        }
        Ok(Some(failure))
    }

    async fn read(&self) -> Result<Option<Found>, Failure> {
        match self.holder {
            Holder::Group(id) => match self.session.group(id).await? {
                Some(found) => Ok(Some(found)),
                None => self.session.group(id).await,
            },
            Holder::User => self.session.user_for(self.change).await,
        }
    }

    fn is_in(&self, body: &Value) -> Result<bool, Failure> {
        let mut found = false;
        for element in elements(body, self.attribute)? {
            found |= value_of(self.attribute, element)? == self.value;
        }
        Ok(found)
    }

    /// The whole as read, without the one. A list that does not show it may be cut, and sent back it would
    /// take out others instead.
    fn without(&self, body: &Value) -> Result<Value, Failure> {
        let mut changed = body.clone();
        let mut taken = 0;
        for (key, value) in changed.as_object_mut().into_iter().flatten() {
            if let (true, Value::Array(all)) = (key.eq_ignore_ascii_case(self.attribute), value) {
                let before = all.len();
                all.retain(|one| {
                    value_of(self.attribute, one).map_or(true, |value| value != self.value)
                });
                taken += before - all.len();
            }
        }
        if taken == 0 {
            return Err(classify::drifted("what is to be taken out is not shown"));
        }
        Ok(changed)
    }
}

/// Where a rung of the ladder led.
enum Rung {
    /// It is gone, or will be.
    Taken(Answered),
    /// It is still there, as just read.
    Still(Found),
    /// The server has no PATCH; nothing was changed.
    NoPatch(Found),
}
