//! Quarters that this process has open, and what it has to add to their counts.

use std::{
    collections::{BTreeMap, HashMap},
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
    days::{Days, day_of},
    foreign::Foreign,
    id_bounds::IdBounds,
    ids::Ids,
    marks::{Claim, date},
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
/// A mark allows ids so much lower than the first that it was left for: batches overtake each other.
const OVERTAKING: i64 = 10_000;
/// For how long it holds that nobody else has stored logs.
const SEEN_OF_LATE: Duration = Duration::from_secs(5);

/// The quarters of a change, and the ids that it may store there.
pub(in crate::infrastructure::mongo) type Quarters = BTreeMap<i64, Ids>;

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
    knew_ids: Mutex<Option<Instant>>,
    pub(super) foreign: Foreign,
    pub(super) days: Days,
    id_bounds: IdBounds,
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
    /// The lowest id that the mark allows.
    first_id: i64,
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
            knew_ids: Mutex::new(None),
            foreign: Foreign::default(),
            days: Days::default(),
            id_bounds: IdBounds::default(),
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
        if !are_complete {
            self.ids_are_known(false);
            self.days.forget();
        }
    }

    /// What is known of ids, if it is of all logs, as far as was seen of late.
    pub(in crate::infrastructure::mongo) fn id_bounds(&self) -> Option<IdBounds> {
        let knew_ids = *self.knew_ids.lock().unwrap_or_else(PoisonError::into_inner);
        knew_ids.filter(|at| at.elapsed() < SEEN_OF_LATE).map(|_| self.id_bounds.clone())
    }

    pub(super) fn ids_are_known(&self, are_known: bool) {
        let now = are_known.then(Instant::now);
        *self.knew_ids.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    pub(super) fn has_open(&self, quarter: i64) -> bool {
        self.open().quarters.contains_key(&quarter)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where all of them are open they are in use from now on; else nothing has happened.
    fn use_open(&self, quarters: &Quarters) -> bool {
        let mut open = self.open();
        if !open.missing(quarters).is_empty() {
            return false;
        }
        for (quarter, ids) in quarters {
            if let Some(quarter) = open.quarters.get_mut(quarter) {
                quarter.users += 1;
                quarter.tally.reach(*ids);
                quarter.used = Instant::now();
            }
        }
        true
    }

    fn is_overdue(&self) -> bool {
        let open = self.open();
        !open.quarters.is_empty() && open.renewed.elapsed() > self.lease * 3 / 4
    }
}

impl Open {
    /// Those without a mark that allows what is to come.
    fn missing(&self, quarters: &Quarters) -> Vec<Claim> {
        let is_open = |quarter: &i64, first: i64| self.quarters.get(quarter).is_some_and(|it| it.first_id <= first);
        let missing = quarters.iter().filter(|(quarter, ids)| !is_open(quarter, ids.first));
        missing.map(|(quarter, ids)| Claim { quarter: *quarter, first_id: ids.first }).collect()
    }

    fn claims(&self, is_wanted: impl Fn(&Quarter) -> bool) -> Vec<Claim> {
        let wanted = self.quarters.iter().filter(|(_, quarter)| is_wanted(quarter));
        wanted.map(|(start, quarter)| Claim { quarter: *start, first_id: quarter.first_id }).collect()
    }
}

/// A change of logs that is under way. Their quarters stay open until it is settled; where it never is, it is in doubt.
#[derive(Debug)]
pub(in crate::infrastructure::mongo) struct Counting<'a> {
    counts: &'a Counts,
    quarters: Quarters,
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
        for quarter in self.quarters.keys() {
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
        quarters: Quarters,
    ) -> Result<Counting<'_>, PortError> {
        let counts = self.counts();
        if counts.is_overdue() {
            let _turn = counts.turn.lock().await;
            if counts.is_overdue() {
                self.mark_anew().await?;
            }
        }
        loop {
            if counts.use_open(&quarters) {
                return Ok(Counting { counts, quarters, is_settled: false });
            }
            let _turn = counts.turn.lock().await;
            // Somebody may have opened them meanwhile.
            let missing = counts.open().missing(&quarters);
            self.open_quarters(missing).await?;
        }
    }

    async fn open_quarters(&self, missing: Vec<Claim>) -> Result<(), PortError> {
        let counts = self.counts();
        if missing.is_empty() {
            return Ok(());
        }
        let generous = |claim: Claim| match claim.first_id {
            i64::MAX => claim,
            first => Claim { first_id: first.saturating_sub(OVERTAKING), ..claim },
        };
        let missing: Vec<Claim> = missing.into_iter().map(generous).collect();
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
        for Claim { quarter, first_id } in missing {
            if let Some(quarter) = open.quarters.get_mut(&quarter) {
                quarter.first_id = quarter.first_id.min(first_id);
                continue;
            }
            let (epoch, is_crowded) = epochs.get(&quarter).copied().unwrap_or_default();
            let mut tally = Tally::default();
            tally.crowded_is(is_crowded);
            let opened = Quarter { epoch, first_id, users: 0, tally, is_doubtful: false, used: Instant::now() };
            open.quarters.insert(quarter, opened);
        }
        Ok(())
    }

    /// The number of recounts of each quarter, and whether its actions are not kept apart.
    async fn epochs(&self, quarters: &[Claim]) -> Result<HashMap<i64, (i64, bool)>, PortError> {
        let dates: Vec<bson::Bson> = quarters.iter().map(|claim| date(claim.quarter)).collect();
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
            (Instant::now(), open.claims(|_| true))
        };
        self.mark(&counts.owner, &quarters).await?;
        self.read_epochs_again(&quarters).await?;
        counts.open().renewed = begun;
        Ok(())
    }

    async fn read_epochs_again(&self, quarters: &[Claim]) -> Result<(), PortError> {
        let epochs = self.epochs(quarters).await?;
        let mut open = self.counts().open();
        for claim in quarters {
            if let Some(quarter) = open.quarters.get_mut(&claim.quarter) {
                quarter.epoch = epochs.get(&claim.quarter).copied().unwrap_or_default().0;
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
            (Instant::now(), open.claims(|_| true))
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
        let doubtful: Vec<Claim> = {
            let mut open = counts.open();
            let doubtful = open.claims(|quarter| quarter.is_doubtful);
            for quarter in open.quarters.values_mut().filter(|quarter| quarter.is_doubtful) {
                quarter.is_doubtful = false;
                quarter.users += 1;
            }
            doubtful
        };
        if let Err(error) = self.doubt(&doubtful).await {
            tracing::debug!(%error, "doubts about counts could not be kept yet");
            self.doubt_later(&doubtful);
        }
        self.leave(&doubtful);
    }

    fn leave(&self, quarters: &[Claim]) {
        let mut open = self.counts().open();
        for claim in quarters {
            if let Some(quarter) = open.quarters.get_mut(&claim.quarter) {
                quarter.users = quarter.users.saturating_sub(1);
            }
        }
    }

    fn doubt_later(&self, quarters: &[Claim]) {
        let mut open = self.counts().open();
        for claim in quarters {
            if let Some(quarter) = open.quarters.get_mut(&claim.quarter) {
                quarter.is_doubtful = true;
            }
        }
    }

    async fn write_tallies(&self) {
        let mut days = Quarters::new();
        let gathered: Vec<(Claim, Document)> = {
            let mut open = self.counts().open();
            let changed = open.quarters.iter_mut().filter(|(_, quarter)| !quarter.tally.is_empty());
            let update = |(start, quarter): (&i64, &mut Quarter)| {
                let (ids, change) = quarter.tally.take();
                days.entry(day_of(*start)).and_modify(|all| *all = all.and(ids)).or_insert(ids);
                quarter.users += 1;
                let update = doc! {"q": {"_id": date(*start), "e": quarter.epoch}, "u": change, "upsert": true};
                (Claim { quarter: *start, first_id: quarter.first_id }, update)
            };
            changed.map(update).collect()
        };
        let are_wide = self.widen_days(days).await;
        for some in gathered.chunks(AT_ONCE) {
            let updates = some.iter().map(|(_, update)| update.clone()).collect();
            let starts: Vec<Claim> = some.iter().map(|(claim, _)| *claim).collect();
            let written = match &are_wide {
                Ok(()) => self.update_counts(updates).await,
                Err(error) => Err(PortError::unavailable(error.to_string())),
            };
            match written {
                Ok(missed) => {
                    let missed: Vec<Claim> =
                        missed.into_iter().filter_map(|index| starts.get(index).copied()).collect();
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
