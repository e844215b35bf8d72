//! Pages of logs: by number as old clients ask for them, and by cursor.

use std::time::Duration;

use super::{log_service::ServiceError, tip_watch::TipWatch};
use crate::domain::{
    Count, From, LogFilter, LogId, LogQuery, LogSlice, Order, PageRequest, Place, Timestamp,
    ports::{Clock, LogRepository, PortError},
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    pub filter: LogFilter,
    pub order: Order,
    pub start: PageStart,
    pub limit: u32,
    /// Whether the total is wanted.
    pub count: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageStart {
    Number(PageRequest),
    Cursor(Cursor),
}

/// Where a reader stands among the logs that he has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Everything up to here he has seen.
    pub place: Place,
    /// When he began to read; `None` once he has come to the end and waits for new logs.
    pub began: Option<Timestamp>,
}

/// A page, and where the next one begins.
#[derive(Debug)]
pub struct Page {
    pub slice: LogSlice,
    /// `None` where it was not wanted.
    pub count: Option<Count>,
    pub next: Cursor,
}

/// How far pages go.
#[derive(Debug, Clone, Copy)]
pub struct PageLimits {
    /// Totals are exact up to here.
    pub count_cap: u64,
    /// How long a query may take.
    pub max_time: Duration,
    /// How long after a log was first seen none with a lower id is expected any more.
    pub cursor_lag: Duration,
}

/// Reads pages.
pub(super) struct Pages<'a> {
    pub(super) repository: &'a dyn LogRepository,
    pub(super) clock: &'a dyn Clock,
    pub(super) tip: &'a TipWatch,
    pub(super) limits: PageLimits,
}

impl Pages<'_> {
    pub(super) async fn read(&self, query: &PageQuery) -> Result<Page, ServiceError> {
        let settled = self.tip.settled_id();
        let up_to = self.up_to(query, settled);
        let question = LogQuery {
            filter: query.filter.clone(),
            order: query.order,
            from: match query.start {
                PageStart::Number(page) => From::Offset(page.offset()),
                PageStart::Cursor(cursor) => From::After(cursor.place),
            },
            up_to,
            limit: query.limit,
            max_time: self.limits.max_time,
        };
        let slice = self.repository.find(&question).await.map_err(store_error)?;
        // A page by number that is cut short would not be that page.
        if slice.cut_short && matches!(query.start, PageStart::Number(_)) {
            return Err(ServiceError::PageTooLarge);
        }
        let count = if query.count { Some(self.count(query, &slice).await.map_err(store_error)?) } else { None };
        let next = self.next(query, &slice, settled);
        Ok(Page { slice, count, next })
    }

    /// A log with a lower id may become visible after one with a higher id. Whoever waits for new logs in the order of
    /// their ids is shown those that are old enough for that to be over; whoever began to read lately is shown all.
    fn up_to(&self, query: &PageQuery, settled: Option<LogId>) -> Option<LogId> {
        let PageStart::Cursor(cursor) = query.start else { return None };
        let began_lately = cursor.began.is_some_and(|began| self.age(began) < self.limits.cursor_lag);
        if query.order != Order::Id || began_lately {
            return None;
        }
        Some(settled.unwrap_or(LogId::new(i64::MIN)))
    }

    fn age(&self, since: Timestamp) -> Duration {
        let millis = self.clock.now().as_millis().saturating_sub(since.as_millis());
        // A clock that is behind that of another instance counts as no time passed.
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    async fn count(&self, query: &PageQuery, slice: &LogSlice) -> Result<Count, PortError> {
        let found = slice.logs.len() as u64;
        let before = match query.start {
            PageStart::Number(page) => page.offset(),
            PageStart::Cursor(_) => return self.counted(query, 0).await,
        };
        let up_to_here = before.saturating_add(found);
        // A page that is not full is the last one, and then no counting is needed.
        if !slice.more && (found > 0 || before == 0) && up_to_here <= self.limits.count_cap {
            return Ok(Count::exactly(up_to_here));
        }
        // Logs may go while the second answer is under way; a full page is never more than all.
        self.counted(query, if found > 0 { up_to_here } else { 0 }).await
    }

    async fn counted(&self, query: &PageQuery, at_least: u64) -> Result<Count, PortError> {
        let PageLimits { count_cap, max_time, .. } = self.limits;
        let count = self.repository.count(&query.filter, count_cap, max_time).await?;
        let number = if count.is_exact { count.number.max(at_least) } else { count.number };
        Ok(Count { number, ..count })
    }

    fn next(&self, query: &PageQuery, slice: &LogSlice, settled: Option<LogId>) -> Cursor {
        let settled = settled.unwrap_or(LogId::new(i64::MIN));
        let began = match query.start {
            PageStart::Number(_) => Some(self.clock.now()),
            PageStart::Cursor(cursor) => cursor.began,
        };
        let before = self.before(query, slice, settled);
        let last = slice.logs.iter().rev().find_map(Place::of).unwrap_or(before);
        if slice.more || query.order != Order::Id {
            return Cursor { place: last, began };
        }
        let held_back = last.id.min(settled).max(before.id);
        Cursor { place: Place { id: held_back, ..last }, began: None }
    }

    /// A place before the slice that no other slice has gone beyond.
    fn before(&self, query: &PageQuery, slice: &LogSlice, settled: LogId) -> Place {
        let first = slice.logs.iter().find_map(Place::of);
        match (query.start, first) {
            (PageStart::Cursor(cursor), _) => cursor.place,
            (PageStart::Number(page), _) if page.offset() == 0 => query.order.start(),
            (PageStart::Number(_), Some(first)) if query.order == Order::Id => {
                Place { id: LogId::new(first.id.get().saturating_sub(1)), ..first }
            }
            (PageStart::Number(_), Some(first)) => first,
            (PageStart::Number(_), None) if query.order == Order::Id => Place { id: settled, ..query.order.start() },
            (PageStart::Number(_), None) => query.order.end(),
        }
    }
}

pub(super) fn store_error(error: PortError) -> ServiceError {
    use crate::domain::ports::PortErrorKind::{Closed, Corrupt, Rejected, TooSlow, Unavailable};
    match error.kind() {
        Unavailable | Closed => ServiceError::StoreUnavailable(error),
        TooSlow => ServiceError::QueryTimeout(error),
        Rejected | Corrupt => ServiceError::StoreFailed(error),
    }
}
