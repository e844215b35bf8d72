//! The engine's own files and settings, for the benches that measure what bare SQLite does with them. No part of the
//! engine.

use std::path::Path;

use rusqlite::Connection;

use super::{
    database::{Trust, open_writer},
    folder::{logs_file, queue_file},
    folder_error::FolderError,
    log_rows, queue,
};

/// The folder's queue, as its writing thread opens it.
///
/// # Errors
/// Where the file cannot be used.
pub fn open_queue(folder: &Path) -> Result<Connection, FolderError> {
    open_writer(&queue_file(folder), &queue::SCHEMA, Trust::AsLeft)
}

/// The folder's logs, as their writing thread opens them.
///
/// # Errors
/// Where the file cannot be used.
pub fn open_logs(folder: &Path) -> Result<Connection, FolderError> {
    open_writer(&logs_file(folder), &log_rows::SCHEMA, Trust::AsLeft)
}
