//! Lines out of an input, read, and put together into batches as a store likes them.

use std::io::{self, BufRead, Read};

use super::line_reader::{self, ImportLine};
use crate::domain::{LogId, ports::FIRST_ID_NOT_KEPT};

/// A batch has no more lines than this, nor many more bytes.
const BATCH_LINES: usize = 1000;
const BATCH_BYTES: usize = 2 << 20;
/// Far above what any store takes; longer lines are not kept in memory.
const LONGEST_LINE: usize = 64 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line that is none of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    pub number: u64,
    pub reason: String,
}

/// What a stretch of the input holds.
#[derive(Debug, Default)]
pub struct LineBatch {
    pub lines: Vec<ImportLine>,
    pub bad: Vec<BadLine>,
}

impl LineBatch {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.bad.is_empty()
    }
}

/// Takes an input apart.
pub struct LineBatches<R> {
    lines: Lines<R>,
}

impl<R: BufRead> LineBatches<R> {
    pub fn of(input: R) -> Self {
        Self { lines: Lines::of(input) }
    }

    /// The next batch; empty at the end.
    ///
    /// # Errors
    /// Where the input cannot be read on.
    pub fn read(&mut self) -> io::Result<LineBatch> {
        let (mut batch, mut bytes) = (LineBatch::default(), 0);
        while batch.lines.len() + batch.bad.len() < BATCH_LINES && bytes < BATCH_BYTES {
            let Some(number) = self.lines.advance()? else { break };
            let line = self.lines.line();
            bytes += line.len();
            let read = if self.lines.is_too_long {
                Err(format!("it is longer than {LONGEST_LINE} bytes"))
            } else {
                line_reader::read(number, line)
            };
            match read {
                Ok(line) => batch.lines.push(line),
                Err(reason) => batch.bad.push(BadLine { number, reason }),
            }
        }
        Ok(batch)
    }
}

/// The highest id in an input that can be kept, as far as its lines begin with theirs.
///
/// # Errors
/// Where the input cannot be read to its end.
pub fn highest_id(input: impl BufRead) -> io::Result<Option<LogId>> {
    let mut lines = Lines::of(input);
    let mut highest = None;
    while lines.advance()?.is_some() {
        highest = highest.max(line_reader::id_in(lines.line()).filter(|id| *id < FIRST_ID_NOT_KEPT));
    }
    Ok(highest)
}

/// Lines that are not blank, one at a time.
struct Lines<R> {
    input: R,
    held: Vec<u8>,
    number: u64,
    is_too_long: bool,
}

impl<R: BufRead> Lines<R> {
    fn of(input: R) -> Self {
        Self { input, held: Vec::new(), number: 0, is_too_long: false }
    }

    /// Goes on to the next one and returns its number, from 1, blank ones counted; `None` at the end.
    fn advance(&mut self) -> io::Result<Option<u64>> {
        loop {
            self.held.clear();
            let most = LONGEST_LINE as u64 + 1;
            if self.input.by_ref().take(most).read_until(b'\n', &mut self.held)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.is_too_long = self.held.len() > LONGEST_LINE && self.held.last() != Some(&b'\n');
            if self.is_too_long {
                self.held = Vec::new();
                self.input.skip_until(b'\n')?;
            }
            if self.is_too_long || !self.line().is_empty() {
                return Ok(Some(self.number));
            }
        }
    }

    fn line(&self) -> &[u8] {
        let line =
            if self.number == 1 { self.held.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.held) } else { &self.held };
        line.trim_ascii()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: usize) -> String {
        format!(
            r#"{{"id":{id},"eventId":"0196f1e2-7c3a-7000-8000-000000000001","userId":"u","action":"a","timestamp":"2025-05-21T12:34:56.789Z","metadata":{{}},"receivedAt":null}}"#
        )
    }

    #[test]
    fn lines_keep_their_numbers_whatever_stands_between() {
        let input = format!("\u{feff}{}\r\n\n  \nnonsense\n{}", line(7), line(3));
        let mut batches = LineBatches::of(input.as_bytes());
        let batch = batches.read().unwrap();
        let numbers: Vec<u64> = batch.lines.iter().map(|line| line.number).collect();
        assert_eq!((numbers, batch.bad.len(), batch.bad[0].number), (vec![1, 5], 1, 4));
        assert!(batches.read().unwrap().is_empty());
        assert_eq!(highest_id(input.as_bytes()).unwrap(), Some(LogId::new(7)));
        assert_eq!(highest_id(&b"\n"[..]).unwrap(), None);
    }

    #[test]
    fn batches_are_bounded() {
        let input: String = (0..2 * BATCH_LINES + 1).map(|id| line(id) + "\n").collect();
        let mut batches = LineBatches::of(input.as_bytes());
        let sizes: Vec<usize> = std::iter::repeat_with(|| batches.read().unwrap().lines.len()).take(4).collect();
        assert_eq!(sizes, [BATCH_LINES, BATCH_LINES, 1, 0]);
    }

    #[test]
    fn a_line_without_an_end_is_not_kept() {
        let long = std::io::repeat(b'x').take(LONGEST_LINE as u64 + 10).chain(&b"\n"[..]);
        let input = io::BufReader::new(long.chain(io::Cursor::new(line(1))));
        let batch = LineBatches::of(input).read().unwrap();
        assert_eq!((batch.lines.len(), batch.lines[0].number), (1, 2));
        assert!(batch.bad[0].reason.contains("longer than"));
    }
}
