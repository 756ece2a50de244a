//! One call's exchange with the directory: every request judged, one connection, what was not whole.
//!
//! Owns the road from a query to permitted pages and from a change to a permitted edit, and the
//! memory of what was cut short, so that no empty answer passes for an absence. Decides nothing
//! about accounts or groups.

use std::collections::BTreeSet;

use ldap3::LdapResult;

use super::classify;
use super::client::{Client, Edit, EditKind, Link, Next, Page};
use super::entry::{Entry, by_id};
use super::settings::Settings;
use crate::connectors::limits::{MOST_BYTES, MOST_ITEMS};
use crate::connectors::{Call, Change, DN, RenderedRequest, WHOLE_ACCOUNT};
use crate::domain::access::Operation;
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;

/// One call under way.
#[derive(Debug)]
pub struct Session<'a> {
    call: &'a Call<'a>,
    client: &'a Client,
    link: Option<Link>,
    /// The account that the call is about; `None` for a listing.
    account: Option<AccountId>,
    /// Why the answers so far are not everything.
    pub cut: Option<String>,
    /// Something that must be there was not shown to this credential.
    pub hidden: bool,
    /// Values that came under another description than the declared one.
    pub unread: Option<String>,
}

/// What is sought.
#[derive(Debug)]
pub struct Query<'q> {
    /// Where it begins; everything below is meant.
    pub base: &'q str,
    /// What is sought.
    pub filter: String,
    /// Which attributes are wanted.
    pub attributes: Vec<String>,
    /// With more entries than this it is not read on: it is not what was declared.
    pub most: u64,
}

impl<'a> Session<'a> {
    /// A session without a connection.
    pub fn new(call: &'a Call<'a>, client: &'a Client, account: Option<&AccountId>) -> Self {
        Self {
            call,
            client,
            link: None,
            account: account.cloned(),
            cut: None,
            hidden: false,
            unread: None,
        }
    }

    /// How the directory is asked. Outlives the borrow of the session.
    pub fn settings(&self) -> &'a Settings {
        self.client.settings()
    }

    /// Whether the change only tries what the credential may do.
    pub fn is_trial(&self) -> bool {
        self.call.trial
    }

    /// Every login that the account is known by.
    pub fn logins(&self, login: Option<&str>) -> BTreeSet<String> {
        let last = self.call.last.into_iter();
        let all = login
            .into_iter()
            .chain(last.flat_map(|last| last.values("login")));
        all.map(ToOwned::to_owned).collect()
    }

    /// The distinguished name that the account was last seen with, where that is known.
    pub fn dn(&self) -> Option<&'a str> {
        let last = self.call.last?;
        last.attributes.get(DN).map(String::as_str)
    }

    /// Keeps the connection for the next call, if it is still sound.
    pub fn end(self) {
        if let Some(link) = self.link {
            self.client.give(self.call.credential, link);
        }
    }

    /// Every entry that matches, page by page, and how many pages there were. What may be missing is
    /// remembered in `cut`.
    ///
    /// # Errors
    /// As `classify` says.
    pub async fn search(&mut self, query: Query<'_>) -> Result<(Vec<Entry>, usize), Failure> {
        let mut page = Page {
            base: query.base.to_owned(),
            below: true,
            filter: query.filter,
            attributes: query.attributes,
            size: Some(self.settings().page_size),
            most: 0,
            cookie: Vec::new(),
        };
        let (mut entries, mut pages) = (Vec::new(), 0);
        let mut bytes = 0_usize;
        loop {
            pages += 1;
            let shown = self.ask(&page).await?;
            let progress = !shown.entries.is_empty();
            bytes = shown
                .entries
                .iter()
                .map(Entry::bytes)
                .fold(bytes, usize::saturating_add);
            entries.extend(shown.entries);
            let flooded = entries.len() as u64 > query.most || bytes > MOST_BYTES;
            match shown.next {
                Next::End => break,
                Next::More(_) if flooded => {
                    self.note("more came than was declared, and it was not read on");
                    break;
                }
                Next::More(cookie) if progress || cookie != page.cookie => page.cookie = cookie,
                Next::More(_) => {
                    self.note("the pages do not come to an end");
                    break;
                }
                Next::Cut(why) => {
                    self.note(&why);
                    break;
                }
            }
        }
        if entries.iter().any(|entry| entry.ranged) {
            self.note("part of an attribute's values was left out");
        }
        let telling = self.settings().telling_attributes();
        if let Some(name) = entries.iter().find_map(|entry| entry.unread(&telling)) {
            let why = format!("`{name}` is not among what is declared");
            self.unread.get_or_insert(why);
        }
        Ok((entries, pages))
    }

    /// Whether anything matches at all; stops at the first.
    ///
    /// # Errors
    /// As `classify` says.
    pub async fn any(&mut self, base: &str, filter: String) -> Result<bool, Failure> {
        let page = Page {
            base: base.to_owned(),
            below: true,
            filter,
            attributes: vec!["1.1".to_owned()],
            size: None,
            most: 1,
            cookie: Vec::new(),
        };
        self.shows(&page).await
    }

    /// Whether an entry of this name is there, of whatever kind.
    ///
    /// # Errors
    /// As `classify` says.
    pub async fn stands(&mut self, dn: &str) -> Result<bool, Failure> {
        let page = Page {
            base: dn.to_owned(),
            below: false,
            filter: "(objectClass=*)".to_owned(),
            attributes: vec!["1.1".to_owned()],
            size: None,
            most: 1,
            cookie: Vec::new(),
        };
        self.shows(&page).await
    }

    /// True where a page shows something, and where it was cut short before it did: its silence says nothing
    /// then, and is remembered.
    async fn shows(&mut self, page: &Page) -> Result<bool, Failure> {
        let shown = self.ask(page).await?;
        if !shown.entries.is_empty() {
            return Ok(true);
        }
        if let Next::Cut(why) = &shown.next {
            self.note(why);
            return Ok(true);
        }
        Ok(false)
    }

    /// The account's entry.
    ///
    /// # Errors
    /// As `classify` says; `ambiguous` when several entries have the id.
    pub async fn account(&mut self, id: &AccountId) -> Result<Option<Entry>, Failure> {
        let accounts = &self.settings().accounts;
        let query = Query {
            base: &accounts.base,
            filter: by_id(&accounts.id, id.as_str())?,
            attributes: self.settings().account_attributes(),
            most: MOST_ITEMS,
        };
        let (mut entries, _) = self.search(query).await?;
        if entries.len() > 1 {
            return Err(classify::several(entries.len()));
        }
        Ok(entries.pop())
    }

    /// The same for a change: what is not there is sought again, and must not have been cut away.
    ///
    /// # Errors
    /// As `classify` says; `stale_data` when nothing was shown and not everything was.
    pub async fn account_surely(&mut self, id: &AccountId) -> Result<Option<Entry>, Failure> {
        if let Some(entry) = self.account(id).await? {
            return Ok(Some(entry));
        }
        let found = self.account(id).await?;
        if found.is_none() {
            self.must_be_whole()?;
        }
        Ok(found)
    }

    /// # Errors
    /// `stale_data` when an answer of this call was not everything.
    pub fn must_be_whole(&self) -> Result<(), Failure> {
        match &self.cut {
            Some(why) => Err(classify::incomplete(why)),
            None => Ok(()),
        }
    }

    /// Sends one edit as part of a change; the result is the directory's own.
    ///
    /// # Errors
    /// `refused` by the guard, or as `Link::change` says.
    pub async fn change(
        &mut self,
        change: &Change,
        fields: &[&str],
        edit: Edit,
    ) -> Result<LdapResult, Failure> {
        let mut writes: BTreeSet<_> = fields.iter().map(ToString::to_string).collect();
        if change.operation == Operation::Delete {
            writes.insert(WHOLE_ACCOUNT.to_owned());
        }
        let verb = match edit.kind {
            EditKind::Modify(_) => "MODIFY",
            EditKind::Delete => "DELETE",
        };
        let rendered = RenderedRequest {
            operation: Some(change.operation),
            account: Some(change.account.clone()),
            line: format!("{verb} {} for {}", fields.join(", "), change.account),
            writes,
        };
        let permit = self.call.permit(rendered, edit).await?;
        let mut link = self.take().await?;
        let result = link.change(permit).await?;
        self.link = Some(link);
        Ok(result)
    }

    async fn ask(&mut self, page: &Page) -> Result<super::client::Shown, Failure> {
        let operation = match self.account {
            Some(_) => Operation::Read,
            None => Operation::List,
        };
        let rendered = RenderedRequest {
            operation: Some(operation),
            account: self.account.clone(),
            writes: BTreeSet::new(),
            line: format!("SEARCH {}", page.base),
        };
        let permit = self.call.permit(rendered, page.clone()).await?;
        let mut link = self.take().await?;
        let shown = link.search(permit).await?;
        self.link = Some(link);
        Ok(shown)
    }

    /// The call's connection. What fails on the way is not put back, and so is closed.
    async fn take(&mut self) -> Result<Link, Failure> {
        match self.link.take() {
            Some(link) => Ok(link),
            None => self.client.take(self.call.credential).await,
        }
    }

    fn note(&mut self, why: &str) {
        self.cut.get_or_insert_with(|| why.to_owned());
    }
}
