//! The verdict: what was acknowledged against what is stored.

use std::{collections::HashSet, fmt};

use super::{
    contents::{Contents, Fields},
    journal::{Fate, Journal},
    page::StoredLog,
};

const MOST_OFFENDERS: usize = 10;

/// What is wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Acknowledged and not stored.
    Lost,
    /// Stored more than once.
    Twice,
    /// Stored with something else in it than was sent.
    Changed,
    /// Stored although it was refused, or never sent.
    Unexpected,
}

impl Fault {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Twice => "stored twice",
            Self::Changed => "changed",
            Self::Unexpected => "stored though refused",
        }
    }
}

/// A log with a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offender {
    pub(super) fault: Fault,
    /// The id that the 202 gave, if it did.
    pub(super) event: Option<String>,
    pub(super) user: String,
    pub(super) number: u64,
}

impl fmt::Display for Offender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, event, user, number } = self;
        let event = event.as_deref().unwrap_or("of unknown id");
        write!(f, "{}: event {event}, user {user}, number {number}", fault.as_str())
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) acknowledged: u64,
    /// Logs that were found, each once.
    pub(super) stored: u64,
    pub(super) lost: u64,
    pub(super) twice: u64,
    pub(super) changed: u64,
    pub(super) unexpected: u64,
    /// The first few.
    pub(super) offenders: Vec<Offender>,
}

impl Judgement {
    pub(super) fn is_clean(&self) -> bool {
        (self.lost, self.twice, self.changed, self.unexpected) == (0, 0, 0, 0)
    }

    /// What is missing may still be on its way: returns how much that is, and no longer counts it as lost.
    pub(super) fn excuse_lost(&mut self) -> u64 {
        self.offenders.retain(|offender| offender.fault != Fault::Lost);
        std::mem::take(&mut self.lost)
    }
}

/// Takes the stored logs of one user after another.
pub(super) struct Judge<'a> {
    contents: &'a Contents,
    journal: &'a Journal,
    /// How often each number was found.
    found: Vec<u8>,
    changed: HashSet<u64>,
    /// Logs of the run's users that carry no number of the run.
    strangers: u64,
    scratch: Vec<u8>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(contents: &'a Contents, journal: &'a Journal) -> Self {
        let found = vec![0; usize::try_from(journal.len()).unwrap_or_default()];
        Self { contents, journal, found, changed: HashSet::new(), strangers: 0, scratch: Vec::new() }
    }

    /// A log that was read back. No two calls with the same id of a log.
    pub(super) fn see(&mut self, log: &StoredLog<'_>) {
        let number = log.number(self.contents.run());
        let place = number.and_then(|number| self.found.get_mut(usize::try_from(number).ok()?));
        let (Some(number), Some(found)) = (number, place) else {
            self.strangers += 1;
            return;
        };
        *found = found.saturating_add(1);
        let fields =
            Fields { user: &log.user_id, action: &log.action, timestamp: &log.timestamp, metadata: log.metadata.get() };
        if !self.contents.is_intact(number, fields, &mut self.scratch) {
            self.changed.insert(number);
        }
    }

    pub(super) fn verdict(self) -> Judgement {
        // A log without its number is one that was changed beyond recognition: its number counts as lost, too.
        let mut judgement = Judgement { changed: self.strangers, ..Judgement::default() };
        for ((number, fate), found) in self.journal.fates().zip(&self.found) {
            judgement.acknowledged += u64::from(fate == Fate::Acknowledged);
            judgement.stored += u64::from(*found > 0);
            let changed = self.changed.contains(&number);
            for (count, fault, holds) in [
                (&mut judgement.lost, Fault::Lost, fate == Fate::Acknowledged && *found == 0),
                (&mut judgement.unexpected, Fault::Unexpected, fate == Fate::Refused && *found > 0),
                (&mut judgement.twice, Fault::Twice, *found > 1),
                (&mut judgement.changed, Fault::Changed, changed),
            ] {
                if !holds {
                    continue;
                }
                *count += 1;
                if judgement.offenders.len() < MOST_OFFENDERS {
                    let event = self.journal.event(number).map(|event| event.to_string());
                    judgement.offenders.push(Offender { fault, event, user: self.contents.user(number), number });
                }
            }
        }
        judgement
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use uuid::Uuid;

    use super::*;
    use crate::bench::{page::Page, schedule::Turn};

    struct Case {
        contents: Contents,
        journal: Journal,
    }

    impl Case {
        fn of(fates: &[Fate]) -> Self {
            let mut journal = Journal::new(true);
            journal.begin(Turn { first: 0, count: fates.len() as u32, intended: Instant::now() });
            for (number, fate) in (0..).zip(fates) {
                journal.settle(number, *fate);
            }
            Self { contents: Contents::new("r".to_owned()), journal }
        }

        fn log(&self, number: u64) -> String {
            let mut text = Vec::new();
            self.contents.push(&mut text, number);
            String::from_utf8(text).unwrap().replacen('{', r#"{"id":7,"#, 1)
        }

        fn judge(&self, stored: &[String]) -> Judgement {
            let page = format!(r#"{{"logs":[{}],"total":9}}"#, stored.join(","));
            let mut judge = Judge::new(&self.contents, &self.journal);
            for log in &Page::parse(page.as_bytes()).unwrap().logs {
                judge.see(log);
            }
            judge.verdict()
        }
    }

    #[test]
    fn what_is_stored_as_it_was_sent_is_clean() {
        let case = Case::of(&[Fate::Acknowledged, Fate::Refused, Fate::Unknown, Fate::Unknown, Fate::Acknowledged]);
        let judgement = case.judge(&[case.log(4), case.log(0), case.log(2)]);
        assert!(judgement.is_clean(), "{judgement:?}");
        assert_eq!((judgement.acknowledged, judgement.stored), (2, 3));
    }

    #[test]
    fn every_fault_is_counted_and_named() {
        let mut case = Case::of(&[Fate::Acknowledged, Fate::Refused, Fate::Unknown, Fate::Acknowledged]);
        let id = Uuid::from_u128(5);
        case.journal.name(0, id);
        let changed = case.log(3).replace("203.0.113", "203.0.114");
        let stored =
            [case.log(1), case.log(2), case.log(2), changed, case.log(9), "{\"id\":1,\"metadata\":[]}".to_owned()];
        let judgement = case.judge(&stored);
        assert_eq!((judgement.lost, judgement.twice, judgement.unexpected), (1, 1, 1), "{judgement:?}");
        assert_eq!((judgement.changed, judgement.stored), (3, 3), "{judgement:?}");
        let named: Vec<_> = judgement.offenders.iter().map(ToString::to_string).collect();
        assert_eq!(named[0], format!("lost: event {id}, user bench-r-0000, number 0"));
        assert_eq!(named[1], "stored though refused: event of unknown id, user bench-r-0001, number 1");
        assert_eq!(named.len(), 4);
    }

    #[test]
    fn only_the_first_offenders_are_named() {
        let case = Case::of(&[Fate::Acknowledged; 25]);
        let judgement = case.judge(&[]);
        assert_eq!((judgement.lost, judgement.offenders.len()), (25, 10));
    }
}
