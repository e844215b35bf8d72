//! The run as it is measured: every answer, its latency, and what it says about its logs.

use std::{collections::BTreeMap, time::Instant};

use uuid::Uuid;

use super::{
    connection::Answer,
    journal::{Fate, Journal},
    latency::Latencies,
    results::{self, Reason},
    schedule::Turn,
};

#[derive(Debug)]
pub(super) struct Record {
    pub(super) journal: Journal,
    /// Of requests of which something was acknowledged, per log.
    pub(super) latencies: Latencies,
    /// Requests that were answered.
    pub(super) requests: u64,
    pub(super) acknowledged: u64,
    pub(super) refused: BTreeMap<Reason, u64>,
    pub(super) unknown: BTreeMap<Reason, u64>,
    batch: bool,
}

impl Record {
    pub(super) fn new(batch: bool, keeps: bool) -> Self {
        Self {
            journal: Journal::new(keeps),
            latencies: Latencies::new(),
            requests: 0,
            acknowledged: 0,
            refused: BTreeMap::new(),
            unknown: BTreeMap::new(),
            batch,
        }
    }

    /// The answer to a turn. `wants_event` asks for the id of an event that it acknowledged.
    pub(super) fn answered(&mut self, turn: Turn, answer: Answer<'_>, now: Instant, wants_event: bool) -> Option<Uuid> {
        self.requests += 1;
        let fate = results::of_status(answer.status);
        if fate != Fate::Acknowledged {
            self.settle_all(turn, fate, &Reason::Status(answer.status));
            return None;
        }
        let before = self.acknowledged;
        let event = if self.batch {
            self.batch_answered(turn, answer)
        } else {
            self.acknowledge(turn.first);
            let event = if wants_event || self.journal.keeps() { results::event_id(answer.body) } else { None };
            if let Some(event) = event {
                self.journal.name(turn.first, event);
            }
            event
        };
        let acknowledged = self.acknowledged - before;
        self.latencies.record(now.saturating_duration_since(turn.intended), acknowledged);
        event
    }

    /// A request that was begun and has no answer.
    pub(super) fn broken(&mut self, turn: Turn) {
        self.settle_all(turn, Fate::Unknown, &Reason::Broken);
    }

    fn batch_answered(&mut self, turn: Turn, answer: Answer<'_>) -> Option<Uuid> {
        let Some(listed) = results::of_batch(turn, answer) else {
            self.settle_all(turn, Fate::Unknown, &Reason::Unreadable);
            return None;
        };
        for number in turn.numbers() {
            self.journal.settle(number, Fate::Acknowledged);
        }
        self.acknowledged += u64::from(turn.count);
        let mut last = None;
        for item in listed {
            if item.fate == Fate::Acknowledged {
                last = item.event.or(last);
                if let Some(event) = item.event {
                    self.journal.name(item.number, event);
                }
            } else {
                self.acknowledged -= 1;
                self.settle(item.number, item.fate, &Reason::Item(item.code));
            }
        }
        last
    }

    fn acknowledge(&mut self, number: u64) {
        self.acknowledged += 1;
        self.journal.settle(number, Fate::Acknowledged);
    }

    fn settle_all(&mut self, turn: Turn, fate: Fate, reason: &Reason) {
        for number in turn.numbers() {
            self.settle(number, fate, reason);
        }
    }

    fn settle(&mut self, number: u64, fate: Fate, reason: &Reason) {
        self.journal.settle(number, fate);
        let counts = if fate == Fate::Refused { &mut self.refused } else { &mut self.unknown };
        match counts.get_mut(reason) {
            Some(count) => *count += 1,
            None => drop(counts.insert(reason.clone(), 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn turn(first: u64, count: u32) -> Turn {
        Turn { first, count, intended: Instant::now() }
    }

    fn answer(record: &mut Record, turn: Turn, status: u16, body: &str) -> Option<Uuid> {
        record.journal.begin(turn);
        let now = turn.intended + Duration::from_millis(5);
        record.answered(turn, Answer { status, body: body.as_bytes() }, now, true)
    }

    #[test]
    fn each_answer_counts_for_its_log() {
        let mut record = Record::new(false, true);
        let id = Uuid::from_u128(7);
        assert_eq!(answer(&mut record, turn(0, 1), 202, &format!(r#"{{"eventId":"{id}"}}"#)), Some(id));
        answer(&mut record, turn(1, 1), 503, "");
        answer(&mut record, turn(2, 1), 504, "");
        record.journal.begin(turn(3, 2));
        record.broken(turn(3, 1));
        let fates: Vec<_> = record.journal.fates().map(|(_, fate)| fate).collect();
        assert_eq!(fates, [Fate::Acknowledged, Fate::Refused, Fate::Unknown, Fate::Unknown, Fate::Unknown]);
        assert_eq!((record.acknowledged, record.requests, record.latencies.count()), (1, 3, 1));
        assert_eq!(record.refused, BTreeMap::from([(Reason::Status(503), 1)]));
        assert_eq!(record.unknown, BTreeMap::from([(Reason::Status(504), 1), (Reason::Broken, 1)]));
        assert_eq!((record.journal.event(0), record.journal.event(1)), (Some(id), None));
    }

    #[test]
    fn a_batch_counts_log_by_log() {
        let mut record = Record::new(true, true);
        let body = r#"{"accepted":2,"results":[{"index":1,"status":"rejected","code":"invalid_action"}]}"#;
        answer(&mut record, turn(0, 3), 207, body);
        assert_eq!((record.acknowledged, record.latencies.count()), (2, 2));
        assert_eq!(record.journal.fates().nth(1), Some((1, Fate::Refused)));
        assert_eq!(record.refused, BTreeMap::from([(Reason::Item("invalid_action".to_owned()), 1)]));
        answer(&mut record, turn(3, 3), 200, "{}");
        assert_eq!(record.unknown, BTreeMap::from([(Reason::Unreadable, 3)]));
    }
}
