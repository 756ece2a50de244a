//! The tokens of a statement, and its text with numbered places.
//!
//! Owns the lexical rules. What could hide another statement or another meaning (comments, escape
//! strings, dollar quotes, foreign placeholders) is refused, not understood.

use super::statement::{Dialect, Parameter};

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Bare word in lower case.
    Word(String),
    /// Quoted identifier without its quotes.
    Name(String),
    /// A literal text.
    Text,
    /// A literal number.
    Number,
    /// A parameter.
    Place(Parameter),
    /// Anything else: brackets, commas, operators.
    Sign(String),
}

/// A statement's text for the database, what goes into its places, and its tokens.
pub type Cut = (String, Vec<Parameter>, Vec<Token>);

/// Cuts the text into tokens and numbers its places. Each occurrence gets a place of its own, so
/// that the database can infer a type for each.
///
/// # Errors
/// What is wrong, for the author.
pub fn cut(text: &str, dialect: Dialect) -> Result<Cut, String> {
    let text = text.trim().trim_end_matches(';').trim_end();
    let letters: Vec<char> = text.chars().collect();
    let (mut sql, mut places, mut tokens) = (String::new(), Vec::new(), Vec::new());
    let mut at = 0;
    while at < letters.len() {
        let start = at;
        let Some(token) = next(&letters, &mut at)? else {
            sql.extend(&letters[start..at]);
            continue;
        };
        if let Token::Place(parameter) = token {
            places.push(parameter);
            sql.push(match dialect {
                Dialect::Postgres => '$',
                Dialect::Sqlite => '?',
            });
            sql.push_str(&places.len().to_string());
        } else {
            sql.extend(&letters[start..at]);
        }
        tokens.push(token);
    }
    Ok((sql, places, tokens))
}

/// The token at `at`; `None` for white space.
fn next(letters: &[char], at: &mut usize) -> Result<Option<Token>, String> {
    let letter = letters[*at];
    let following = letters.get(*at + 1).copied();
    Ok(Some(match letter {
        c if c.is_whitespace() => {
            *at += 1;
            return Ok(None);
        }
        '"' => Token::Name(quoted(letters, at)?),
        '\'' if letters[..*at].last().is_some_and(|c| is_name(*c)) => {
            return Err("prefixed text such as E'…' is not understood".into());
        }
        '\'' => quoted(letters, at).map(|_| Token::Text)?,
        ':' if following == Some(':') => {
            *at += 2;
            sign("::")
        }
        ':' => {
            *at += 1;
            let name = take_name(letters, at);
            let parameter = Parameter::from_name(&name);
            Token::Place(parameter.ok_or_else(|| format!("`:{name}` is not a parameter"))?)
        }
        ';' => return Err("more than one statement".into()),
        '-' if following == Some('-') => return Err("comments are not understood".into()),
        '/' if following == Some('*') => return Err("comments are not understood".into()),
        '$' | '?' | '\\' | '`' | '\0' => {
            return Err(format!("`{letter}` is not understood; bind by name"));
        }
        c if c.is_ascii_digit() => {
            take_name(letters, at);
            Token::Number
        }
        c if is_name(c) => Token::Word(take_name(letters, at).to_lowercase()),
        c => {
            *at += 1;
            sign(&c.to_string())
        }
    }))
}

/// The text between quotes at `at`; a doubled quote stands for one.
fn quoted(letters: &[char], at: &mut usize) -> Result<String, String> {
    let quote = letters[*at];
    let mut inner = String::new();
    *at += 1;
    while let Some(letter) = letters.get(*at) {
        *at += 1;
        if *letter != quote {
            inner.push(*letter);
        } else if letters.get(*at) == Some(&quote) {
            inner.push(quote);
            *at += 1;
        } else {
            return Ok(inner);
        }
    }
    Err("a quote is not closed".into())
}

fn take_name(letters: &[char], at: &mut usize) -> String {
    let rest = letters[*at..].iter();
    let name: String = rest.take_while(|c| is_name(**c)).collect();
    *at += name.chars().count();
    name
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// A bare word.
pub fn word(text: &str) -> Token {
    Token::Word(text.to_owned())
}

/// A sign.
pub fn sign(text: &str) -> Token {
    Token::Sign(text.to_owned())
}

/// The name that a token is, if it is one.
pub fn name(token: &Token) -> Option<&str> {
    match token {
        Token::Word(name) | Token::Name(name) => Some(name),
        Token::Text | Token::Number | Token::Place(_) | Token::Sign(_) => None,
    }
}

/// Splits outside brackets.
pub fn split<'t>(tokens: &'t [Token], at: &Token) -> Vec<&'t [Token]> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign(s) if s == "(" => depth += 1,
            Token::Sign(s) if s == ")" => depth -= 1,
            token if token == at && depth == 0 => {
                parts.push(&tokens[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start..]);
    parts
}
