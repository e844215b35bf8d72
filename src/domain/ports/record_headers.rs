//! A record's headers.

use std::fmt;

/// Names and values in the order in which they came, in one piece of memory: a record has several, and there are tens
/// of thousands of records a second.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RecordHeaders {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    name_end: usize,
    /// A header without a value is not one with an empty value.
    has_value: bool,
    end: usize,
}

impl RecordHeaders {
    /// With room for so many headers of an ordinary size.
    pub fn with_capacity(headers: usize) -> Self {
        Self { bytes: Vec::with_capacity(24 * headers), entries: Vec::with_capacity(headers) }
    }

    pub fn push(&mut self, name: &str, value: Option<&[u8]>) {
        self.bytes.extend_from_slice(name.as_bytes());
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.entries.push(Entry { name_end, has_value: value.is_some(), end: self.bytes.len() });
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let starts = std::iter::once(0).chain(self.entries.iter().map(|entry| entry.end));
        self.entries.iter().zip(starts).map(|(entry, start)| {
            let name = str::from_utf8(&self.bytes[start..entry.name_end]).unwrap_or_default();
            (name, entry.has_value.then_some(&self.bytes[entry.name_end..entry.end]))
        })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Names and values together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl<'a> FromIterator<(&'a str, Option<&'a [u8]>)> for RecordHeaders {
    fn from_iter<I: IntoIterator<Item = (&'a str, Option<&'a [u8]>)>>(headers: I) -> Self {
        let mut collected = Self::default();
        headers.into_iter().for_each(|(name, value)| collected.push(name, value));
        collected
    }
}

impl fmt::Debug for RecordHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, value.map(String::from_utf8_lossy)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_out_as_they_went_in() {
        let headers = [("a", Some(&b"1"[..])), ("", None), ("a", Some(&b""[..])), ("b", Some(&b"\xff"[..]))];
        let kept: RecordHeaders = headers.into_iter().collect();
        assert_eq!(kept.iter().collect::<Vec<_>>(), headers);
        assert_eq!((kept.len(), kept.bytes()), (4, 5));
    }
}
