//! CloudEvents 1.0.2 and their Kafka protocol binding, structured and binary mode.
//!
//! Owns: telling the modes apart, reading attributes and data, writing both modes. Header names
//! are read without regard to case, the last of repeated headers counts, a null header is absent.
//! Lenient in one point: a JSON object with `specversion` is read as structured even without its
//! `content-type` header, which some producers cannot set. Knows no event type.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// Kafka headers as received; the value is `None` for a null header.
pub type Headers = [(String, Option<Vec<u8>>)];

/// Media type of the structured mode.
const STRUCTURED: &str = "application/cloudevents+json; charset=UTF-8";

/// One event with its context attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudEvent {
    /// Unique within the source.
    pub id: String,
    /// URI reference of the source.
    pub source: String,
    /// Event type.
    pub kind: String,
    /// All other attributes as text, extensions included: `subject`, `time`, `dataschema`,
    /// `datacontenttype`, …
    pub attributes: BTreeMap<String, String>,
    /// The payload, if there is one.
    pub data: Option<Data>,
}

/// A payload.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `datacontenttype` is JSON, or absent.
    Json(Value),
    /// Anything else.
    Bytes(Vec<u8>),
}

/// How an event is laid out in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The whole event as one JSON object in the value.
    #[default]
    Structured,
    /// Attributes as headers, the payload as the value.
    Binary,
}

/// Headers and value of a Kafka record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Headers in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Value; `None` where the event has no data in binary mode.
    pub value: Option<Vec<u8>>,
}

/// Why a record is not a CloudEvent. Names attributes, never repeats what they hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Neither mode.
    #[error(
        "neither a `content-type` of application/cloudevents+json nor a `ce_specversion` header: \
         send structured or binary CloudEvents 1.0"
    )]
    NotACloudEvent,
    /// `application/cloudevents-batch`, which Kafka has no mode for, or another format than JSON.
    #[error(
        "the structured format is not JSON, or is a batch: send one event in each record, in application/cloudevents+json"
    )]
    Format,
    /// Another version than 1.0.
    #[error("`specversion` is not 1.0: send CloudEvents 1.0")]
    SpecVersion,
    /// A required attribute is lacking.
    #[error("the CloudEvents attribute `{0}` is missing or empty: set it")]
    Missing(&'static str),
    /// An attribute that breaks the type system.
    #[error("the CloudEvents attribute `{0}` is invalid: {1}")]
    Attribute(String, &'static str),
    /// The value, or its data, should be JSON and is not.
    #[error("{0} is not JSON (line {1}, column {2}): {3}")]
    NotJson(&'static str, usize, usize, &'static str),
    /// `data` and `data_base64` together, or unreadable base64.
    #[error("`data_base64` is not base64, or stands next to `data`: send one of them")]
    Base64,
}

impl CloudEvent {
    /// An attribute other than `id`, `source` and `type`.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Reads a record in either mode.
    pub fn read(headers: &Headers, value: Option<&[u8]>) -> Result<Self, Unreadable> {
        let content_type =
            header(headers, "content-type").and_then(|v| std::str::from_utf8(v).ok());
        let media_type = content_type.map(media_type).unwrap_or_default();
        if let Some(format) = media_type.strip_prefix("application/cloudevents") {
            return match format {
                "" | "+json" => Self::from_json(value.unwrap_or_default()),
                _ => Err(Unreadable::Format),
            };
        }
        if header(headers, "ce_specversion").is_some() {
            return Self::from_binary(headers, content_type, value);
        }
        let looks_structured = value
            .and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok())
            .is_some_and(|v| v.get("specversion").is_some());
        if looks_structured {
            return Self::from_json(value.unwrap_or_default());
        }
        Err(Unreadable::NotACloudEvent)
    }

    /// Reads the JSON event format.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Unreadable> {
        match json(bytes, "the message value")? {
            Value::Object(map) => Self::from_object(map),
            Value::Array(_) => Err(Unreadable::Format),
            _ => Err(Unreadable::NotACloudEvent),
        }
    }

    /// Reads the members of a JSON event.
    pub fn from_object(mut map: Map<String, Value>) -> Result<Self, Unreadable> {
        let data = map.remove("data").filter(|v| !v.is_null());
        let base64 = map.remove("data_base64").filter(|v| !v.is_null());
        let mut attributes = BTreeMap::new();
        for (name, value) in map {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Bool(flag) => flag.to_string(),
                Value::Number(number) if number.is_i64() => number.to_string(),
                Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    return Err(Unreadable::Attribute(
                        shown(&name),
                        "attributes are strings, booleans or whole numbers",
                    ));
                }
            };
            attributes.insert(name, text);
        }
        let data = match (data, base64) {
            (Some(_), Some(_)) => return Err(Unreadable::Base64),
            // JSON format §3.1: text of another media type travels as a JSON string.
            (Some(Value::String(text)), None)
                if !is_json(attributes.get("datacontenttype").map(String::as_str)) =>
            {
                Some(Data::Bytes(text.into_bytes()))
            }
            (Some(value), None) => Some(Data::Json(value)),
            (None, Some(Value::String(text))) => {
                let bytes = STANDARD.decode(text).map_err(|_| Unreadable::Base64)?;
                Some(payload(
                    attributes.get("datacontenttype").map(String::as_str),
                    bytes,
                )?)
            }
            (None, Some(_)) => return Err(Unreadable::Base64),
            (None, None) => None,
        };
        Self::assemble(attributes, data)
    }

    fn from_binary(
        headers: &Headers,
        content_type: Option<&str>,
        value: Option<&[u8]>,
    ) -> Result<Self, Unreadable> {
        let mut attributes = BTreeMap::new();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            let (Some(name), Some(value)) = (name.strip_prefix("ce_"), value) else {
                continue;
            };
            let text = std::str::from_utf8(value)
                .map_err(|_| Unreadable::Attribute(shown(name), "the header is not UTF-8"))?;
            attributes.insert(name.to_owned(), text.to_owned());
        }
        if let Some(content_type) = content_type {
            attributes.insert("datacontenttype".to_owned(), content_type.to_owned());
        }
        let data = value
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| payload(content_type, bytes.to_vec()))
            .transpose()?;
        Self::assemble(attributes, data)
    }

    fn assemble(
        mut attributes: BTreeMap<String, String>,
        data: Option<Data>,
    ) -> Result<Self, Unreadable> {
        for (name, value) in &attributes {
            if name.is_empty()
                || !name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            {
                return Err(Unreadable::Attribute(
                    shown(name),
                    "names are lower-case letters and digits",
                ));
            }
            if value.chars().any(char::is_control) {
                return Err(Unreadable::Attribute(
                    shown(name),
                    "control characters are not allowed",
                ));
            }
        }
        let mut required = |name: &'static str| {
            attributes
                .remove(name)
                .filter(|value| !value.trim().is_empty())
                .ok_or(Unreadable::Missing(name))
        };
        if required("specversion")? != "1.0" {
            return Err(Unreadable::SpecVersion);
        }
        let (id, source, kind) = (required("id")?, required("source")?, required("type")?);
        Ok(Self {
            id,
            source,
            kind,
            attributes,
            data,
        })
    }

    /// Lays the event out in a record.
    pub fn write(&self, mode: Mode) -> Record {
        match mode {
            Mode::Structured => Record {
                headers: vec![("content-type".to_owned(), STRUCTURED.into())],
                value: Some(self.to_json().to_string().into_bytes()),
            },
            Mode::Binary => self.to_binary(),
        }
    }

    /// The JSON event format.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        for (name, value) in self.required() {
            map.insert(name.to_owned(), value.into());
        }
        for (name, value) in &self.attributes {
            map.insert(name.clone(), value.as_str().into());
        }
        match &self.data {
            Some(Data::Json(value)) => drop(map.insert("data".to_owned(), value.clone())),
            Some(Data::Bytes(bytes)) => {
                map.insert("data_base64".to_owned(), STANDARD.encode(bytes).into());
            }
            None => {}
        }
        map.into()
    }

    fn to_binary(&self) -> Record {
        let mut headers: Vec<(String, Vec<u8>)> = self
            .required()
            .into_iter()
            .map(|(name, value)| (format!("ce_{name}"), value.into()))
            .collect();
        for (name, value) in &self.attributes {
            if name != "datacontenttype" {
                headers.push((format!("ce_{name}"), value.as_str().into()));
            }
        }
        let content_type = match (&self.data, self.attribute("datacontenttype")) {
            (_, Some(named)) => Some(named),
            (Some(Data::Json(_)), None) => Some("application/json"),
            (Some(Data::Bytes(_)) | None, None) => None,
        };
        if let Some(content_type) = content_type {
            headers.push(("content-type".to_owned(), content_type.into()));
        }
        let value = self.data.as_ref().map(|data| match data {
            Data::Json(value) => value.to_string().into_bytes(),
            Data::Bytes(bytes) => bytes.clone(),
        });
        Record { headers, value }
    }

    fn required(&self) -> [(&'static str, &str); 4] {
        [
            ("specversion", "1.0"),
            ("id", &self.id),
            ("source", &self.source),
            ("type", &self.kind),
        ]
    }
}

/// The last header of this name, whatever its case.
pub fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a [u8]> {
    headers
        .iter()
        .rev()
        .find(|(key, value)| value.is_some() && key.eq_ignore_ascii_case(name))
        .and_then(|(_, value)| value.as_deref())
}

fn media_type(content_type: &str) -> String {
    let bare = content_type.split(';').next().unwrap_or_default();
    bare.trim().to_ascii_lowercase()
}

fn is_json(content_type: Option<&str>) -> bool {
    let media_type = content_type.map_or_else(|| "application/json".to_owned(), media_type);
    media_type.ends_with("/json") || media_type.ends_with("+json")
}

fn payload(content_type: Option<&str>, bytes: Vec<u8>) -> Result<Data, Unreadable> {
    if is_json(content_type) {
        json(&bytes, "the event's data").map(Data::Json)
    } else {
        Ok(Data::Bytes(bytes))
    }
}

/// Parses JSON; the error says where and what sort, since serde's own words may quote the text.
fn json(bytes: &[u8], what: &'static str) -> Result<Value, Unreadable> {
    serde_json::from_slice(bytes).map_err(|error| {
        let sort = match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Data => "correct the syntax",
        };
        Unreadable::NotJson(what, error.line(), error.column(), sort)
    })
}

/// A name that a stranger chose, fit for a log line.
fn shown(name: &str) -> String {
    name.chars()
        .take(40)
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests;
