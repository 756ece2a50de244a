//! Filters and attribute paths (RFC 7644 §3.4.2.2, grammar of figure 1).
//!
//! Owns parsing and evaluation: all operators, `and`, `or`, `not`, grouping and value filters.
//! Comparison minds `caseExact`. An attribute that no schema knows is `invalidFilter`.

use serde_json::{Map, Value};

use super::error::ScimError;
use super::schema::{Attribute, AttributeKind, Kind};

/// `urn:…:User:name.familyName`: schema, attribute and sub-attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttrPath {
    pub(super) urn: Option<String>,
    pub(super) attr: String,
    pub(super) sub: Option<String>,
}

/// One filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    Present(AttrPath),
    Compare(AttrPath, Comparison, Value),
    Having(AttrPath, Box<Filter>),
}

/// The comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

impl AttrPath {
    /// Reads a path; `None` when it is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // The URN holds dots of its own ("2.0"): the attribute begins after the last colon.
        let (urn, rest) = match text.rfind(':') {
            Some(colon) => (Some(text[..colon].to_owned()), &text[colon + 1..]),
            None => (None, text),
        };
        let (attr, sub) = match rest.split_once('.') {
            Some((attr, sub)) => (attr, Some(sub.to_owned())),
            None => (rest, None),
        };
        let named = |name: &str| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '$' | '-' | '_'))
        };
        (named(attr) && sub.as_deref().is_none_or(named)).then(|| Self {
            urn,
            attr: attr.to_owned(),
            sub,
        })
    }
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// `invalidFilter`.
    pub(super) fn parse(text: &str) -> Result<Self, ScimError> {
        let mut parser = Parser { rest: text };
        let filter = parser.or()?;
        if parser.rest.trim().is_empty() {
            Ok(filter)
        } else {
            Err(invalid(format!("`{}` is not expected", parser.rest.trim())))
        }
    }

    /// Whether a whole resource matches.
    ///
    /// # Errors
    /// `invalidFilter` for an attribute that the schema does not know.
    pub(super) fn matches(
        &self,
        kind: Kind,
        resource: &Map<String, Value>,
    ) -> Result<bool, ScimError> {
        self.holds(&|path: &AttrPath| {
            let (urn, attribute, sub) = kind
                .resolve(path)
                .ok_or_else(|| invalid(format!("attribute {} is not known", path.attr)))?;
            let holder = match urn {
                Some(urn) => resource.get(urn).and_then(Value::as_object),
                None => Some(resource),
            };
            Ok(named(holder, attribute, sub))
        })
    }

    /// Whether one value of a complex attribute matches.
    ///
    /// # Errors
    /// As above.
    pub(super) fn matches_value(
        &self,
        attribute: &'static Attribute,
        value: &Value,
    ) -> Result<bool, ScimError> {
        self.holds(&|path: &AttrPath| {
            let sub = super::schema::by_name(&attribute.subs, &path.attr)
                .filter(|_| path.urn.is_none() && path.sub.is_none())
                .ok_or_else(|| invalid(format!("{} has no {}", attribute.name, path.attr)))?;
            Ok(named(value.as_object(), sub, None))
        })
    }

    fn holds(&self, find: &Finder<'_>) -> Result<bool, ScimError> {
        match self {
            Self::And(left, right) => Ok(left.holds(find)? & right.holds(find)?),
            Self::Or(left, right) => Ok(left.holds(find)? | right.holds(find)?),
            Self::Not(inner) => Ok(!inner.holds(find)?),
            Self::Present(path) => Ok(!find(path)?.values().is_empty()),
            Self::Compare(path, comparison, wanted) => {
                let found = find(path)?;
                let case_exact = found.compared().case_exact;
                if *comparison == Comparison::NotEqual {
                    let equal = |value| compare(value, Comparison::Equal, wanted, case_exact);
                    return Ok(!found.values().into_iter().any(equal));
                }
                let hit = |value| compare(value, *comparison, wanted, case_exact);
                Ok(found.values().into_iter().any(hit))
            }
            Self::Having(path, inner) => {
                let found = find(path)?;
                for value in found.items {
                    if inner.matches_value(found.attribute, value)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

type Finder<'f> = dyn Fn(&AttrPath) -> Result<Found<'f>, ScimError> + 'f;

/// What a path leads to.
struct Found<'v> {
    attribute: &'static Attribute,
    sub: Option<&'static Attribute>,
    items: Vec<&'v Value>,
}

impl<'v> Found<'v> {
    /// The attribute that a comparison is about. A bare multi-valued complex attribute is compared
    /// by its `value` (RFC 7644 §3.4.2.2).
    fn compared(&self) -> &'static Attribute {
        let attribute = self.attribute;
        let by_default = attribute.multi && attribute.kind == AttributeKind::Complex;
        self.sub
            .or_else(|| super::schema::by_name(&attribute.subs, "value").filter(|_| by_default))
            .unwrap_or(attribute)
    }

    /// The values to compare.
    fn values(&self) -> Vec<&'v Value> {
        let compared = self.compared();
        if std::ptr::eq(compared, self.attribute) {
            return self.items.clone();
        }
        let items = self.items.iter();
        items.filter_map(|item| item.get(&compared.name)).collect()
    }
}

fn named<'v>(
    holder: Option<&'v Map<String, Value>>,
    attribute: &'static Attribute,
    sub: Option<&'static Attribute>,
) -> Found<'v> {
    let value = holder.and_then(|map| map.get(&attribute.name));
    let items = match value {
        None => Vec::new(),
        Some(Value::Array(items)) => items.iter().collect(),
        Some(value) => vec![value],
    };
    Found {
        attribute,
        sub,
        items,
    }
}

fn compare(value: &Value, comparison: Comparison, wanted: &Value, case_exact: bool) -> bool {
    let (Value::String(value), Value::String(wanted)) = (value, wanted) else {
        return comparison == Comparison::Equal && value == wanted;
    };
    let fold = |text: &str| {
        if case_exact {
            text.to_owned()
        } else {
            text.to_lowercase()
        }
    };
    let (value, wanted) = (fold(value), fold(wanted));
    match comparison {
        Comparison::Equal => value == wanted,
        Comparison::NotEqual => value != wanted,
        Comparison::Contains => value.contains(&wanted),
        Comparison::StartsWith => value.starts_with(&wanted),
        Comparison::EndsWith => value.ends_with(&wanted),
        Comparison::Greater => value > wanted,
        Comparison::GreaterEqual => value >= wanted,
        Comparison::Less => value < wanted,
        Comparison::LessEqual => value <= wanted,
    }
}

/// Reads from the front of what is left.
struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn or(&mut self) -> Result<Filter, ScimError> {
        let mut left = self.and()?;
        while self.word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Filter, ScimError> {
        let mut left = self.term()?;
        while self.word("and") {
            left = Filter::And(Box::new(left), Box::new(self.term()?));
        }
        Ok(left)
    }

    fn term(&mut self) -> Result<Filter, ScimError> {
        if self.word("not") {
            return Ok(Filter::Not(Box::new(self.group('(', ')')?)));
        }
        if self.rest.trim_start().starts_with('(') {
            return self.group('(', ')');
        }
        let text = self.name()?;
        let path = AttrPath::parse(text).ok_or_else(|| invalid(format!("`{text}` is no path")))?;
        if self.rest.starts_with('[') {
            return Ok(Filter::Having(path, Box::new(self.group('[', ']')?)));
        }
        if self.word("pr") {
            return Ok(Filter::Present(path));
        }
        let operator = self.name()?.to_ascii_lowercase();
        let comparison = match operator.as_str() {
            "eq" => Comparison::Equal,
            "ne" => Comparison::NotEqual,
            "co" => Comparison::Contains,
            "sw" => Comparison::StartsWith,
            "ew" => Comparison::EndsWith,
            "gt" => Comparison::Greater,
            "ge" => Comparison::GreaterEqual,
            "lt" => Comparison::Less,
            "le" => Comparison::LessEqual,
            other => return Err(invalid(format!("`{other}` is no operator"))),
        };
        Ok(Filter::Compare(path, comparison, self.value()?))
    }

    fn group(&mut self, open: char, close: char) -> Result<Filter, ScimError> {
        self.symbol(open)?;
        let inner = self.or()?;
        self.symbol(close)?;
        Ok(inner)
    }

    fn symbol(&mut self, symbol: char) -> Result<(), ScimError> {
        self.rest = self
            .rest
            .trim_start()
            .strip_prefix(symbol)
            .ok_or_else(|| invalid(format!("`{symbol}` is missing")))?;
        Ok(())
    }

    /// Takes the keyword if it comes next, as a whole word.
    fn word(&mut self, keyword: &str) -> bool {
        let text = self.rest.trim_start();
        let is =
            text.get(..keyword.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(keyword))
                && text[keyword.len()..].chars().next().is_none_or(|c| {
                    !(c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_' | '-'))
                });
        if is {
            self.rest = &text[keyword.len()..];
        }
        is
    }

    fn name(&mut self) -> Result<&'t str, ScimError> {
        let text = self.rest.trim_start();
        let end = text
            .find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | '"'))
            .unwrap_or(text.len());
        if end == 0 {
            return Err(invalid("a name is missing"));
        }
        self.rest = &text[end..];
        Ok(&text[..end])
    }

    /// A comparison value is JSON: string, number, `true`, `false` or `null`.
    fn value(&mut self) -> Result<Value, ScimError> {
        let text = self.rest.trim_start();
        let wrong = || invalid(format!("`{text}` does not begin with a value"));
        if text.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
            let value = values.next().and_then(Result::ok).ok_or_else(wrong)?;
            self.rest = &text[values.byte_offset()..];
            return Ok(value);
        }
        let end = text
            .find(|c: char| c.is_whitespace() || matches!(c, ')' | ']'))
            .unwrap_or(text.len());
        let value = serde_json::from_str(&text[..end]).map_err(|_| wrong())?;
        self.rest = &text[end..];
        Ok(value)
    }
}

fn invalid(detail: impl Into<String>) -> ScimError {
    ScimError::bad("invalidFilter", detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(filter: &str) -> bool {
        let user = json!({
            "userName": "Ada.L", "externalId": "E1", "active": true,
            "emails": [{"value": "ada@acme.example", "type": "work"}, {"value": "a@home.example", "type": "home"}],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Sales"},
        });
        Filter::parse(filter)
            .and_then(|filter| filter.matches(Kind::User, user.as_object().expect("an object")))
            .unwrap_or_else(|error| panic!("{filter}: {error:?}"))
    }

    #[test]
    fn filters_follow_the_standard() {
        for hit in [
            r#"userName eq "ada.l""#,
            r#"USERNAME Eq "ADA.L" and active eq true"#,
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "ada""#,
            r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "sales""#,
            r#"emails co "home.example""#,
            r#"emails[type eq "work" and value ew "acme.example"]"#,
            r#"emails.type eq "home" and not (title pr)"#,
            r#"title pr or (externalId eq "E1")"#,
            r#"userName ne "bob""#,
        ] {
            assert!(matches(hit), "{hit}");
        }
        for miss in [
            r#"externalId eq "e1""#,
            r#"emails[type eq "home" and value ew "acme.example"]"#,
            r"active eq false",
            r#"active eq "true""#,
            "title pr",
        ] {
            assert!(!matches(miss), "{miss}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in [
            "",
            "userName",
            "userName eq",
            "userName eq ada",
            "userName is \"x\"",
            "(userName pr",
            "userName pr x",
        ] {
            assert_eq!(
                Filter::parse(text).expect_err(text).scim_type,
                Some("invalidFilter"),
                "{text}"
            );
        }
        let unknown = Filter::parse("shoeSize pr").expect("parses");
        assert!(unknown.matches(Kind::User, &Map::new()).is_err());
    }
}
