//! The report for people.

use std::{collections::BTreeMap, fmt::Write};

use super::{Measured, Report};
use crate::bench::{judge::Judgement, latency::Latencies, results::Reason};

impl Report {
    /// For people; the last line is the judgement.
    pub fn to_text(&self) -> String {
        let Measured { options, url, record, .. } = &self.measured;
        let mut text = String::new();
        let place = if self.measured.started_here { "a service started here" } else { url };
        let kind = options.batch.map_or_else(|| "single logs".to_owned(), |batch| format!("batches of {batch}"));
        let pace = options.rate.map_or_else(String::new, |rate| format!(" at {rate} logs/s"));
        let took = self.seconds();
        line(&mut text, "load", &format!("{place}, {} connections, {kind}{pace}, {took:.1} s", options.connections));
        let rate = |count: u64| grouped((count as f64 / took) as u64);
        let (acknowledged, requests) = (record.acknowledged, record.requests);
        let per_second = format!("{}/s ({} requests/s)", rate(acknowledged), rate(requests));
        line(&mut text, "acknowledged", &format!("{} logs, {per_second}", grouped(acknowledged)));
        for (name, counts) in [("refused", &record.refused), ("unknown", &record.unknown)] {
            if !counts.is_empty() {
                line(&mut text, name, &reasons(counts));
            }
        }
        if self.measured.unsent > 0 {
            line(&mut text, "not sent", &format!("{} logs: no connection was free", grouped(self.measured.unsent)));
        }
        line(&mut text, "latency", &percentiles(&record.latencies));
        if let Some(readable) = &self.measured.readable {
            let late = match readable.not_in_time {
                0 => String::new(),
                late => format!(", {late} given up"),
            };
            let samples = readable.latencies.count();
            let share = |share| millis(readable.latencies.percentile(share));
            let shares = format!("p50 {}  p99 {}  max {}", share(50.0), share(99.0), share(100.0));
            line(&mut text, "readable", &format!("{shares} after the 202 ({samples} samples{late})"));
        }
        if let (Some((during, all)), Some(drained)) = (self.drain_rates(), &self.measured.drained) {
            let left = match drained.left {
                0 => String::new(),
                left => format!(", {} left", grouped(left)),
            };
            let rates =
                format!("{}/s during the load, {}/s until the end", grouped(during as u64), grouped(all as u64));
            line(&mut text, "stored", &format!("{rates}, {:.2} s after it{left}", drained.took.as_secs_f64()));
        }
        self.push_service(&mut text);
        text.push('\n');
        self.push_judgement(&mut text);
        text
    }

    fn push_service(&self, text: &mut String) {
        let load = self.cpu_us_per_log(self.measured.cpu_load);
        let all = self.cpu_us_per_log(self.measured.cpu_all);
        let cpu = load.zip(all).map(|(load, all)| format!("CPU {load:.1} us/log, {all:.1} until all was stored"));
        let memory = self.measured.peak_memory.map(|bytes| format!("RSS {} MB", bytes / 1_000_000));
        let known: Vec<_> = cpu.into_iter().chain(memory).collect();
        if !known.is_empty() {
            line(text, "service", &known.join(", "));
        }
    }

    fn push_judgement(&self, text: &mut String) {
        let Some(judgement) = &self.judgement else {
            return text.push_str("not judged");
        };
        for offender in &judgement.offenders {
            let _ = writeln!(text, "{offender}");
        }
        let Judgement { acknowledged, stored, lost, twice, changed, unexpected, .. } = judgement;
        let (acknowledged, stored) = (grouped(*acknowledged), grouped(*stored));
        let _ = write!(text, "{acknowledged} acknowledged, {stored} stored, ");
        for (count, what) in
            [(*changed, "changed"), (*unexpected, "stored though refused"), (self.not_stored_yet, "not stored yet")]
        {
            if count > 0 {
                let _ = write!(text, "{} {what}, ", grouped(count));
            }
        }
        let _ = write!(text, "{} lost, {} twice", grouped(*lost), grouped(*twice));
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<14}{value}");
}

fn reasons(counts: &BTreeMap<Reason, u64>) -> String {
    let named: Vec<_> = counts.iter().map(|(reason, count)| format!("{reason}: {}", grouped(*count))).collect();
    format!("{} logs ({})", grouped(counts.values().sum()), named.join(", "))
}

fn percentiles(latencies: &Latencies) -> String {
    let shares = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0)];
    shares.map(|(name, share)| format!("{name} {}", millis(latencies.percentile(share)))).join("  ")
}

fn millis(millis: Option<f64>) -> String {
    match millis {
        Some(millis) if millis < 10.0 => format!("{millis:.2} ms"),
        Some(millis) if millis < 100.0 => format!("{millis:.1} ms"),
        Some(millis) => format!("{millis:.0} ms"),
        None => "-".to_owned(),
    }
}

/// With commas between the thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let numbers = [0, 999, 1000, 12_345, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
