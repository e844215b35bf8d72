//! A set of sequence numbers, kept as ranges: as small as it has gaps.

use std::collections::BTreeMap;

/// First to last of each range; ranges neither touch nor overlap.
#[derive(Debug, Default)]
pub(super) struct Ranges(BTreeMap<i64, i64>);

impl Ranges {
    /// Adds numbers above all that are there.
    pub(super) fn push(&mut self, first: i64, last: i64) {
        if first > last {
            return;
        }
        match self.0.last_entry() {
            Some(mut range) if *range.get() + 1 == first => *range.get_mut() = last,
            _ => {
                self.0.insert(first, last);
            }
        }
    }

    /// Takes numbers out and returns how many of them were there.
    pub(super) fn cut(&mut self, first: i64, last: i64) -> u64 {
        let mut removed = 0;
        let touched: Vec<_> = self
            .0
            .range(..=last)
            .rev()
            .take_while(|(_, end)| **end >= first)
            .map(|(start, end)| (*start, *end))
            .collect();
        for (start, end) in touched {
            self.0.remove(&start);
            if start < first {
                self.0.insert(start, first - 1);
            }
            if end > last {
                self.0.insert(last + 1, end);
            }
            removed += (end.min(last) - start.max(first)).unsigned_abs() + 1;
        }
        removed
    }

    pub(super) fn remove(&mut self, number: i64) -> bool {
        self.cut(number, number) == 1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().map(|(first, last)| (*first, *last))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(list: &[(i64, i64)]) -> Ranges {
        let mut ranges = Ranges::default();
        list.iter().for_each(|(first, last)| ranges.push(*first, *last));
        ranges
    }

    fn listed(ranges: &Ranges) -> Vec<(i64, i64)> {
        ranges.iter().collect()
    }

    #[test]
    fn neighbours_become_one_range() {
        assert_eq!(listed(&ranges(&[(1, 1), (2, 2), (3, 5), (7, 7), (9, 8)])), [(1, 5), (7, 7)]);
    }

    #[test]
    fn what_is_cut_out_is_counted() {
        let mut some = ranges(&[(1, 5), (7, 7), (10, 20)]);
        assert_eq!(some.cut(4, 12), 2 + 1 + 3);
        assert_eq!(listed(&some), [(1, 3), (13, 20)]);
        assert_eq!(some.cut(15, 15), 1);
        assert_eq!(listed(&some), [(1, 3), (13, 14), (16, 20)]);
        assert_eq!(some.cut(4, 12), 0);
        assert!(some.remove(1) && !some.remove(1));
        assert_eq!(some.cut(i64::MIN, i64::MAX), 2 + 2 + 5);
        assert!(some.is_empty());
    }
}
