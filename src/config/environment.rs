//! The environment, read in this one place.
//!
//! Owns `${NAME}` in `clawback.toml`: how a password of the database reaches the settings without
//! being in a file that people edit. A name that is not set is a problem with its line, never an
//! empty string. Comments are left alone.

use crate::document::{Problem, Problems};

/// The value of an environment variable, if it is set and text.
// The one place: a setting that is read elsewhere is one that `clawback check` cannot see.
#[allow(clippy::disallowed_methods)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// `text` with every `${NAME}` replaced by what `look_up` gives for it, safe within a TOML string.
pub fn fill(
    file: &str,
    text: &str,
    look_up: &dyn Fn(&str) -> Option<String>,
) -> (String, Problems) {
    let mut problems = Problems::default();
    let mut lines = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim_start().starts_with('#') {
            lines.push(line.to_owned());
            continue;
        }
        let mut filled = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            let Some((name, behind)) = after.split_once('}') else {
                filled.push_str("${");
                rest = after;
                continue;
            };
            match look_up(name) {
                Some(value) => filled.push_str(&quoted(&value)),
                None => problems.0.push(Problem {
                    file: file.to_owned(),
                    line: number,
                    message: format!("the environment variable `{name}` is not set"),
                    remedy: "set it where the program is started".to_owned(),
                }),
            }
            rest = behind;
        }
        filled.push_str(rest);
        lines.push(filled);
    }
    lines.push(String::new());
    (lines.join("\n"), problems)
}

/// The value as it stands inside a basic TOML string.
fn quoted(value: &str) -> String {
    let mut text = String::new();
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            control if control.is_control() => {
                text.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_escaped_and_missed_with_their_line() {
        let text = "# ${NEVER}\nurl = \"postgres://a:${PW}@b\"\nx = \"${GONE}\"\ny = \"$ {z ${\"\n";
        let look_up = |name: &str| (name == "PW").then(|| "p\"w\\".to_owned());
        let (filled, problems) = fill("c.toml", text, &look_up);
        assert_eq!(
            filled,
            "# ${NEVER}\nurl = \"postgres://a:p\\\"w\\\\@b\"\nx = \"\"\ny = \"$ {z ${\"\n"
        );
        assert_eq!(problems.0.len(), 1);
        assert_eq!(problems.0[0].line, 3);
    }
}
