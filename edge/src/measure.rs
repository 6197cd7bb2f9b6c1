//! What the edge measures: the contract's metrics, and how long each hop of a message takes.

use std::{collections::BTreeSet, time::Duration};

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use skein_sql::{duties::Worker, health::Health};
use skein_wire::{Code, Priority};

/// Seconds, from a tenth of a millisecond to ten seconds.
const SECONDS: &[f64] = &[
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
    10.0,
];
/// Messages of a batch.
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Installs the recorder and says what its metrics mean.
///
/// # Errors
/// When another recorder was installed before.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Full("skein_batch_messages".into()), SIZES)?
        .set_buckets_for_metric(Matcher::Full("skein_fan_out_sockets".into()), SIZES)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

/// Names every metric; those of the contract are there from the first moment, at zero.
fn describe() {
    for (name, text) in [
        ("broker_connections_total", "Hellos that were accepted"),
        ("broker_connections_rejected_total", "Sockets that were refused, by reason"),
        ("broker_messages_routed_total", "Messages that were stored, by priority"),
        ("broker_messages_rejected_total", "Frames that were not served, by reason"),
        ("broker_ttl_sweeps_total", "Sweeps of lapsed statuses, by flipped; workers do them"),
        ("broker_hook_requests_total", "Requests to the status hook"),
        ("broker_hook_requests_rate_limited_total", "Requests to the status hook over the rate"),
        ("skein_pushes_paged_total", "Messages pushed from a page rather than as announced"),
        ("skein_relay_dropped_total", "Frames between edges that were dropped"),
        ("skein_relay_failed_total", "Calls between peers that failed, by code"),
    ] {
        describe_counter!(name, text);
        counter!(name).absolute(0);
    }
    for (name, text) in [
        ("broker_connections_active", "Sockets that said hello and are open"),
        ("broker_queue_depth", "Messages that wait for their recipients"),
        ("broker_db_healthy", "Whether the database answers"),
        ("skein_relay_calls", "Calls of peers here that wait for their answers"),
        ("skein_relay_questions", "Questions to peers here that wait for their answers"),
        ("skein_relay_bytes", "Bytes of relayed frames that wait for the database or a socket"),
        ("skein_oldest_snapshot_seconds", "Age of the oldest snapshot in the database cluster"),
        ("skein_autovacuum_naptime_seconds", "How often the database looks what to vacuum"),
    ] {
        describe_gauge!(name, text);
        gauge!(name).set(0.0);
    }
    for (name, text) in [
        ("skein_duty_buckets", "Buckets of a kind of duty that a worker holds, as it last said"),
        ("skein_duty_done", "What a worker has done of a kind of duty since it started"),
        ("skein_duty_late_seconds", "How late a worker last did 99 of 100 things of a kind"),
    ] {
        describe_gauge!(name, text);
    }
    // Its labels are not known before the database was asked.
    describe_gauge!("skein_database_info", "Version and settings of the database, as labels");
    describe_histogram!("skein_batch_messages", Unit::Count, "Messages that one commit stored");
    describe_histogram!("skein_fan_out_sockets", Unit::Count, "Sockets that a multicast went to");
    describe_histogram!(
        "skein_commit_seconds",
        Unit::Seconds,
        "From a batch's begin to its commit"
    );
    describe_histogram!("skein_tell_seconds", Unit::Seconds, "From reading a send to telling it");
    describe_histogram!("skein_settle_seconds", Unit::Seconds, "From `received` to settled");
}

/// A batch of this size is stored.
pub fn batch(n_messages: usize) {
    histogram!("skein_batch_messages").record(n_messages as f64);
}

/// A batch was committed after this long.
pub fn commit(took: Duration) {
    histogram!("skein_commit_seconds").record(took);
}

/// A message was told this long after it was read.
pub fn told(took: Duration) {
    histogram!("skein_tell_seconds").record(took);
}

/// A row was settled this long after its word came.
pub fn settled(took: Duration) {
    histogram!("skein_settle_seconds").record(took);
}

/// A message was stored.
pub fn routed(priority: Priority) {
    counter!("broker_messages_routed_total", "priority" => priority.as_str()).increment(1);
}

/// A send was refused.
pub fn refused(code: Code) {
    counter!("broker_messages_rejected_total", "reason" => code.as_str()).increment(1);
}

/// A frame could not be read or served.
pub fn unserved() {
    counter!("broker_messages_rejected_total", "reason" => "parse_or_handler").increment(1);
}

/// A hello was accepted.
pub fn accepted() {
    counter!("broker_connections_total").increment(1);
}

/// A hello was rejected.
pub fn rejected(code: Code) {
    counter!("broker_connections_rejected_total", "reason" => code.as_str()).increment(1);
}

/// So many sockets are attached.
pub fn attached(n_sessions: usize) {
    gauge!("broker_connections_active").set(n_sessions as f64);
}

/// How the database is.
pub fn health(health: &Health) {
    gauge!("broker_queue_depth").set(health.waiting as f64);
    gauge!("skein_oldest_snapshot_seconds").set(health.oldest_snapshot_s);
    gauge!("skein_autovacuum_naptime_seconds").set(health.autovacuum_naptime_s);
    let info = gauge!(
        "skein_database_info", "version" => health.version.clone(),
        "fsync" => health.fsync.clone(),
        "synchronous_commit" => health.synchronous_commit.clone()
    );
    info.set(1.0);
}

/// What the workers last said of their duties. `said` remembers of whom: what is of a worker that has
/// gone is 0 from then on.
pub fn duties(workers: &[Worker], said: &mut BTreeSet<(String, String)>) {
    let gone = std::mem::take(said);
    for worker in workers {
        for report in &worker.reports {
            let labels = (worker.node.to_string(), report.kind.clone());
            let (n_buckets, tally) = (f64::from(report.n_buckets), report.tally);
            duty(&labels, n_buckets, tally.n_done as f64, tally.late_ms_p99 as f64 / 1000.0);
            said.insert(labels);
        }
    }
    gone.difference(said).for_each(|labels| duty(labels, 0.0, 0.0, 0.0));
}

fn duty((node, kind): &(String, String), n_buckets: f64, n_done: f64, late_s: f64) {
    let labels = || [("node", node.clone()), ("kind", kind.clone())];
    gauge!("skein_duty_buckets", &labels()).set(n_buckets);
    gauge!("skein_duty_done", &labels()).set(n_done);
    gauge!("skein_duty_late_seconds", &labels()).set(late_s);
}

/// Whether the database answers.
pub fn database(up: bool) {
    gauge!("broker_db_healthy").set(if up { 1.0 } else { 0.0 });
}

/// So many messages were pushed from pages.
pub fn paged(n_pushed: usize) {
    counter!("skein_pushes_paged_total").increment(n_pushed as u64);
}

/// A multicast was written to so many sockets.
pub fn fanned_out(n_sockets: usize) {
    histogram!("skein_fan_out_sockets").record(n_sockets as f64);
}

/// So many calls are open, so many questions wait for peers here, and so many bytes wait.
pub fn relay(n_calls: usize, n_questions: usize, n_bytes: usize) {
    gauge!("skein_relay_calls").set(n_calls as f64);
    gauge!("skein_relay_questions").set(n_questions as f64);
    gauge!("skein_relay_bytes").set(n_bytes as f64);
}

/// Frames between edges were dropped.
pub fn relay_dropped(n_frames: usize) {
    counter!("skein_relay_dropped_total").increment(n_frames as u64);
}

/// A call between peers failed.
pub fn relay_failed(code: Code) {
    counter!("skein_relay_failed_total", "code" => code.as_str()).increment(1);
}
