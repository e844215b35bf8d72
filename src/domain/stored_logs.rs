//! Stored logs with all that is kept of them, many at a time: their texts lie behind each other, so that reading millions
//! of them allocates next to nothing.

use std::ops::Range;

use super::{EventId, LogId, Timestamp};

/// A stored log with all that is kept of it. What is missing, others left out who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredLog<'a> {
    pub id: Option<LogId>,
    /// For a log that others wrote it is derived from its key.
    pub event_id: EventId,
    pub user_id: Option<&'a str>,
    pub action: Option<&'a str>,
    pub timestamp: Option<Timestamp>,
    pub received_at: Option<Timestamp>,
    /// Canonical JSON.
    pub metadata: &'a str,
}

impl StoredLog<'_> {
    /// The length of its texts.
    pub fn text_bytes(&self) -> usize {
        let text = |text: Option<&str>| text.map_or(0, str::len);
        text(self.user_id) + text(self.action) + self.metadata.len()
    }
}

/// Logs in the order in which they were pushed.
#[derive(Debug, Clone, Default)]
pub struct StoredLogs {
    text: String,
    rows: Vec<Row>,
}

/// The texts lie behind each other from `start` on.
#[derive(Debug, Clone)]
struct Row {
    id: Option<LogId>,
    timestamp: Option<Timestamp>,
    received_at: Option<Timestamp>,
    event_id: EventId,
    start: usize,
    user_id: Option<u32>,
    action: Option<u32>,
    metadata: usize,
}

impl StoredLogs {
    /// With room for about so many bytes, at most a few megabytes for now: more than is used costs nothing, as nobody touches
    /// it, and growing costs twice.
    pub fn with_room(bytes: usize) -> Self {
        let bytes = bytes.min(1 << 21);
        Self { text: String::with_capacity(bytes), rows: Vec::with_capacity(bytes / size_of::<Row>()) }
    }

    pub fn push(&mut self, log: &StoredLog<'_>) {
        let start = self.text.len();
        let StoredLog { id, event_id, user_id, action, timestamp, received_at, metadata } = *log;
        let user_id = user_id.map(|text| self.add(text));
        let action = action.map(|text| self.add(text));
        self.text.push_str(metadata);
        let metadata = metadata.len();
        self.rows.push(Row { id, timestamp, received_at, event_id, start, user_id, action, metadata });
    }

    /// A text of four gigabytes cannot be in one log.
    fn add(&mut self, text: &str) -> u32 {
        self.text.push_str(text);
        u32::try_from(text.len()).unwrap_or(u32::MAX)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What they take in memory.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.rows.len() * size_of::<Row>()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = StoredLog<'_>> + Clone {
        self.range(0..self.len())
    }

    /// Those at these places, as far as there are any.
    pub fn range(&self, places: Range<usize>) -> impl DoubleEndedIterator<Item = StoredLog<'_>> + Clone {
        self.rows.get(places).unwrap_or_default().iter().map(|row| self.log(row))
    }

    /// Takes the one with this id out, if it is there.
    pub fn remove(&mut self, id: LogId) {
        self.rows.retain(|row| row.id != Some(id));
    }

    fn log(&self, row: &Row) -> StoredLog<'_> {
        let mut rest = self.text.get(row.start..).unwrap_or_default();
        let mut next = |length: usize| {
            let (text, behind) = rest.split_at_checked(length).unwrap_or_default();
            rest = behind;
            text
        };
        StoredLog {
            id: row.id,
            event_id: row.event_id,
            user_id: row.user_id.map(|length| next(length as usize)),
            action: row.action.map(|length| next(length as usize)),
            timestamp: row.timestamp,
            received_at: row.received_at,
            metadata: next(row.metadata),
        }
    }
}

impl PartialEq for StoredLogs {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a> Extend<StoredLog<'a>> for StoredLogs {
    fn extend<T: IntoIterator<Item = StoredLog<'a>>>(&mut self, logs: T) {
        logs.into_iter().for_each(|log| self.push(&log));
    }
}

impl<'a> FromIterator<StoredLog<'a>> for StoredLogs {
    fn from_iter<T: IntoIterator<Item = StoredLog<'a>>>(logs: T) -> Self {
        let mut all = Self::default();
        all.extend(logs);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(id: i64) -> StoredLog<'static> {
        StoredLog {
            id: Some(LogId::new(id)),
            event_id: EventId::from_bytes([7; 16]),
            user_id: Some("ü"),
            action: Some("login"),
            timestamp: Some(Timestamp::from_millis(1)),
            received_at: Some(Timestamp::from_millis(2)),
            metadata: r#"{"a":1}"#,
        }
    }

    #[test]
    fn what_is_pushed_comes_back() {
        let odd = StoredLog { id: None, user_id: None, timestamp: None, received_at: None, metadata: "", ..log(0) };
        let pushed = [log(1), odd, StoredLog { action: None, ..log(2) }, StoredLog { user_id: Some(""), ..log(3) }];
        let mut logs: StoredLogs = pushed.into_iter().collect();
        assert!(logs.iter().eq(pushed));
        assert_eq!(logs.iter().next_back(), Some(pushed[3]));
        assert_eq!(logs.len(), 4);
        logs.remove(LogId::new(2));
        assert!(logs.iter().eq([pushed[0], odd, pushed[3]]));
    }

    #[test]
    fn memory_is_that_of_rows_and_texts() {
        let mut logs = StoredLogs::default();
        assert!(logs.is_empty());
        logs.push(&log(1));
        assert_eq!(logs.bytes(), size_of::<Row>() + log(1).text_bytes());
        assert_eq!(log(1).text_bytes(), 2 + 5 + 7);
    }
}
