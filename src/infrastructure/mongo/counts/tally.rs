//! Changes of one quarter's counts that have not been written yet.

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasher,
};

use bson::{Document, doc};

use super::{field_of, ids::Ids};
use crate::domain::{QUARTER_HOUR, Timestamp, start_of};

/// More actions than this are not kept apart: they are counted from the logs when somebody asks.
pub(super) const MAX_ACTIONS: usize = 1000;

/// Where the quarter begins that holds the moment, in milliseconds.
pub(in crate::infrastructure::mongo) fn quarter_of(at: Timestamp) -> i64 {
    start_of(QUARTER_HOUR, at)
}

/// One log more or less.
#[derive(Debug, Clone, Copy)]
pub(in crate::infrastructure::mongo) struct Change<'a> {
    pub(in crate::infrastructure::mongo) quarter: i64,
    pub(in crate::infrastructure::mongo) action: Option<&'a str>,
    pub(in crate::infrastructure::mongo) by: i64,
}

/// By the name of the action's field.
#[derive(Debug)]
pub(super) struct Tally {
    ids: Ids,
    by_field: HashMap<String, i64>,
    /// The hashes of all fields since the quarter was opened: a late backfill has thousands of quarters open, each with its
    /// hundreds of actions.
    seen: HashSet<u64>,
    is_crowded: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self { ids: Ids::NONE, by_field: HashMap::new(), seen: HashSet::new(), is_crowded: false }
    }
}

impl Tally {
    /// Logs with these ids may be stored.
    pub(super) fn reach(&mut self, ids: Ids) {
        self.ids = self.ids.and(ids);
    }

    pub(super) fn add(&mut self, change: Change<'_>) {
        *self.by_field.entry(field_of(change.action)).or_default() += change.by;
    }

    pub(super) fn crowded_is(&mut self, is_crowded: bool) {
        self.is_crowded |= is_crowded;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_field.is_empty() && self.ids.is_none()
    }

    /// The update that writes what has been gathered, which is forgotten here.
    pub(super) fn take(&mut self) -> (Ids, Document) {
        let taken = std::mem::take(&mut self.by_field);
        if !self.is_crowded {
            let hasher = self.seen.hasher().clone();
            self.seen.extend(taken.keys().map(|field| hasher.hash_one(field)));
            if self.seen.len() > MAX_ACTIONS {
                self.is_crowded = true;
                self.seen = HashSet::new();
            }
        }
        let ids = std::mem::replace(&mut self.ids, Ids::NONE);
        let mut added = doc! {"n": taken.values().sum::<i64>(), "v": 1_i64};
        if self.is_crowded {
            return (ids, with(ids, doc! {"$inc": added, "$set": {"o": true}, "$unset": {"a": ""}}));
        }
        let changed = taken.into_iter().filter(|(_, by)| *by != 0);
        added.extend(changed.map(|(field, by)| (format!("a.{field}"), by.into())));
        (ids, with(ids, doc! {"$inc": added}))
    }
}

fn with(ids: Ids, mut update: Document) -> Document {
    if !ids.is_none() {
        update.extend(doc! {"$min": {"f": ids.first}, "$max": {"l": ids.last}});
    }
    update
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_one_action_are_written_once() {
        let mut tally = Tally::default();
        for (action, by) in [("a.b", 1), ("a.b", 1), ("c", 1), ("c", -1), ("d", -1)] {
            tally.add(Change { quarter: 0, action: Some(action), by });
        }
        assert_eq!(tally.take().1, doc! {"$inc": {"n": 1_i64, "v": 1_i64, "a.sa%2Eb": 2_i64, "a.sd": -1_i64}});
        assert!(tally.is_empty());
    }

    #[test]
    fn ids_that_may_be_stored_are_written_once_as_well() {
        let mut tally = Tally::default();
        tally.reach(Ids { first: 5, last: 9 });
        tally.reach(Ids { first: 7, last: 12 });
        assert!(!tally.is_empty());
        let expected = doc! {"$inc": {"n": 0_i64, "v": 1_i64}, "$min": {"f": 5_i64}, "$max": {"l": 12_i64}};
        assert_eq!(tally.take().1, expected);
        assert!(tally.is_empty());
    }

    #[test]
    fn too_many_actions_are_not_kept_apart() {
        let mut tally = Tally::default();
        for number in 0..=MAX_ACTIONS {
            tally.add(Change { quarter: 0, action: Some(&number.to_string()), by: 1 });
        }
        let expected = doc! {"$inc": {"n": 1001_i64, "v": 1_i64}, "$set": {"o": true}, "$unset": {"a": ""}};
        assert_eq!(tally.take().1, expected);
    }
}
