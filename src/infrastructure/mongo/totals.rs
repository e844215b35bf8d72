//! How many logs there are, without counting them for every page.
//!
//! The server keeps a figure of its own, which costs nothing to ask for. It follows every insert and delete, but after
//! a crash of the server, and on shards, it may be off by a constant. So that constant is measured once per
//! connection, and added.

use std::{sync::RwLock, time::Duration};

use mongodb::error::Error;
use tokio::time::sleep;

use super::{handles::Handles, store::MongoStore};

/// Fewer logs than this are counted one by one: takes about a millisecond, and holds whatever is done to the database.
const COUNTED_BELOW: u64 = 2000;
/// While the constant is not known, more than this are not counted one by one.
const COUNTED_AT_MOST: u64 = 100_000;
/// Counting ten million logs takes about four seconds.
const MAX_TIME: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(40);
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// While logs keep coming there may never be a quiet moment; the last guess has to do then.
const TRIES: usize = 8;

/// What has to be added to the server's figure; `None` while that is not known.
#[derive(Debug, Default)]
pub(super) struct Totals(RwLock<Option<i64>>);

impl Totals {
    pub(super) fn correction(&self) -> Option<i64> {
        *self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set(&self, correction: Option<i64>) {
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = correction;
    }
}

/// The number of all logs. Asks the primary: every server has a figure, and a correction, of its own.
pub(super) async fn total(handles: &Handles, correction: Option<i64>, max_time: Duration) -> Result<u64, Error> {
    let figure = handles.logs().estimated_document_count().max_time(max_time).await?;
    match correction {
        Some(correction) if figure >= COUNTED_BELOW => Ok(figure.saturating_add_signed(correction)),
        None if figure > COUNTED_AT_MOST => Ok(figure),
        _ => handles.logs().count_documents(bson::Document::new()).max_time(max_time).await,
    }
}

impl MongoStore {
    /// Measures the correction whenever the server has come back.
    pub(super) async fn keep_totals(&self) {
        loop {
            self.reach().gained().await;
            tokio::select! {
                () = self.measure() => self.reach().lost().await,
                () = self.reach().lost() => {}
            }
            self.totals().set(None);
        }
    }

    async fn measure(&self) {
        let mut wait = FIRST_RETRY;
        for _ in 0..TRIES {
            // A server that takes too long to count is asked again as well: it may have been busy.
            if let Ok(measured) = self.call(PATIENCE, |handles| async move { Measured::take(&handles).await }).await {
                self.totals().set(Some(measured.correction()));
                if measured.was_quiet() {
                    return;
                }
            }
            sleep(wait).await;
            wait *= 2;
        }
    }
}

/// The server's figure before and after its logs were counted.
#[derive(Debug, Clone, Copy)]
struct Measured {
    before: u64,
    counted: u64,
    after: u64,
}

impl Measured {
    async fn take(handles: &Handles) -> Result<Self, Error> {
        let logs = handles.logs();
        let before = logs.estimated_document_count().max_time(MAX_TIME).await?;
        let counted = logs.count_documents(bson::Document::new()).max_time(MAX_TIME).await?;
        let after = logs.estimated_document_count().max_time(MAX_TIME).await?;
        Ok(Self { before, counted, after })
    }

    fn was_quiet(self) -> bool {
        self.before == self.after
    }

    /// The smallest correction that explains what was seen.
    fn correction(self) -> i64 {
        let plausible = self.counted.clamp(self.before.min(self.after), self.before.max(self.after));
        self.counted.cast_signed().saturating_sub(plausible.cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correction_is_the_smallest_that_explains_what_was_seen() {
        for (before, counted, after, correction) in
            [(10, 10, 10, 0), (10, 7, 10, -3), (10, 12, 10, 2), (10, 12, 15, 0), (15, 12, 10, 0), (10, 17, 15, 2)]
        {
            assert_eq!(Measured { before, counted, after }.correction(), correction);
        }
    }
}
