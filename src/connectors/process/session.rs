//! One call to one program: started, told, listened to, ended.
//!
//! Owns the child process and its bounds. A program lives for one call, in a process group of its
//! own with an environment of its own, and dies with the call, however the call ends. What it wants
//! to send is judged first; what it says is bounded by line and in all. Believes nothing.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::ExposeSecret;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;

use super::classify;
use super::protocol::{self, Ask, Done, GRANTED, Line, Task, WireAccount, WireSecret};
use super::settings::Settings;
use crate::connectors::{Call, Permit, RenderedRequest};
use crate::domain::access::Operation;
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;
use crate::telemetry;

/// Longest line that a program may say.
const LINE_BYTES: u64 = 4 << 20;
/// How long a program may take to end when it is done.
const ENDING: Duration = Duration::from_secs(2);
/// How much of what a program writes to its error output is kept for the log.
const COMPLAINT_BYTES: usize = 4096;

/// The program, ready to be started; sent with a permit like any request.
#[derive(Debug)]
pub struct Start<'a> {
    pub settings: &'a Settings,
    pub task: Task<'a>,
}

/// A call under way.
#[derive(Debug)]
pub struct Session<'a> {
    call: &'a Call<'a>,
    task: Task<'a>,
    child: Child,
    /// Ends whatever the program has started, too.
    _group: Group,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    complaint: Arc<Mutex<Vec<u8>>>,
    _listening: JoinSet<()>,
    /// Bytes that the program may still say.
    left: u64,
    /// Whether a request that changes something was let through.
    wrote: bool,
}

/// What a program says in a call, apart from what it asks.
#[derive(Debug)]
pub enum Said {
    /// One account.
    Account(WireAccount),
    /// One of the connector's own secrets.
    Secret(WireSecret),
    /// The call has ended, and the program with it.
    Done(Done),
}

#[derive(Debug)]
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Nobody left in the group is the usual case.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl<'a> Session<'a> {
    /// Starts the program and tells it what is wanted.
    ///
    /// # Errors
    /// `refused` when others can change the program, `unreachable` when it cannot be started.
    pub async fn open(call: &'a Call<'a>, start: Permit<Start<'a>>) -> Result<Self, Failure> {
        let Start { settings, task } = start.into_inner();
        for path in std::iter::once(settings.program.as_path())
            .chain(settings.arguments.iter().map(Path::new))
            .filter(|path| path.is_absolute())
        {
            owners_alone(path)?;
        }
        let mut child = Command::new(&settings.program)
            .args(&settings.arguments)
            .current_dir(&settings.directory)
            .env_clear()
            .envs(&settings.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| classify::not_started(&settings.program, &error))?;
        let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let group = Group(leader);
        let (Some(mut input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(classify::broke_off(false, "it has no input or output"));
        };
        // About the connector's own secrets no more is asked than the start.
        let wrote = matches!(task, Task::Mint(_) | Task::Retire(..));
        let complaint = Arc::new(Mutex::default());
        let mut listening = JoinSet::new();
        listening.spawn(listen(errors, Arc::clone(&complaint)));
        let opening = protocol::opening(settings, call.credential, &task);
        // A program that does not listen says so by ending, which is seen below.
        let _ = input.write_all(opening.as_bytes()).await;
        Ok(Self {
            call,
            task,
            child,
            _group: group,
            input: Some(input),
            output: BufReader::new(output),
            complaint,
            _listening: listening,
            left: settings.max_output_bytes,
            wrote,
        })
    }

    /// Whether a request that changes something was let through.
    pub fn wrote(&self) -> bool {
        self.wrote
    }

    /// What the program says next; what it asks meanwhile is judged and answered.
    ///
    /// # Errors
    /// What the program itself says of its failure, what the guard refuses, and whatever is not as
    /// the protocol wants it.
    pub async fn next(&mut self) -> Result<Said, Failure> {
        let said = self.listen().await;
        if said.is_err() {
            self.log_complaint();
        }
        said
    }

    async fn listen(&mut self) -> Result<Said, Failure> {
        loop {
            let Some(line) = self.line().await? else {
                let how = self.end().await;
                return Err(classify::broke_off(self.wrote, &how.words()));
            };
            match protocol::read(&line) {
                Ok(Line::Ask(ask)) => self.answer(ask).await?,
                Ok(Line::Account(account)) => return Ok(Said::Account(account)),
                Ok(Line::Secret(secret)) => return Ok(Said::Secret(secret)),
                Ok(Line::Failed(told)) => {
                    return Err(classify::failed(self.wrote, told, |text| self.mask(text)));
                }
                Ok(Line::Done(done)) => return self.done(done).await,
                Err(problem) => return Err(classify::misunderstood(self.wrote, &problem)),
            }
        }
    }

    /// One line without its end; `None` when there is no whole line any more.
    async fn line(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let room = LINE_BYTES.min(self.left);
        let mut line = Vec::new();
        let mut bounded = (&mut self.output).take(room + 1);
        let read = bounded.read_until(b'\n', &mut line).await;
        let read = read.map_err(|error| classify::broke_off(self.wrote, &error.to_string()))?;
        if read as u64 > room {
            let what = format!("it said more than {room} bytes without an end");
            return Err(classify::misunderstood(self.wrote, &what));
        }
        self.left -= read as u64;
        // A line that was cut off is no line, even if what is there can be read.
        Ok((line.pop() == Some(b'\n')).then_some(line))
    }

    async fn answer(&mut self, ask: Ask) -> Result<(), Failure> {
        let writes: BTreeSet<_> = ask.writes.into_iter().collect();
        let changes = !writes.is_empty();
        let rendered = RenderedRequest {
            operation: operation(&self.task, changes),
            account: ask.account.or_else(|| account(&self.task)),
            writes,
            line: self.mask(&ask.line),
        };
        let permit: Permit<&str> = self.call.permit(rendered, GRANTED).await?;
        self.wrote |= changes;
        if let Some(input) = &mut self.input {
            // A program that is gone says so by the end of its lines.
            let _ = input.write_all(permit.into_inner().as_bytes()).await;
        }
        Ok(())
    }

    /// It is done: the program has nothing more to say, and ends.
    async fn done(&mut self, done: Done) -> Result<Said, Failure> {
        self.input = None;
        let rest = tokio::time::timeout(ENDING, self.line()).await;
        if let Ok(Ok(Some(_))) = rest {
            let what = "it went on after it had said that it was done";
            return Err(classify::misunderstood(self.wrote, what));
        }
        match self.end().await {
            Ending::Status(status) if status.success() => Ok(Said::Done(done)),
            how => {
                let what = format!("it said that it was done, but {}", how.words());
                Err(classify::misunderstood(self.wrote, &what))
            }
        }
    }

    async fn end(&mut self) -> Ending {
        self.input = None;
        match tokio::time::timeout(ENDING, self.child.wait()).await {
            Ok(Ok(status)) => Ending::Status(status),
            Ok(Err(error)) => Ending::Unknown(error.to_string()),
            Err(_) => Ending::Stays,
        }
    }

    /// The text without the secrets that the program was told, which it may repeat.
    fn mask(&self, text: &str) -> String {
        let chosen = match &self.task {
            Task::Mint(order) => order.chosen.as_ref(),
            _ => None,
        };
        let told = [Some(&self.call.credential.secret), chosen];
        let told = told.into_iter().flatten().map(ExposeSecret::expose_secret);
        let masked = told
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| {
                text.replace(secret, "[secret]")
            });
        telemetry::scrub(&masked).into_owned()
    }

    fn log_complaint(&self) {
        let kept = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if kept.is_empty() {
            return;
        }
        let text = self.mask(&String::from_utf8_lossy(&kept));
        tracing::warn!(
            call = self.task.as_str(),
            complaint = text,
            "a program complains"
        );
    }
}

/// How a program ended.
enum Ending {
    Status(ExitStatus),
    Stays,
    Unknown(String),
}

impl Ending {
    fn words(&self) -> String {
        match self {
            Self::Status(status) => status.to_string(),
            Self::Stays => "it does not end".to_owned(),
            Self::Unknown(error) => error.clone(),
        }
    }
}

/// What the program is about when it sends a request, in the guard's terms.
fn operation(task: &Task<'_>, changes: bool) -> Option<Operation> {
    match task {
        Task::Mint(_) | Task::Minted(_) | Task::Retire(..) => None,
        Task::Write(change) if changes => Some(change.operation),
        Task::Read(_) | Task::Write(_) => Some(Operation::Read),
        Task::List | Task::Try => Some(Operation::List),
    }
}

fn account(task: &Task<'_>) -> Option<AccountId> {
    match task {
        Task::Read(account) => Some((*account).clone()),
        Task::Write(change) => Some(change.account.clone()),
        Task::List | Task::Try | Task::Mint(_) | Task::Minted(_) | Task::Retire(..) => None,
    }
}

/// The start of the program as a request: it changes nothing by itself.
pub fn starting(settings: &Settings, task: &Task<'_>) -> RenderedRequest {
    RenderedRequest {
        operation: operation(task, false),
        account: account(task),
        writes: BTreeSet::new(),
        line: format!("START {} {}", settings.program.display(), task.as_str()),
    }
}

/// Who may write to the program may do whatever the connector may.
fn owners_alone(path: &Path) -> Result<(), Failure> {
    const OTHERS_WRITE: u32 = 0o002;
    const GROUP_WRITES: u32 = 0o020;
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() && found.mode() & (OTHERS_WRITE | GROUP_WRITES) != 0 => {
            Err(classify::not_ours(path))
        }
        // What is not there cannot be started, or is no path.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Keeps the beginning of what the program writes to its error output, and reads all of it, so that
/// the program never waits for us.
async fn listen(mut errors: ChildStderr, kept: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(read) = errors.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = COMPLAINT_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..read.min(room)]);
    }
}
