//! The `[[probe]]` tables of a manifest.
//!
//! Owns their reading and what makes a probe honest: it must name the account, its refusal must be
//! told apart from every other answer, and something must be let in beside it. A probe that could
//! never be let in, or whose refusal a wrong password looks like, is refused at load.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, Url};

use super::super::http::read_address;
use super::{
    Control, Door, HttpDoor, IntrospectionDoor, OwnSignIn, Pattern, Probe, ShownAs, SignInDoor,
    TokenControl, Tries,
};
use crate::document::Table;

const KINDS: &str = "http, page, introspection, ldap_bind or sql_login";

/// Reads all probes of a manifest for a connector of this kind.
pub fn read(root: &Table<'_>, connector: &str) -> Vec<Probe> {
    let mut names = BTreeSet::new();
    let mut probes = Vec::new();
    for table in root.tables("probe") {
        let name = table.required_string("name");
        if let Some(name) = &name
            && !names.insert(name.value.clone())
        {
            table.report(
                name.line,
                format!("two probes are named `{}`", name.value),
                "give each a name of its own: evidence refers to it",
            );
        }
        let kind = table.required_string("kind");
        let kind = kind.map_or_else(String::new, |kind| kind.value);
        let tries = read_tries(&table, &kind);
        let door = read_door(&table, &kind, connector, &tries);
        table.finish();
        if let (Some(name), Some(door)) = (name, door) {
            let name = name.value;
            probes.push(Probe { name, door, tries });
        }
    }
    probes
}

fn read_door(table: &Table<'_>, kind: &str, connector: &str, tries: &Tries) -> Option<Door> {
    match kind {
        "http" | "page" => read_http(table, kind, tries).map(|door| Door::Http(Box::new(door))),
        "introspection" => {
            read_introspection(table).map(|door| Door::Introspection(Box::new(door)))
        }
        "ldap_bind" => read_sign_in(table, "ldap_bind", ("ldap", connector), tries),
        "sql_login" => read_sign_in(table, "sql_login", ("sql", connector), tries),
        other => {
            table.report(
                table.line(),
                format!("`{other}` is no kind of probe"),
                format!("use {KINDS}"),
            );
            None
        }
    }
}

fn read_tries(table: &Table<'_>, kind: &str) -> Tries {
    let usual = match kind {
        "page" => "name",
        "introspection" => "listed",
        _ => "kept",
    };
    let item = table.string("tries");
    let word = item.as_ref().map_or(usual, |item| item.value.as_str());
    let line = item.as_ref().map_or(table.line(), |item| item.line);
    let fits = match kind {
        "introspection" => matches!(word, "listed" | "kept"),
        "ldap_bind" => matches!(word, "kept" | "wrong_password"),
        // The server looks at the password before it looks at the account.
        "sql_login" => word == "kept",
        "page" => word != "wrong_password",
        _ => true,
    };
    if !fits {
        table.report(
            line,
            format!("a probe of kind {kind} cannot try `{word}`"),
            "see docs/connectors/probes.md for what each kind can try",
        );
    }
    match word {
        "name" => Tries::Name,
        "wrong_password" => Tries::WrongPassword,
        "listed" => Tries::Listed,
        "kept" => Tries::Kept(read_kept(table)),
        other => {
            table.report(
                line,
                format!("`tries` is `{other}`"),
                "use name, wrong_password, kept or listed",
            );
            Tries::Name
        }
    }
}

/// References by login.
fn read_kept(table: &Table<'_>) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    let Some(entries) = table.required_table("kept") else {
        return kept;
    };
    for key in entries.keys() {
        if let Some(reference) = entries.required_string(&key.value)
            && is_reference(&entries, &reference.value, reference.line)
        {
            kept.insert(key.value, reference.value);
        }
    }
    entries.finish();
    kept
}

fn is_reference(table: &Table<'_>, text: &str, line: u32) -> bool {
    let parts = text.split_once(':');
    let fits = parts.is_some_and(|(scheme, name)| !scheme.is_empty() && !name.is_empty());
    if !fits {
        // The value itself is kept out of the message: it may be a secret put here by mistake.
        table.report(
            line,
            format!("a value of `{}` is not a reference", table.path()),
            "write where the secret lies, for example \"local:crm/probe/canary\"; never the value",
        );
    }
    fits
}

fn read_base(table: &Table<'_>) -> Option<Url> {
    let plaintext = table.boolean("allow_plaintext");
    let plaintext = plaintext.is_some_and(|item| item.value);
    let item = table.required_string("url")?;
    read_address(table, "url", &item, plaintext)
}

fn read_path(table: &Table<'_>, key: &str) -> Option<String> {
    let item = table.required_string(key)?;
    if !item.value.starts_with('/') {
        table.report(
            item.line,
            format!("`{key}` does not begin with `/`"),
            "write the path below `url`",
        );
    }
    Some(item.value)
}

fn read_http(table: &Table<'_>, kind: &str, tries: &Tries) -> Option<HttpDoor> {
    let base = read_base(table);
    let path = read_path(table, "path");
    let method = read_method(table, kind);
    let form = read_texts(table, "form");
    let headers = read_headers(table);
    let shown_as = read_shown_as(table);
    let sign_in = read_own_sign_in(table, shown_as.as_ref());
    let refused = read_pattern(table, "refused");
    let let_in = read_pattern(table, "let_in").unwrap_or_else(|| Pattern {
        status: (200..300).collect(),
        body: None,
        location: None,
    });
    if !table.has("refused") {
        table.report(
            table.line(),
            "`refused` is missing",
            "say which answers mean refused, for example { status = [401] }",
        );
    }
    let control = read_control(table);
    let (path, refused, control) = (path?, refused?, control?);
    let names = |what: &str| path.contains(what) || form.values().any(|text| text.contains(what));
    let with_secret = shown_as.is_some() || names("{secret}");
    let by_name = names("{login}") || names("{id}");
    check_artefact(table, tries, with_secret, by_name);
    check_refusal(table, tries, &refused, &control);
    Some(HttpDoor {
        base: base?,
        method,
        path,
        form,
        headers,
        shown_as,
        sign_in,
        refused,
        let_in,
        control,
    })
}

/// A request that does not carry what it is to try proves nothing.
fn check_artefact(table: &Table<'_>, tries: &Tries, with_secret: bool, by_name: bool) {
    let (fits, remedy) = match tries {
        Tries::Name => (
            by_name && !with_secret,
            "name the account with {login} or {id}, and send no {secret}: there is none",
        ),
        Tries::WrongPassword | Tries::Kept(_) | Tries::Listed => (
            with_secret,
            "send what is tried: `shown_as`, or {secret} in `path` or `form`",
        ),
    };
    if !fits {
        table.report(
            table.line(),
            "the request does not carry what the probe is to try",
            remedy,
        );
    }
}

/// A refusal that something else looks like proves nothing.
fn check_refusal(table: &Table<'_>, tries: &Tries, refused: &Pattern, control: &Control) {
    let by_text = refused.body.is_some() || refused.location.is_some();
    let status = &refused.status;
    if status.is_empty() && !by_text {
        table.report(
            table.line(),
            "`refused` fits every answer",
            "give a status, or a text of the body or of `location`",
        );
    }
    let like_a_typo = status.is_empty() || status.iter().any(|one| [400, 401].contains(one));
    if *tries == Tries::WrongPassword && like_a_typo && !by_text {
        table.report(
            table.line(),
            "a wrong password is refused so at any account",
            "add the text by which the target tells a disabled account apart, or try something else",
        );
    }
    if control.secret.is_none() != (*tries == Tries::Name) {
        table.report(
            table.line(),
            "the control does not carry what the probe tries",
            "give `control.secret` where the probe sends one, and only there",
        );
    }
}

fn read_method(table: &Table<'_>, kind: &str) -> Method {
    let Some(item) = table.string("method") else {
        return Method::GET;
    };
    match (kind, item.value.as_str()) {
        (_, "GET") => Method::GET,
        (_, "HEAD") => Method::HEAD,
        ("http", "POST") => Method::POST,
        (_, other) => {
            table.report(
                item.line,
                format!("a probe of kind {kind} does not send {other}"),
                "use GET or HEAD; kind http also POST",
            );
            Method::GET
        }
    }
}

/// Headers that stand in every request as they are; credentials go by other ways.
fn read_headers(table: &Table<'_>) -> BTreeMap<String, String> {
    let headers = read_texts(table, "headers");
    let taken = ["authorization", "cookie", "host", "content-length"];
    for name in headers.keys() {
        let known = name.parse::<http::header::HeaderName>();
        if known.map_or(true, |known| taken.contains(&known.as_str())) {
            table.report(
                table.line(),
                format!("`{name}` is no header that can be set here"),
                "name one besides authorization, cookie, host and content-length",
            );
        }
    }
    headers
}

fn read_texts(table: &Table<'_>, key: &str) -> BTreeMap<String, String> {
    let mut form = BTreeMap::new();
    if let Some(fields) = table.table(key) {
        for key in fields.keys() {
            if let Some(text) = fields.required_string(&key.value) {
                form.insert(key.value, text.value);
            }
        }
        fields.finish();
    }
    form
}

fn read_shown_as(table: &Table<'_>) -> Option<ShownAs> {
    let item = table.string("shown_as")?;
    let (word, name) = item.value.split_once(':').unwrap_or((&item.value, ""));
    match (word, name) {
        ("basic", "") => Some(ShownAs::Basic),
        ("bearer", "") => Some(ShownAs::Bearer),
        ("header", rest) if header(rest).is_some() => header(rest),
        ("cookie", name) if !name.is_empty() => Some(ShownAs::Cookie(name.to_owned())),
        _ => {
            table.report(
                item.line,
                format!("`shown_as` is `{}`", item.value),
                "use basic, bearer, header:NAME, header:NAME:TEXT with {secret}, or cookie:NAME",
            );
            None
        }
    }
}

/// A header's name, and what stands in it.
fn header(rest: &str) -> Option<ShownAs> {
    let (name, text) = rest.split_once(':').unwrap_or((rest, "{secret}"));
    let sendable = name.parse::<http::header::HeaderName>().is_ok() && text.contains("{secret}");
    sendable.then(|| ShownAs::Header(name.to_owned(), text.trim().to_owned()))
}

fn read_own_sign_in(table: &Table<'_>, shown_as: Option<&ShownAs>) -> OwnSignIn {
    let Some(item) = table.string("sign_in") else {
        return OwnSignIn::Nobody;
    };
    let takes_place = match shown_as {
        Some(ShownAs::Basic | ShownAs::Bearer) => true,
        Some(ShownAs::Header(name, _)) => name.eq_ignore_ascii_case("authorization"),
        Some(ShownAs::Cookie(_)) | None => false,
    };
    match item.value.as_str() {
        "basic" if !takes_place => OwnSignIn::Basic,
        "bearer" if !takes_place => OwnSignIn::Bearer,
        other => {
            table.report(
                item.line,
                format!("`sign_in` is `{other}`"),
                "use basic or bearer with the verifier's credential, where the artefact does not go",
            );
            OwnSignIn::Nobody
        }
    }
}

fn read_pattern(table: &Table<'_>, key: &str) -> Option<Pattern> {
    let pattern = table.table(key)?;
    let mut status = Vec::new();
    for item in pattern.strings("status") {
        match item.value.parse::<u16>() {
            Ok(code @ 100..600) => status.push(code),
            Ok(_) | Err(_) => pattern.report(
                item.line,
                format!("`{}` is no HTTP status", item.value),
                "write statuses in quotation marks, such as [\"401\", \"403\"]",
            ),
        }
    }
    let text = |key: &str| {
        let item = pattern.string(key)?;
        if item.value.is_empty() {
            pattern.report(item.line, format!("`{key}` is empty"), "fill it in");
        }
        Some(item.value)
    };
    let (body, location) = (text("body"), text("location"));
    pattern.finish();
    Some(Pattern {
        status,
        body,
        location,
    })
}

fn read_control(table: &Table<'_>) -> Option<Control> {
    let control = table.required_table("control")?;
    let read = control.required_string("login").map(|login| {
        let id = control.string("id");
        let secret = control.string("secret");
        let secret = secret.filter(|item| is_reference(&control, &item.value, item.line));
        Control {
            id: id.map_or_else(|| login.value.clone(), |item| item.value),
            login: login.value,
            secret: secret.map(|item| item.value),
        }
    });
    control.finish();
    read
}

fn read_introspection(table: &Table<'_>) -> Option<IntrospectionDoor> {
    let base = read_base(table);
    let path = read_path(table, "path");
    let control = table.required_table("control");
    let control = control.and_then(|control| {
        let sees_all = control.boolean("sees_every_token");
        let read = if control.has("token_path") {
            if !sees_all.is_some_and(|item| item.value) {
                control.report(
                    control.line(),
                    "a token that the verifier may not see is called dead as well (RFC 7662 §2.2)",
                    "keep a token of the same client as the leavers' (`secret`), or state with \
                     `sees_every_token = true` that the server shows the verifier all of them",
                );
            }
            read_path(&control, "token_path").map(TokenControl::Own)
        } else {
            let secret = control.required_string("secret");
            let secret = secret.filter(|item| is_reference(&control, &item.value, item.line));
            secret.map(|item| TokenControl::Kept(item.value))
        };
        control.finish();
        read
    });
    Some(IntrospectionDoor {
        base: base?,
        path: path?,
        control: control?,
    })
}

fn read_sign_in(
    table: &Table<'_>,
    kind: &'static str,
    (needs, connector): (&str, &str),
    tries: &Tries,
) -> Option<Door> {
    if needs != connector {
        table.report(
            table.line(),
            format!("a probe of kind {kind} needs a connector of kind {needs}"),
            format!("use {KINDS}, as the target speaks"),
        );
    }
    let name = if kind == "ldap_bind" {
        table.required_string("sign_in_name")
    } else {
        table.string("sign_in_name")
    };
    if let Some(item) = &name
        && !item.value.contains("{login}")
        && !item.value.contains("{id}")
    {
        table.report(
            item.line,
            "`sign_in_name` names nobody",
            "write the account's part as {login} or {id}",
        );
    }
    let usual: &[&str] = match kind {
        "ldap_bind" => &["49", "locked"],
        _ => &["28000", "28P01", "1045", "4151"],
    };
    let declared = table.strings("refused");
    let mut refused: Vec<_> = declared.iter().map(|item| item.value.clone()).collect();
    let wrong = *tries == Tries::WrongPassword;
    if wrong && (refused.is_empty() || refused.iter().any(|code| code == "49")) {
        table.report(
            declared.first().map_or(table.line(), |item| item.line),
            "a wrong password is refused so at any account",
            "declare the answers that only a disabled account gets, such as [\"locked\"]",
        );
    }
    if refused.is_empty() {
        refused = usual.iter().map(ToString::to_string).collect();
    }
    if kind == "ldap_bind" && name.is_none() {
        return None;
    }
    let name = name.map_or_else(|| "{login}".to_owned(), |item| item.value);
    let control = if table.has("control") {
        read_control(table)
    } else {
        None
    };
    let bare = control
        .as_ref()
        .is_some_and(|control| control.secret.is_none());
    // The verifier's own name has the form of a bare login, and may have any other.
    let formed = control.is_none() && name != "{login}" && matches!(tries, Tries::Kept(_));
    if bare || formed {
        table.report(
            table.line(),
            "nobody signs in by a name of this form beside it: a wrong one is refused too",
            "name in `control` the `login` and the `secret` of an account that is let in so",
        );
    }
    Some(Door::SignIn(SignInDoor {
        kind,
        name,
        refused,
        control,
    }))
}
