//! Pages: which part of the matching logs is asked for, and what comes back.

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

    pub fn total_pages(self, total: u64) -> u64 {
        total.div_ceil(u64::from(self.limit))
    }
}

/// The most that the logs of one page may take in memory: what keeps a page of large logs from filling it.
pub const MAX_PAGE_BYTES: usize = 8 << 20;

/// One page of logs by ascending id, with the number of all that match.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPage {
    pub logs: Vec<ActivityLog>,
    pub total: u64,
    /// The logs were cut short at [`MAX_PAGE_BYTES`]: this is not the page that was asked for.
    pub cut_short: bool,
}

/// Collects a page's logs up to [`MAX_PAGE_BYTES`]. One log always fits.
#[derive(Debug, Default)]
pub struct PageBuilder {
    logs: Vec<ActivityLog>,
    bytes: usize,
    cut_short: bool,
}

impl PageBuilder {
    /// Takes the log; `false` where there is no room for it, and nothing more is to be read.
    pub fn push(&mut self, log: ActivityLog) -> bool {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        self.bytes += 128 + text(&log.user_id) + text(&log.action) + log.metadata.as_str().len();
        self.cut_short = self.bytes > MAX_PAGE_BYTES && !self.logs.is_empty();
        if !self.cut_short {
            self.logs.push(log);
        }
        !self.cut_short
    }

    pub fn len(&self) -> usize {
        self.logs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    pub fn is_cut_short(&self) -> bool {
        self.cut_short
    }

    pub fn finish(self, total: u64) -> LogPage {
        LogPage { logs: self.logs, total, cut_short: self.cut_short }
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

    #[test]
    fn pages_are_counted_up() {
        let page = PageRequest::new(1, 10).unwrap();
        assert_eq!([0, 1, 10, 11].map(|total| page.total_pages(total)), [0, 1, 1, 2]);
    }
}
