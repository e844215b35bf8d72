//! How many logs there are of each quarter of an hour, action and day: kept in the transaction that changes the logs.

use std::{borrow::Cow, collections::BTreeMap};

use rusqlite::{Connection, params};

use crate::domain::{DAY, QUARTER_HOUR};

/// What a transaction changes, gathered so that each count is written once.
#[derive(Debug, Default)]
pub(super) struct CountChanges<'a> {
    /// By quarter and action; in order, so that writing goes through the tables from front to back.
    of_quarters: BTreeMap<(i64, Cow<'a, str>), i64>,
}

impl<'a> CountChanges<'a> {
    pub(super) fn add(&mut self, timestamp: i64, action: impl Into<Cow<'a, str>>, change: i64) {
        let quarter = timestamp.div_euclid(QUARTER_HOUR) * QUARTER_HOUR;
        *self.of_quarters.entry((quarter, action.into())).or_default() += change;
    }

    pub(super) fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        let mut quarters: BTreeMap<i64, i64> = BTreeMap::new();
        let mut days: BTreeMap<(i64, &str), i64> = BTreeMap::new();
        for ((start, action), change) in &self.of_quarters {
            change_action_count(connection, "quarter_action_counts", *start, action, *change)?;
            *quarters.entry(*start).or_default() += change;
            *days.entry((start.div_euclid(DAY) * DAY, action)).or_default() += change;
        }
        for ((start, action), change) in days {
            change_action_count(connection, "day_action_counts", start, action, change)?;
        }
        for (start, change) in quarters {
            connection
                .prepare_cached(
                    "INSERT INTO quarter_counts (start, n) VALUES (?, ?)
                     ON CONFLICT (start) DO UPDATE SET n = n + excluded.n",
                )?
                .execute([start, change])?;
            if change < 0 {
                connection.prepare_cached("DELETE FROM quarter_counts WHERE start = ? AND n = 0")?.execute([start])?;
            }
        }
        Ok(())
    }
}

fn change_action_count(
    connection: &Connection,
    table: &'static str,
    start: i64,
    action: &str,
    change: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(&format!(
            "INSERT INTO {table} (start, action, n) VALUES (?, ?, ?)
             ON CONFLICT (start, action) DO UPDATE SET n = n + excluded.n"
        ))?
        .execute(params![start, action, change])?;
    if change < 0 {
        connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE start = ? AND action = ? AND n = 0"))?
            .execute(params![start, action])?;
    }
    Ok(())
}
