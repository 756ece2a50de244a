//! Rust source as far as the wall needs it: tokens with lines, and the paths that they spell.
//!
//! Owns: telling code from comments and strings, and `use` trees flattened to single paths with
//! `super` resolved. Does not know what is allowed; that is `rooms` and `tidiness`. Good enough for
//! rustfmt-formatted code; it is no parser, and what it cannot read it reports as it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a token is. Comments and white space are gone, numbers count as names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Identifier, keyword or number.
    Name(String),
    /// `::`
    Colons,
    /// Any other single character.
    Mark(char),
    /// The contents of a string literal; an escape counts as its letter, `\n` as a new line.
    Text(String),
}

/// A token and the line, from 1, on which it begins.
pub type Placed = (Token, usize);

/// Splits source text into tokens.
pub fn tokens(text: &str) -> Vec<Placed> {
    let mut reader = Reader {
        chars: text.chars().collect(),
        at: 0,
        line: 1,
        found: Vec::new(),
    };
    while reader.at < reader.chars.len() {
        reader.step();
    }
    reader.found
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    line: usize,
    found: Vec<Placed>,
}

impl Reader {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn bump(&mut self) -> char {
        let c = self.peek(0);
        self.line += usize::from(c == '\n');
        self.at += 1;
        c
    }

    fn step(&mut self) {
        let line = self.line;
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => {
                while self.at < self.chars.len() && self.peek(0) != '\n' {
                    self.bump();
                }
            }
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(line, None),
            ('\'', _) => self.quote(),
            (':', ':') => {
                self.at += 2;
                self.found.push((Token::Colons, line));
            }
            (c, _) if c.is_whitespace() => {
                self.bump();
            }
            (c, _) if c.is_alphanumeric() || c == '_' => self.name(line),
            (c, _) => {
                self.bump();
                self.found.push((Token::Mark(c), line));
            }
        }
    }

    /// Block comments nest.
    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => {
                    depth += 1;
                    self.at += 2;
                }
                ('*', '/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => {
                    self.bump();
                }
            }
        }
    }

    /// A string from its opening quote; `hashes` is given for raw strings, where nothing escapes.
    fn string(&mut self, line: usize, hashes: Option<usize>) {
        self.bump();
        let mut contents = String::new();
        while self.at < self.chars.len() {
            let c = self.bump();
            if c == '\\' && hashes.is_none() {
                let escaped = self.bump();
                contents.push(if escaped == 'n' { '\n' } else { escaped });
                continue;
            }
            let closing = hashes.unwrap_or(0);
            if c == '"' && (0..closing).all(|ahead| self.peek(ahead) == '#') {
                self.at += closing;
                break;
            }
            contents.push(c);
        }
        self.found.push((Token::Text(contents), line));
    }

    /// A character literal or a lifetime: `'x'` and `'\n'` close, `'a` does not.
    fn quote(&mut self) {
        self.bump();
        if self.peek(0) == '\\' {
            self.at += 2;
            while self.at < self.chars.len() && self.bump() != '\'' {}
        } else if self.peek(1) == '\'' {
            self.bump();
            self.bump();
        }
    }

    fn name(&mut self, line: usize) {
        let mut name = String::new();
        while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
            name.push(self.bump());
        }
        let raw = matches!(name.as_str(), "r" | "br" | "cr");
        let rest = self.chars.get(self.at..).unwrap_or_default();
        let hashes = rest.iter().take_while(|c| **c == '#').count();
        match (name.as_str(), self.peek(0), self.peek(hashes)) {
            ("b" | "c", '"', _) => self.string(line, None),
            ("b", '\'', _) => self.quote(),
            (_, '"' | '#', '"') if raw => {
                self.at += hashes;
                self.string(line, Some(hashes));
            }
            // `r#type` is the name `type`.
            ("r", '#', _) => {
                self.at += 1;
                self.name(line);
            }
            _ => self.found.push((Token::Name(name), line)),
        }
    }
}

/// A path as code spells it, from the crate root where it starts with `crate`, `super` or `self`
/// (then the first segment is `crate`), else as written, for example `std`, `fs`, `read`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spelled {
    /// Segments; `*` for a glob.
    pub segments: Vec<String>,
    /// Line of its last segment.
    pub line: usize,
}

/// Every path in a file, `use` groups flattened. `module` is the file's own module path.
pub fn paths(tokens: &[Placed], module: &[String]) -> Vec<Spelled> {
    let mut walk = Walk {
        tokens,
        at: 0,
        inline: Vec::new(),
        depth: 0,
        module,
        found: Vec::new(),
    };
    while walk.at < tokens.len() {
        walk.step();
    }
    walk.found
}

struct Walk<'a> {
    tokens: &'a [Placed],
    at: usize,
    /// Modules opened in this file, each with the brace depth inside it.
    inline: Vec<(String, usize)>,
    depth: usize,
    module: &'a [String],
    found: Vec<Spelled>,
}

impl Walk<'_> {
    fn token(&self, at: usize) -> Option<&Token> {
        self.tokens.get(at).map(|(token, _)| token)
    }

    fn is(&self, at: usize, mark: char) -> bool {
        self.token(at) == Some(&Token::Mark(mark))
    }

    fn step(&mut self) {
        match self.token(self.at) {
            Some(Token::Name(word)) if word == "mod" && self.is(self.at + 2, '{') => {
                if let Some(Token::Name(name)) = self.token(self.at + 1) {
                    self.inline.push((name.clone(), self.depth + 1));
                }
                self.depth += 1;
                self.at += 3;
            }
            Some(Token::Name(word)) if word == "use" => {
                self.at += 1;
                self.tree(&[]);
            }
            Some(Token::Name(_)) if self.token(self.at + 1) == Some(&Token::Colons) => {
                self.tree(&[]);
            }
            Some(Token::Mark('{')) => {
                self.depth += 1;
                self.at += 1;
            }
            Some(Token::Mark('}')) => {
                if self
                    .inline
                    .last()
                    .is_some_and(|(_, depth)| *depth == self.depth)
                {
                    self.inline.pop();
                }
                self.depth = self.depth.saturating_sub(1);
                self.at += 1;
            }
            _ => self.at += 1,
        }
    }

    /// One path or `use` tree from `self.at`, below a prefix; leaves `self.at` behind it.
    fn tree(&mut self, prefix: &[String]) {
        let mut segments = prefix.to_vec();
        let mut line = self.tokens.get(self.at).map_or(0, |(_, line)| *line);
        if self.token(self.at) == Some(&Token::Colons) {
            self.at += 1;
        }
        loop {
            match self.token(self.at) {
                Some(Token::Name(name)) => {
                    line = self.tokens[self.at].1;
                    segments.push(name.clone());
                    self.at += 1;
                }
                Some(Token::Mark('*')) => {
                    segments.push("*".to_owned());
                    self.at += 1;
                    break;
                }
                Some(Token::Mark('{')) => return self.group(&segments),
                _ => break,
            }
            if self.token(self.at) != Some(&Token::Colons) {
                break;
            }
            self.at += 1;
        }
        let segments = self.resolve(segments);
        self.found.push(Spelled { segments, line });
    }

    fn group(&mut self, prefix: &[String]) {
        self.at += 1;
        while self.at < self.tokens.len() && !self.is(self.at, '}') {
            let before = self.at;
            self.tree(prefix);
            // `a as b`: the new name is not a path.
            while self.at < self.tokens.len() && !self.is(self.at, ',') && !self.is(self.at, '}') {
                self.at += 1;
            }
            if self.is(self.at, ',') || self.at == before {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    /// Rewrites `super` and `self` to a path from `crate`, by where this file and its inline
    /// modules stand. `clawback::` is the crate by its own name.
    fn resolve(&self, segments: Vec<String>) -> Vec<String> {
        let rooted = match segments.first().map(String::as_str) {
            Some("self" | "super") => self.here(),
            Some("crate" | "clawback") => Vec::new(),
            _ => return segments,
        };
        let mut rest = segments.as_slice();
        let mut absolute = rooted;
        while let Some((first, tail)) = rest.split_first() {
            match first.as_str() {
                "super" => drop(absolute.pop()),
                "self" | "crate" | "clawback" => {}
                _ => break,
            }
            rest = tail;
        }
        let mut full = vec!["crate".to_owned()];
        full.extend(absolute);
        full.extend_from_slice(rest);
        full
    }

    fn here(&self) -> Vec<String> {
        let inline = self.inline.iter().map(|(name, _)| name.clone());
        self.module.iter().cloned().chain(inline).collect()
    }
}

/// Whether a file holds Rust.
pub fn is_rust(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|ext| ext == "rs")
}

/// Whether tokens spell these words and marks.
pub fn spells(tokens: &[Placed], words: &[&str]) -> bool {
    let same = |((token, _), word): (&Placed, &&str)| match token {
        Token::Name(name) => name == word,
        Token::Mark(mark) => word.chars().eq([*mark]),
        Token::Colons => *word == "::",
        Token::Text(_) => false,
    };
    tokens.len() == words.len() && tokens.iter().zip(words).all(same)
}

/// Modules that are declared `#[cfg(test)] mod name;` in their parents' files.
pub fn test_modules(files: &BTreeMap<String, String>) -> BTreeSet<Vec<String>> {
    let head = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let mut found = BTreeSet::new();
    for (file, text) in files.iter().filter(|(file, _)| is_rust(file)) {
        let tokens = tokens(text);
        for ten in tokens.windows(10) {
            if spells(&ten[..8], &head)
                && let (Token::Name(name), Token::Mark(';')) = (&ten[8].0, &ten[9].0)
            {
                let mut module = module_of(file);
                module.push(name.clone());
                found.insert(module);
            }
        }
    }
    found
}

/// Whether a whole file is test code: in or beneath one of these modules.
pub fn is_test(file: &str, tests: &BTreeSet<Vec<String>>) -> bool {
    let module = module_of(file);
    (1..=module.len()).any(|end| tests.contains(&module[..end]))
}

/// The tokens before the module `tests`, which by convention comes last in a file.
pub fn without_tests(tokens: &[Placed]) -> &[Placed] {
    let opens = |three: &[Placed]| spells(three, &["mod", "tests", "{"]);
    let end = tokens.windows(3).position(opens).unwrap_or(tokens.len());
    &tokens[..end]
}

/// The module path of a file under `src`: `src/a/b.rs` and `src/a/b/mod.rs` are `a::b`.
pub fn module_of(file: &str) -> Vec<String> {
    let inner = file.strip_prefix("src/").unwrap_or(file);
    let inner = inner.strip_suffix(".rs").unwrap_or(inner);
    let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if parts
        .last()
        .is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main"))
    {
        parts.pop();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(file: &str, text: &str) -> Vec<String> {
        paths(&tokens(text), &module_of(file))
            .into_iter()
            .map(|path| path.segments.join("::"))
            .collect()
    }

    #[test]
    fn comments_strings_and_characters_hide_what_they_hold() {
        let text = r##"
            // crate::one
            /* crate::two /* crate::three */ crate::four */
            let a = "crate::five \" crate::six"; let b = r#"crate::"seven" x"#;
            let c = '"'; let d: &'static str = b"crate::eight"; let e = '\''; fn f<'a>(x: &'a str) {}
            crate::nine()
        "##;
        assert_eq!(spelled("src/a.rs", text), ["crate::nine"]);
    }

    #[test]
    fn groups_are_flattened_and_lines_kept() {
        let text =
            "use crate::{\n    a,\n    b::{c, d as e},\n    f::*,\n};\nuse std::{fs, io::Read};";
        let found = paths(&tokens(text), &module_of("src/x/y.rs"));
        let lines: Vec<_> = found
            .iter()
            .map(|p| (p.segments.join("::"), p.line))
            .collect();
        let expected = [
            ("crate::a", 2),
            ("crate::b::c", 3),
            ("crate::b::d", 3),
            ("crate::f::*", 4),
            ("std::fs", 6),
            ("std::io::Read", 6),
        ];
        assert_eq!(lines, expected.map(|(path, line)| (path.to_owned(), line)));
    }

    #[test]
    fn super_is_resolved_through_files_and_inline_modules() {
        let text = "super::a(); mod tests { use super::super::b; fn f() { super::c() } } super::super::d();";
        assert_eq!(
            spelled("src/x/y.rs", text),
            ["crate::x::a", "crate::x::b", "crate::x::y::c", "crate::d"]
        );
        assert_eq!(spelled("src/x/mod.rs", "super::y::z"), ["crate::y::z"]);
        assert_eq!(spelled("src/x/mod.rs", "self::super::y"), ["crate::y"]);
    }
}
