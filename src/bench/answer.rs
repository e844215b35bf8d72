//! Reading one HTTP/1.1 answer out of a stream of bytes, however it is cut, in a buffer that is used again and again.

const MAX_HEADERS: usize = 64;
const FIRST_BUFFER: usize = 8 << 10;
const MAX_HEAD: usize = 64 << 10;
/// The largest answer that is read: above the largest page and the report on the largest batch.
const MAX_ANSWER: usize = 32 << 20;

/// Why what arrived is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadAnswer {
    #[error("the answer is no HTTP/1.1")]
    NoHttp,
    #[error("the answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
    #[error("the connection was closed within the answer")]
    CutOff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    status: u16,
    keep: bool,
    end: usize,
    framing: Framing,
}

/// An answer as far as it has arrived.
#[derive(Debug)]
pub(super) struct AnswerReader {
    buffer: Vec<u8>,
    filled: usize,
    head: Option<Head>,
    /// Up to where chunks are unpacked.
    unpacked: usize,
    chunks: Vec<u8>,
}

impl AnswerReader {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; FIRST_BUFFER], filled: 0, head: None, unpacked: 0, chunks: Vec::new() }
    }

    /// Forgets the last answer.
    pub(super) fn clear(&mut self) {
        (self.filled, self.head, self.unpacked) = (0, None, 0);
        self.chunks.clear();
    }

    /// Where the next bytes belong; never empty.
    pub(super) fn space(&mut self) -> Result<&mut [u8], BadAnswer> {
        if self.filled == self.buffer.len() {
            if self.filled >= MAX_ANSWER {
                return Err(BadAnswer::TooLong);
            }
            let wanted = match self.head {
                Some(Head { end, framing: Framing::Length(length), .. }) => end + length,
                _ => self.buffer.len() * 2,
            };
            self.buffer.resize(wanted.max(self.buffer.len() + 1).min(MAX_ANSWER), 0);
        }
        Ok(&mut self.buffer[self.filled..])
    }

    /// Takes the bytes that were written into [`Self::space`]; `true` once the answer is whole.
    pub(super) fn advance(&mut self, count: usize) -> Result<bool, BadAnswer> {
        self.filled += count;
        if self.head.is_none() {
            self.head = self.read_head()?;
        }
        match self.head {
            None => Ok(false),
            Some(Head { framing: Framing::UntilClose, .. }) => Ok(false),
            Some(Head { framing: Framing::Chunked, .. }) => self.unpack(),
            Some(Head { end, framing: Framing::Length(length), .. }) => match self.filled.cmp(&(end + length)) {
                std::cmp::Ordering::Less => Ok(false),
                std::cmp::Ordering::Equal => Ok(true),
                // Nobody asked for more than one answer.
                std::cmp::Ordering::Greater => Err(BadAnswer::NoHttp),
            },
        }
    }

    /// The stream has ended: that is the end of some answers.
    pub(super) fn close(&mut self) -> Result<(), BadAnswer> {
        match self.head {
            Some(Head { framing: Framing::UntilClose, .. }) => Ok(()),
            _ => Err(BadAnswer::CutOff),
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.head.map_or(0, |head| head.status)
    }

    /// Whether the connection may be used again.
    pub(super) fn keep(&self) -> bool {
        self.head.is_some_and(|head| head.keep && head.framing != Framing::UntilClose)
    }

    pub(super) fn body(&self) -> &[u8] {
        match self.head {
            Some(Head { framing: Framing::Chunked, .. }) => &self.chunks,
            Some(Head { end, .. }) => &self.buffer[end..self.filled],
            None => &[],
        }
    }

    fn read_head(&mut self) -> Result<Option<Head>, BadAnswer> {
        loop {
            let Some(head) = parse_head(&self.buffer[..self.filled])? else {
                return if self.filled > MAX_HEAD { Err(BadAnswer::NoHttp) } else { Ok(None) };
            };
            if head.status >= 200 {
                self.unpacked = head.end;
                return Ok(Some(head));
            }
            // An interim answer: the real one follows.
            self.buffer.copy_within(head.end..self.filled, 0);
            self.filled -= head.end;
        }
    }

    fn unpack(&mut self) -> Result<bool, BadAnswer> {
        loop {
            let rest = &self.buffer[self.unpacked..self.filled];
            let (start, size) = match httparse::parse_chunk_size(rest) {
                Ok(httparse::Status::Complete(found)) => found,
                Ok(httparse::Status::Partial) => return Ok(false),
                Err(_) => return Err(BadAnswer::NoHttp),
            };
            if size == 0 {
                return trailers_end(&rest[start..]);
            }
            let size = usize::try_from(size).ok().filter(|size| *size <= MAX_ANSWER).ok_or(BadAnswer::TooLong)?;
            let Some(chunk) = rest.get(start..start + size + 2) else { return Ok(false) };
            if !chunk.ends_with(b"\r\n") {
                return Err(BadAnswer::NoHttp);
            }
            self.chunks.extend_from_slice(&chunk[..size]);
            self.unpacked += start + size + 2;
        }
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<Head>, BadAnswer> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let end = match response.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(BadAnswer::NoHttp),
    };
    let status = response.code.ok_or(BadAnswer::NoHttp)?;
    let mut framing = Framing::UntilClose;
    let mut keep = response.version == Some(1);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") && framing != Framing::Chunked {
            let length = std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok());
            framing = Framing::Length(length.ok_or(BadAnswer::NoHttp)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            keep = !header.value.eq_ignore_ascii_case(b"close");
        }
    }
    if matches!(status, 100..=199 | 204 | 304) {
        framing = Framing::Length(0);
    }
    match framing {
        Framing::Length(length) if length > MAX_ANSWER - MAX_HEAD => Err(BadAnswer::TooLong),
        framing => Ok(Some(Head { status, keep, end, framing })),
    }
}

/// Whether the lines after the last chunk have ended, and nothing follows them.
fn trailers_end(mut rest: &[u8]) -> Result<bool, BadAnswer> {
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        if at == 0 {
            return if rest.len() == 2 { Ok(true) } else { Err(BadAnswer::NoHttp) };
        }
        rest = &rest[at + 2..];
    }
    Ok(false)
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
