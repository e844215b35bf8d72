//! Parts of the logs in `logs.db`, and how many there are.

use rusqlite::{Connection, Row, params_from_iter, types::Value};

use super::{
    id_blocks::block_of,
    kept_counts::sum_of_actions,
    log_rows::{LOG_COLUMNS, log},
    metadata_index::Hits,
    query_plan::Plan,
    user_timeline,
};
use crate::domain::{
    Count, From, LogFilter, LogQuery, LogSlice, MetadataMatch, Order, Place, QUARTER_HOUR, SliceBuilder, Span,
};

pub(super) fn find(connection: &Connection, query: &LogQuery) -> rusqlite::Result<LogSlice> {
    let mut slice = SliceBuilder::new(query.limit);
    let offset = query.offset();
    let wanted = offset.saturating_add(u64::from(query.limit) + 1);
    let Some(plan) = Plan::of(connection, &query.filter, query.order, wanted)? else { return Ok(slice.finish()) };
    if let Some(slice) = user_timeline::find(connection, query, &plan)? {
        return Ok(slice);
    }
    // One more than is asked for tells whether more follow.
    let most = u64::from(query.limit) + 1;
    walk(connection, query, &query.filter, &plan, [most, offset], |row| Ok(slice.push(log(row)?)))?;
    Ok(slice.finish())
}

/// Goes through the logs that the filter selects, in the order and from the place that the query asks for, at `most` so
/// many behind the first `offset`. Returns `false` where `each` wanted no more.
pub(super) fn walk(
    connection: &Connection,
    query: &LogQuery,
    filter: &LogFilter,
    plan: &Plan,
    [most, offset]: [u64; 2],
    mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<bool>,
) -> rusqlite::Result<bool> {
    let mut all = plan.conditions(filter);
    all.from(query);
    let (table, order) = (plan.table(), all.order(query.order));
    let (condition, values) = all.with([most, offset].map(|number| i64::try_from(number).unwrap_or(i64::MAX)));
    let sql = format!("SELECT {LOG_COLUMNS} FROM {table} {condition} ORDER BY {order} LIMIT ? OFFSET ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        if !each(row)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn count(connection: &Connection, filter: &LogFilter, cap: u64) -> rusqlite::Result<Count> {
    if filter.is_empty() {
        let stored: i64 = connection.prepare_cached("SELECT stored FROM counters")?.query_row([], |row| row.get(0))?;
        return Ok(Count::exactly(u64::try_from(stored).unwrap_or(0)));
    }
    let most = cap.saturating_add(1);
    if !filter.is_of_actions() {
        let Some(plan) = Plan::of(connection, filter, Order::Id, most)? else { return Ok(Count::exactly(0)) };
        return Ok(Count::capped(count_logs(connection, filter, &plan, most)?, cap));
    }
    let (before, whole, behind) = Span::of(filter).split(QUARTER_HOUR);
    let mut counted = sum_of_actions(connection, filter, whole)?;
    for part in [before, behind] {
        if counted < most && !part.is_empty() {
            counted += count_logs(connection, &part.select(filter), &Plan::BY_TIME, most - counted)?;
        }
    }
    Ok(Count::capped(counted, cap))
}

pub(super) fn count_logs(connection: &Connection, filter: &LogFilter, plan: &Plan, most: u64) -> rusqlite::Result<u64> {
    let (condition, values) = plan.conditions(filter).with([i64::try_from(most).unwrap_or(i64::MAX)]);
    let table = plan.table();
    let counted: i64 = connection
        .prepare_cached(&format!("SELECT count(*) FROM (SELECT 1 FROM {table} {condition} LIMIT ?)"))?
        .query_row(params_from_iter(values), |row| row.get(0))?;
    Ok(u64::try_from(counted).unwrap_or(0))
}

/// What the walk over the logs begins with, which knows of their ids before they are looked at.
#[derive(Debug, Default, Clone, Copy)]
enum Leader {
    #[default]
    Logs,
    /// An index of metadata, in which the id has another name.
    Hits,
    /// The blocks of ids.
    Blocks,
}

/// A WHERE clause, with its values bound and never spliced in.
#[derive(Default)]
pub(super) struct Conditions {
    leader: Leader,
    parts: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    pub(super) fn of(filter: &LogFilter) -> Self {
        let mut all = Self::default();
        all.add_any("user_id", &filter.user_ids);
        all.add_actions(filter);
        for (comparison, bound) in [(">=", filter.from), ("<=", filter.to)] {
            if let Some(bound) = bound {
                all.add(&format!("timestamp {comparison} ?"), [bound.as_millis()]);
            }
        }
        if let Some(event_id) = filter.event_id {
            all.add("event_id = ?", [event_id.as_bytes().to_vec()]);
        }
        for MetadataCondition(path, text) in filter.metadata.iter().map(MetadataCondition::of) {
            all.add("metadata_has(metadata, ?, ?)", [path, text]);
        }
        all
    }

    /// Of the logs that the index has, which is joined to them.
    pub(super) fn of_hits(hits: &Hits, filter: &LogFilter) -> Self {
        let mut all = Self::of(filter);
        all.add("number = ?", [hits.number]);
        all.add("value = ?", [hits.value.clone()]);
        Self { leader: Leader::Hits, ..all }
    }

    /// Of the logs of some users, which are found block by block.
    pub(super) fn of_blocks(filter: &LogFilter) -> Self {
        Self { leader: Leader::Blocks, ..Self::of(filter) }
    }

    /// What the question asks for besides its filter.
    fn from(&mut self, query: &LogQuery) {
        if let From::After(place) = query.from {
            self.behind(query.order, place);
        }
        if let Some(up_to) = query.up_to {
            self.add_id("<=", up_to.get());
        }
    }

    fn order(&self, order: Order) -> &'static str {
        match order {
            Order::Id | Order::IdDescending => self.order_of_ids(order.is_descending()),
            Order::Timestamp => "timestamp, id",
            Order::TimestampDescending => "timestamp DESC, id DESC",
        }
    }

    pub(super) fn order_of_ids(&self, is_descending: bool) -> &'static str {
        match (self.leader, is_descending) {
            (Leader::Logs, false) => "id",
            (Leader::Logs, true) => "id DESC",
            (Leader::Hits, false) => "log_id",
            (Leader::Hits, true) => "log_id DESC",
            (Leader::Blocks, false) => "block, id",
            (Leader::Blocks, true) => "block DESC, id DESC",
        }
    }

    /// `id`, of all that are wanted, compared with this one: `<`, `<=`, `>` or `>=`.
    pub(super) fn add_id(&mut self, comparison: &str, id: i64) {
        match self.leader {
            Leader::Hits => self.add(&format!("log_id {comparison} ?"), [id]),
            Leader::Logs => self.add(&format!("id {comparison} ?"), [id]),
            Leader::Blocks => {
                self.add(&format!("id {comparison} ?"), [id]);
                let comparison = comparison.trim_end_matches('=');
                self.add(&format!("block {comparison}= ?"), [block_of(id)]);
            }
        }
    }

    /// What is asked of the action alone.
    pub(super) fn of_actions(filter: &LogFilter) -> Self {
        let mut all = Self::default();
        all.add_actions(filter);
        all
    }

    fn add_actions(&mut self, filter: &LogFilter) {
        self.add_any("action", &filter.actions);
        if let Some(prefix) = &filter.action_prefix {
            self.add("action >= ?", [prefix.clone()]);
            if let Some(end) = LogFilter::end_of_prefix(prefix) {
                self.add("action < ?", [end]);
            }
        }
    }

    fn add_any(&mut self, column: &str, texts: &[String]) {
        if !texts.is_empty() {
            self.add(&format!("{column} IN ({})", vec!["?"; texts.len()].join(",")), texts.iter().cloned());
        }
    }

    /// By timestamp there are two: the first is what the index is entered by, the second leaves out what has the very
    /// timestamp and stands before. Every row has a timestamp, so the place before all is never one of them.
    fn behind(&mut self, order: Order, place: Place) {
        let compared = if order.is_descending() { "<" } else { ">" };
        let id = place.id.get();
        if !order.is_by_timestamp() {
            return self.add_id(compared, id);
        }
        match place.timestamp {
            Some(at) => {
                let at = at.as_millis();
                self.add(&format!("timestamp {compared}= ?"), [at]);
                self.add(&format!("(timestamp {compared} ? OR id {compared} ?)"), [at, id]);
            }
            None if order.is_descending() => self.add("0", [0_i64; 0]),
            None => {}
        }
    }

    pub(super) fn add<V: Into<Value>>(&mut self, condition: &str, values: impl IntoIterator<Item = V>) {
        self.parts.push(condition.to_owned());
        self.values.extend(values.into_iter().map(Into::into));
    }

    /// With the values that follow it.
    pub(super) fn with<const N: usize>(mut self, more: [i64; N]) -> (String, Vec<Value>) {
        self.values.extend(more.map(Value::from));
        let all = self.parts.join(" AND ");
        (if all.is_empty() { all } else { format!("WHERE {all}") }, self.values)
    }
}

/// A condition as the function `metadata_has` takes it.
struct MetadataCondition(String, String);

impl MetadataCondition {
    fn of(condition: &MetadataMatch) -> Self {
        Self(condition.path().to_string(), condition.text().to_owned())
    }
}
