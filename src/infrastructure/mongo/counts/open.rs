//! Quarters that this process has open, and what it has to add to their counts.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bson::{Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    marks::date,
    tally::{Change, Tally},
};
use crate::{
    domain::ports::PortError,
    infrastructure::mongo::{document::integer, erasure_rules::time, handles::durable, store::MongoStore},
};

/// Longer than the server waits for the majority.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// A quarter that nobody has changed for this long is closed.
const IDLE: Duration = Duration::from_secs(5);
/// With more open quarters than this, those that nobody changes right now are closed first.
const MAX_OPEN: usize = 10_000;
/// How many go in one command.
const AT_ONCE: usize = 500;

/// What this process knows of the counts.
#[derive(Debug)]
pub(in crate::infrastructure::mongo) struct Counts {
    owner: String,
    /// A mark that was not renewed for this long is nobody's any more.
    lease: Duration,
    open: Mutex<Open>,
    /// Taken while quarters are opened or closed.
    turn: tokio::sync::Mutex<()>,
    are_complete: AtomicBool,
    has_undated: AtomicBool,
}

#[derive(Debug)]
struct Open {
    quarters: HashMap<i64, Quarter>,
    /// All marks were renewed at this time or later.
    renewed: Instant,
}

#[derive(Debug)]
struct Quarter {
    epoch: i64,
    /// How many changes are under way, of the logs or of the counts.
    users: usize,
    tally: Tally,
    is_doubtful: bool,
    used: Instant,
}

impl Counts {
    pub(in crate::infrastructure::mongo) fn new(lease: Duration) -> Self {
        Self {
            owner: Uuid::now_v7().simple().to_string(),
            lease,
            open: Mutex::new(Open { quarters: HashMap::new(), renewed: Instant::now() }),
            turn: tokio::sync::Mutex::new(()),
            are_complete: AtomicBool::new(false),
            has_undated: AtomicBool::new(false),
        }
    }

    pub(in crate::infrastructure::mongo) fn lease(&self) -> Duration {
        self.lease
    }

    /// Whether every log is counted, or its quarter in doubt.
    pub(in crate::infrastructure::mongo) fn are_complete(&self) -> bool {
        self.are_complete.load(Ordering::Acquire)
    }

    /// Whether there were logs without a time, which are in no quarter. None are added.
    pub(in crate::infrastructure::mongo) fn have_undated(&self) -> bool {
        self.has_undated.load(Ordering::Acquire)
    }

    pub(super) fn undated_is(&self, has_undated: bool) {
        self.has_undated.store(has_undated, Ordering::Release);
    }

    pub(super) fn complete_is(&self, are_complete: bool) {
        self.are_complete.store(are_complete, Ordering::Release);
    }

    pub(super) fn has_open(&self, quarter: i64) -> bool {
        self.open().quarters.contains_key(&quarter)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are open already are in use from now on; returns the others.
    fn use_open(&self, quarters: &BTreeSet<i64>) -> Vec<i64> {
        let mut open = self.open();
        let missing: Vec<i64> = quarters.iter().copied().filter(|it| !open.quarters.contains_key(it)).collect();
        if missing.is_empty() {
            for quarter in quarters {
                if let Some(quarter) = open.quarters.get_mut(quarter) {
                    quarter.users += 1;
                    quarter.used = Instant::now();
                }
            }
        }
        missing
    }

    fn is_overdue(&self) -> bool {
        let open = self.open();
        !open.quarters.is_empty() && open.renewed.elapsed() > self.lease * 3 / 4
    }
}

/// A change of logs that is under way. Their quarters stay open until it is settled; where it never is, it is in doubt.
#[derive(Debug)]
pub(in crate::infrastructure::mongo) struct Counting<'a> {
    counts: &'a Counts,
    quarters: BTreeSet<i64>,
    is_settled: bool,
}

impl Counting<'_> {
    /// Says what became of it, and of which quarters that is not certain.
    pub(in crate::infrastructure::mongo) fn settle<'c>(
        mut self,
        changes: impl IntoIterator<Item = Change<'c>>,
        doubtful: impl IntoIterator<Item = i64>,
    ) {
        self.is_settled = true;
        let mut open = self.counts.open();
        for change in changes {
            if let Some(quarter) = open.quarters.get_mut(&change.quarter) {
                quarter.tally.add(change);
            }
        }
        for quarter in doubtful {
            if let Some(quarter) = open.quarters.get_mut(&quarter) {
                quarter.is_doubtful = true;
            }
        }
    }

    /// It is certain that nothing was changed.
    pub(in crate::infrastructure::mongo) fn nothing(self) {
        self.settle([], []);
    }

    /// Nothing is certain.
    pub(in crate::infrastructure::mongo) fn doubt(self) {
        drop(self);
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        let mut open = self.counts.open();
        for quarter in &self.quarters {
            if let Some(quarter) = open.quarters.get_mut(quarter) {
                quarter.users = quarter.users.saturating_sub(1);
                quarter.is_doubtful |= !self.is_settled;
                quarter.used = Instant::now();
            }
        }
    }
}

impl MongoStore {
    /// Opens the quarters. Logs of theirs may be stored or deleted until the returned value is settled.
    ///
    /// # Errors
    /// `Unavailable`: nothing must be changed.
    pub(in crate::infrastructure::mongo) async fn counting(
        &self,
        quarters: BTreeSet<i64>,
    ) -> Result<Counting<'_>, PortError> {
        let counts = self.counts();
        if counts.is_overdue() {
            let _turn = counts.turn.lock().await;
            if counts.is_overdue() {
                self.mark_anew().await?;
            }
        }
        loop {
            let missing = counts.use_open(&quarters);
            if missing.is_empty() {
                return Ok(Counting { counts, quarters, is_settled: false });
            }
            let _turn = counts.turn.lock().await;
            self.open_quarters(missing).await?;
        }
    }

    async fn open_quarters(&self, missing: Vec<i64>) -> Result<(), PortError> {
        let counts = self.counts();
        let missing: Vec<i64> = missing.into_iter().filter(|quarter| !counts.has_open(*quarter)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if counts.open().quarters.len() + missing.len() > MAX_OPEN {
            self.write_counts().await;
            self.close_quarters(Duration::ZERO).await;
        }
        let begun = Instant::now();
        self.mark(&counts.owner, &missing).await?;
        let epochs = self.epochs(&missing).await?;
        let mut open = counts.open();
        if open.quarters.is_empty() {
            open.renewed = begun;
        }
        for start in missing {
            let (epoch, is_crowded) = epochs.get(&start).copied().unwrap_or_default();
            let mut tally = Tally::default();
            tally.crowded_is(is_crowded);
            open.quarters.insert(start, Quarter { epoch, users: 0, tally, is_doubtful: false, used: Instant::now() });
        }
        Ok(())
    }

    /// The number of recounts of each quarter, and whether its actions are not kept apart.
    async fn epochs(&self, quarters: &[i64]) -> Result<HashMap<i64, (i64, bool)>, PortError> {
        let dates: Vec<bson::Bson> = quarters.iter().copied().map(date).collect();
        let found: Vec<RawDocumentBuf> = self
            .call(PATIENCE, move |handles| async move {
                let counts = handles.counts();
                let found = counts.find(doc! {"_id": {"$in": dates}}).projection(doc! {"e": 1, "o": 1}).await?;
                found.try_collect().await
            })
            .await
            .map_err(|failure| failure.while_trying("open quarters"))?;
        let read = |document: &RawDocumentBuf| {
            let epoch = document.get("e").ok().flatten().and_then(integer).unwrap_or(0);
            Some((time(document, "_id")?.as_millis(), (epoch, document.get_bool("o").unwrap_or(false))))
        };
        Ok(found.iter().filter_map(read).collect())
    }

    /// The marks may have grown old, and the quarters may have been recounted since.
    async fn mark_anew(&self) -> Result<(), PortError> {
        let counts = self.counts();
        let (begun, quarters) = {
            let mut open = counts.open();
            open.quarters.values_mut().for_each(|quarter| quarter.is_doubtful = true);
            (Instant::now(), open.quarters.keys().copied().collect::<Vec<i64>>())
        };
        self.mark(&counts.owner, &quarters).await?;
        self.read_epochs_again(&quarters).await?;
        counts.open().renewed = begun;
        Ok(())
    }

    async fn read_epochs_again(&self, quarters: &[i64]) -> Result<(), PortError> {
        let epochs = self.epochs(quarters).await?;
        let mut open = self.counts().open();
        for start in quarters {
            if let Some(quarter) = open.quarters.get_mut(start) {
                quarter.epoch = epochs.get(start).copied().unwrap_or_default().0;
            }
        }
        Ok(())
    }

    /// Adds what was gathered; leaves marks of doubt where they are due; renews and removes this process's marks. What
    /// fails is tried again the next time.
    pub(super) async fn tend_open_quarters(&self) {
        self.write_counts().await;
        let _turn = self.counts().turn.lock().await;
        self.renew().await;
        self.close_quarters(IDLE).await;
    }

    /// Before the end of the process: nothing is left to be recounted.
    pub(in crate::infrastructure::mongo) async fn close_counts(&self) {
        self.write_counts().await;
        let _turn = self.counts().turn.lock().await;
        self.close_quarters(Duration::ZERO).await;
    }

    async fn renew(&self) {
        let counts = self.counts();
        let (begun, quarters) = {
            let open = counts.open();
            if open.renewed.elapsed() < counts.lease / 4 {
                return;
            }
            (Instant::now(), open.quarters.keys().copied().collect::<Vec<i64>>())
        };
        if counts.is_overdue() {
            if let Err(error) = self.mark_anew().await {
                tracing::debug!(%error, "the marks of counts could not be renewed");
            }
        } else if self.mark(&counts.owner, &quarters).await.is_ok() {
            counts.open().renewed = begun;
        }
    }

    async fn close_quarters(&self, idle: Duration) {
        let counts = self.counts();
        let is_done = |quarter: &Quarter| {
            quarter.users == 0 && quarter.tally.is_empty() && !quarter.is_doubtful && quarter.used.elapsed() >= idle
        };
        let done: Vec<i64> = {
            let mut open = counts.open();
            let done = open.quarters.iter().filter(|(_, quarter)| is_done(quarter)).map(|(start, _)| *start).collect();
            let done: Vec<i64> = done;
            done.iter().for_each(|start| drop(open.quarters.remove(start)));
            done
        };
        // Marks that stay behind grow old, and then the quarters are recounted.
        if let Err(error) = self.unmark(&counts.owner, &done).await {
            tracing::debug!(%error, "marks of counts stay behind");
        }
    }

    async fn write_counts(&self) {
        self.write_tallies().await;
        let counts = self.counts();
        let doubtful: Vec<i64> = {
            let mut open = counts.open();
            let doubtful = open.quarters.iter_mut().filter(|(_, quarter)| quarter.is_doubtful);
            doubtful
                .map(|(start, quarter)| {
                    quarter.is_doubtful = false;
                    quarter.users += 1;
                    *start
                })
                .collect()
        };
        if let Err(error) = self.doubt(&doubtful).await {
            tracing::debug!(%error, "doubts about counts could not be kept yet");
            self.doubt_later(&doubtful);
        }
        self.leave(&doubtful);
    }

    fn leave(&self, quarters: &[i64]) {
        let mut open = self.counts().open();
        for start in quarters {
            if let Some(quarter) = open.quarters.get_mut(start) {
                quarter.users = quarter.users.saturating_sub(1);
            }
        }
    }

    fn doubt_later(&self, quarters: &[i64]) {
        let mut open = self.counts().open();
        for start in quarters {
            if let Some(quarter) = open.quarters.get_mut(start) {
                quarter.is_doubtful = true;
            }
        }
    }

    async fn write_tallies(&self) {
        let gathered: Vec<(i64, Document)> = {
            let mut open = self.counts().open();
            let changed = open.quarters.iter_mut().filter(|(_, quarter)| !quarter.tally.is_empty());
            let update = |(start, quarter): (&i64, &mut Quarter)| {
                let change = quarter.tally.take();
                quarter.users += 1;
                (*start, doc! {"q": {"_id": date(*start), "e": quarter.epoch}, "u": change, "upsert": true})
            };
            changed.map(update).collect()
        };
        for some in gathered.chunks(AT_ONCE) {
            let updates = some.iter().map(|(_, update)| update.clone()).collect();
            let starts: Vec<i64> = some.iter().map(|(start, _)| *start).collect();
            match self.update_counts(updates).await {
                Ok(missed) => {
                    let missed: Vec<i64> = missed.into_iter().filter_map(|index| starts.get(index).copied()).collect();
                    if !missed.is_empty() {
                        self.doubt_later(&missed);
                        // Where this fails, the next addition is in vain as well.
                        let _ = self.read_epochs_again(&missed).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "counts are in doubt");
                    self.doubt_later(&starts);
                }
            }
            self.leave(&starts);
        }
    }

    /// Updates documents that are as they are expected to be. Returns which were not, by their place in the list.
    pub(super) async fn update_counts(&self, updates: Vec<Document>) -> Result<Vec<usize>, PortError> {
        let reply = self
            .call(PATIENCE, move |handles| async move {
                let concern = bson::serialize_to_bson(&durable())?;
                let command = doc! {
                    "update": handles.counts().name(),
                    "updates": updates,
                    "ordered": false,
                    "writeConcern": concern,
                };
                handles.writer().run_command(command).await
            })
            .await
            .map_err(|failure| failure.while_trying("write counts"))?;
        missed(&reply).ok_or_else(|| PortError::unavailable("counts were not written for certain"))
    }
}

/// An update whose document is not as expected tries to make one, and there is one. One whose document would become too
/// large is missed as well: a recount makes it smaller. `None`: nothing is certain.
fn missed(reply: &Document) -> Option<Vec<usize>> {
    if reply.contains_key("writeConcernError") {
        return None;
    }
    let Ok(errors) = reply.get_array("writeErrors") else { return Some(Vec::new()) };
    let index = |error: &bson::Bson| usize::try_from(error.as_document()?.get_i32("index").ok()?).ok();
    errors.iter().map(index).collect()
}
