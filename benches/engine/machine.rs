//! What the machine spent: CPU, memory, bytes written.
//!
//! Owns the readings from `/proc`: Linux only, zero elsewhere.

/// What was spent up to a moment; figures are differences.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// CPU of this process and of the database server.
    pub cpu_seconds: f64,
    /// Transactions that wrote something (PostgreSQL).
    pub commits: f64,
    /// PostgreSQL: bytes of WAL. SQLite: bytes that this process wrote to the disk.
    pub log_bytes: f64,
}

/// CPU seconds of this process so far.
pub fn own_cpu() -> f64 {
    cpu_of("/proc/self/stat", false).unwrap_or(0.0)
}

/// CPU seconds of the server with this process id and of all its children, ended ones included.
pub fn server_cpu(postmaster: i32) -> f64 {
    let own = cpu_of(&format!("/proc/{postmaster}/stat"), true).unwrap_or(0.0);
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = entries.filter_map(|entry| {
        let stat = entry.path().join("stat");
        let text = std::fs::read_to_string(&stat).ok()?;
        let parent: i32 = fields(&text).nth(1)?.parse().ok()?;
        (parent == postmaster).then(|| cpu_of(&stat.to_string_lossy(), false))?
    });
    own + children.sum::<f64>()
}

/// Bytes that this process had written to the disk so far.
pub fn written_bytes() -> f64 {
    number("/proc/self/io", "write_bytes:")
}

/// Resident memory of this process in MiB.
pub fn rss_mib() -> f64 {
    number("/proc/self/status", "VmRSS:") / 1024.0
}

fn number(file: &str, key: &str) -> f64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let value = line.and_then(|rest| rest.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

/// The fields of a `stat` line after the process's name, which may hold anything.
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit(')').next().unwrap_or("").split_whitespace()
}

fn cpu_of(stat: &str, with_ended_children: bool) -> Option<f64> {
    let text = std::fs::read_to_string(stat).ok()?;
    // utime, stime, cutime, cstime: the 14th to 17th field of the line, in hundredths of a second.
    let take = if with_ended_children { 4 } else { 2 };
    let ticks = fields(&text).skip(11).take(take);
    Some(
        ticks
            .filter_map(|field| field.parse::<f64>().ok())
            .sum::<f64>()
            / 100.0,
    )
}
