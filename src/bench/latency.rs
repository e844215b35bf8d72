//! Latencies as percentiles, to three digits.

use std::time::Duration;

use hdrhistogram::Histogram;

/// In microseconds; longer ones count as this.
const LONGEST: u64 = 600_000_000;

#[derive(Debug, Clone)]
pub(super) struct Latencies(Option<Histogram<u64>>);

impl Latencies {
    pub(super) fn new() -> Self {
        // None only for bounds that make no sense.
        Self(Histogram::new_with_bounds(1, LONGEST, 3).ok())
    }

    pub(super) fn record(&mut self, latency: Duration, count: u64) {
        if let Some(histogram) = &mut self.0 {
            let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST);
            histogram.saturating_record_n(micros, count);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// In milliseconds; `None` where nothing was recorded.
    pub(super) fn percentile(&self, share: f64) -> Option<f64> {
        self.0
            .as_ref()
            .filter(|histogram| !histogram.is_empty())
            .map(|histogram| millis(histogram.value_at_quantile(share / 100.0).min(histogram.max())))
    }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.percentile(50.0), None);
        for millis in 1..=1000 {
            latencies.record(Duration::from_millis(millis), 1);
        }
        for (share, expected) in [(50.0, 500.0), (99.0, 990.0), (99.9, 999.0), (100.0, 1000.0)] {
            let found = latencies.percentile(share).unwrap();
            assert!((found - expected).abs() <= expected / 500.0, "{share}: {found}");
        }
        latencies.record(Duration::from_secs(86_400), 1);
        assert!(latencies.percentile(100.0).unwrap() >= 599_000.0);
        assert_eq!(latencies.count(), 1001);
    }
}
