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

use crate::domain::StoredLog;

/// What an export looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// A line of JSON for each log, which an import takes.
    Ndjson,
    /// A table for people.
    Csv,
}

/// What names, quotes and times add to a log in text, about.
const FRAME: usize = 128;

impl ExportFormat {
    /// What stands before the first log.
    pub fn begin(self, text: &mut Vec<u8>) {
        match self {
            Self::Ndjson => {}
            Self::Csv => table::write_header(text),
        }
    }

    pub fn write(self, text: &mut Vec<u8>, logs: &[StoredLog]) {
        // Growing step by step would need twice the memory for a while.
        text.reserve(logs.iter().map(|log| log.bytes() + FRAME).sum());
        match self {
            Self::Ndjson => logs.iter().for_each(|log| line::write(text, log)),
            Self::Csv => table::write_rows(text, logs),
        }
    }
}
