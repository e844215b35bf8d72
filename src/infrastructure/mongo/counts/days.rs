//! Between which ids the logs of whole days lie: for stretches of many days.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use bson::{Document, doc};

use super::{id_bounds::day_key, ids::Ids, open::Quarters};
use crate::{
    domain::{DAY, ports::PortError},
    infrastructure::mongo::store::MongoStore,
};

/// Two processes that make the same document at once: one of them has to try again.
const TRIES: usize = 3;

/// What this process has written of each day.
#[derive(Debug, Default)]
pub(super) struct Days(Mutex<HashMap<i64, Ids>>);

impl Days {
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn are_within(&self, day: i64, ids: Ids) -> bool {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.is_none() || written.get(&day).is_some_and(|written| written.and(ids) == *written)
    }

    fn are_written(&self, days: &[(i64, Ids)]) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (day, ids) in days {
            let all = written.entry(*day).or_insert(Ids::NONE);
            *all = all.and(*ids);
        }
    }
}

/// The day that holds the quarter.
pub(super) fn day_of(quarter: i64) -> i64 {
    quarter.div_euclid(DAY).saturating_mul(DAY)
}

impl MongoStore {
    /// Keeps that the days have logs with these ids as well. To be done before it is kept of their quarters.
    pub(super) async fn widen_days(&self, days: Quarters) -> Result<(), PortError> {
        let mut days: Vec<(i64, Ids)> =
            days.into_iter().filter(|(day, ids)| !self.counts().days.are_within(*day, *ids)).collect();
        for _ in 0..TRIES {
            if days.is_empty() {
                return Ok(());
            }
            let missed = self.update_counts(days.iter().map(wider).collect()).await?;
            let (again, done): (Vec<_>, Vec<_>) =
                days.into_iter().enumerate().partition(|(index, _)| missed.contains(index));
            let done: Vec<(i64, Ids)> = done.into_iter().map(|(_, day)| day).collect();
            self.counts().days.are_written(&done);
            days = again.into_iter().map(|(_, day)| day).collect();
        }
        Err(PortError::unavailable("the ids of a day could not be kept"))
    }
}

fn wider((day, ids): &(i64, Ids)) -> Document {
    doc! {
        "q": {"_id": day_key(*day)},
        "u": {"$min": {"f": ids.first}, "$max": {"l": ids.last}},
        "upsert": true,
    }
}
