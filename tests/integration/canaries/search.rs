//! The search for planted secrets in whatever a run leaves behind.
//!
//! Owns the forms in which a value may hide: as it is, in hex, percent-encoded, and in base64 at each of
//! the three places where it can begin within other bytes. Knows nothing of where the text comes from.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A secret with every form in which it is looked for.
#[derive(Debug, Clone)]
pub struct Planted {
    /// What it is, for the message: never the value.
    pub name: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Planted {
    /// A value that is long enough not to occur by chance.
    pub fn new(name: &str, value: &str) -> Self {
        assert!(value.len() >= 12, "{name} is too short to be looked for");
        let bytes = value.as_bytes();
        let hex = hex::encode(bytes);
        let percent: String = bytes
            .iter()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    char::from(*byte).to_string()
                }
                other => format!("%{other:02X}"),
            })
            .collect();
        let mut forms = vec![
            ("as it is", bytes.to_vec()),
            ("in hex", hex.to_uppercase().into_bytes()),
            ("in hex", hex.into_bytes()),
            ("percent-encoded", percent.into_bytes()),
        ];
        for before in 0..3 {
            // Of the first and last characters a part belongs to the neighbours.
            let padded = [&vec![0; before][..], bytes].concat();
            let whole = padded.len() / 3 * 4;
            let from = [0, 2, 3][before];
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let text = engine.encode(&padded);
                forms.push(("in base64", text.as_bytes()[from..whole].to_vec()));
            }
        }
        Self {
            name: name.to_owned(),
            forms,
        }
    }

    /// How the secret is in these bytes, if it is.
    pub fn found(&self, bytes: &[u8]) -> Option<&'static str> {
        let here = |form: &[u8]| bytes.windows(form.len()).any(|part| part == form);
        let found = self.forms.iter().find(|(_, form)| here(form));
        found.map(|(how, _)| *how)
    }
}

/// Every place that holds one of them, in words that do not.
pub fn search(planted: &[Planted], places: &[(String, Vec<u8>)]) -> Vec<String> {
    let mut leaks = Vec::new();
    for (place, bytes) in places {
        for secret in planted {
            if let Some(how) = secret.found(bytes) {
                leaks.push(format!("{place} holds {} {how}", secret.name));
            }
        }
    }
    leaks
}

#[test]
fn d1_the_search_finds_a_secret_in_every_form_and_nothing_else() {
    let value = "cn-plant/ed+value~1";
    let planted = [Planted::new("the plant", value)];
    let encoded = |before: &str| STANDARD_NO_PAD.encode(format!("{before}{value}:and more"));
    for text in [
        format!("x{value}y"),
        format!("\\x{}00", hex::encode(value)),
        hex::encode_upper(value),
        "a=cn-plant%2Fed%2Bvalue~1&b=2".to_owned(),
        encoded(""),
        encoded("u"),
        encoded("us"),
        encoded("use"),
        URL_SAFE_NO_PAD.encode(format!("é{value}é")),
    ] {
        let places = [("here".to_owned(), text.clone().into_bytes())];
        assert_eq!(search(&planted, &places).len(), 1, "in {text}");
    }
    let places = [("here".to_owned(), b"cn-plant/ed+value~2".to_vec())];
    assert!(search(&planted, &places).is_empty());
}
