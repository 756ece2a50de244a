//! What is asked for at the terminal when the program starts: the vault's key.
//!
//! Owns the question and the echo, which is off while one types. Asks at the terminal itself, so that
//! standard input and output stay what they are. Keeps nothing.

use std::fs::File;
use std::io::{BufRead, BufReader, Error, Write};
use std::process::{Command, Stdio};

use secrecy::SecretString;
use zeroize::Zeroizing;

/// Asks for a line at the terminal of the process.
///
/// # Errors
/// When there is no terminal, or nothing was typed.
pub fn ask(question: &str) -> Result<SecretString, Error> {
    let terminal = File::options().read(true).write(true).open("/dev/tty");
    let mut terminal = terminal.map_err(|_| {
        Error::other("there is no terminal; use `key_file` or `key_env` for a service")
    })?;
    terminal.write_all(question.as_bytes())?;
    let quiet = Quiet::begin(&terminal);
    let mut line = Zeroizing::new(String::new());
    BufReader::new(&terminal).read_line(&mut line)?;
    drop(quiet);
    terminal.write_all(b"\n")?;
    match line.trim() {
        "" => Err(Error::other("nothing was typed")),
        text => Ok(SecretString::from(text)),
    }
}

/// The terminal's echo is off while this lives.
struct Quiet<'t>(&'t File);

impl<'t> Quiet<'t> {
    fn begin(terminal: &'t File) -> Self {
        echo(terminal, "-echo");
        Self(terminal)
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        echo(self.0, "echo");
    }
}

fn echo(terminal: &File, how: &str) {
    let Ok(terminal) = terminal.try_clone() else {
        return;
    };
    // Without `stty` the key shows while it is typed; it still goes nowhere else.
    let _ = Command::new("stty")
        .arg(how)
        .stdin(terminal)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
