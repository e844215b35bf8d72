//! Reading `logs.db` from end to end, with all that is kept of each log.

use async_trait::async_trait;
use rusqlite::{Connection, params_from_iter};

use super::{
    log_rows::{STORED_COLUMNS, push_stored},
    query_plan::Plan,
    read_pool::ReadPool,
    store::EmbeddedStore,
};
use crate::domain::{
    ExportPart, ExportQuery, ExportRange, LogId, Order, PartBuilder,
    ports::{LogExport, PortError},
};

#[async_trait]
impl LogExport for EmbeddedStore {
    async fn newest(&self) -> Result<Option<LogId>, PortError> {
        newest(self.readers()).await
    }

    async fn part(&self, query: &ExportQuery) -> Result<ExportPart, PortError> {
        part(self.readers(), query).await
    }
}

pub(super) async fn newest(readers: &ReadPool) -> Result<Option<LogId>, PortError> {
    let highest = |connection: &Connection| {
        connection.query_row("SELECT max(id) FROM logs", [], |row| row.get::<_, Option<i64>>(0))
    };
    Ok(readers.read(highest).await?.map(LogId::new))
}

pub(super) async fn part(readers: &ReadPool, query: &ExportQuery) -> Result<ExportPart, PortError> {
    match query.range.clone() {
        ExportRange::Numbered { from, to } => {
            let query = query.clone();
            readers.read_within(query.max_time, move |connection| numbered(connection, &query, from, to)).await
        }
        // The id is the key of the table: every log has one.
        ExportRange::Unnumbered { .. } => Ok(PartBuilder::new(query).finish(None)),
    }
}

fn numbered(connection: &Connection, query: &ExportQuery, from: LogId, to: LogId) -> rusqlite::Result<ExportPart> {
    let mut part = PartBuilder::new(query);
    let wanted = u64::try_from(query.rows).unwrap_or(u64::MAX).saturating_add(1);
    let Some(plan) = Plan::of(connection, &query.filter, Order::Id, wanted)? else { return Ok(part.finish(None)) };
    let mut all = plan.conditions(&query.filter);
    all.add_id(">=", from.get());
    all.add_id("<=", to.get());
    // One more than is wanted tells where the rest begins.
    let (table, order) = (plan.table(), all.order_of_ids(false));
    let (condition, values) = all.with([i64::try_from(query.rows + 1).unwrap_or(i64::MAX)]);
    let sql = format!("SELECT {STORED_COLUMNS} FROM {table} {condition} ORDER BY {order} LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        if part.is_full() {
            let from = LogId::new(row.get(0)?);
            return Ok(part.finish(Some(ExportRange::Numbered { from, to })));
        }
        push_stored(&mut part, row)?;
    }
    Ok(part.finish(None))
}
