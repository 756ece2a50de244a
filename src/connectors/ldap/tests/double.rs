//! A directory that says what a test tells it to, over a real connection.
//!
//! Owns the framing of requests and answers (RFC 4511 §4.1.1) as far as the tests need it. Signs
//! everybody in and shows a root that can make changes depend on a filter, unless told otherwise.

use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use ldap3::asn1::{PL, StructureTag, TagClass, parse_tag, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// To be signed in.
    Bind(String),
    /// A page of a search: base and filter.
    Search(String, String),
    /// Changes of an entry, each as `add attribute: value`.
    Modify(String, Vec<String>),
    /// The removal of an entry.
    Delete(String),
    /// Another operation, by its number.
    Other(u64),
}

/// What is answered, in order.
#[derive(Debug, Clone)]
pub enum Said {
    /// An entry.
    Entry(&'static str, Vec<(&'static str, Vec<u8>)>),
    /// "Look there too."
    Reference(&'static str),
    /// The result, and for a page the cookie of the next.
    Done(u32, Option<&'static str>),
    /// Nothing any more.
    HangUp,
}

type Script = dyn Fn(&Asked, usize) -> Option<Vec<Said>> + Send + Sync;

/// A directory on loopback.
pub struct Double {
    /// Its address.
    pub url: String,
    seen: Arc<Mutex<Vec<Asked>>>,
    _server: JoinSet<()>,
}

impl Double {
    /// Answers as `script` says for what is asked and how often that was asked before; `None` leaves
    /// it to the double.
    pub async fn new(
        script: impl Fn(&Asked, usize) -> Option<Vec<Said>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (noted, script): (_, Arc<Script>) = (Arc::clone(&seen), Arc::new(script));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut talks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                talks.spawn(talk(stream, Arc::clone(&noted), Arc::clone(&script)));
            }
        });
        Self {
            url: format!("ldap://127.0.0.1:{port}"),
            seen,
            _server: server,
        }
    }

    /// Everything that was asked so far, without the looks at the root.
    pub fn seen(&self) -> Vec<Asked> {
        let mut seen = self.seen.lock().expect("not poisoned").clone();
        seen.retain(|asked| !matches!(asked, Asked::Search(base, _) if base.is_empty()));
        seen
    }

    /// What was asked that changes something.
    pub fn changes(&self) -> Vec<Asked> {
        let mut seen = self.seen();
        seen.retain(|asked| matches!(asked, Asked::Modify(..) | Asked::Delete(_)));
        seen
    }
}

async fn talk(mut stream: TcpStream, seen: Arc<Mutex<Vec<Asked>>>, script: Arc<Script>) {
    while let Some(request) = receive(&mut stream).await {
        let mut parts = constructed(request).into_iter();
        let (id, operation) = (parts.next().expect("an id"), parts.next().expect("one"));
        let number = operation.id;
        let asked = understood(operation);
        let before = {
            let mut seen = seen.lock().expect("not poisoned");
            let before = seen.iter().filter(|other| **other == asked).count();
            seen.push(asked.clone());
            before
        };
        let usual = || match &asked {
            Asked::Search(base, _) if base.is_empty() => vec![
                Said::Entry("", vec![("supportedControl", b"1.3.6.1.1.12".to_vec())]),
                Said::Done(0, None),
            ],
            _ => vec![Said::Done(0, Some(""))],
        };
        for said in script(&asked, before).unwrap_or_else(usual) {
            let (operation, cookie) = match said {
                Said::HangUp => return,
                Said::Entry(dn, values) => (entry(dn, values), None),
                Said::Reference(url) => (tag(TagClass::Application, 19, vec![octets(url)]), None),
                Said::Done(code, cookie) => (done(number, code), cookie),
            };
            let mut message = vec![id.clone(), operation];
            let paged = matches!(asked, Asked::Search(..));
            message.extend(cookie.filter(|_| paged).map(control));
            let mut buffer = BytesMut::new();
            let message = tag(TagClass::Universal, 16, message);
            write::encode_into(&mut buffer, message).expect("encoded");
            if stream.write_all(&buffer).await.is_err() {
                return;
            }
        }
    }
}

/// One message, read to its end.
async fn receive(stream: &mut TcpStream) -> Option<StructureTag> {
    let mut bytes = vec![0; 2];
    stream.read_exact(&mut bytes).await.ok()?;
    let mut length = usize::from(bytes[1]);
    if length >= 0x80 {
        let mut long = vec![0; length & 0x7f];
        stream.read_exact(&mut long).await.ok()?;
        length = long
            .iter()
            .fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
        bytes.extend(long);
    }
    let head = bytes.len();
    bytes.resize(head + length, 0);
    stream.read_exact(&mut bytes[head..]).await.ok()?;
    Some(parse_tag(&bytes).expect("a message").1)
}

fn understood(operation: StructureTag) -> Asked {
    let id = operation.id;
    if id == 10 {
        return Asked::Delete(text(&operation));
    }
    if !matches!(id, 0 | 3 | 6) {
        return Asked::Other(id);
    }
    let parts = constructed(operation);
    match id {
        0 => Asked::Bind(text(&parts[1])),
        3 => Asked::Search(text(&parts[0]), filter(&parts[6])),
        _ => {
            let changes = constructed(parts[1].clone()).into_iter();
            Asked::Modify(text(&parts[0]), changes.map(modification).collect())
        }
    }
}

fn modification(change: StructureTag) -> String {
    let parts = constructed(change);
    let PL::P(kind) = &parts[0].payload else {
        panic!("no kind of change");
    };
    let kind = ["add", "delete", "replace"][usize::from(kind[0])];
    let inner = constructed(parts[1].clone());
    let values = constructed(inner[1].clone());
    let values: Vec<_> = values.iter().map(text).collect();
    format!("{kind} {}: {}", text(&inner[0]), values.join(" "))
}

/// A filter as RFC 4515 writes it, as far as we send any.
fn filter(one: &StructureTag) -> String {
    let all = |sign: &str| {
        let parts = constructed(one.clone());
        let parts: String = parts.iter().map(filter).collect();
        format!("({sign}{parts})")
    };
    match one.id {
        0 => all("&"),
        1 => all("|"),
        2 => all("!"),
        3 => {
            let parts = constructed(one.clone());
            format!("({}={})", text(&parts[0]), text(&parts[1]))
        }
        _ => format!("({}=*)", text(one)),
    }
}

fn constructed(one: StructureTag) -> Vec<StructureTag> {
    one.expect_constructed().expect("several parts")
}

/// A primitive value; in hex where nobody could read it.
fn text(one: &StructureTag) -> String {
    let PL::P(bytes) = &one.payload else {
        panic!("not one value");
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => hex::encode(bytes),
    }
}

fn tag(class: TagClass, id: u64, parts: Vec<StructureTag>) -> StructureTag {
    StructureTag {
        class,
        id,
        payload: PL::C(parts),
    }
}

fn octets(value: impl AsRef<[u8]>) -> StructureTag {
    StructureTag {
        class: TagClass::Universal,
        id: 4,
        payload: PL::P(value.as_ref().to_vec()),
    }
}

fn entry(dn: &str, values: Vec<(&str, Vec<u8>)>) -> StructureTag {
    let one = |some: &[(&str, Vec<u8>)]| {
        let all = some.iter().map(|(_, value)| octets(value)).collect();
        let set = tag(TagClass::Universal, 17, all);
        tag(TagClass::Universal, 16, vec![octets(some[0].0), set])
    };
    // Values of one name that follow each other are one attribute's.
    let attributes = values.chunk_by(|(one, _), (other, _)| one == other);
    let attributes = attributes.map(one).collect();
    let attributes = tag(TagClass::Universal, 16, attributes);
    tag(TagClass::Application, 4, vec![octets(dn), attributes])
}

/// The result that fits a request: its number and one more, but for extended operations.
fn done(request: u64, code: u32) -> StructureTag {
    let code = StructureTag {
        class: TagClass::Universal,
        id: 10,
        payload: PL::P(vec![u8::try_from(code).expect("a small code")]),
    };
    let parts = vec![code, octets(""), octets("told so")];
    tag(
        TagClass::Application,
        if request == 3 { 5 } else { request + 1 },
        parts,
    )
}

/// The answer's half of the Simple Paged Results control (RFC 2696).
fn control(cookie: &str) -> StructureTag {
    let size = StructureTag {
        class: TagClass::Universal,
        id: 2,
        payload: PL::P(vec![0]),
    };
    let mut value = BytesMut::new();
    let inner = tag(TagClass::Universal, 16, vec![size, octets(cookie)]);
    write::encode_into(&mut value, inner).expect("encoded");
    let parts = vec![octets("1.2.840.113556.1.4.319"), octets(&value)];
    let one = tag(TagClass::Universal, 16, parts);
    tag(TagClass::Context, 0, vec![one])
}
