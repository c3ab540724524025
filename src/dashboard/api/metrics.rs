//! Numbers for Prometheus, gathered when somebody asks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use warp::reply::{Reply, Response};

use super::call::Call;
use super::table::METRICS_TYPE;
use crate::dashboard::problem::Problem;
use crate::ledger::Overview;
use crate::telemetry::{AckKey, Histogram};

/// Everything that is told.
#[derive(Debug)]
struct Gathered {
    overview: Overview,
    acks: Vec<(AckKey, u64)>,
    refusals: Vec<(&'static str, u64)>,
    latency: Histogram,
    commits: u64,
    uptime_seconds: f64,
    /// Age of the oldest event in the queue and of the oldest notice that waits, in seconds.
    ages: [f64; 2],
}

pub(super) async fn metrics(call: Call) -> Result<Response, Problem> {
    let (api, now) = (&call.api, call.api.clock.now());
    // The rate by minute is for pages; counters tell the same to Prometheus.
    let overview = api.ledger.overview(now).await?;
    let age = |at: Option<jiff::Timestamp>| at.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0));
    let gathered = Gathered {
        ages: [age(overview.stats.oldest_job_at), age(overview.oldest_notice_at)],
        overview,
        acks: api.meters.as_ref().map(|meters| meters.counts()).unwrap_or_default(),
        refusals: api.meters.as_ref().map(|meters| meters.refusals()).unwrap_or_default(),
        latency: api.meters.as_ref().map(|meters| meters.histogram()).unwrap_or_default(),
        commits: api.ledger.changes().commits.load(Ordering::Relaxed),
        uptime_seconds: age(Some(api.started_at)),
    };
    let mut registry = Registry::with_prefix("hookhand");
    registry.register_collector(Box::new(gathered));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)
        .map_err(|fmt::Error| Problem::unavailable("the metrics could not be written"))?;
    Ok(warp::reply::with_header(text, "content-type", METRICS_TYPE).into_response())
}

impl Collector for Gathered {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let overview = &self.overview;
        self.acknowledgements(&mut encoder)?;
        let gauges = [
            ("queue_depth", "Events that wait for their handling", overview.stats.queue_depth as f64),
            ("queue_oldest_seconds", "Age of the oldest of them", self.ages[0]),
            ("outbox_oldest_seconds", "Age of the oldest notice that waits", self.ages[1]),
            ("approvals_pending", "Approvals that wait for a person", overview.approvals_pending as f64),
            ("uptime_seconds", "Time since the start", self.uptime_seconds),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        counts(&mut encoder, "events", "Requests that are kept, by status", "status", &overview.stats.events)?;
        counts(&mut encoder, "outbox_notices", "Notices that are not confirmed, by state", "state", &overview.outbox)?;
        counts(&mut encoder, "runs_open", "Runs that have not ended, by state", "state", &overview.runs)?;
        let mut last = encoder.encode_descriptor(
            "last_event_timestamp_seconds",
            "When each handler last had an event accepted",
            None,
            MetricType::Gauge,
        )?;
        for (handler, at) in &overview.stats.last_event_at {
            ConstGauge::new(at.as_millisecond() as f64 / 1000.0)
                .encode(last.encode_family(&[("handler", handler.as_str())])?)?;
        }
        let help = "Transactions of the ledger";
        let commits = encoder.encode_descriptor("ledger_commits", help, None, MetricType::Counter)?;
        ConstCounter::new(self.commits).encode(commits)
    }
}

impl Gathered {
    fn acknowledgements(&self, encoder: &mut DescriptorEncoder) -> Result<(), fmt::Error> {
        let help = "Requests that were answered with an acknowledgement";
        let mut acks = encoder.encode_descriptor("acknowledgements", help, None, MetricType::Counter)?;
        for (AckKey { handler, verdict, outcome }, count) in &self.acks {
            let labels = [("handler", handler.as_str()), ("verdict", verdict), ("outcome", outcome)];
            ConstCounter::new(*count).encode(acks.encode_family(&labels)?)?;
        }
        let help = "Requests that were refused";
        let mut refusals = encoder.encode_descriptor("refusals", help, None, MetricType::Counter)?;
        for (code, count) in &self.refusals {
            ConstCounter::new(*count).encode(refusals.encode_family(&[("code", *code)])?)?;
        }
        let help = "From the head of a request to its acknowledgement";
        let mut latency =
            encoder.encode_descriptor("ack_latency", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        let Histogram { sum_seconds, count, buckets } = &self.latency;
        latency.encode_histogram::<[(&str, &str); 0]>(*sum_seconds, *count, buckets, None)
    }
}

fn counts(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    label: &str,
    counts: &BTreeMap<String, u64>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (value, count) in counts {
        ConstGauge::new(*count as f64).encode(family.encode_family(&[(label, value.as_str())])?)?;
    }
    Ok(())
}
