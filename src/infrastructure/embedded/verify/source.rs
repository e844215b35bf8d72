//! The tables that account for sequence numbers, each read in the order of those numbers.

use std::fmt;

use rusqlite::{CachedStatement, Connection, Row, Rows, types::ValueRef};

use super::super::crc::RowCrc;
use crate::domain::EventId;

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Log,
    Tombstone,
    Duplicate,
    DeadLetter,
    /// A deleted log whose tombstone is gone.
    Forgotten,
    Queued,
}

/// How a table is read: from behind a key, in the order of the key.
pub(super) struct Source {
    pub(super) kind: Kind,
    sql: &'static str,
    /// The column that is read behind: the sequence number, but for logs their id, which grows with it.
    key: usize,
    seq: usize,
    event: Option<usize>,
    /// The column of the checksum, which is over all columns before it.
    crc: Option<usize>,
}

pub(super) const LOGS: Source = Source {
    kind: Kind::Log,
    sql: "SELECT id, event_id, user_id, action, timestamp, received_at, metadata, seq, crc FROM logs
          WHERE id > ? ORDER BY id",
    key: 0,
    seq: 7,
    event: Some(1),
    crc: Some(8),
};

/// Everything but the logs that a number can be found in.
pub(super) const OTHERS: [Source; 4] = [
    Source {
        kind: Kind::Tombstone,
        sql: "SELECT event_id, at, seq, crc FROM tombstones WHERE seq > ? ORDER BY seq",
        key: 2,
        seq: 2,
        event: Some(0),
        crc: Some(3),
    },
    Source {
        kind: Kind::Duplicate,
        sql: "SELECT seq, event_id, crc FROM duplicates WHERE seq > ? ORDER BY seq",
        key: 0,
        seq: 0,
        event: Some(1),
        crc: Some(2),
    },
    Source {
        kind: Kind::DeadLetter,
        sql: "SELECT event_id, position, reason, at, value, crc FROM dead_letters WHERE position > ? ORDER BY position",
        key: 1,
        seq: 1,
        event: Some(0),
        crc: Some(5),
    },
    Source {
        kind: Kind::Forgotten,
        sql: "SELECT seq FROM forgotten WHERE seq > ? ORDER BY seq",
        key: 0,
        seq: 0,
        event: None,
        crc: None,
    },
];

/// Tombstones of logs from before there was a sequence: by the row's place, as they have no number.
pub(super) const UNNUMBERED_TOMBSTONES: &str =
    "SELECT event_id, at, seq, crc FROM tombstones WHERE seq IS NULL AND event_id > ? ORDER BY event_id LIMIT ?";

pub(super) const QUEUE: Source = Source {
    kind: Kind::Queued,
    sql: "SELECT seq, event_id, received_at, value, crc FROM events WHERE seq > ? ORDER BY seq",
    key: 0,
    seq: 0,
    event: Some(1),
    crc: Some(4),
};

impl Source {
    pub(super) fn prepare<'c>(&self, connection: &'c Connection) -> rusqlite::Result<CachedStatement<'c>> {
        connection.prepare_cached(self.sql)
    }

    pub(super) fn found(&self, row: &Row<'_>) -> rusqlite::Result<Found> {
        let soundness = match self.crc {
            None => Soundness::Sound,
            Some(column) => soundness(row, column)?,
        };
        Ok(Found {
            kind: self.kind,
            key: integer(row, self.key)?.unwrap_or(i64::MAX),
            seq: integer(row, self.seq)?,
            event: self.event.map(|column| event(row, column)).transpose()?.flatten(),
            soundness,
        })
    }
}

pub(super) fn found_unnumbered(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found { kind: Kind::Tombstone, key: 0, seq: None, event: event(row, 0)?, soundness: soundness(row, 3)? })
}

/// Whatever a damaged row holds, it is read.
fn integer(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<i64>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Integer(value) => Some(value),
        _ => None,
    })
}

fn event(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<EventId>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Blob(bytes) => bytes.try_into().ok().map(EventId::from_bytes),
        _ => None,
    })
}

fn soundness(row: &Row<'_>, crc: usize) -> rusqlite::Result<Soundness> {
    Ok(match row.get_ref(crc)? {
        ValueRef::Null => Soundness::Unchecked,
        ValueRef::Integer(found) if found == RowCrc::of_row(row, crc)? => Soundness::Sound,
        _ => Soundness::Changed,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Soundness {
    Sound,
    /// It has no checksum, as rows from before there was a sequence.
    Unchecked,
    Changed,
}

/// A row as far as verification is concerned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) key: i64,
    pub(super) seq: Option<i64>,
    event: Option<EventId>,
    pub(super) soundness: Soundness,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Log => write!(f, "log {}", self.key),
            Kind::Tombstone => f.write_str("tombstone"),
            Kind::Duplicate => f.write_str("duplicate"),
            Kind::DeadLetter => f.write_str("dead letter"),
            Kind::Forgotten => f.write_str("forgotten tombstone"),
            Kind::Queued => f.write_str("queued event"),
        }?;
        let event = self.event.map(|event| format!("event {event}"));
        let seq = self.seq.map(|seq| format!("sequence {seq}"));
        let details: Vec<String> = event.into_iter().chain(seq).collect();
        if details.is_empty() { Ok(()) } else { write!(f, " ({})", details.join(", ")) }
    }
}

/// A table that is being read, with its next row.
pub(super) struct Stream<'s> {
    source: &'static Source,
    rows: Rows<'s>,
    pub(super) head: Option<Found>,
}

impl<'s> Stream<'s> {
    pub(super) fn open(
        source: &'static Source,
        statement: &'s mut CachedStatement<'_>,
        after: i64,
    ) -> rusqlite::Result<Self> {
        let mut stream = Self { source, rows: statement.query([after])?, head: None };
        stream.advance()?;
        Ok(stream)
    }

    pub(super) fn advance(&mut self) -> rusqlite::Result<()> {
        self.head = self.rows.next()?.map(|row| self.source.found(row)).transpose()?;
        Ok(())
    }
}
