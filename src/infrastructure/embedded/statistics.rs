//! Counting logs: from the kept counts where they tell it, else from the logs.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use rusqlite::{Connection, Row, params_from_iter, types::Value};

use super::{id_blocks::each_user, log_query::Conditions, query_plan::Entry, store::EmbeddedStore};
use crate::domain::{
    DAY, GroupBy, LogFilter, QUARTER_HOUR, Slot, Span, Timestamp, TopGroups, Tops,
    ports::{LogStatistics, PortError},
};

#[async_trait]
impl LogStatistics for EmbeddedStore {
    async fn histogram(&self, filter: &LogFilter, grain: i64, max_time: Duration) -> Result<Vec<Slot>, PortError> {
        let filter = filter.clone();
        self.readers.read_within(max_time, move |connection| histogram(connection, &filter, grain)).await
    }

    async fn tops(&self, filter: &LogFilter, by: GroupBy, most: u32, max_time: Duration) -> Result<Tops, PortError> {
        let filter = filter.clone();
        self.readers
            .read_within(max_time, move |connection| {
                if by == GroupBy::Action && filter.is_of_actions() {
                    return top_actions(connection, &filter, most);
                }
                let mut tops = TopGroups::new(most);
                let add = |value, count| tops.push(Some(value), count);
                if by == GroupBy::UserId && filter.is_empty() {
                    each_user(connection, add)?;
                } else {
                    each_group(connection, &filter, by, &Entry::to_all_of(&filter), add)?;
                }
                Ok(tops.finish())
            })
            .await
    }
}

fn histogram(connection: &Connection, filter: &LogFilter, grain: i64) -> rusqlite::Result<Vec<Slot>> {
    if grain != QUARTER_HOUR || !filter.is_of_actions() {
        return slots_of_logs(connection, filter, grain, &Entry::to_all_of(filter));
    }
    let (before, whole, behind) = Span::of(filter).split(QUARTER_HOUR);
    let part = |span: Span| match span.is_empty() {
        true => Ok(Vec::new()),
        // The stretch is short, whatever else is asked for.
        false => slots_of_logs(connection, &span.select(filter), grain, &Entry::ByTime),
    };
    let mut slots = part(before)?;
    slots.extend(slots_of_counts(connection, filter, whole)?);
    slots.extend(part(behind)?);
    Ok(slots)
}

fn slots_of_counts(connection: &Connection, filter: &LogFilter, whole: Span) -> rusqlite::Result<Vec<Slot>> {
    let (condition, values) = Conditions::of_actions(filter).with([whole.from, whole.end]);
    let sql = match condition.strip_prefix("WHERE ") {
        None => "SELECT start, n FROM quarter_counts WHERE start >= ? AND start < ? ORDER BY start".to_owned(),
        // Every quarter that has logs is looked up: walking over all actions of each would be longer.
        Some(condition) => format!(
            "SELECT quarter.start, sum(n) FROM
                (SELECT start FROM quarter_counts WHERE start >= ?{from} AND start < ?{end}) AS quarter
                CROSS JOIN (SELECT start, action, n FROM quarter_action_counts WHERE {condition}) AS of_action
                ON of_action.start = quarter.start
             GROUP BY quarter.start ORDER BY quarter.start",
            from = values.len() - 1,
            end = values.len(),
            condition = numbered(condition),
        ),
    };
    slots(connection, &sql, values)
}

/// The same condition with its parameters numbered from 1 on.
fn numbered(condition: &str) -> String {
    let mut parts = condition.split('?');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.enumerate().fold(first, |text, (index, part)| format!("{text}?{}{part}", index + 1))
}

fn slots_of_logs(
    connection: &Connection,
    filter: &LogFilter,
    grain: i64,
    entry: &Entry,
) -> rusqlite::Result<Vec<Slot>> {
    let (condition, values) = Conditions::of(filter).with([]);
    let table = entry.table();
    let sql = format!(
        "SELECT timestamp - ((timestamp % {grain}) + {grain}) % {grain} AS slot, count(*)
         FROM {table} {condition} GROUP BY slot ORDER BY slot"
    );
    slots(connection, &sql, values)
}

fn slots(connection: &Connection, sql: &str, values: Vec<Value>) -> rusqlite::Result<Vec<Slot>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| {
        Ok(Slot { start: Timestamp::from_millis(row.get(0)?), count: count(row)? })
    })?;
    rows.collect()
}

fn count(row: &Row<'_>) -> rusqlite::Result<u64> {
    row.get::<_, i64>(1).map(|count| u64::try_from(count).unwrap_or(0))
}

/// From the days, the quarters at their ends, and the logs at the ends of those.
fn top_actions(connection: &Connection, filter: &LogFilter, most: u32) -> rusqlite::Result<Tops> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut add = |action: String, count: u64| *counts.entry(action).or_default() += count;
    let (before, days, behind) = Span::of(filter).split(DAY);
    each_counted_action(connection, "day_action_counts", filter, days, &mut add)?;
    for rest in [before, behind] {
        let (before, quarters, behind) = rest.split(QUARTER_HOUR);
        each_counted_action(connection, "quarter_action_counts", filter, quarters, &mut add)?;
        for rest in [before, behind] {
            if !rest.is_empty() {
                each_group(connection, &rest.select(filter), GroupBy::Action, &Entry::ByTime, &mut add)?;
            }
        }
    }
    let mut tops = TopGroups::new(most);
    counts.into_iter().for_each(|(action, count)| tops.push(Some(action), count));
    Ok(tops.finish())
}

fn each_counted_action(
    connection: &Connection,
    table: &'static str,
    filter: &LogFilter,
    span: Span,
    add: impl FnMut(String, u64),
) -> rusqlite::Result<()> {
    if span.is_empty() {
        return Ok(());
    }
    let mut all = Conditions::of_actions(filter);
    all.add("start >= ?", [span.from]);
    all.add("start < ?", [span.end]);
    let (condition, values) = all.with([]);
    each(connection, &format!("SELECT action, sum(n) FROM {table} {condition} GROUP BY action"), values, add)
}

fn each_group(
    connection: &Connection,
    filter: &LogFilter,
    by: GroupBy,
    entry: &Entry,
    add: impl FnMut(String, u64),
) -> rusqlite::Result<()> {
    let column = match by {
        GroupBy::Action => "action",
        GroupBy::UserId => "user_id",
    };
    let (condition, values) = Conditions::of(filter).with([]);
    let table = entry.table();
    each(connection, &format!("SELECT {column}, count(*) FROM {table} {condition} GROUP BY {column}"), values, add)
}

fn each(
    connection: &Connection,
    sql: &str,
    values: Vec<Value>,
    mut add: impl FnMut(String, u64),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        add(row.get(0)?, count(row)?);
    }
    Ok(())
}
