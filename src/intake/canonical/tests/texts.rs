//! The published schemas and the decoder take the same texts.
//!
//! Owns texts of every doubtful sort, and as much of the schemas' language as their texts need: bounds of
//! length, and patterns of classes, groups, `*`, `+` and `?`. Whatever else a pattern holds fails the test.

use std::iter::Peekable;
use std::str::Chars;

use super::*;

/// Every text of an event: where it stands, where its schema does, and whether a text that fits its
/// schema is always taken (a zone must also be one).
const TEXTS: &[(&str, &str, bool)] = &[
    ("/id", "/properties/id", true),
    ("/source", "/properties/source", true),
    ("/subject", "/properties/subject", true),
    ("/traceparent", "/properties/traceparent", true),
    ("/tracestate", "/properties/tracestate", true),
    ("/data/case_id", "/properties/data/properties/case_id", true),
    ("/data/reason", "/properties/data/properties/reason", true),
    (
        "/data/connectors/0",
        "/properties/data/properties/connectors/items",
        true,
    ),
    (
        "/data/effective/zone",
        "/properties/data/properties/effective/oneOf/1/properties/zone",
        false,
    ),
    (
        "/data/subject/tenant",
        "/properties/data/properties/subject/properties/tenant",
        true,
    ),
    (
        "/data/subject/id",
        "/properties/data/properties/subject/properties/id",
        true,
    ),
    (
        "/data/subject/display_name",
        "/properties/data/properties/subject/properties/display_name",
        true,
    ),
    (
        "/data/subject/identifiers/0/type",
        "/properties/data/properties/subject/properties/identifiers/items/properties/type",
        true,
    ),
    (
        "/data/subject/identifiers/0/value",
        "/properties/data/properties/subject/properties/identifiers/items/properties/value",
        true,
    ),
];

/// Texts that have a form of their own: a time, media type, URI, and a local time.
const FORMED: usize = 4;

/// Of every doubtful sort.
fn doubtful() -> Vec<String> {
    let mut texts = vec![
        String::new(),
        "x".repeat(64),
        "x".repeat(65),
        "x".repeat(512),
        "x".repeat(513),
        "ü".repeat(512),
        "x".repeat(2001),
    ];
    let plain = [
        "x",
        "X1",
        "a b",
        "a_b",
        "a-b",
        "a.b",
        "ü",
        "Europe/Berlin",
        "\u{feff}x",
        "x\u{200b}",
    ];
    texts.extend(plain.map(str::to_owned));
    let blanks = [
        ' ', '\t', '\n', '\r', '\u{b}', '\u{0}', '\u{1f}', '\u{7f}', '\u{85}', '\u{9f}', '\u{a0}',
        '\u{1680}', '\u{2000}', '\u{200a}', '\u{2028}', '\u{2029}', '\u{202f}', '\u{205f}',
        '\u{3000}',
    ];
    for blank in blanks {
        texts.extend([
            blank.to_string(),
            format!("{blank}x"),
            format!("x{blank}"),
            format!("x{blank}y"),
        ]);
    }
    texts
}

fn event(kind: &str, subject_kind: &Value) -> Value {
    let mut data = sound();
    data["subject"]["kind"] = subject_kind.clone();
    json!({"specversion": "1.0", "id": "1", "source": "urn:hr", "type": kind, "subject": "acme/E1",
        "traceparent": "t", "tracestate": "t", "time": "2026-11-20T08:00:00Z", "data": data})
}

fn is_taken(event: &Value) -> bool {
    let read = CloudEvent::from_json(event.to_string().as_bytes()).ok();
    read.is_some_and(|event| lifecycle_event(&event, Timestamp::UNIX_EPOCH).is_ok())
}

/// How many texts a schema describes.
fn count(schema: &Value) -> usize {
    let here = usize::from(schema["type"] == "string");
    let below = match schema {
        Value::Object(map) => map.values().map(count).sum(),
        Value::Array(list) => list.iter().map(count).sum(),
        _ => 0,
    };
    here + below
}

#[test]
fn h3_every_schema_takes_the_texts_that_the_decoder_takes_and_no_others() {
    let mut schemas = docs("schemas");
    schemas.retain(|(name, _)| name != "clawback.evidence.v1");
    assert!(!schemas.is_empty());
    for (name, schema) in &schemas {
        assert_eq!(
            count(schema),
            TEXTS.len() + FORMED,
            "a text of {name} is not looked at"
        );
        let kinds = "/properties/data/properties/subject/properties/kind/enum/0";
        let sound = event(name, schema.pointer(kinds).expect("a kind"));
        assert!(is_taken(&sound), "{name}");
        for (at, described, always) in TEXTS {
            let described = schema.pointer(described).expect("is described");
            for text in doubtful() {
                let mut event = sound.clone();
                *event.pointer_mut(at).expect("is there") = json!(text);
                let (taken, fits) = (is_taken(&event), fits(described, &text));
                assert!(
                    taken == fits || !always && !taken,
                    "{name} {at} {text:?}: the decoder says {taken}, the schema {fits}"
                );
            }
        }
    }
}

/// What `description`, `minLength`, `maxLength` and `pattern` say of a text; `format` only describes.
fn fits(schema: &Value, text: &str) -> bool {
    let known = [
        "type",
        "description",
        "format",
        "minLength",
        "maxLength",
        "pattern",
    ];
    let keys = schema.as_object().expect("a schema").keys();
    for key in keys {
        assert!(
            known.contains(&key.as_str()),
            "`{key}` is not understood here"
        );
    }
    let length = text.chars().count() as u64;
    let bound = |key: &str, usual| schema[key].as_u64().unwrap_or(usual);
    let pattern = schema["pattern"].as_str();
    length >= bound("minLength", 0)
        && length <= bound("maxLength", u64::MAX)
        && pattern.is_none_or(|pattern| matches(pattern, text))
}

/// One part of a pattern, and how often it may stand.
struct Part {
    what: What,
    times: (usize, usize),
}

enum What {
    /// Any of these, or with `true` none of these.
    Class(bool, Vec<(char, char)>),
    Group(Vec<Part>),
}

fn matches(pattern: &str, text: &str) -> bool {
    let whole = pattern
        .strip_prefix('^')
        .and_then(|rest| rest.strip_suffix('$'));
    let parts = parts(&mut whole.expect("is about the whole text").chars().peekable());
    let text: Vec<_> = text.chars().collect();
    run(&parts, &text, &|rest| rest.is_empty())
}

fn parts(pattern: &mut Peekable<Chars<'_>>) -> Vec<Part> {
    let mut parts = Vec::new();
    while let Some(next) = pattern.next_if(|next| *next != ')') {
        let what = match next {
            '(' => {
                let inner = self::parts(pattern);
                assert_eq!(pattern.next(), Some(')'));
                What::Group(inner)
            }
            '[' => class(pattern),
            '|' | '{' | '.' | '\\' => panic!("`{next}` is not understood here"),
            letter => What::Class(false, vec![(letter, letter)]),
        };
        let times = match pattern.next_if(|next| "*+?".contains(*next)) {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some(_) => (0, 1),
            None => (1, 1),
        };
        parts.push(Part { what, times });
    }
    parts
}

fn class(pattern: &mut Peekable<Chars<'_>>) -> What {
    let none = pattern.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while pattern.next_if_eq(&']').is_none() {
        let from = letter(pattern);
        let ahead: String = pattern.clone().take(2).collect();
        let to = if ahead.starts_with('-') && !ahead.ends_with(']') {
            pattern.next();
            letter(pattern)
        } else {
            from
        };
        ranges.push((from, to));
    }
    What::Class(none, ranges)
}

fn letter(pattern: &mut Peekable<Chars<'_>>) -> char {
    match pattern.next().expect("an end of the class") {
        '\\' => {
            assert_eq!(pattern.next(), Some('u'));
            let digits: String = pattern.take(4).collect();
            let code = u32::from_str_radix(&digits, 16).expect("four digits");
            char::from_u32(code).expect("a letter")
        }
        letter => letter,
    }
}

fn run(parts: &[Part], text: &[char], then: &dyn Fn(&[char]) -> bool) -> bool {
    match parts.split_first() {
        Some((part, rest)) => again(part, 0, text, &|text| run(rest, text, then)),
        None => then(text),
    }
}

fn again(part: &Part, done: usize, text: &[char], then: &dyn Fn(&[char]) -> bool) -> bool {
    let (least, most) = part.times;
    let more = done < most
        && match (&part.what, text.split_first()) {
            (What::Class(none, ranges), Some((letter, rest))) => {
                let found = ranges
                    .iter()
                    .any(|(from, to)| (from..=to).contains(&letter));
                found != *none && again(part, done + 1, rest, then)
            }
            (What::Class(..), None) => false,
            (What::Group(inner), _) => run(inner, text, &|rest| {
                rest.len() < text.len() && again(part, done + 1, rest, then)
            }),
        };
    more || done >= least && then(text)
}

#[test]
fn a_pattern_is_understood_as_a_validator_does() {
    for (pattern, yes, no) in [
        ("^[a-z0-9_]+$", "a_1", "A"),
        ("^[a-z-]+$", "a-b", "a.b"),
        ("^[^\\u0000-\\u001f ]*$", "a\u{20ac}", "a\tb"),
        ("^[^ ]([^x]*[^ ])?$", "a b", "a "),
        ("^[^ ]([^x]*[^ ])?$", "a", "axb"),
        ("^ab?$", "a", "abb"),
    ] {
        assert!(matches(pattern, yes), "{pattern} {yes:?}");
        assert!(!matches(pattern, no), "{pattern} {no:?}");
    }
}
