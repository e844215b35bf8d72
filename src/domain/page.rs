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

/// One page of logs by ascending id, with the number of all that match.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPage {
    pub logs: Vec<ActivityLog>,
    pub total: u64,
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
