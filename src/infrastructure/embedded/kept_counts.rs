//! What the kept counts tell of the logs that a filter selects.

use rusqlite::{Connection, params_from_iter};

use super::log_query::Conditions;
use crate::domain::{DAY, LogFilter, QUARTER_HOUR, Span};

/// The logs of a stretch of time: so many, and all of them between these ids, though not they alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) logs: u64,
    pub(super) first_id: i64,
    pub(super) last_id: i64,
}

impl Extent {
    /// Of the quarters that the stretch has a part in. `None`: they hold nothing.
    pub(super) fn of(connection: &Connection, span: Span) -> rusqlite::Result<Option<Self>> {
        let mut all: Option<Self> = None;
        for (table, span) in parts(outwards(span)) {
            let sql = format!("SELECT sum(n), min(first_id), max(last_id) FROM {table} WHERE start >= ? AND start < ?");
            let found = connection.prepare_cached(&sql)?.query_row([span.from, span.end], |row| {
                let Some(logs) = row.get::<_, Option<i64>>(0)? else { return Ok(None) };
                Ok(Some(Self { logs: unsigned(logs), first_id: row.get(1)?, last_id: row.get(2)? }))
            })?;
            all = match (all, found) {
                (Some(one), Some(other)) => Some(one.and(other)),
                (one, other) => one.or(other),
            };
        }
        Ok(all.filter(|all| all.logs > 0))
    }

    fn and(self, other: Self) -> Self {
        Self {
            logs: self.logs + other.logs,
            first_id: self.first_id.min(other.first_id),
            last_id: self.last_id.max(other.last_id),
        }
    }

    /// How many ids there are between the first and the last.
    pub(super) fn width(self) -> u64 {
        self.last_id.abs_diff(self.first_id).saturating_add(1)
    }
}

/// The logs of the filter's actions in the quarters that it has a part in, whatever else it asks for.
pub(super) fn logs_of_actions(connection: &Connection, filter: &LogFilter) -> rusqlite::Result<u64> {
    sum_of_actions(connection, filter, outwards(Span::of(filter)))
}

/// The logs of the filter's actions, in a stretch of whole quarters. Each day that has logs is looked up: walking over
/// all actions of each would be longer.
pub(super) fn sum_of_actions(connection: &Connection, filter: &LogFilter, whole: Span) -> rusqlite::Result<u64> {
    let mut sum = 0;
    for (table, span) in parts(whole) {
        let (all_of_it, of_actions) = (table, table.replace("_counts", "_action_counts"));
        let mut all = Conditions::of_actions(filter);
        all.add("start_of_all >= ?", [span.from]);
        all.add("start_of_all < ?", [span.end]);
        let (condition, values) = all.with([]);
        let sql = if filter.takes_every_action() {
            format!("SELECT ifnull(sum(n), 0) FROM (SELECT start AS start_of_all, n FROM {all_of_it}) {condition}")
        } else {
            format!(
                "SELECT ifnull(sum(of_action.n), 0) FROM (SELECT start AS start_of_all FROM {all_of_it}) AS every
                 CROSS JOIN {of_actions} AS of_action ON of_action.start = start_of_all {condition}"
            )
        };
        sum += connection
            .prepare_cached(&sql)?
            .query_row(params_from_iter(values), |row| row.get::<_, i64>(0))
            .map(unsigned)?;
    }
    Ok(sum)
}

/// The days that it holds, and the quarters at its ends.
fn parts(span: Span) -> impl Iterator<Item = (&'static str, Span)> {
    let (before, days, behind) = span.split(DAY);
    let all = [("quarter_counts", before), ("day_counts", days), ("quarter_counts", behind)];
    all.into_iter().filter(|(_, span)| !span.is_empty())
}

/// With the whole of the quarters that it begins and ends in.
fn outwards(span: Span) -> Span {
    let Span { from, end } = span;
    if span.is_empty() {
        return span;
    }
    Span {
        from: if from == i64::MIN { from } else { from.div_euclid(QUARTER_HOUR).saturating_mul(QUARTER_HOUR) },
        end: if end == i64::MAX {
            end
        } else {
            end.saturating_add(QUARTER_HOUR - 1).div_euclid(QUARTER_HOUR) * QUARTER_HOUR
        },
    }
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
