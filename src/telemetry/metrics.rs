//! Every metric by name, and one plain function for each thing that other rooms count.
//!
//! Owns the names (`docs/telemetry.md` explains them, and a test pairs the two), the buckets and the
//! page for Prometheus. Labels are few and bounded: connectors, actions, classes, never subjects or
//! accounts. A call costs a hash of its labels and an atomic addition; nothing is allocated for a
//! series that is known.

mod desks;
mod drills;
mod gone;
mod intake;
mod parts;
mod pauses;
mod secrets;
mod store;

use std::sync::LazyLock;

use prometheus::{Encoder, HistogramVec, IntCounterVec, IntGaugeVec, Registry, TextEncoder};

pub use desks::{desk_call, desk_copies};
pub use drills::drill;
pub use gone::{connector_gone, kafka_given_up};
pub use intake::{events_lost, intake_held};
pub use parts::part_ready;
pub use pauses::{pause_escalated, paused};
pub use secrets::{SecretTime, secrets, unreadable_secrets};
pub use store::{clock_apart, row_unreadable};

/// From a millisecond to a connector's longest patience, in seconds.
const SHORT: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// From a second to thirty days.
const LONG: [f64; 13] = [
    1.0,
    5.0,
    15.0,
    60.0,
    300.0,
    900.0,
    3_600.0,
    14_400.0,
    43_200.0,
    86_400.0,
    259_200.0,
    604_800.0,
    2_592_000.0,
];

/// Things in a batch.
const SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1_024.0];

static ALL: LazyLock<Metrics> = LazyLock::new(Metrics::new);

struct Metrics {
    registry: Registry,
    events: IntCounterVec,
    dead_letters: IntCounterVec,
    letters_waiting: IntGaugeVec,
    cases_opened: IntCounterVec,
    cases_ended: IntCounterVec,
    removals_ended: IntCounterVec,
    containment: HistogramVec,
    proof: HistogramVec,
    steps: IntCounterVec,
    step_duration: HistogramVec,
    verify_lag: HistogramVec,
    tasks: IntGaugeVec,
    task_age: IntGaugeVec,
    tasks_escalated: IntCounterVec,
    rotations: IntCounterVec,
    secret_age: IntGaugeVec,
    calls: IntCounterVec,
    call_duration: HistogramVec,
    breaker_open: IntGaugeVec,
    connector_state: IntGaugeVec,
    connector_survey_age: IntGaugeVec,
    connector_read_age: IntGaugeVec,
    connector_write_age: IntGaugeVec,
    connector_accounts: IntGaugeVec,
    connector_nhis: IntGaugeVec,
    connector_nhis_silent: IntGaugeVec,
    manifest_waiting: IntGaugeVec,
    manifest_barred: IntGaugeVec,
    settle_batch: HistogramVec,
    commit_duration: HistogramVec,
    leases_lost: IntCounterVec,
    runs_failed: IntCounterVec,
    kafka_lag: IntGaugeVec,
    oldest_event: IntGaugeVec,
    outbox: IntGaugeVec,
    spans: IntCounterVec,
}

impl Metrics {
    #[allow(clippy::too_many_lines)] // One list, told in order; parts of it mean nothing alone.
    fn new() -> Self {
        let r = Registrar::default();
        Self {
            events: r.counter(
                "clawback_events_total",
                "Events from Kafka by receipt",
                &["receipt"],
            ),
            dead_letters: r.counter(
                "clawback_dead_letters_total",
                "Messages that could not be read or mapped, by code",
                &["code"],
            ),
            cases_opened: r.counter(
                "clawback_cases_opened_total",
                "Cases opened by workflow",
                &["workflow"],
            ),
            cases_ended: r.counter("clawback_cases_ended_total", "Cases ended by end", &["end"]),
            removals_ended: r.counter(
                "clawback_removals_ended_total",
                "Removals ended by connector and end",
                &["connector", "end"],
            ),
            containment: r.histogram(
                "clawback_containment_seconds",
                "From the effective instant to the first accepted change of a removal",
                &["connector"],
                &LONG,
            ),
            proof: r.histogram(
                "clawback_proof_seconds",
                "From the effective instant to the proof that the access is gone",
                &["connector"],
                &LONG,
            ),
            steps: r.counter(
                "clawback_steps_total",
                "Steps by connector, action and outcome",
                &["connector", "action", "outcome"],
            ),
            step_duration: r.histogram(
                "clawback_step_duration_seconds",
                "How long steps take",
                &["connector", "action"],
                &SHORT,
            ),
            verify_lag: r.histogram(
                "clawback_verify_lag_seconds",
                "From the last change of a removal to an observation that proves it",
                &["connector"],
                &LONG,
            ),
            letters_waiting: r.gauge(
                "clawback_dead_letters_waiting",
                "Dead letters that nobody has replayed or set aside",
                &[],
            ),
            tasks: r.gauge(
                "clawback_tasks",
                "Fallback tasks that are not closed, by state (open, overdue)",
                &["state"],
            ),
            task_age: r.gauge(
                "clawback_task_oldest_age_seconds",
                "Age of the oldest fallback task that is not closed",
                &[],
            ),
            tasks_escalated: r.counter(
                "clawback_tasks_escalated_total",
                "Times that somebody was told of an overdue task, by connector and role",
                &["connector", "to"],
            ),
            rotations: r.counter(
                "clawback_rotations_total",
                "Rotations of connector secrets by connector, role and end",
                &["connector", "role", "end"],
            ),
            secret_age: r.gauge(
                "clawback_secret_age_seconds",
                "Age of the current secret",
                &["connector", "role"],
            ),
            calls: r.counter(
                "clawback_connector_calls_total",
                "Calls to targets by connector, operation and class of failure (ok: none)",
                &["connector", "operation", "class"],
            ),
            call_duration: r.histogram(
                "clawback_connector_call_duration_seconds",
                "How long calls to targets take",
                &["connector"],
                &SHORT,
            ),
            breaker_open: r.gauge(
                "clawback_connector_breaker_open",
                "1 while the connector's breaker is open",
                &["connector"],
            ),
            connector_state: r.gauge(
                "clawback_connector_state",
                "1 for the state that the connector is in, 0 for the others",
                &["connector", "state"],
            ),
            connector_survey_age: r.gauge(
                "clawback_connector_survey_age_seconds",
                "Age of the last good survey",
                &["connector"],
            ),
            connector_read_age: r.gauge(
                "clawback_connector_read_age_seconds",
                "Time since a read last worked",
                &["connector"],
            ),
            connector_write_age: r.gauge(
                "clawback_connector_write_age_seconds",
                "Time since a write last worked",
                &["connector"],
            ),
            connector_accounts: r.gauge(
                "clawback_connector_accounts",
                "Accounts at the last survey that answered",
                &["connector"],
            ),
            connector_nhis: r.gauge(
                "clawback_connector_nhis",
                "Accounts of non-human identities at the last survey that answered",
                &["connector"],
            ),
            connector_nhis_silent: r.gauge(
                "clawback_connector_nhis_silent",
                "Non-human identities whose record stopped updating beyond its interval",
                &["connector"],
            ),
            manifest_waiting: r.gauge(
                "clawback_connector_manifest_waiting",
                "1 while the connector's file waits for approval",
                &["connector"],
            ),
            manifest_barred: r.gauge(
                "clawback_connector_barred",
                "1 while the connector serves no events for want of an approval or a drill",
                &["connector"],
            ),
            settle_batch: r.histogram(
                "clawback_settle_batch_size",
                "Settlements in one commit",
                &[],
                &SIZES,
            ),
            commit_duration: r.histogram(
                "clawback_commit_duration_seconds",
                "How long commits take, by transaction",
                &["transaction"],
                &SHORT,
            ),
            leases_lost: r.counter(
                "clawback_settlements_refused_total",
                "Settlements refused because the lease had moved on",
                &[],
            ),
            runs_failed: r.counter(
                "clawback_runs_failed_total",
                "Times that a run could not go on for a fault of the program or its store",
                &[],
            ),
            kafka_lag: r.gauge(
                "clawback_kafka_consumer_lag",
                "Messages not yet read",
                &["topic", "partition"],
            ),
            oldest_event: r.gauge(
                "clawback_oldest_event_age_seconds",
                "Age of the oldest recorded event that is not admitted",
                &[],
            ),
            outbox: r.gauge("clawback_outbox_waiting", "Messages not yet published", &[]),
            spans: r.counter(
                "clawback_spans_total",
                "Finished spans by fate (exported, dropped)",
                &["fate"],
            ),
            registry: r.0,
        }
    }
}

/// The page for Prometheus (text format 0.0.4).
pub fn page() -> String {
    let mut page = Vec::new();
    // Writing to memory fails only for a family without a name, which a test excludes.
    let encoded = TextEncoder::new().encode(&ALL.registry.gather(), &mut page);
    debug_assert!(encoded.is_ok(), "{encoded:?}");
    String::from_utf8_lossy(&page).into_owned()
}

/// Events from Kafka: `new`, `duplicate` or `conflict`.
pub fn events(receipt: &str, count: u64) {
    ALL.events.with_label_values(&[receipt]).inc_by(count);
}

/// A message that could not be read or mapped.
pub fn dead_letter(code: &str) {
    ALL.dead_letters.with_label_values(&[code]).inc();
}

/// A case was opened.
pub fn case_opened(workflow: &str) {
    ALL.cases_opened.with_label_values(&[workflow]).inc();
}

/// A case ended.
pub fn case_ended(end: &str) {
    ALL.cases_ended.with_label_values(&[end]).inc();
}

/// A removal ended.
pub fn removal_ended(connector: &str, end: &str) {
    ALL.removals_ended
        .with_label_values(&[connector, end])
        .inc();
}

/// The first change of a removal was accepted, so long after the effective instant.
pub fn contained(connector: &str, seconds: f64) {
    ALL.containment
        .with_label_values(&[connector])
        .observe(seconds);
}

/// A removal was proved, so long after the effective instant.
pub fn proved(connector: &str, seconds: f64) {
    ALL.proof.with_label_values(&[connector]).observe(seconds);
}

/// A step was performed; `connector` is empty for a step without one.
pub fn step(connector: &str, action: &str, outcome: &str, seconds: f64) {
    ALL.steps
        .with_label_values(&[connector, action, outcome])
        .inc();
    ALL.step_duration
        .with_label_values(&[connector, action])
        .observe(seconds);
}

/// An observation proved a removal, so long after its last change.
pub fn verify_lag(connector: &str, seconds: f64) {
    ALL.verify_lag
        .with_label_values(&[connector])
        .observe(seconds);
}

/// Dead letters that nobody has replayed or set aside.
pub fn letters(waiting: u64) {
    set(&ALL.letters_waiting, &[], waiting);
}

/// Fallback tasks that are not closed, those past their deadline, and the age of the oldest.
pub fn tasks(open: u64, overdue: u64, oldest_seconds: Option<u64>) {
    set(&ALL.tasks, &["open"], open);
    set(&ALL.tasks, &["overdue"], overdue);
    set(&ALL.task_age, &[], oldest_seconds.unwrap_or(0));
}

/// Somebody was told of an overdue task: `owner`, `deputy` or `desk`.
pub fn task_escalated(connector: &str, to: &str) {
    ALL.tasks_escalated
        .with_label_values(&[connector, to])
        .inc();
}

/// A rotation ended.
pub fn rotation_ended(connector: &str, role: &str, end: &str) {
    ALL.rotations
        .with_label_values(&[connector, role, end])
        .inc();
}

/// A call to a target; `class` is `ok` where it did not fail.
pub fn call(connector: &str, operation: &str, class: &str, seconds: f64) {
    ALL.calls
        .with_label_values(&[connector, operation, class])
        .inc();
    ALL.call_duration
        .with_label_values(&[connector])
        .observe(seconds);
}

/// A breaker opened or closed.
pub fn breaker(connector: &str, open: bool) {
    set(&ALL.breaker_open, &[connector], u64::from(open));
}

/// Whether a connector is in a state.
pub fn connector_state(connector: &str, state: &str, is_in_it: bool) {
    set(
        &ALL.connector_state,
        &[connector, state],
        u64::from(is_in_it),
    );
}

/// Ages of a connector's last good survey, read and write; what never happened has no series.
pub fn connector_ages(connector: &str, survey: Option<u64>, read: Option<u64>, write: Option<u64>) {
    let ages = [
        (&ALL.connector_survey_age, survey),
        (&ALL.connector_read_age, read),
        (&ALL.connector_write_age, write),
    ];
    for (gauge, age) in ages {
        if let Some(seconds) = age {
            set(gauge, &[connector], seconds);
        }
    }
}

/// Accounts that a target showed.
pub fn connector_accounts(connector: &str, accounts: u64) {
    set(&ALL.connector_accounts, &[connector], accounts);
}

/// How many of them are of non-human identities, and of how many the record stopped updating.
pub fn connector_nhis(connector: &str, count: u64, silent: u64) {
    set(&ALL.connector_nhis, &[connector], count);
    set(&ALL.connector_nhis_silent, &[connector], silent);
}

/// A connector stands differently: its file waits for approval, or it serves nothing for want of one.
pub fn manifest(connector: &str, waiting: bool, barred: bool) {
    set(&ALL.manifest_waiting, &[connector], u64::from(waiting));
    set(&ALL.manifest_barred, &[connector], u64::from(barred));
}

/// Settlements were committed together.
pub fn settled(size: usize, seconds: f64) {
    ALL.settle_batch
        .with_label_values::<&str>(&[])
        .observe(size as f64);
    commit("settle", seconds);
}

/// A transaction was committed.
pub fn commit(transaction: &str, seconds: f64) {
    ALL.commit_duration
        .with_label_values(&[transaction])
        .observe(seconds);
}

/// Settlements were refused because their leases had moved on.
pub fn settlements_refused(count: u64) {
    ALL.leases_lost.with_label_values::<&str>(&[]).inc_by(count);
}

/// A run could not go on and is tried again.
pub fn run_failed() {
    ALL.runs_failed.with_label_values::<&str>(&[]).inc();
}

/// Messages of one partition that are not read yet.
pub fn kafka_lag(topic: &str, partition: i32, messages: i64) {
    let partition = partition.to_string();
    let messages = u64::try_from(messages).unwrap_or(0);
    set(&ALL.kafka_lag, &[topic, partition.as_str()], messages);
}

/// What waits in the store: age of the oldest event that is not admitted, messages of the outbox.
pub fn waiting(oldest_event_seconds: Option<u64>, outbox: u64) {
    set(&ALL.oldest_event, &[], oldest_event_seconds.unwrap_or(0));
    set(&ALL.outbox, &[], outbox);
}

pub(super) fn spans_exported(count: u64) {
    ALL.spans.with_label_values(&["exported"]).inc_by(count);
}

pub(super) fn spans_dropped(count: u64) {
    ALL.spans.with_label_values(&["dropped"]).inc_by(count);
}

fn set(gauge: &IntGaugeVec, labels: &[&str], value: u64) {
    gauge
        .with_label_values(labels)
        .set(i64::try_from(value).unwrap_or(i64::MAX));
}

mod registrar;
#[cfg(test)]
mod tests;

use registrar::Registrar;
