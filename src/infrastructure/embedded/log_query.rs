//! Parts of the logs in `logs.db`, and how many there are.

use rusqlite::{Connection, params_from_iter, types::Value};

use super::log_rows::{LOG_COLUMNS, log};
use crate::domain::{Count, From, LogFilter, LogQuery, LogSlice, MetadataMatch, Order, Place, SliceBuilder};

pub(super) fn find(connection: &Connection, query: &LogQuery) -> rusqlite::Result<LogSlice> {
    let mut all = Conditions::of(&query.filter);
    let offset = match query.from {
        From::Offset(offset) => i64::try_from(offset).unwrap_or(i64::MAX),
        From::After(place) => {
            all.behind(query.order, place);
            0
        }
    };
    if let Some(up_to) = query.up_to {
        all.add("id <= ?", [up_to.get()]);
    }
    // One more than is asked for tells whether more follow.
    let (condition, values) = all.with([i64::from(query.limit) + 1, offset]);
    let order = match query.order {
        Order::Id => "id",
        Order::IdDescending => "id DESC",
        Order::Timestamp => "timestamp, id",
        Order::TimestampDescending => "timestamp DESC, id DESC",
    };
    let sql = format!("SELECT {LOG_COLUMNS} FROM logs {condition} ORDER BY {order} LIMIT ? OFFSET ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut slice = SliceBuilder::new(query.limit);
    while let Some(row) = rows.next()? {
        if !slice.push(log(row)?) {
            break;
        }
    }
    Ok(slice.finish())
}

pub(super) fn count(connection: &Connection, filter: &LogFilter, cap: u64) -> rusqlite::Result<Count> {
    if filter.is_empty() {
        let stored: i64 = connection.prepare_cached("SELECT stored FROM counters")?.query_row([], |row| row.get(0))?;
        return Ok(Count::exactly(u64::try_from(stored).unwrap_or(0)));
    }
    let most = i64::try_from(cap.saturating_add(1)).unwrap_or(i64::MAX);
    let (condition, values) = Conditions::of(filter).with([most]);
    let counted: i64 = connection
        .prepare_cached(&format!("SELECT count(*) FROM (SELECT 1 FROM logs {condition} LIMIT ?)"))?
        .query_row(params_from_iter(values), |row| row.get(0))?;
    Ok(Count::capped(u64::try_from(counted).unwrap_or(0), cap))
}

/// A WHERE clause, with its values bound and never spliced in.
#[derive(Default)]
pub(super) struct Conditions {
    parts: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    pub(super) fn of(filter: &LogFilter) -> Self {
        let mut all = Self::default();
        all.add_any("user_id", &filter.user_ids);
        // A plus keeps SQLite from entering by an index of the column: a user has fewer logs than an action.
        let plus = if filter.user_ids.is_empty() { "" } else { "+" };
        all.add_actions(plus, filter);
        for (comparison, bound) in [(">=", filter.from), ("<=", filter.to)] {
            if let Some(bound) = bound {
                all.add(&format!("{plus}timestamp {comparison} ?"), [bound.as_millis()]);
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

    /// What is asked of the action alone.
    pub(super) fn of_actions(filter: &LogFilter) -> Self {
        let mut all = Self::default();
        all.add_actions("", filter);
        all
    }

    fn add_actions(&mut self, plus: &str, filter: &LogFilter) {
        self.add_any(&format!("{plus}action"), &filter.actions);
        if let Some(prefix) = &filter.action_prefix {
            self.add(&format!("{plus}action >= ?"), [prefix.clone()]);
            if let Some(end) = LogFilter::end_of_prefix(prefix) {
                self.add(&format!("{plus}action < ?"), [end]);
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
        let compared = if order.is_descending() { '<' } else { '>' };
        let id = place.id.get();
        if !order.is_by_timestamp() {
            return self.add(&format!("id {compared} ?"), [id]);
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
        Self(condition.path().join("."), condition.text().to_owned())
    }
}
