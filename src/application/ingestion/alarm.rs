//! Alarms: things that should never happen and that somebody has to look into.

use metrics::counter;
use tracing::error;

use super::accountant::Fates;
use crate::domain::Fate;

/// What went wrong; the words are the label `alarm` of the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alarm {
    /// The id counter was behind the data.
    IdsTaken,
    RecordsExpired,
    /// The ledger was past the end of its partition.
    LedgerRestarted,
    /// More than a tenth of what came were no logs.
    ManyDeadLetters,
}

impl Alarm {
    const ALL: [Self; 4] = [Self::IdsTaken, Self::RecordsExpired, Self::LedgerRestarted, Self::ManyDeadLetters];

    fn as_str(self) -> &'static str {
        match self {
            Self::IdsTaken => "ids_taken",
            Self::RecordsExpired => "records_expired",
            Self::LedgerRestarted => "ledger_restarted",
            Self::ManyDeadLetters => "many_dead_letters",
        }
    }
}

/// Makes all alarms known at zero: a rate can only be taken of what was there before.
pub(super) fn announce() {
    Alarm::ALL.into_iter().for_each(|alarm| raise(alarm, 0));
}

/// Counts the alarm; the caller logs it with what it knows.
pub(super) fn raise(alarm: Alarm, times: u64) {
    counter!("eyego_alarms_total", "alarm" => alarm.as_str()).increment(times);
}

/// Watches how many of the records are no logs.
#[derive(Default)]
pub(super) struct DeadLetterRate {
    records: usize,
    letters: usize,
}

impl DeadLetterRate {
    /// Over so many records, so that one bad record in a quiet hour raises nothing.
    const WINDOW: usize = 1000;

    pub(super) fn note(&mut self, fates: &Fates) {
        let all = || fates.values().flatten();
        self.records += all().count();
        self.letters += all().filter(|(_, fate)| *fate == Fate::DeadLettered).count();
        if self.records < Self::WINDOW {
            return;
        }
        if self.letters * 10 > self.records {
            raise(Alarm::ManyDeadLetters, 1);
            error!(
                letters = self.letters,
                records = self.records,
                "more than a tenth of the last records were no logs"
            );
        }
        *self = Self::default();
    }
}
