//! The logs of a user who has many, in the order of their timestamps.
//!
//! No index has a user's logs in that order: it would be entered at another place by every log. So it is gone through
//! day by day, and through a day that holds many of the user's logs quarter by quarter: what is sorted is little, and what
//! lies behind the page is not looked at. A user of whom there are few is sorted at once.

use rusqlite::Connection;

use super::{
    log_query::{count_logs, walk},
    log_rows::log,
    query_plan::Plan,
};
use crate::domain::{DAY, From, LogFilter, LogQuery, LogSlice, Order, QUARTER_HOUR, SliceBuilder, Span};

/// So many logs are sorted at once in a millisecond or two.
const FEW: u64 = 1000;
/// Who counts pages further than this waits for all to be sorted.
const NEAR: u64 = 10_000;

/// `None` where sorting all that match is no more work.
pub(super) fn find(connection: &Connection, query: &LogQuery, plan: &Plan) -> rusqlite::Result<Option<LogSlice>> {
    let offset = query.offset();
    if !(query.order.is_by_timestamp() && plan.is_by_user() && offset <= NEAR) {
        return Ok(None);
    }
    let user = LogFilter { user_ids: query.filter.user_ids.clone(), ..LogFilter::default() };
    // Counted no further than it matters.
    if count_logs(connection, &user, plan, FEW + 1)? <= FEW {
        return Ok(None);
    }
    let mut timeline = Timeline { connection, query, user, skip: offset, slice: SliceBuilder::new(query.limit) };
    for day in stretches(connection, "day_counts", DAY, wanted(query), query.order)? {
        if !timeline.add_day(&day)? {
            break;
        }
    }
    Ok(Some(timeline.slice.finish()))
}

/// A day or a quarter of an hour that has logs, all of them between these ids.
struct Stretch {
    span: Span,
    ids: (i64, i64),
}

/// Those that have a part in the span, in the order that is wanted.
fn stretches(
    connection: &Connection,
    table: &'static str,
    step: i64,
    span: Span,
    order: Order,
) -> rusqlite::Result<Vec<Stretch>> {
    let direction = if order.is_descending() { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT start, first_id, last_id FROM {table} WHERE start > ? AND start < ? ORDER BY start {direction}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([span.from.saturating_sub(step), span.end], |row| {
        let start: i64 = row.get(0)?;
        let whole = Span { from: start, end: start.saturating_add(step) };
        Ok(Stretch { span: whole.within(span), ids: (row.get(1)?, row.get(2)?) })
    })?;
    rows.collect()
}

/// What the filter asks for, from the place on at which the page begins.
fn wanted(query: &LogQuery) -> Span {
    let all = Span::of(&query.filter);
    let From::After(place) = query.from else { return all };
    let Some(at) = place.timestamp else { return all };
    let at = at.as_millis();
    all.within(if query.order.is_descending() {
        Span { end: at.saturating_add(1), ..Span::ALL }
    } else {
        Span { from: at, ..Span::ALL }
    })
}

/// A page as it is gathered.
struct Timeline<'a> {
    connection: &'a Connection,
    query: &'a LogQuery,
    /// All of the user's logs, whatever else is asked for.
    user: LogFilter,
    /// So many more are before the page.
    skip: u64,
    slice: SliceBuilder,
}

impl Timeline<'_> {
    /// `false` once the page is complete.
    fn add_day(&mut self, day: &Stretch) -> rusqlite::Result<bool> {
        match count_logs(self.connection, &self.user, &Plan::by_user(day.ids), FEW + 1)? {
            0 => Ok(true),
            1..=FEW => self.add(day),
            _ => {
                let order = self.query.order;
                for quarter in stretches(self.connection, "quarter_counts", QUARTER_HOUR, day.span, order)? {
                    if !self.add(&quarter)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    fn add(&mut self, stretch: &Stretch) -> rusqlite::Result<bool> {
        let Self { connection, query, skip, slice, .. } = self;
        let filter = stretch.span.select(&query.filter);
        let room = skip.saturating_add(u64::from(query.limit) + 1);
        walk(connection, query, &filter, &Plan::by_user(stretch.ids), [room, 0], |row| {
            if *skip > 0 {
                *skip -= 1;
                return Ok(true);
            }
            Ok(slice.push(log(row)?))
        })
    }
}
