//! How many logs there are of each quarter of an hour, action and day, and between which ids they lie, and of each block
//! of ids: kept in the transaction that changes the logs.

use std::{borrow::Cow, collections::BTreeMap};

use rusqlite::{Connection, params};

use super::id_blocks::block_of;
use crate::domain::{DAY, QUARTER_HOUR};

/// What a transaction changes, gathered so that each count is written once.
#[derive(Debug, Default)]
pub(super) struct CountChanges<'a> {
    /// By quarter and action; in order, so that writing goes through the tables from front to back.
    of_actions: BTreeMap<(i64, Cow<'a, str>), i64>,
    of_quarters: BTreeMap<i64, Change>,
    of_blocks: BTreeMap<i64, i64>,
}

/// So many logs more or less, all of them between these ids.
#[derive(Debug, Clone, Copy)]
struct Change {
    by: i64,
    first_id: i64,
    last_id: i64,
}

impl Change {
    fn join(&mut self, other: Self) {
        self.by += other.by;
        self.first_id = self.first_id.min(other.first_id);
        self.last_id = self.last_id.max(other.last_id);
    }
}

impl<'a> CountChanges<'a> {
    pub(super) fn add(&mut self, id: i64, timestamp: i64, action: impl Into<Cow<'a, str>>, by: i64) {
        let quarter = start_of(QUARTER_HOUR, timestamp);
        *self.of_actions.entry((quarter, action.into())).or_default() += by;
        join(&mut self.of_quarters, quarter, Change { by, first_id: id, last_id: id });
        *self.of_blocks.entry(block_of(id)).or_default() += by;
    }

    pub(super) fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        let mut of_days: BTreeMap<(i64, &str), i64> = BTreeMap::new();
        for ((start, action), by) in &self.of_actions {
            change_action_count(connection, "quarter_action_counts", *start, action, *by)?;
            *of_days.entry((start_of(DAY, *start), action)).or_default() += by;
        }
        for ((start, action), by) in of_days {
            change_action_count(connection, "day_action_counts", start, action, by)?;
        }
        let mut days = BTreeMap::new();
        for (start, change) in self.of_quarters {
            change_count(connection, "quarter_counts", start, change)?;
            join(&mut days, start_of(DAY, start), change);
        }
        days.into_iter().try_for_each(|(start, change)| change_count(connection, "day_counts", start, change))?;
        self.of_blocks.into_iter().try_for_each(|(block, by)| change_block_count(connection, block, by))
    }
}

fn start_of(step: i64, timestamp: i64) -> i64 {
    timestamp.div_euclid(step) * step
}

fn join(changes: &mut BTreeMap<i64, Change>, start: i64, change: Change) {
    changes.entry(start).and_modify(|joined| joined.join(change)).or_insert(change);
}

/// The ids are never drawn together again: that would take a look at every log that stays.
fn change_count(connection: &Connection, table: &'static str, start: i64, change: Change) -> rusqlite::Result<()> {
    let Change { by, first_id, last_id } = change;
    connection
        .prepare_cached(&format!(
            "INSERT INTO {table} (start, n, first_id, last_id) VALUES (?, ?, ?, ?)
             ON CONFLICT (start) DO UPDATE SET n = n + excluded.n,
                 first_id = min(first_id, excluded.first_id), last_id = max(last_id, excluded.last_id)"
        ))?
        .execute([start, by, first_id, last_id])?;
    if by < 0 {
        connection.prepare_cached(&format!("DELETE FROM {table} WHERE start = ? AND n = 0"))?.execute([start])?;
    }
    Ok(())
}

fn change_block_count(connection: &Connection, block: i64, by: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO block_counts (block, n) VALUES (?, ?) ON CONFLICT (block) DO UPDATE SET n = n + excluded.n",
        )?
        .execute([block, by])?;
    if by < 0 {
        connection.prepare_cached("DELETE FROM block_counts WHERE block = ? AND n = 0")?.execute([block])?;
    }
    Ok(())
}

fn change_action_count(
    connection: &Connection,
    table: &'static str,
    start: i64,
    action: &str,
    by: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(&format!(
            "INSERT INTO {table} (start, action, n) VALUES (?, ?, ?)
             ON CONFLICT (start, action) DO UPDATE SET n = n + excluded.n"
        ))?
        .execute(params![start, action, by])?;
    if by < 0 {
        connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE start = ? AND action = ? AND n = 0"))?
            .execute(params![start, action])?;
    }
    Ok(())
}
