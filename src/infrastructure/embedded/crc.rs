//! The checksum of a row, over all its values: written with the row, checked by verification only.

use crc32fast::Hasher;
use rusqlite::{Row, types::ValueRef};

/// Adds up a row's values in the order of its columns. Each is preceded by its kind and length, so that values do not
/// run together.
#[derive(Default)]
pub(super) struct RowCrc(Hasher);

impl RowCrc {
    pub(super) fn integer(mut self, value: i64) -> Self {
        self.0.update(b"i");
        self.0.update(&value.to_le_bytes());
        self
    }

    pub(super) fn optional_integer(self, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.integer(value),
            None => self.null(),
        }
    }

    pub(super) fn text(self, value: &str) -> Self {
        self.sized(b't', value.as_bytes())
    }

    pub(super) fn blob(self, value: &[u8]) -> Self {
        self.sized(b'b', value)
    }

    pub(super) fn optional_blob(self, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.blob(value),
            None => self.null(),
        }
    }

    fn null(mut self) -> Self {
        self.0.update(b"n");
        self
    }

    fn sized(mut self, kind: u8, value: &[u8]) -> Self {
        self.0.update(&[kind]);
        self.0.update(&(value.len() as u64).to_le_bytes());
        self.0.update(value);
        self
    }

    pub(super) fn finish(self) -> i64 {
        i64::from(self.0.finalize())
    }

    /// The checksum that the row's first columns should have, whatever has become of them.
    pub(super) fn of_row(row: &Row<'_>, columns: usize) -> rusqlite::Result<i64> {
        let mut crc = Self::default();
        for column in 0..columns {
            crc = match row.get_ref(column)? {
                ValueRef::Null => crc.null(),
                ValueRef::Integer(value) => crc.integer(value),
                ValueRef::Real(value) => crc.sized(b'r', &value.to_le_bytes()),
                ValueRef::Text(value) => crc.sized(b't', value),
                ValueRef::Blob(value) => crc.blob(value),
            };
        }
        Ok(crc.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_read_back_has_the_checksum_it_was_written_with() {
        let written = RowCrc::default().integer(7).blob(b"id").text("ü").optional_integer(None).optional_blob(None);
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let read = connection.query_row("SELECT 7, x'6964', 'ü', NULL, NULL", [], |row| RowCrc::of_row(row, 5));
        assert_eq!(read.unwrap(), written.finish());
    }

    #[test]
    fn values_do_not_run_together() {
        let texts = |one, two| RowCrc::default().text(one).text(two).finish();
        assert_ne!(texts("ab", "c"), texts("a", "bc"));
        assert_ne!(RowCrc::default().text("a").finish(), RowCrc::default().blob(b"a").finish());
        assert_ne!(RowCrc::default().optional_blob(Some(b"")).finish(), RowCrc::default().optional_blob(None).finish());
    }
}
