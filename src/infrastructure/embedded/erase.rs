//! Erasing many logs, each step inside a transaction of the writing thread.

use rusqlite::{Connection, params, params_from_iter, types::Value};

use super::{
    counts::CountChanges,
    crc::RowCrc,
    id_blocks::{LOGS_BY_USER, block_of},
    log_rows::delete_one,
    metadata_index::MetadataIndexes,
};
use crate::domain::{
    ErasureFilter, LogId, Place, Timestamp,
    ports::{ErasureRequest, ErasureStep},
};

/// A log that is to go: its id, timestamp and sequence number.
type Doomed = (i64, i64, Option<i64>);

pub(super) fn erase(connection: &Connection, request: &ErasureRequest) -> rusqlite::Result<ErasureStep> {
    let doomed = doomed(connection, request)?;
    let (mut erased, mut counts) = (0, CountChanges::default());
    let indexes = MetadataIndexes::read(connection)?;
    for (id, _, seq) in &doomed {
        // The sequence number stays accounted for.
        if let Some(seq) = seq {
            connection.prepare_cached("INSERT OR IGNORE INTO forgotten (seq) VALUES (?)")?.execute([seq])?;
        }
        erased += u64::from(delete_one(connection, *id, &mut counts, &indexes)?);
    }
    counts.write(connection)?;
    let is_full = doomed.len() == request.most as usize;
    let next = doomed
        .last()
        .filter(|_| is_full)
        .map(|(id, timestamp, _)| Place { timestamp: Some(Timestamp::from_millis(*timestamp)), id: LogId::new(*id) });
    Ok(ErasureStep { erased, next })
}

/// By the order of the index that finds them, so that what is gone is not walked over again.
fn doomed(connection: &Connection, request: &ErasureRequest) -> rusqlite::Result<Vec<Doomed>> {
    let mut conditions = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let mut add = |condition, value: Value| {
        conditions.push(condition);
        values.push(value);
    };
    let (table, order) = match request.filter.user_id() {
        Some(user_id) => {
            add("user_id = ?", user_id.to_owned().into());
            let after = request.after.map_or(i64::MIN, |place| place.id.get());
            add("id > ?", after.into());
            add("block >= ?", block_of(after).into());
            (LOGS_BY_USER, "block, id")
        }
        None => {
            let from = request.after.and_then(|place| place.timestamp);
            add("timestamp >= ?", from.map_or(i64::MIN, Timestamp::as_millis).into());
            ("logs", "timestamp")
        }
    };
    if let Some(before) = request.filter.before() {
        add("timestamp < ?", before.as_millis().into());
    }
    if let Some(last) = request.received_up_to {
        add("received_at <= ?", last.as_millis().into());
    }
    let condition = conditions.join(" AND ");
    values.push(i64::from(request.most).into());
    let sql = format!("SELECT id, timestamp, seq FROM {table} WHERE {condition} ORDER BY {order} LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

/// Takes the bytes of dead letters that name the user. Where they stood, and why they are no logs, stays: the account
/// rests on it.
pub(super) fn erase_dead_letters(
    connection: &Connection,
    filter: &ErasureFilter,
    received_up_to: Option<Timestamp>,
) -> rusqlite::Result<u64> {
    let last = received_up_to.map_or(i64::MAX, Timestamp::as_millis);
    let before = filter.before().map_or(i64::MAX, Timestamp::as_millis);
    let mut statement = connection.prepare_cached(
        "SELECT rowid, event_id, position, reason, at, value FROM dead_letters
         WHERE value IS NOT NULL AND at <= ? AND at < ?",
    )?;
    let mut rows = statement.query([last, before])?;
    let mut erased = 0;
    while let Some(row) = rows.next()? {
        let value: Vec<u8> = row.get(5)?;
        if filter.user_id().is_some_and(|user| !names(&value, user)) {
            continue;
        }
        let crc = RowCrc::default()
            .blob(&row.get::<_, Vec<u8>>(1)?)
            .integer(row.get(2)?)
            .text(&row.get::<_, String>(3)?)
            .integer(row.get(4)?)
            .optional_blob(None)
            .finish();
        connection
            .prepare_cached("UPDATE dead_letters SET value = NULL, crc = ? WHERE rowid = ?")?
            .execute(params![crc, row.get::<_, i64>(0)?])?;
        erased += 1;
    }
    Ok(erased)
}

/// Whether the record is of this user, as far as it can be read.
fn names(value: &[u8], user: &str) -> bool {
    let text = String::from_utf8_lossy(value);
    let Ok(record) = serde_json::from_str::<serde_json::Value>(&text) else { return false };
    match &record["userId"] {
        serde_json::Value::String(text) => text == user,
        serde_json::Value::Number(number) => number.to_string() == user,
        serde_json::Value::Bool(value) => value.to_string() == user,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_its_user_where_it_can_be_read() {
        for value in [r#"{"userId":"u","x":1}"#, "{\"userId\":\"u\",\"action\":{}}"] {
            assert!(names(value.as_bytes(), "u"), "{value}");
        }
        assert!(names(br#"{"userId":7}"#, "7"));
        for value in ["", "{", "[]", "7", r#"{"user":"u"}"#, r#"{"userId":{"a":"u"}}"#] {
            assert!(!names(value.as_bytes(), "u"), "{value}");
        }
    }
}
