//! Texts of a target, made such that every database can keep them.
//!
//! Owns U+0000, which PostgreSQL keeps in no text: in what people read it is replaced, and an account or
//! entitlement that is named by it cannot be addressed, so that the answer lacks its shape.

use std::collections::BTreeMap;

use super::super::contract::{Listing, Reading};
use crate::domain::access::Account;
use crate::domain::outcome::{Failure, FailureClass, storable};

/// The accounts of a listing.
pub(super) fn of_listing(mut listing: Listing) -> Result<Listing, Failure> {
    replace(&mut listing.method);
    listing.accounts.iter_mut().try_for_each(of_account)?;
    Ok(listing)
}

/// The account of a reading, if there is one.
pub(super) fn of_reading(mut reading: Reading) -> Result<Reading, Failure> {
    replace(&mut reading.method);
    reading.account.iter_mut().try_for_each(of_account)?;
    Ok(reading)
}

fn of_account(account: &mut Account) -> Result<(), Failure> {
    whole("an account's id", account.id.as_str())?;
    whole("an account's login", &account.login)?;
    account.display_name.iter_mut().for_each(replace);
    for entitlement in &mut account.entitlements {
        whole("an entitlement's id", entitlement.id.as_str())?;
        replace(&mut entitlement.name);
        entitlement.inherited_from.iter_mut().for_each(replace);
    }
    if account.attributes.keys().any(|name| name.contains('\0')) {
        let named = std::mem::take(&mut account.attributes).into_iter();
        let named = named.map(|(name, value)| (storable(name), value));
        account.attributes = named.collect::<BTreeMap<_, _>>();
    }
    account.attributes.values_mut().for_each(replace);
    let further = std::mem::take(&mut account.further).into_iter();
    let further = further.map(|(name, values)| {
        let values = values.into_iter().map(storable).collect();
        (storable(name), values)
    });
    account.further = further.collect();
    Ok(())
}

fn whole(what: &str, text: &str) -> Result<(), Failure> {
    if !text.contains('\0') {
        return Ok(());
    }
    let words = format!("{what} holds the character U+0000: {text}");
    Err(Failure::new(FailureClass::Drifted, "CB-GUARD-17", words))
}

fn replace(text: &mut String) {
    if text.contains('\0') {
        *text = storable(std::mem::take(text));
    }
}
