//! What became of the records of a partition: the account that users can read.

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A log of its own.
    Stored,
    /// Its event is stored already, or was deleted.
    Duplicate,
    DeadLettered,
}

/// Records by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub stored: u64,
    pub duplicates: u64,
    pub dead_lettered: u64,
    /// Removed unread by the bus's retention. These are lost.
    pub expired: u64,
    /// Offsets without a record, such as a transaction's marks.
    pub skipped: u64,
}

impl Tally {
    pub fn sum(&self) -> u64 {
        self.stored + self.duplicates + self.dead_lettered + self.expired + self.skipped
    }

    pub fn count(&mut self, fate: Fate) {
        *match fate {
            Fate::Stored => &mut self.stored,
            Fate::Duplicate => &mut self.duplicates,
            Fate::DeadLettered => &mut self.dead_lettered,
        } += 1;
    }
}

/// The account of one partition: every offset from `first` up to, but not including, `next` is counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub partition: i32,
    /// The first offset that this service took.
    pub first: i64,
    pub next: i64,
    pub tally: Tally,
}

impl Account {
    pub fn beginning_at(partition: i32, first: i64) -> Self {
        Self { partition, first, next: first, tally: Tally::default() }
    }

    /// Counts records in the order of their offsets; those before `next` have been counted before.
    ///
    /// `low` is the first offset that the partition still holds: what is missing below it has expired, what is
    /// missing above it never was a record.
    #[must_use]
    pub fn with(mut self, records: &[(i64, Fate)], low: i64) -> Self {
        for &(offset, fate) in records {
            if offset < self.next {
                continue;
            }
            let (gap, below_low) = (offset.abs_diff(self.next), low.saturating_sub(self.next));
            let expired = u64::try_from(below_low).unwrap_or(0).min(gap);
            self.tally.expired += expired;
            self.tally.skipped += gap - expired;
            self.tally.count(fate);
            self.next = offset + 1;
        }
        self
    }

    /// Whether the records are the very next ones. A record from before `next` has been counted already, or belongs to
    /// a topic that was made anew.
    pub fn is_continued_by(&self, records: &[(i64, Fate)]) -> bool {
        records.iter().zip(self.next..).all(|((offset, _), next)| *offset == next)
    }
}

/// Where a partition of the bus begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionOffsets {
    pub partition: i32,
    /// The first offset that is still held.
    pub low: i64,
    /// The offset that the next record will get.
    pub end: i64,
    /// Where the consumer group goes on; `None` where it never committed.
    pub committed: Option<i64>,
}

impl PartitionOffsets {
    /// Where the group begins, or goes on.
    pub fn begin(&self) -> i64 {
        self.committed.unwrap_or(self.low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(records: &[(i64, Fate)], low: i64) -> Account {
        Account::beginning_at(0, 10).with(records, low)
    }

    #[test]
    fn every_offset_is_counted_once() {
        let records = [(10, Fate::Stored), (11, Fate::Duplicate), (12, Fate::DeadLettered)];
        let once = account(&records, 0);
        assert_eq!(once.tally, Tally { stored: 1, duplicates: 1, dead_lettered: 1, ..Tally::default() });
        assert_eq!((once.next, once.tally.sum()), (13, 3));
        assert_eq!(once.with(&records, 0), once, "a redelivery counts nothing");
        assert_eq!(once.with(&[(12, Fate::Duplicate), (13, Fate::Stored)], 0).tally.stored, 2);
    }

    #[test]
    fn what_is_missing_below_the_low_watermark_has_expired_and_above_it_never_was() {
        let tally = account(&[(15, Fate::Stored)], 13).tally;
        assert_eq!((tally.expired, tally.skipped, tally.stored), (3, 2, 1));
        let tally = account(&[(15, Fate::Stored)], 100).tally;
        assert_eq!((tally.expired, tally.skipped), (5, 0));
        let tally = account(&[(10, Fate::Stored), (12, Fate::Stored)], 0).tally;
        assert_eq!((tally.expired, tally.skipped, tally.stored), (0, 1, 2));
    }

    #[test]
    fn gaps_and_redeliveries_are_noticed() {
        let continued = |offsets: &[i64]| {
            let records: Vec<_> = offsets.iter().map(|offset| (*offset, Fate::Stored)).collect();
            account(&[], 0).is_continued_by(&records)
        };
        assert!(continued(&[]) && continued(&[10]) && continued(&[10, 11, 12]));
        assert!(!continued(&[11]) && !continued(&[10, 12]) && !continued(&[9, 10]) && !continued(&[7]));
    }
}
