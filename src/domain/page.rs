//! Pages: which part of the matching logs is asked for by number, and what comes back.

use super::ActivityLog;

/// The largest page a client may ask for.
pub const MAX_PAGE_LIMIT: u32 = 1000;

/// A page by number: `page` counts from 1, `limit` is 1 to [`MAX_PAGE_LIMIT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    page: u64,
    limit: u32,
}

impl PageRequest {
    /// `None` where either number is out of its bounds.
    pub fn new(page: u64, limit: u32) -> Option<Self> {
        (page >= 1 && (1..=MAX_PAGE_LIMIT).contains(&limit)).then_some(Self { page, limit })
    }

    pub fn page(self) -> u64 {
        self.page
    }

    pub fn limit(self) -> u32 {
        self.limit
    }

    /// How many matching logs stand before this page; saturates where no store could hold so many.
    pub fn offset(self) -> u64 {
        (self.page - 1).saturating_mul(u64::from(self.limit)).min(i64::MAX as u64)
    }
}

/// The most that the logs of one page may take in memory: what keeps a page of large logs from filling it.
pub const MAX_PAGE_BYTES: usize = 8 << 20;

/// A part of the matching logs, in the order asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSlice {
    pub logs: Vec<ActivityLog>,
    /// More follow.
    pub more: bool,
    /// They were cut short at [`MAX_PAGE_BYTES`]: there are fewer than were asked for.
    pub cut_short: bool,
}

/// How many logs match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    pub number: u64,
    /// Else there are more than that.
    pub is_exact: bool,
}

impl Count {
    pub fn exactly(number: u64) -> Self {
        Self { number, is_exact: true }
    }

    /// Of what was counted no further than one beyond the cap.
    pub fn capped(counted: u64, cap: u64) -> Self {
        Self { number: counted.min(cap), is_exact: counted <= cap }
    }
}

/// Collects so many logs, and no more than [`MAX_PAGE_BYTES`] of them. One log always fits.
#[derive(Debug)]
pub struct SliceBuilder {
    logs: Vec<ActivityLog>,
    limit: usize,
    bytes: usize,
    more: bool,
    cut_short: bool,
}

impl SliceBuilder {
    pub fn new(limit: u32) -> Self {
        Self { logs: Vec::new(), limit: limit as usize, bytes: 0, more: false, cut_short: false }
    }

    /// Takes the log; `false` where there is no room for it, and nothing more is to be read.
    pub fn push(&mut self, log: ActivityLog) -> bool {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.bytes += 128 + text(&log.user_id) + text(&log.action) + log.metadata.as_str().len();
        self.cut_short = self.bytes > MAX_PAGE_BYTES && !self.logs.is_empty() && self.logs.len() < self.limit;
        self.more = self.cut_short || self.logs.len() == self.limit;
        if !self.more {
            self.logs.push(log);
        }
        !self.more
    }

    pub fn finish(self) -> LogSlice {
        LogSlice { logs: self.logs, more: self.more, cut_short: self.cut_short }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_page_does_not_overflow() {
        let page = PageRequest::new(u64::MAX, 1000).unwrap();
        assert_eq!(page.offset(), i64::MAX as u64);
        assert_eq!(PageRequest::new(3, 10).unwrap().offset(), 20);
    }
}
