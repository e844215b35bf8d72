//! Moving logs: out of a store as lines or as a table, and back into one.

pub mod export;
pub mod export_service;
pub mod import;
pub mod import_numbers;
pub mod line;
pub mod line_batches;
pub mod line_reader;
mod pages;
mod slots;
pub mod table;

use crate::domain::{StoredLog, StoredLogs};

/// What an export looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// A line of JSON for each log, which an import takes.
    Ndjson,
    /// A table for people.
    Csv,
}

/// What names, quotes, times and the event's id add to the texts of a log, about.
const FRAME: usize = 220;
/// After so many bytes a piece of text ends.
const PIECE_BYTES: usize = 60_000;

impl ExportFormat {
    /// What stands before the first log.
    pub fn begin(self, text: &mut Vec<u8>) {
        match self {
            Self::Ndjson => {}
            Self::Csv => table::write_header(text),
        }
    }

    pub fn write<'a>(self, text: &mut Vec<u8>, logs: impl Iterator<Item = StoredLog<'a>> + Clone) {
        // Growing step by step would need twice the memory for a while.
        text.reserve(logs.clone().map(|log| log.text_bytes() + FRAME).sum());
        match self {
            Self::Ndjson => logs.for_each(|log| line::write(text, &log)),
            Self::Csv => table::write_rows(text, logs),
        }
    }

    /// The logs as text, in pieces small enough that a processor keeps them at hand while they go out.
    pub fn pieces(self, logs: StoredLogs) -> impl Iterator<Item = Vec<u8>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let mut room = PIECE_BYTES;
            let fits = |log: &StoredLog<'_>| {
                let before = room;
                room = room.saturating_sub(log.text_bytes() + FRAME);
                before > 0
            };
            let piece = at..at + logs.range(at..logs.len()).take_while(fits).count();
            at = piece.end;
            let mut text = Vec::new();
            self.write(&mut text, logs.range(piece));
            (!text.is_empty()).then_some(text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventId, LogId};

    #[test]
    fn pieces_are_the_whole_text_and_none_is_much_larger_than_it_has_to_be() {
        let large = "x".repeat(PIECE_BYTES);
        let log = |id| StoredLog {
            id: Some(LogId::new(id)),
            event_id: EventId::from_bytes([0; 16]),
            user_id: Some(if id % 700 == 0 { &large } else { "user" }),
            action: None,
            timestamp: None,
            received_at: None,
            metadata: "{}",
        };
        let logs: StoredLogs = (0..3000).map(log).collect();
        for format in [ExportFormat::Ndjson, ExportFormat::Csv] {
            let mut whole = Vec::new();
            format.write(&mut whole, logs.iter());
            let pieces: Vec<Vec<u8>> = format.pieces(logs.clone()).collect();
            assert!(pieces.len() > 5);
            assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= 2 * PIECE_BYTES + 2 * FRAME));
            assert_eq!(pieces.concat(), whole);
        }
        assert_eq!(ExportFormat::Ndjson.pieces(StoredLogs::default()).count(), 0);
    }
}
