//! Keeps secrets out of whatever is printed.
//!
//! Owns a wrapper for values that must not be shown, and the last line of defence: every log line,
//! our own or a library's, passes [`scrub`] on its way out. A line that looks like a secret is masked
//! rather than printed; that a harmless one is masked now and then is accepted.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

/// What stands where something was masked.
const MASK: &str = "[redacted]";

/// Names that are followed by a secret where `=` or `:` follows them.
const NAMES: [&str; 10] = [
    "password",
    "passwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "authorization",
    "private_key",
    "cookie",
];

/// Words that a secret follows after a blank.
const SCHEMES: [&str; 2] = ["bearer ", "basic "];

/// Begins every secret that Clawback chooses itself.
const OWN_PREFIX: &str = "cb1-";

/// Shorter values are not secrets but counts, kinds and answers.
const SHORTEST: usize = 8;

/// Holds a value that can be used but not shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Redacted<T>(pub T);

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Masks what looks like a secret.
pub fn scrub(line: &str) -> Cow<'_, str> {
    // ASCII only, so that places in one are places in the other.
    let lower = line.to_ascii_lowercase();
    let mut masks: Vec<(usize, usize)> = Vec::new();
    for name in NAMES {
        for (at, _) in lower.match_indices(name) {
            masks.extend(after_name(line, at + name.len()));
        }
    }
    for scheme in SCHEMES {
        for (at, _) in lower.match_indices(scheme) {
            masks.extend(value_at(line, at + scheme.len()));
        }
    }
    for (at, _) in lower.match_indices(OWN_PREFIX) {
        masks.extend(value_at(line, at));
    }
    for (at, _) in lower.match_indices("://") {
        masks.extend(userinfo(line, at + 3));
    }
    if masks.is_empty() {
        return Cow::Borrowed(line);
    }
    masks.sort_unstable();
    let mut out = String::with_capacity(line.len());
    let mut done = 0;
    for (from, to) in masks {
        if to <= done {
            continue;
        }
        if from >= done {
            out.push_str(&line[done..from]);
            out.push_str(MASK);
        }
        done = to;
    }
    out.push_str(&line[done..]);
    Cow::Owned(out)
}

/// The value of `name=value`, `name: value`, `"name":"value"`.
fn after_name(line: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &line[at..];
    let trimmed = rest.trim_start_matches(['"', '\\', ' ']);
    let value = trimmed.strip_prefix(['=', ':'])?;
    value_at(line, line.len() - value.len())
}

/// The value that begins at or shortly after `at`: to the closing quote, or to the next delimiter.
fn value_at(line: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &line[at..];
    let value = rest.trim_start_matches([' ', '\\']);
    let from = line.len() - value.len();
    let (from, end) = match value.strip_prefix(['"', '\'']) {
        Some(quoted) => (
            from + 1,
            quoted.find(['"', '\'', '\\']).unwrap_or(quoted.len()),
        ),
        None => (
            from,
            value
                .find(|c: char| {
                    c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '&' | ';' | '}')
                })
                .unwrap_or(value.len()),
        ),
    };
    // What a scheme word precedes is masked by the scheme's own rule.
    let lower = line[from..from + end].to_ascii_lowercase();
    let scheme = SCHEMES.iter().any(|scheme| scheme.trim_end() == lower);
    (end >= SHORTEST && !scheme).then_some((from, from + end))
}

/// The password of `scheme://user:password@host`.
fn userinfo(line: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &line[at..];
    let authority = &rest[..rest
        .find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '?'))
        .unwrap_or(rest.len())];
    let end = authority.rfind('@')?;
    let colon = authority[..end].find(':')?;
    Some((at + colon + 1, at + end))
}

/// Writes log lines to standard error, scrubbed.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScrubbedErrorStream;

impl Write for ScrubbedErrorStream {
    // The subscriber hands over one whole line in one call.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        std::io::stderr().write_all(scrub(&line).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d1_what_looks_like_a_secret_is_masked_in_every_notation() {
        for (line, shown) in [
            ("password=hunter2hunter2 next", "password=[redacted] next"),
            (
                r#"{"client_secret":"abcdefghij","n":1}"#,
                r#"{"client_secret":"[redacted]","n":1}"#,
            ),
            (
                "Authorization: Bearer abc.def.ghi-jkl",
                "Authorization: Bearer [redacted]",
            ),
            (
                "authorization: Basic dXNlcjpwYXNz",
                "authorization: Basic [redacted]",
            ),
            (
                "postgres://clawback:pa:ss@db:5432/x",
                "postgres://clawback:[redacted]@db:5432/x",
            ),
            (
                "sasl.password: \"with blank in it\" ok",
                "sasl.password: \"[redacted]\" ok",
            ),
            ("chose Cb1-0123456789abcdef", "chose [redacted]"),
            ("x?api_key=0123456789&y=1", "x?api_key=[redacted]&y=1"),
            ("PASSWORD = 'SCRAM-SHA-256$4096'", "PASSWORD = '[redacted]'"),
        ] {
            assert_eq!(scrub(line), shown);
        }
    }

    #[test]
    fn harmless_lines_stay_as_they_are() {
        for line in [
            "a secret is 91 days old",
            "token=17 refused, lease moved on",
            "GET http://127.0.0.1:8080/Users?count=100",
            "the basic profile",
            "über://x",
        ] {
            assert_eq!(scrub(line), line);
        }
    }

    #[test]
    fn a_redacted_value_shows_nothing() {
        let value = Redacted("hunter2");
        assert_eq!(format!("{value} {value:?}"), "[redacted] [redacted]");
    }
}
