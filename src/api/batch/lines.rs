//! Lines of JSON: taken as they arrive, with no more than a few of them in memory.

use super::{BEYOND, BatchBody, BatchIntake, PIECE, Share, Taken, too_many_items, window};
use crate::api::{error::ApiError, error_code::ErrorCode, state::LogState};

/// So many lines are expected of the next piece; where there are more, room for their results is set aside after it.
const LINES_AHEAD: usize = 500;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What may stand around an item in its line without counting: the mark, and the `\r` of an end in two bytes.
const AROUND: usize = 4;

pub(super) async fn take<'a>(
    state: &'a LogState,
    body: &mut BatchBody,
    mut intake: BatchIntake<'a>,
) -> Result<Taken<'a>, ApiError> {
    let limits = &state.intake;
    let mut share = Share::of(&limits.budget);
    let mut lines = Lines::new(limits.max_body_bytes);
    let broken = loop {
        // Room for what was announced at once: better to take nothing than half of it.
        let window = window(limits).min(body.announced().max(lines.read() + PIECE));
        let needed = window + body.keeps(lines.read());
        let room = share.grow_to(needed.min(limits.max_batch_bytes));
        if let Err(full) = room.and_then(|()| intake.set_room_aside(intake.items() + LINES_AHEAD)) {
            break Some(full);
        }
        match body.read(lines.room(), PIECE).await {
            Ok(0) => break None,
            Ok(_) => {}
            Err(broken) => break Some(broken),
        }
        while let Some(line) = lines.next() {
            take_line(&mut intake, state, line).await;
        }
        let most = (BEYOND * limits.max_batch_bytes, BEYOND * limits.max_batch_items);
        if lines.read() > most.0 || intake.items() > most.1 {
            break Some(ApiError::new(ErrorCode::BatchLimit, "far beyond MAX_BATCH_ITEMS or MAX_BATCH_BYTES"));
        }
    };
    if broken.is_none()
        && let Some(last) = lines.end()
    {
        take_line(&mut intake, state, last).await;
    }
    match broken {
        Some(broken) if intake.items() == 0 => return Err(broken),
        Some(broken) => intake.not_read(&broken).await,
        None if intake.items() == 0 => return Err(ApiError::new(ErrorCode::EmptyBatch, "the body holds no lines")),
        None => {}
    }
    Ok(intake.finish().await)
}

async fn take_line(intake: &mut BatchIntake<'_>, state: &LogState, line: Line<'_>) {
    let limits = &state.intake;
    if intake.items() >= limits.max_batch_items {
        intake.reject(too_many_items(limits.max_batch_items)).await;
    } else if line.end > limits.max_batch_bytes {
        let detail = format!("MAX_BATCH_BYTES is {} bytes, after unpacking", limits.max_batch_bytes);
        intake.reject(ApiError::new(ErrorCode::BatchLimit, detail)).await;
    } else {
        match line.text {
            Some(text) => intake.add(text).await,
            None => intake.reject(intake.too_long()).await,
        }
    }
}

/// A line that is not blank.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    /// `None`: longer than an item may be; it was not kept.
    text: Option<&'a [u8]>,
    /// Where in the body it ends.
    end: usize,
}

/// Puts lines together from pieces of any size.
struct Lines {
    longest: usize,
    /// The line in hand, and what was read beyond it.
    held: Vec<u8>,
    /// How much of the body is held no more.
    passed: usize,
    /// Where in `held` the line in hand begins, and up to where no end of it was found.
    begin: usize,
    looked: usize,
    /// The line in hand is too long, and is thrown away as it comes.
    skipping: bool,
    /// What was thrown away of it is blank.
    skipped_blank: bool,
}

impl Lines {
    fn new(longest: usize) -> Self {
        Self { longest, held: Vec::new(), passed: 0, begin: 0, looked: 0, skipping: false, skipped_blank: true }
    }

    /// Where the next piece goes.
    fn room(&mut self) -> &mut Vec<u8> {
        self.held.drain(..self.begin);
        self.passed += self.begin;
        self.looked -= self.begin;
        self.begin = 0;
        &mut self.held
    }

    /// How much of the body has come.
    fn read(&self) -> usize {
        self.passed + self.held.len()
    }

    /// The next line whose end has come.
    fn next(&mut self) -> Option<Line<'_>> {
        let (begin, end, skipped) = loop {
            let Some(length) = memchr::memchr(b'\n', &self.held[self.looked..]) else {
                self.looked = self.held.len();
                if self.looked - self.begin > self.longest + AROUND {
                    self.skipped_blank &= is_blank(&self.held[self.begin..]);
                    self.skipping = true;
                    self.begin = self.looked;
                }
                return None;
            };
            let (begin, end) = (self.begin, self.looked + length);
            self.begin = end + 1;
            self.looked = self.begin;
            let skipped = std::mem::take(&mut self.skipping);
            let blank = std::mem::replace(&mut self.skipped_blank, true) && is_blank(&self.held[begin..end]);
            if !blank {
                break (begin, end, skipped);
            }
        };
        Some(self.line(begin, end, skipped))
    }

    /// What stands behind the last end of a line, once the body has ended well.
    fn end(&mut self) -> Option<Line<'_>> {
        let (begin, end) = (self.begin, self.held.len());
        let blank = self.skipped_blank && is_blank(&self.held[begin..end]);
        (!blank).then(|| self.line(begin, end, self.skipping))
    }

    fn line(&self, begin: usize, end: usize, skipped: bool) -> Line<'_> {
        let mut text = &self.held[begin..end];
        if self.passed + begin == 0 {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        text = text.strip_suffix(b"\r").unwrap_or(text);
        let text = (!skipped && text.len() <= self.longest).then_some(text);
        Line { text, end: self.passed + end }
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(pieces: &[&[u8]], longest: usize) -> Vec<(Option<Vec<u8>>, usize)> {
        let mut lines = Lines::new(longest);
        let mut found = Vec::new();
        let own = |line: Line<'_>| (line.text.map(<[u8]>::to_vec), line.end);
        for piece in pieces {
            lines.room().extend_from_slice(piece);
            while let Some(line) = lines.next() {
                found.push(own(line));
            }
            assert!(lines.held.len() <= longest + AROUND + piece.len());
        }
        found.extend(lines.end().map(own));
        found
    }

    #[test]
    fn lines_end_with_a_newline_or_the_body_and_blank_ones_do_not_count() {
        let found = split(&[b"\xef\xbb\xbfa\r\n\n \t\r\nbb", b"b\n", b"cccc\nd"], 3);
        let line = |text: Option<&[u8]>, end| (text.map(<[u8]>::to_vec), end);
        assert_eq!(found, [line(Some(b"a"), 5), line(Some(b"bbb"), 14), line(None, 19), line(Some(b"d"), 21)]);
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let mut lines = Lines::new(10);
        for _ in 0..1000 {
            lines.room().extend_from_slice(&[b'x'; 100]);
            assert!(lines.next().is_none());
        }
        assert!(lines.held.len() <= 100);
        lines.room().extend_from_slice(b"\ny\n");
        assert_eq!(lines.next(), Some(Line { text: None, end: 100_000 }));
        assert_eq!(lines.next().and_then(|line| line.text), Some(&b"y"[..]));
    }

    proptest! {
        #[test]
        fn however_the_body_is_cut_the_lines_are_the_same(
            body in "[ab \n\r]{0,60}",
            cuts in prop::collection::vec(0usize..60, 0..8),
            longest in 1usize..8,
        ) {
            let body = body.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= body.len()).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect();
            prop_assert_eq!(split(&pieces, longest), split(&[body], longest));
        }
    }
}
