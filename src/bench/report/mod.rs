//! What a run found, and what is to be made of it.

mod json;
mod text;

use std::time::Duration;

use super::{BenchError, drain::Drained, judge::Judgement, readable::Readable, reading::ReadError, record::Record};
use crate::config::BenchOptions;

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) options: BenchOptions,
    pub(super) url: String,
    pub(super) run: String,
    pub(super) started_here: bool,
    /// Until the last answer.
    pub(super) took: Duration,
    pub(super) unsent: u64,
    /// The service went away before the load was over.
    pub(super) gone: bool,
    pub(super) record: Record,
    pub(super) readable: Option<Readable>,
    pub(super) drained: Option<Drained>,
    /// CPU seconds of the service during the load, and until everything was stored.
    pub(super) cpu_load: Option<f64>,
    pub(super) cpu_all: Option<f64>,
    /// In bytes.
    pub(super) peak_memory: Option<u64>,
    /// `None` where it was not asked for.
    pub(super) judged: Option<Result<Judgement, ReadError>>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All is well, as far as it was asked for.
    Well,
    /// A log is lost, stored twice, changed, or stored although it was refused.
    Broken,
    /// There was nothing to judge, or no way to.
    Unjudged,
}

/// What a run found.
#[derive(Debug)]
pub struct Report {
    measured: Measured,
    judgement: Option<Judgement>,
    /// Logs that the service has and had not stored when it was given up; they count as neither stored nor lost.
    not_stored_yet: u64,
    /// What went wrong besides what is judged.
    pub failures: Vec<BenchError>,
}

impl Report {
    pub(super) fn new(measured: Measured) -> Self {
        let mut measured = measured;
        let mut failures = Vec::new();
        if measured.gone {
            failures.push(BenchError::Gone);
        }
        if measured.record.acknowledged == 0 {
            failures.push(BenchError::NothingAcknowledged);
        }
        let mut judgement = match measured.judged.take() {
            Some(Ok(judgement)) => Some(judgement),
            Some(Err(error)) => {
                failures.push(BenchError::NotJudged(Box::new(error)));
                None
            }
            None => None,
        };
        let mut not_stored_yet = 0;
        if let (Some(judgement), Some(drained)) = (&mut judgement, &measured.drained)
            && drained.by_ledger
            && drained.left > 0
        {
            not_stored_yet = judgement.excuse_lost();
        }
        if not_stored_yet > 0 {
            failures.push(BenchError::NotStoredYet(not_stored_yet));
        }
        Self { measured, judgement, not_stored_yet, failures }
    }

    pub fn verdict(&self) -> Verdict {
        if self.judgement.as_ref().is_some_and(|judgement| !judgement.is_clean()) {
            Verdict::Broken
        } else if self.failures.is_empty() {
            Verdict::Well
        } else {
            Verdict::Unjudged
        }
    }

    fn seconds(&self) -> f64 {
        self.measured.took.as_secs_f64().max(1e-6)
    }

    /// Stored logs a second: during the load, and until the last was stored.
    fn drain_rates(&self) -> Option<(f64, f64)> {
        let drained = self.measured.drained.as_ref()?;
        let all = self.seconds() + drained.took.as_secs_f64();
        Some((drained.stored_during_load as f64 / self.seconds(), drained.stored as f64 / all))
    }

    fn cpu_us_per_log(&self, seconds: Option<f64>) -> Option<f64> {
        let logs = self.measured.record.acknowledged;
        seconds.filter(|_| logs > 0).map(|seconds| seconds * 1e6 / logs as f64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{
        bench::{
            connection::Answer,
            judge::{Fault, Offender},
            schedule::Turn,
        },
        config::{Command, parse_command_line},
    };

    fn options() -> BenchOptions {
        match parse_command_line(["eyego", "bench"].map(Into::into)).unwrap().command {
            Command::Bench(options) => options,
            other => panic!("{other:?}"),
        }
    }

    /// Ten acknowledged logs and two that were refused, in two seconds.
    fn measured() -> Measured {
        let mut record = Record::new(false, true);
        for (first, status) in (0..10).map(|n| (n, 202)).chain([(10, 503), (11, 503)]) {
            let turn = Turn { first, count: 1, intended: Instant::now() };
            let now = turn.intended + Duration::from_millis(4);
            record.answered(turn, Answer { status, body: b"" }, now, false);
        }
        Measured {
            options: options(),
            url: "http://h:1".to_owned(),
            run: "r".to_owned(),
            started_here: true,
            took: Duration::from_secs(2),
            unsent: 0,
            gone: false,
            record,
            readable: None,
            drained: Some(Drained {
                stored_during_load: 8,
                stored: 10,
                took: Duration::from_secs(3),
                left: 0,
                by_ledger: true,
            }),
            cpu_load: Some(0.001),
            cpu_all: Some(0.002),
            peak_memory: Some(50_000_000),
            judged: Some(Ok(Judgement { acknowledged: 10, stored: 10, ..Judgement::default() })),
        }
    }

    #[test]
    fn a_clean_run_says_so_at_the_end() {
        let report = Report::new(measured());
        assert_eq!(report.verdict(), Verdict::Well);
        let text = report.to_text();
        for part in [
            "64 connections, single logs, 2.0 s",
            "10 logs, 5/s (6 requests/s)",
            "2 logs (503: 2)",
            "p50 4.00 ms",
            "4/s during the load, 2/s until the end, 3.00 s after it",
            "CPU 100.0 us/log, 200.0 until all was stored, RSS 50 MB",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.ends_with("10 acknowledged, 10 stored, 0 lost, 0 twice"), "{text}");
        let json = report.to_json();
        assert_eq!(json["load"]["refused_by"], serde_json::json!({"503": 2}));
        assert_eq!((&json["verdict"], &json["check"]["lost"]), (&"well".into(), &0.into()));
        assert_eq!(json["drain"]["stored_per_s"], 2.0);
    }

    #[test]
    fn a_lost_log_breaks_it() {
        let offender = Offender { fault: Fault::Lost, event: None, user: "u".to_owned(), number: 3 };
        let judgement =
            Judgement { acknowledged: 10, stored: 9, lost: 1, offenders: vec![offender], ..Judgement::default() };
        let report = Report::new(Measured { judged: Some(Ok(judgement)), ..measured() });
        assert_eq!(report.verdict(), Verdict::Broken);
        let text = report.to_text();
        assert!(text.contains("\nlost: event of unknown id, user u, number 3\n") && text.ends_with("1 lost, 0 twice"));
    }

    #[test]
    fn what_the_service_still_has_is_not_lost_yet() {
        let lost = Judgement { acknowledged: 10, stored: 9, lost: 1, ..Judgement::default() };
        let mut measured = Measured { judged: Some(Ok(lost)), ..measured() };
        measured.drained = measured.drained.map(|drained| Drained { left: 1, ..drained });
        let report = Report::new(measured);
        assert_eq!((report.verdict(), report.failures.len()), (Verdict::Unjudged, 1));
        assert!(report.to_text().ends_with("1 not stored yet, 0 lost, 0 twice"));
    }

    #[test]
    fn a_service_that_goes_away_proves_nothing_either() {
        let report = Report::new(Measured { gone: true, judged: None, ..measured() });
        assert_eq!(report.verdict(), Verdict::Unjudged);
    }

    #[test]
    fn a_run_without_an_acknowledged_log_proves_nothing() {
        let report = Report::new(Measured { record: Record::new(false, true), judged: None, ..measured() });
        assert_eq!(report.verdict(), Verdict::Unjudged);
        assert!(report.to_text().ends_with("not judged"));
        assert_eq!(report.to_json()["latency_ms"], serde_json::Value::Null);
        assert_eq!(report.to_json()["check"], serde_json::Value::Null);
    }
}
