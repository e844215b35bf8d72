//! What the ledger answers.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{application::ledger_service::PartitionStatement, domain::Tally};

/// The account of all partitions, and their sum.
#[derive(Debug, Serialize, ToSchema)]
pub struct LedgerResponse {
    #[schema(example = "user-activity-logs")]
    pub topic: String,
    /// Whether in every partition `accepted` is the sum of all the others. If not, something is wrong: run
    /// `eyego verify`.
    pub balanced: bool,
    pub total: Counts,
    pub partitions: Vec<PartitionAccount>,
}

/// One partition of the bus.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartitionAccount {
    #[schema(example = 0)]
    pub partition: i32,
    /// The first offset that this service took.
    #[schema(example = 0)]
    pub first: i64,
    /// The first offset that is not counted yet.
    #[schema(example = 1200)]
    pub next: i64,
    /// The offset that the next record will get.
    #[schema(example = 1203)]
    pub end: i64,
    #[serde(flatten)]
    pub counts: Counts,
}

/// Records by what became of them.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Everything from the first offset that this service took.
    #[schema(example = 1203)]
    pub accepted: u64,
    #[schema(example = 1190)]
    pub stored: u64,
    /// Repeats of events that are stored or were deleted.
    #[schema(example = 8)]
    pub duplicates: u64,
    /// No logs: they are in the dead letters.
    #[schema(example = 2)]
    pub dead_lettered: u64,
    /// Removed unread by the bus's retention: lost.
    #[schema(example = 0)]
    pub expired: u64,
    /// Offsets without a record.
    #[schema(example = 0)]
    pub skipped: u64,
    /// Not stored yet.
    #[schema(example = 3)]
    pub pending: u64,
}

impl Counts {
    fn add(&mut self, one: &PartitionStatement) {
        let Tally { stored, duplicates, dead_lettered, expired, skipped } = one.tally;
        self.accepted += one.accepted();
        self.stored += stored;
        self.duplicates += duplicates;
        self.dead_lettered += dead_lettered;
        self.expired += expired;
        self.skipped += skipped;
        self.pending += one.pending;
    }
}

impl LedgerResponse {
    pub(in crate::api) fn of(topic: &str, statements: &[PartitionStatement]) -> Self {
        let mut total = Counts::default();
        let partitions = statements.iter().map(|one| {
            total.add(one);
            let mut counts = Counts::default();
            counts.add(one);
            PartitionAccount { partition: one.partition, first: one.first, next: one.next, end: one.end, counts }
        });
        let partitions = partitions.collect();
        let balanced = statements.iter().all(PartitionStatement::is_balanced);
        Self { topic: topic.to_owned(), balanced, total, partitions }
    }
}
