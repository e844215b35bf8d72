//! An export: every matching log that was there when it began, once, in the order of their ids.
//!
//! It is read part by part, so that it holds nothing in the store however slowly it is taken; what a part may cost is
//! learnt from those before it. It ends with the newest log of its beginning. A log with a lower id may become visible
//! after it (see [`tip_watch`](crate::application::tip_watch)), so the last few are read only once that is over: whoever
//! goes on behind the last id of a finished export has missed nothing.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use crate::domain::{
    ExportPart, ExportQuery, ExportRange, LogFilter, LogId, StoredLogs, UnnumberedPlace,
    ports::{ErrorChain, LogExport, PortError, PortErrorKind},
};

/// What a part should take in memory: large enough that the store is asked seldom. There are up to three of an export: one
/// becomes text, one waits, one is read.
const PART_BYTES: usize = 1 << 19;
/// The first part may be of large logs.
const FIRST_ROWS: usize = 500;
const ROWS: std::ops::RangeInclusive<usize> = 16..=20_000;
/// How long one part may take: meanwhile the embedded engine cannot tidy up behind it.
const LONGEST_PART: Duration = Duration::from_secs(5);
/// A filter that few logs match is looked for in stretches of so many ids, once looking through all takes too long.
const FIRST_STRETCH: i64 = 1_000_000;
const SHORTEST_STRETCH: i64 = 1000;
/// How often a part is asked for again: for about nine seconds.
const TRIES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Which logs are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRequest {
    pub filter: LogFilter,
    /// Those up to this id have been taken already.
    pub after: Option<LogId>,
}

/// How careful an export has to be.
#[derive(Debug, Clone, Copy)]
pub struct ExportCare {
    pub max_time: Duration,
    /// Nobody expects a log with a lower id than this one any more.
    pub settled: Option<LogId>,
    /// After so long that is true of every id that was seen at the beginning.
    pub lag: Duration,
}

/// An export under way.
pub struct Export {
    source: Arc<dyn LogExport>,
    request: ExportRequest,
    place: Place,
    newest: LogId,
    settled: Option<LogId>,
    /// From then on the newest is settled too.
    all_settled_at: Instant,
    max_time: Duration,
    rows: usize,
    /// How many ids are looked through at a time; `None` for all that are left.
    stretch: Option<i64>,
    /// Nothing was read yet: whoever asked for it can be told that it does not work.
    is_new: bool,
}

/// Where it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Numbered(LogId),
    Unnumbered(Option<UnnumberedPlace>),
    End,
}

impl Export {
    /// # Errors
    /// Where the store cannot be asked.
    pub async fn begin(
        source: Arc<dyn LogExport>,
        request: ExportRequest,
        care: ExportCare,
    ) -> Result<Self, PortError> {
        let begun = Instant::now();
        let newest = source.newest().await?;
        // With the id of the last log itself: behind it there may be one with a fraction.
        let first = request.after.unwrap_or(LogId::new(i64::MIN));
        Ok(Self {
            source,
            place: if newest.is_some() { Place::Numbered(first) } else { Place::Unnumbered(None) },
            request,
            newest: newest.unwrap_or(LogId::new(i64::MIN)),
            settled: care.settled,
            all_settled_at: begun + care.lag,
            max_time: care.max_time.min(LONGEST_PART),
            rows: FIRST_ROWS,
            stretch: None,
            is_new: true,
        })
    }

    /// The highest id that it will come to.
    pub fn newest(&self) -> LogId {
        self.newest
    }

    /// The next logs, which may be none for now; `None` at the end.
    ///
    /// # Errors
    /// What the store said at last: the export cannot go on. The first call tells at once, later ones after some tries.
    pub async fn next(&mut self) -> Result<Option<StoredLogs>, PortError> {
        let mut tries = 0;
        loop {
            let failed = match self.step().await {
                Ok(logs) => {
                    self.is_new = false;
                    return Ok(logs);
                }
                Err(failed) => failed,
            };
            tries += 1;
            if self.is_new || tries > TRIES || failed.kind() != PortErrorKind::Unavailable {
                return Err(failed);
            }
            if tries == 1 {
                warn!(error = %ErrorChain(&failed), "an export waits for the store and tries again");
            }
            sleep((FIRST_PAUSE * (1 << (tries - 1))).min(LONGEST_PAUSE)).await;
        }
    }

    async fn step(&mut self) -> Result<Option<StoredLogs>, PortError> {
        match self.place.clone() {
            Place::Numbered(from) if from > self.newest => {
                self.place = Place::Unnumbered(None);
                Ok(Some(StoredLogs::default()))
            }
            Place::Numbered(from) => self.numbered(from).await.map(Some),
            Place::Unnumbered(after) => {
                let part = self.part(ExportRange::Unnumbered { after }).await?;
                self.place = match part.rest {
                    Some(ExportRange::Unnumbered { after }) => Place::Unnumbered(after),
                    Some(ExportRange::Numbered { .. }) | None => Place::End,
                };
                Ok(Some(part.logs))
            }
            Place::End => Ok(None),
        }
    }

    async fn numbered(&mut self, from: LogId) -> Result<StoredLogs, PortError> {
        let mut last = self.newest;
        if self.settled < Some(last) && Instant::now() < self.all_settled_at {
            match self.settled.filter(|settled| from <= *settled) {
                Some(settled) => last = settled,
                None => sleep_until(self.all_settled_at).await,
            }
        }
        let to = match self.stretch {
            Some(stretch) => last.min(LogId::new(from.get().saturating_add(stretch - 1))),
            None => last,
        };
        let begun = Instant::now();
        let mut part = match self.part(ExportRange::Numbered { from, to }).await {
            Err(error) if error.kind() == PortErrorKind::TooSlow => return self.narrowed(error),
            part => part?,
        };
        if begun.elapsed() < self.max_time / 8 {
            self.stretch = self.stretch.map(|stretch| stretch.saturating_mul(4));
        }
        self.place = match part.rest {
            Some(ExportRange::Numbered { from, .. }) => Place::Numbered(from),
            _ => to.get().checked_add(1).map_or(Place::Unnumbered(None), |next| Place::Numbered(LogId::new(next))),
        };
        if let Some(after) = self.request.after {
            part.logs.remove(after);
        }
        Ok(part.logs)
    }

    /// Few logs match: fewer are looked through at a time.
    fn narrowed(&mut self, error: PortError) -> Result<StoredLogs, PortError> {
        match self.stretch {
            Some(stretch) if stretch <= SHORTEST_STRETCH => return Err(error),
            Some(stretch) => self.stretch = Some((stretch / 8).max(SHORTEST_STRETCH)),
            None => self.stretch = Some(FIRST_STRETCH),
        }
        Ok(StoredLogs::default())
    }

    async fn part(&mut self, range: ExportRange) -> Result<ExportPart, PortError> {
        let query = ExportQuery {
            filter: self.request.filter.clone(),
            range,
            rows: self.rows,
            bytes: PART_BYTES,
            max_time: self.max_time,
        };
        let part = self.source.part(&query).await?;
        if let Some(fitting) = (PART_BYTES * part.logs.len()).checked_div(part.logs.bytes()) {
            // Not far beyond what is known to fit: the next logs may be larger.
            self.rows = fitting.min(2 * self.rows).clamp(*ROWS.start(), *ROWS.end());
        }
        Ok(part)
    }
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
