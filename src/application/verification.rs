//! Verification of a bus that keeps its records: each one is read again and looked up in the store.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{FuturesOrdered, StreamExt};

use crate::domain::{
    Account, Event, EventId, PartitionOffsets, Timestamp,
    ports::{
        BusOffsets, Clock, Delivery, ErasureStore, EventFate, EventFates, History, Ledger, OffsetRange, PortError,
        Position, Verification, VerificationProgress, VerificationReporter, VerificationSummary,
    },
};

/// Look-ups under way at a time, each of as many events as the bus hands over at once.
const LOOK_UPS: usize = 4;
const MILLIS_PER_DAY: i64 = 86_400_000;

/// Holds every record from the first that this service took to the last that is committed against the store.
pub struct BusVerification {
    pub ledger: Arc<dyn Ledger>,
    pub offsets: Arc<dyn BusOffsets>,
    pub history: Arc<dyn History>,
    pub fates: Arc<dyn EventFates>,
    pub erasure: Arc<dyn ErasureStore>,
    pub clock: Arc<dyn Clock>,
    /// After so many days a tombstone may be forgotten; 0 is never.
    pub tombstone_days: u32,
}

#[async_trait]
impl Verification for BusVerification {
    async fn verify(&self, reporter: &mut dyn VerificationReporter) -> Result<VerificationSummary, PortError> {
        let mut summary = VerificationSummary::default();
        let ranges = self.ranges(&mut summary).await?;
        let total = ranges.iter().map(|range| range.to.abs_diff(range.from)).sum();
        let mut done = 0;
        for range in ranges {
            let mut walk = Walk { range, total, done_before: done, summary: &mut summary, reporter };
            self.walk(&mut walk).await?;
            done += range.to.abs_diff(range.from);
        }
        reporter.progress(VerificationProgress { done, total });
        summary.looked_up = summary.read;
        Ok(summary)
    }
}

impl BusVerification {
    /// What there is to read, once what expired after it was stored is taken off.
    async fn ranges(&self, summary: &mut VerificationSummary) -> Result<Vec<OffsetRange>, PortError> {
        let accounts = self.ledger.accounts().await?;
        let mut ranges = Vec::with_capacity(accounts.len());
        for offsets in self.offsets.offsets().await? {
            let Some(account) = accounts.iter().find(|account| account.partition == offsets.partition) else {
                summary.pending += offsets.end.abs_diff(offsets.begin().max(offsets.low));
                continue;
            };
            ranges.push(range(account, &offsets, summary));
        }
        Ok(ranges)
    }

    async fn walk(&self, walk: &mut Walk<'_>) -> Result<(), PortError> {
        if walk.range.from >= walk.range.to {
            return Ok(());
        }
        let mut reader = self.history.open(walk.range).await?;
        let mut under_way = FuturesOrdered::new();
        loop {
            let records = reader.next().await?;
            let at_end = records.is_empty();
            if !at_end {
                under_way.push_back(self.look_up(records));
            }
            while under_way.len() >= if at_end { 1 } else { LOOK_UPS } {
                let Some(looked_up) = under_way.next().await else { break };
                walk.take(&looked_up?, self.forgotten_before());
            }
            if at_end {
                return Ok(());
            }
        }
    }

    async fn look_up(&self, records: Vec<Delivery>) -> Result<Vec<(Record, EventFate)>, PortError> {
        let records: Vec<(Record, Option<Event>)> = records.into_iter().map(Record::of).collect();
        let ids: Vec<EventId> = records.iter().map(|(record, _)| record.event_id).collect();
        let mut fates = self.fates.fates(&ids).await?;
        if fates.contains(&EventFate::Unknown) {
            // What was erased left no trace but the rule.
            let rules = self.erasure.rules().await?;
            for ((_, event), fate) in records.iter().zip(&mut fates) {
                let erased = event.as_ref().is_some_and(|event| rules.cover(event));
                if *fate == EventFate::Unknown && erased {
                    *fate = EventFate::Deleted;
                }
            }
        }
        Ok(records.into_iter().map(|(record, _)| record).zip(fates).collect())
    }

    /// Events older than this may have been deleted without a trace.
    fn forgotten_before(&self) -> Option<Timestamp> {
        let days = i64::from(self.tombstone_days);
        (days > 0).then(|| Timestamp::from_millis(self.clock.now().as_millis() - days * MILLIS_PER_DAY))
    }
}

/// What there is to read of a partition: what the bus still holds of all that was settled. The commit follows the
/// account, but a group's commits may be forgotten, or set ahead by hand.
fn range(account: &Account, offsets: &PartitionOffsets, summary: &mut VerificationSummary) -> OffsetRange {
    let from = account.first.max(offsets.low);
    // An account past the end says nothing of this topic: it was made anew, or has lost its tail.
    let counted = (account.next <= offsets.end).then_some(account.next);
    let to = offsets.committed.max(counted).unwrap_or(from).clamp(from, offsets.end.max(from));
    // What expired since the account was written is in nobody's tally yet.
    let expired = account.tally.expired + u64::try_from(offsets.low.saturating_sub(account.next)).unwrap_or(0);
    summary.expired += expired;
    summary.not_retained += from.abs_diff(account.first).saturating_sub(expired);
    summary.pending += offsets.end.max(to).abs_diff(to);
    OffsetRange { partition: offsets.partition, from, to }
}

/// What is needed of a record while it is looked up.
struct Record {
    event_id: EventId,
    position: Position,
    timestamp: Timestamp,
}

impl Record {
    /// With the event, where it is one.
    fn of(delivery: Delivery) -> (Self, Option<Event>) {
        let Delivery { position, timestamp, event, .. } = delivery;
        let (event_id, event) = match event {
            Ok(event) => (event.id, Some(event)),
            Err(malformed) => (malformed.event_id, None),
        };
        (Self { event_id, position, timestamp }, event)
    }
}

/// The way through one partition.
struct Walk<'a> {
    range: OffsetRange,
    total: u64,
    done_before: u64,
    summary: &'a mut VerificationSummary,
    reporter: &'a mut dyn VerificationReporter,
}

impl Walk<'_> {
    fn take(&mut self, looked_up: &[(Record, EventFate)], forgotten_before: Option<Timestamp>) {
        let summary = &mut *self.summary;
        summary.read += looked_up.len() as u64;
        for (record, fate) in looked_up {
            match fate {
                EventFate::Stored => summary.stored += 1,
                EventFate::Deleted => summary.deleted += 1,
                EventFate::DeadLettered => summary.dead_lettered += 1,
                EventFate::Unknown if forgotten_before.is_some_and(|time| record.timestamp < time) => {
                    summary.unknown += 1;
                }
                EventFate::Unknown => {
                    summary.missing += 1;
                    let Position { topic, partition, offset } = &record.position;
                    self.reporter.fault(&format!(
                        "event {} (topic {topic}, partition {partition}, offset {offset}) is missing: neither stored, \
                         dead-lettered nor deleted",
                        record.event_id
                    ));
                }
            }
        }
        if let Some((last, _)) = looked_up.last() {
            let done = self.done_before + last.position.offset.abs_diff(self.range.from) + 1;
            self.reporter.progress(VerificationProgress { done, total: self.total });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Tally;

    /// What is read of an account of 10 to 50, with 5 expired, and what is said of the rest.
    fn ranged(low: i64, end: i64, committed: Option<i64>) -> ((i64, i64), VerificationSummary) {
        let tally = Tally { stored: 35, expired: 5, ..Tally::default() };
        let account = Account { partition: 0, first: 10, next: 50, tally };
        let mut summary = VerificationSummary::default();
        let range = range(&account, &PartitionOffsets { partition: 0, low, end, committed }, &mut summary);
        ((range.from, range.to), summary)
    }

    #[test]
    fn everything_settled_is_read_whatever_the_group_remembers() {
        for committed in [None, Some(20), Some(50)] {
            let (range, summary) = ranged(15, 60, committed);
            assert_eq!((range, summary.pending), ((15, 50), 10), "{committed:?}");
        }
        assert_eq!(ranged(15, 60, Some(55)).0, (15, 55), "what somebody jumped over is named");
        let (range, summary) = ranged(0, 45, None);
        assert_eq!((range, summary.pending), ((10, 10), 35), "what comes to a topic made anew is not settled yet");
    }

    #[test]
    fn what_expired_unread_is_not_taken_for_stored() {
        let (range, summary) = ranged(30, 60, None);
        assert_eq!((range, summary.expired, summary.not_retained), ((30, 50), 5, 15));
        let (range, summary) = ranged(58, 60, Some(50));
        assert_eq!((range, summary.expired, summary.not_retained, summary.pending), ((58, 58), 13, 35, 2));
    }
}
