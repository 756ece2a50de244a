//! The console's cookies: the session's secret, the door's, and what the next page is to tell.
//!
//! Owns names and attributes. `__Host-` binds a cookie to this host, to HTTPS (or loopback) and to the
//! root path, so no neighbour can plant one (RFC 6265bis, section 4.1.3.2). Verifies nothing.

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};

/// Holds a session's secret.
pub(super) const SESSION: &str = "__Host-clawback";
/// Holds the secret to which the sign-in form is bound, before anybody is signed in.
pub(super) const DOOR: &str = "__Host-clawback-door";
/// Holds what the next page is to tell, once.
pub(super) const TOLD: &str = "__Host-clawback-told";
/// Holds what a sign-in at the provider is bound to.
pub(super) const AWAY: &str = "__Host-clawback-away";

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Adds a cookie; no seconds ends it.
pub(super) fn set(headers: &mut HeaderMap, name: &str, value: &str, seconds: u64) {
    let line = format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
    if let Ok(line) = HeaderValue::from_str(&line) {
        headers.append(SET_COOKIE, line);
    }
}

/// What the next page tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// Whether it went as wished.
    pub well: bool,
    /// In words.
    pub words: String,
}

impl Told {
    /// As a cookie's value: hexadecimal digits, so that words cannot be anything but words.
    pub(super) fn encode(&self) -> String {
        let mark = if self.well { '+' } else { '-' };
        let words: String = self.words.chars().take(600).collect();
        hex::encode(format!("{mark}{words}"))
    }

    /// What a cookie says; nothing where it is not ours.
    pub(super) fn decode(value: &str) -> Option<Self> {
        let text = String::from_utf8(hex::decode(value).ok()?).ok()?;
        let (mark, words) = text.split_at_checked(1)?;
        Some(Self {
            well: mark == "+",
            words: words.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.insert(
            COOKIE,
            HeaderValue::from_static("x__Host-clawback=1; __Host-clawback=2; b=3"),
        );
        assert_eq!(cookie(&headers, SESSION), Some("2"));
        assert_eq!(cookie(&headers, DOOR), None);
    }

    #[test]
    fn h1_what_is_told_stays_one_header() {
        let told = Told {
            well: false,
            words: "sent back\r\nSet-Cookie: a=b".to_owned(),
        };
        assert_eq!(Told::decode(&told.encode()), Some(told.clone()));
        assert!(told.encode().bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(Told::decode("zz"), None);
        let mut headers = HeaderMap::new();
        set(&mut headers, TOLD, "a\r\nb", 1);
        assert!(headers.is_empty(), "no header can be broken open");
    }
}
