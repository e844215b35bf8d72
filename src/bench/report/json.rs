//! The report for machines.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Measured, Report, Verdict};
use crate::bench::{latency::Latencies, results::Reason};

impl Report {
    /// For machines; `docs/BENCH.md` lists the fields.
    pub fn to_json(&self) -> Value {
        let Measured { options, record, .. } = &self.measured;
        let took = self.seconds();
        let sum = |counts: &BTreeMap<Reason, u64>| counts.values().sum::<u64>();
        let by = |counts: &BTreeMap<Reason, u64>| -> Value {
            counts
                .iter()
                .map(|(reason, count)| (reason.to_string(), json!(count)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "url": self.measured.url,
            "started_here": self.measured.started_here,
            "run": self.measured.run,
            "connections": options.connections,
            "batch": options.batch,
            "rate_per_s": options.rate,
            "verdict": match self.verdict() {
                Verdict::Well => "well",
                Verdict::Broken => "broken",
                Verdict::Unjudged => "unjudged",
            },
            "load": {
                "seconds": took,
                "requests": record.requests,
                "requests_per_s": record.requests as f64 / took,
                "acknowledged": record.acknowledged,
                "acknowledged_per_s": record.acknowledged as f64 / took,
                "refused": sum(&record.refused),
                "refused_by": by(&record.refused),
                "unknown": sum(&record.unknown),
                "unknown_by": by(&record.unknown),
                "not_sent": self.measured.unsent,
            },
            "latency_ms": shares(&record.latencies),
            "readable_ms": self.measured.readable.as_ref().map(|readable| {
                let mut shares = shares(&readable.latencies);
                shares["samples"] = json!(readable.latencies.count());
                shares["given_up"] = json!(readable.not_in_time);
                shares
            }),
            "drain": self.drain_rates().zip(self.measured.drained.as_ref()).map(|((during, all), drained)| json!({
                "stored_per_s_during_load": during,
                "stored_per_s": all,
                "seconds_after_load": drained.took.as_secs_f64(),
                "left": drained.left,
            })),
            "service": {
                "cpu_us_per_log_during_load": self.cpu_us_per_log(self.measured.cpu_load),
                "cpu_us_per_log": self.cpu_us_per_log(self.measured.cpu_all),
                "rss_peak_mb": self.measured.peak_memory.map(|bytes| bytes as f64 / 1e6),
            },
            "check": self.judgement.as_ref().map(|judgement| json!({
                "acknowledged": judgement.acknowledged,
                "stored": judgement.stored,
                "lost": judgement.lost,
                "twice": judgement.twice,
                "changed": judgement.changed,
                "stored_though_refused": judgement.unexpected,
                "not_stored_yet": self.not_stored_yet,
                "offenders": judgement.offenders.iter().map(|offender| json!({
                    "fault": offender.fault.as_str(),
                    "event_id": offender.event,
                    "user_id": offender.user,
                    "number": offender.number,
                })).collect::<Vec<_>>(),
            })),
        })
    }
}

/// Null where nothing was measured.
fn shares(latencies: &Latencies) -> Value {
    let share = |share| latencies.percentile(share);
    share(50.0).map_or(
        Value::Null,
        |p50| json!({"p50": p50, "p90": share(90.0), "p99": share(99.0), "p999": share(99.9), "max": share(100.0)}),
    )
}
