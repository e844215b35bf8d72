//! By which way the logs that a filter selects are found. SQLite knows nothing of how they are spread; the kept counts
//! do.

use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::{
    id_blocks::LOGS_BY_USER,
    kept_counts::{Extent, logs_of_actions},
    log_query::Conditions,
    metadata_index::Hits,
};
use crate::domain::{LogFilter, Order, Span};

/// How many of a user's logs are looked at to see how frequent they are.
const SAMPLE: u64 = 200;

/// Where the walk over the logs goes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// SQLite finds out.
    Any,
    ById,
    ByUser,
    ByAction,
    ByTime,
    ByMetadata(Hits),
}

impl Entry {
    /// Where all that match are looked at, however many they are.
    pub(super) fn to_all_of(filter: &LogFilter) -> Self {
        // A user has fewer logs than an action or a stretch of time.
        if filter.user_ids.is_empty() || filter.event_id.is_some() { Self::Any } else { Self::ByUser }
    }

    pub(super) fn table(&self) -> &'static str {
        match self {
            Self::Any => "logs",
            Self::ById => "logs NOT INDEXED",
            Self::ByUser => LOGS_BY_USER,
            Self::ByAction => "logs INDEXED BY logs_action",
            Self::ByTime => "logs INDEXED BY logs_timestamp",
            Self::ByMetadata(_) => "metadata_values CROSS JOIN logs ON logs.id = log_id",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    entry: Entry,
    /// Every log that is wanted is within.
    ids: Option<(i64, i64)>,
}

impl Plan {
    /// For a stretch that is short, whatever else is asked for.
    pub(super) const BY_TIME: Self = Self { entry: Entry::ByTime, ids: None };

    fn open(filter: &LogFilter) -> Self {
        Self { entry: Entry::to_all_of(filter), ids: None }
    }

    /// For so many logs in this order. `None`: there is none.
    pub(super) fn of(
        connection: &Connection,
        filter: &LogFilter,
        order: Order,
        wanted: u64,
    ) -> rusqlite::Result<Option<Self>> {
        let span = Span::of(filter);
        let has_window = span != Span::ALL;
        let by_time = order.is_by_timestamp();
        let by_one_action = filter.actions.len() == 1 && filter.action_prefix.is_none();
        let of_both = by_one_action && !by_time && filter.user_ids.len() == 1;
        if filter.event_id.is_some() || (!has_window && !filter.user_ids.is_empty() && !of_both) {
            return Ok(Some(Self::open(filter)));
        }
        let in_order = filter.takes_every_action() || (by_one_action && !by_time);
        let hits = if filter.user_ids.is_empty() { Hits::of(connection, filter)? } else { None };
        if !has_window && !of_both && in_order && hits.is_none() {
            return Ok(Some(Self::open(filter)));
        }
        let Some(window) = Extent::of(connection, span)? else { return Ok(None) };
        let ids = has_window.then_some((window.first_id, window.last_id));
        if !filter.user_ids.is_empty() {
            let by_action = of_both && action_is_rarer(connection, filter, order, window)?;
            return Ok(Some(Self { entry: if by_action { Entry::ByAction } else { Entry::ByUser }, ids }));
        }
        if let Some(hits) = hits
            && (!by_time || hits.are_few(connection)?)
        {
            return Ok(Some(Self { entry: Entry::ByMetadata(hits), ids }));
        }
        let matching = if filter.takes_every_action() { window.logs } else { logs_of_actions(connection, filter)? };
        let costs = Costs { window, matching, wanted, by_time };
        let by_action = match (filter.takes_every_action(), by_one_action) {
            (true, _) => None,
            (false, true) => Some(costs.by_one_action()),
            (false, false) => Some(costs.by_actions()),
        };
        let ways = [(Entry::ById, costs.by_id()), (Entry::ByAction, by_action), (Entry::ByTime, Some(costs.by_time()))];
        let known = ways.into_iter().filter_map(|(entry, rows)| Some((entry, rows?)));
        let best = known.min_by_key(|(_, rows)| *rows);
        Ok(best.filter(|_| matching > 0).map(|(entry, _)| Self { entry, ids }))
    }

    /// For a user's logs between these ids.
    pub(super) fn by_user(ids: (i64, i64)) -> Self {
        Self { entry: Entry::ByUser, ids: Some(ids) }
    }

    pub(super) fn is_by_user(&self) -> bool {
        self.entry == Entry::ByUser
    }

    pub(super) fn table(&self) -> &'static str {
        self.entry.table()
    }

    /// The conditions of the filter, and what keeps the walk short.
    pub(super) fn conditions(&self, filter: &LogFilter) -> Conditions {
        let mut all = match &self.entry {
            Entry::ByMetadata(hits) => Conditions::of_hits(hits, filter),
            Entry::ByUser => Conditions::of_blocks(filter),
            Entry::Any | Entry::ById | Entry::ByAction | Entry::ByTime => Conditions::of(filter),
        };
        if let Some((first, last)) = self.ids {
            all.add_id(">=", first);
            all.add_id("<=", last);
        }
        all
    }
}

/// Whether the user has more logs than the action where the walk begins, by how far the first of his lie apart.
fn action_is_rarer(
    connection: &Connection,
    filter: &LogFilter,
    order: Order,
    window: Extent,
) -> rusqlite::Result<bool> {
    let of_user = LogFilter { user_ids: filter.user_ids.clone(), ..LogFilter::default() };
    let plan = Plan::by_user((window.first_id, window.last_id));
    let all = plan.conditions(&of_user);
    let begin = if order.is_descending() { window.last_id } else { window.first_id };
    let (table, order) = (plan.table(), all.order_of_ids(order.is_descending()));
    let (condition, values) = all.with([]);
    let sql = format!("SELECT id FROM {table} {condition} ORDER BY {order} LIMIT 1 OFFSET {SAMPLE}");
    let sample: Option<i64> =
        connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0)).optional()?;
    let Some(sample) = sample else { return Ok(false) };
    let of_action = logs_of_actions(connection, filter)?;
    // One in so many logs is the user's, one in so many has the action.
    let user = sample.abs_diff(begin) / SAMPLE;
    Ok(scaled(1, window.width(), of_action) > user)
}

/// How many rows each way looks at, if the logs that match are spread evenly between the ids of their time.
#[derive(Debug, Clone, Copy)]
struct Costs {
    window: Extent,
    matching: u64,
    wanted: u64,
    by_time: bool,
}

impl Costs {
    /// Of so many rows, which come in the order that is wanted.
    fn until_found(self, rows: u64) -> u64 {
        rows.min(scaled(self.wanted, rows, self.matching))
    }

    fn by_id(self) -> Option<u64> {
        (!self.by_time).then(|| self.until_found(self.window.width()))
    }

    fn by_one_action(self) -> u64 {
        if self.by_time { self.by_actions() } else { self.until_found(self.by_actions()) }
    }

    fn by_actions(self) -> u64 {
        scaled(self.matching, self.window.width(), self.window.logs)
    }

    fn by_time(self) -> u64 {
        if self.by_time { self.until_found(self.window.logs) } else { self.window.logs }
    }
}

fn scaled(number: u64, by: u64, of: u64) -> u64 {
    u64::try_from(u128::from(number) * u128::from(by) / u128::from(of.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(costs: Costs) -> Entry {
        let ways = [
            (Entry::ById, costs.by_id().unwrap_or(u64::MAX)),
            (Entry::ByAction, costs.by_one_action()),
            (Entry::ByTime, costs.by_time()),
        ];
        ways.into_iter().min_by_key(|(_, rows)| *rows).unwrap().0
    }

    #[test]
    fn the_way_with_the_fewest_rows_is_taken() {
        let day = Extent { logs: 100_000, first_id: 1_000_000, last_id: 1_099_999 };
        let spread_day = Extent { first_id: 0, last_id: 9_999_999, ..day };
        let quarter = Extent { logs: 500, ..spread_day };
        for (window, matching, by_time, expected) in [
            (day, 20_000, false, Entry::ByAction),
            (day, 100, false, Entry::ByAction),
            (spread_day, 20_000, false, Entry::ByAction),
            (quarter, 100, false, Entry::ByTime),
            (day, 20_000, true, Entry::ByTime),
            (day, 100, true, Entry::ByAction),
        ] {
            let costs = Costs { window, matching, wanted: 11, by_time };
            assert_eq!(best(costs), expected, "{costs:?}");
        }
    }
}
