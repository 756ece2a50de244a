//! Whether an account can sign in, in the forms that directories tell it.
//!
//! Owns the `[ldap.state]` table, the reading of the state and the change that ends sign-in. What
//! is not known to mean "disabled" counts as enabled: a doubt must never look like a removal.

use ldap3::Mod;

use super::classify::drifted;
use super::entry::Entry;
use super::settings::one_of;
use crate::document::Table;
use crate::domain::access::AccountState;
use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;

/// ADS_UF_ACCOUNTDISABLE (MS-ADTS §2.2.16).
const ACCOUNT_DISABLED: i64 = 0x2;

/// Days since 1970 that are surely past; 0 is read as "never" by some (shadow(5)).
const LONG_PAST: &str = "1";

const SECONDS_OF_DAY: i64 = 86_400;

/// How it is told whether an account can sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The attribute that tells it.
    pub attribute: String,
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// By one of these values; the first is the one that we write.
    Value { disabled: Vec<String>, add: bool },
    /// By a bit of `userAccountControl`.
    AccountControl,
    /// By a day in the past (`shadowExpire`).
    Expiry,
}

#[derive(Debug, Clone, Copy)]
enum Word {
    Value,
    AccountControl,
    Expiry,
}

/// Reads `[ldap.state]`.
pub fn read(table: &Table<'_>) -> Option<State> {
    let known = [
        ("value", Word::Value),
        ("account_control", Word::AccountControl),
        ("expiry", Word::Expiry),
    ];
    let word = match table.string("form") {
        Some(item) => one_of(table, &item, &known),
        None => Some(Word::Value),
    };
    let attribute = table.string("attribute").map(|item| item.value);
    let values = table.strings("disabled").into_iter();
    let disabled: Vec<_> = values.map(|item| item.value).collect();
    let add = table.boolean("add").is_some_and(|item| item.value);
    table.finish();
    let (form, usual) = match word? {
        Word::Value if disabled.is_empty() || attribute.is_none() => {
            table.report(
                table.line(),
                "it is not said which value means \"disabled\"",
                "add `attribute` and `disabled`, the value to write first",
            );
            return None;
        }
        Word::Value => (Form::Value { disabled, add }, ""),
        Word::AccountControl => (Form::AccountControl, "userAccountControl"),
        Word::Expiry => (Form::Expiry, "shadowExpire"),
    };
    let attribute = attribute.unwrap_or_else(|| usual.to_owned());
    Some(State { attribute, form })
}

impl State {
    /// What the entry tells.
    ///
    /// # Errors
    /// `drifted` when the attribute has another shape than declared.
    pub fn of(&self, entry: &Entry, now: Timestamp) -> Result<AccountState, Failure> {
        let is_disabled = match &self.form {
            Form::Value { disabled, .. } => entry.texts(&self.attribute).any(|found| {
                let mut words = disabled.iter();
                words.any(|word| word.eq_ignore_ascii_case(found))
            }),
            Form::AccountControl => self.number(entry)? & ACCOUNT_DISABLED != 0,
            Form::Expiry if entry.values(&self.attribute).is_empty() => false,
            Form::Expiry => {
                let today = now.as_second().div_euclid(SECONDS_OF_DAY);
                (1..=today).contains(&self.number(entry)?)
            }
        };
        Ok(if is_disabled {
            AccountState::Disabled
        } else {
            AccountState::Enabled
        })
    }

    /// The change that ends sign-in. Where the new value is made from the old one, the old one must
    /// still be there, or the directory refuses the whole.
    ///
    /// # Errors
    /// `drifted` when the attribute has another shape than declared.
    pub fn disabling(&self, entry: &Entry) -> Result<Vec<Mod<Vec<u8>>>, Failure> {
        let name = || self.attribute.as_bytes().to_vec();
        let replace = |value: &str| vec![Mod::Replace(name(), [value.into()].into())];
        Ok(match &self.form {
            Form::Value { disabled, add } => {
                let value = disabled.first().map_or("", String::as_str);
                if *add {
                    vec![Mod::Add(name(), [value.into()].into())]
                } else {
                    replace(value)
                }
            }
            Form::AccountControl => {
                let found = self.number(entry)?;
                let wanted = (found | ACCOUNT_DISABLED).to_string();
                vec![
                    Mod::Delete(name(), [found.to_string().into()].into()),
                    Mod::Add(name(), [wanted.into()].into()),
                ]
            }
            Form::Expiry => replace(LONG_PAST),
        })
    }

    fn number(&self, entry: &Entry) -> Result<i64, Failure> {
        let found = entry.text(&self.attribute);
        found
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| drifted(format!("an account's `{}` is no number", self.attribute)))
    }
}

#[cfg(test)]
mod tests {
    use ldap3::SearchEntry;

    use super::*;
    use crate::document::Document;

    /// The table of a state, and an entry with these values.
    fn told(table: &str, values: &[(&str, &str)]) -> (State, Entry) {
        let text = format!("[state]\n{table}");
        let document = Document::parse("a.toml", &text).expect("syntax");
        let state = document
            .root()
            .table("state")
            .and_then(|table| read(&table));
        let values = values.iter();
        let one = |(name, value): &(&str, &str)| (name.to_string(), vec![value.to_string()]);
        let entry = Entry::new(SearchEntry {
            dn: "uid=ada".to_owned(),
            attrs: values.map(one).collect(),
            bin_attrs: [].into(),
        });
        (state.expect("a state"), entry)
    }

    fn state(table: &str, values: &[(&str, &str)]) -> Result<AccountState, Failure> {
        let (state, entry) = told(table, values);
        state.of(
            &entry,
            Timestamp::from_second(20_000 * SECONDS_OF_DAY).expect("a time"),
        )
    }

    #[test]
    fn what_is_not_known_to_be_disabled_counts_as_enabled() {
        let lock = "attribute = \"pwdAccountLockedTime\"\ndisabled = [\"000001010000Z\"]\n";
        for (value, expected) in [
            ("000001010000Z", AccountState::Disabled),
            // Locked for a while, after wrong passwords.
            ("20261122000000Z", AccountState::Enabled),
        ] {
            let values = [("pwdaccountlockedtime", value)];
            assert_eq!(state(lock, &values), Ok(expected), "{value}");
        }
        assert_eq!(state(lock, &[]), Ok(AccountState::Enabled));
        let words = "attribute = \"nsAccountLock\"\ndisabled = [\"true\"]\n";
        let values = [("nsAccountLock", "TRUE")];
        assert_eq!(state(words, &values), Ok(AccountState::Disabled));
    }

    #[test]
    fn a_day_that_is_past_disables_and_never_does_not() {
        let expiry = "form = \"expiry\"\n";
        for (value, expected) in [
            ("1", AccountState::Disabled),
            ("20000", AccountState::Disabled),
            ("20001", AccountState::Enabled),
            ("0", AccountState::Enabled),
            ("-1", AccountState::Enabled),
        ] {
            let values = [("shadowExpire", value)];
            assert_eq!(state(expiry, &values), Ok(expected), "{value}");
        }
        assert_eq!(state(expiry, &[]), Ok(AccountState::Enabled));
        let failure = state(expiry, &[("shadowExpire", "soon")]);
        assert_eq!(failure.expect_err("no number").code, "CB-LDAP-5");
    }

    #[test]
    fn a_value_can_be_added_beside_others() {
        let table = "attribute = \"employeeType\"\ndisabled = [\"left\", \"gone\"]\nadd = true\n";
        let (state, entry) = told(table, &[("employeeType", "guest")]);
        let changes = state.disabling(&entry).expect("changes");
        let expected = Mod::Add(b"employeeType".to_vec(), [b"left".to_vec()].into());
        assert_eq!(changes, [expected]);
    }
}
