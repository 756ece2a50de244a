//! How fast the engine is, as ratios to a floor measured in the same run.
//!
//! Owns three loads on targets that do nothing (one case alone, 64 in flight with steps in sequence,
//! 256 with independent steps side by side) and prints, for each, its figures beside those of a bare
//! loop that group-commits the same rows with the lease checked. `scripts/bench` brings a database;
//! `docs/bench.md` says what exactly is measured. Asserts nothing about speed.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A program for people to read.
#![allow(clippy::disallowed_methods)] // It measures the wall clock, and reads what scripts/bench set.

mod database;
mod floor;
mod load;
mod machine;
mod seed;
mod seeded;
mod target;

use std::process::ExitCode;

use database::Kind;
use load::{Figures, Load};
use serde_json::{Map, Value, json};

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

struct Arguments {
    json: bool,
    kind: Kind,
    /// Cases of the two larger loads; 0 takes the usual number.
    cases: u64,
    /// Only the load with this name.
    only: Option<String>,
    /// Only to see that everything runs and every figure comes out.
    smoke: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` starts benchmarks too, without this argument.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let arguments = match read(arguments) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!(
                "{problem}; use --json, --store postgres|sqlite, --cases N, --only NAME, --smoke"
            );
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    match runtime.block_on(measure(&arguments)) {
        Ok(all) => {
            print(&all, arguments.json);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn read(given: Vec<String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        json: false,
        kind: Kind::Postgres,
        cases: 0,
        only: None,
        smoke: false,
    };
    let mut given = given.into_iter();
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--json" => arguments.json = true,
            "--smoke" => arguments.smoke = true,
            "--bench" => {}
            "--store" => {
                arguments.kind = match given.next().as_deref() {
                    Some("postgres") => Kind::Postgres,
                    Some("sqlite") => Kind::Sqlite,
                    other => return Err(format!("no store {other:?}")),
                }
            }
            "--cases" => {
                let number = given.next().and_then(|number| number.parse().ok());
                arguments.cases = number.ok_or("--cases takes a number")?;
            }
            "--only" => arguments.only = given.next(),
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(arguments)
}

async fn measure(arguments: &Arguments) -> Result<Vec<(Load, Figures)>, String> {
    let cases = |usual| match arguments.cases {
        0 => usual,
        asked => asked,
    };
    let loads = [
        Load::new("alone", 1, false, cases(5000) / 10),
        Load::new("in_flight_64", 64, true, cases(4000)),
        Load::new("side_by_side_256", 256, false, cases(10_000)),
    ];
    let mut all = Vec::new();
    for load in loads {
        if arguments
            .only
            .as_ref()
            .is_some_and(|only| only != load.name)
        {
            continue;
        }
        let load = if arguments.smoke { load.smoke() } else { load };
        eprintln!("{}: {} cases", load.name, load.cases);
        let figures = load::measure(arguments.kind, &load).await?;
        all.push((load, figures));
    }
    Ok(all)
}

fn print(all: &[(Load, Figures)], json: bool) {
    println!(
        "{:<17}{:>9}{:>9}{:>9}{:>9}{:>9}{:>11}{:>8}{:>6}{:>10}{:>8}{:>7}{:>7}{:>9}",
        "load",
        "cases/s",
        "steps/s",
        "p50 ms",
        "p99 ms",
        "commits",
        "WAL bytes",
        "CPU ms",
        "MiB",
        "floor/s",
        "CPU ms",
        "ratio",
        "log %",
        "log CPU %"
    );
    for (load, f) in all {
        println!(
            "{:<17}{:>9.0}{:>9.0}{:>9.2}{:>9.2}{:>9.3}{:>11.0}{:>8.3}{:>6.0}{:>10.0}{:>8.3}{:>7.2}{:>7.1}{:>9.1}",
            load.name,
            f.cases_per_second,
            f.steps_per_second,
            f.p50_ms,
            f.p99_ms,
            f.commits_per_case,
            f.wal_bytes_per_case,
            f.cpu_ms_per_case,
            f.rss_mib,
            f.floor_cases_per_second,
            f.floor_cpu_ms_per_case,
            f.ratio_to_floor,
            f.log_overhead * 100.0,
            f.log_cpu_overhead * 100.0
        );
    }
    if json {
        let loads: Map<String, Value> = all
            .iter()
            .map(|(load, figures)| (load.name.to_owned(), figures.to_json()))
            .collect();
        let mut object = loads
            .get("in_flight_64")
            .cloned()
            .unwrap_or_else(|| json!({}));
        object["loads"] = Value::Object(loads);
        println!("{object}");
    }
}
