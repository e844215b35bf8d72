//! Storing: how fast it goes during the load, and how long it takes afterwards.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    Observer,
    client::Client,
    contents::Contents,
    ledger::{Reading, Silence, count_stored},
    process::Process,
    target::Target,
};

const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Counting costs the service more than its ledger does.
const COUNT_AGAIN: Duration = Duration::from_millis(250);

/// What was seen of the storing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Drained {
    pub(super) stored_during_load: u64,
    pub(super) stored: u64,
    /// From the end of the load to the last look.
    pub(super) took: Duration,
    /// What was still to be stored when it was given up.
    pub(super) left: u64,
    /// `left` is what the service says itself: it has those logs.
    pub(super) by_ledger: bool,
}

/// What a run has sent, as far as it concerns the storing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) contents: &'a Contents,
    pub(super) logs: u64,
    pub(super) acknowledged: u64,
}

pub(super) struct DrainWatch {
    client: Client,
    /// At the beginning of the run; `None` where there is no ledger.
    before: Option<Reading>,
    patience: Duration,
}

/// How the storing is followed.
enum Gauge {
    Ledger { before: u64, load_end: Reading },
    Count,
}

/// Logs stored in the run, and logs still to be stored.
type Look = Result<(u64, u64), Silence>;

impl DrainWatch {
    pub(super) async fn begin(target: Rc<Target>, patience: Duration) -> Self {
        let mut client = Client::new(target);
        let before = Reading::ask(&mut client).await;
        Self { client, before, patience }
    }

    /// Waits until all that was acknowledged is stored, or nothing more happens. `None` where the service tells nothing
    /// about it.
    pub(super) async fn finish(
        mut self,
        sent: Sent<'_>,
        process: &mut Option<Process>,
        observer: &mut dyn Observer,
    ) -> Option<Drained> {
        let load_ended = Instant::now();
        let gauge = self.gauge().await;
        let mut at_load_end = match &gauge {
            Gauge::Ledger { before, load_end } => Some(load_end.stored.saturating_sub(*before)),
            Gauge::Count => None,
        };
        let (mut least, mut progress) = (u64::MAX, Instant::now());
        loop {
            let looked = self.look(&gauge, sent).await;
            let took = load_ended.elapsed();
            if looked == Err(Silence::Never) {
                return None;
            }
            let patient = progress.elapsed() < self.patience;
            if let Ok((stored, left)) = looked {
                let stored_during_load = *at_load_end.get_or_insert(stored);
                observer.draining(left);
                if left < least {
                    (least, progress) = (left, Instant::now());
                }
                if left == 0 || !patient {
                    let by_ledger = matches!(gauge, Gauge::Ledger { .. });
                    return Some(Drained { stored_during_load, stored, took, left, by_ledger });
                }
            } else if !patient {
                return None;
            }
            if let Some(process) = process {
                process.sample();
            }
            sleep(if matches!(gauge, Gauge::Count) { COUNT_AGAIN } else { LOOK_AGAIN }).await;
        }
    }

    async fn gauge(&mut self) -> Gauge {
        let Some(before) = self.before.as_ref().map(|before| before.stored) else { return Gauge::Count };
        let began = Instant::now();
        loop {
            if let Some(load_end) = Reading::ask(&mut self.client).await {
                return Gauge::Ledger { before, load_end };
            }
            if began.elapsed() >= self.patience {
                return Gauge::Count;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn look(&mut self, gauge: &Gauge, sent: Sent<'_>) -> Look {
        match gauge {
            Gauge::Ledger { before, load_end } => {
                let now = Reading::ask(&mut self.client).await.ok_or(Silence::NotNow)?;
                Ok((now.stored.saturating_sub(*before), load_end.left_at(&now)))
            }
            Gauge::Count => {
                let stored = count_stored(&mut self.client, sent.contents, sent.logs).await?;
                Ok((stored, sent.acknowledged.saturating_sub(stored)))
            }
        }
    }
}
