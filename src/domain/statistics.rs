//! How many logs there are over time, and of what kinds.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{LogFilter, Timestamp};

/// In milliseconds. Every offset of a time zone in use today is a multiple of it.
pub const QUARTER_HOUR: i64 = 15 * 60 * 1000;
/// In milliseconds.
pub const DAY: i64 = 96 * QUARTER_HOUR;

/// The logs of a stretch of time that begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    pub start: Timestamp,
    pub count: u64,
}

/// What logs are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    Action,
    UserId,
}

/// The logs that have a value in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `None`: they have no text there. Only data of others has such logs.
    pub value: Option<String>,
    pub count: u64,
}

/// The largest groups: by count, and by value where counts are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tops {
    /// The logs of all groups, also of those that are left out.
    pub total: u64,
    pub groups: Vec<Group>,
}

/// Keeps the largest of many groups.
#[derive(Debug)]
pub struct TopGroups {
    most: usize,
    total: u64,
    /// The smallest one first.
    kept: BinaryHeap<Reverse<(u64, Reverse<Option<String>>)>>,
}

impl TopGroups {
    pub fn new(most: u32) -> Self {
        Self { most: most as usize, total: 0, kept: BinaryHeap::new() }
    }

    /// A value may be pushed once.
    pub fn push(&mut self, value: Option<String>, count: u64) {
        self.total += count;
        self.kept.push(Reverse((count, Reverse(value))));
        if self.kept.len() > self.most {
            self.kept.pop();
        }
    }

    pub fn finish(self) -> Tops {
        let groups = self.kept.into_sorted_vec().into_iter();
        let groups = groups.map(|Reverse((count, Reverse(value)))| Group { value, count }).collect();
        Tops { total: self.total, groups }
    }
}

/// A stretch of time in milliseconds, without its end. The least and the greatest number mean that it has no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: i64,
    pub end: i64,
}

impl Span {
    pub const ALL: Self = Self { from: i64::MIN, end: i64::MAX };
    const NONE: Self = Self { from: 0, end: 0 };

    /// What the filter selects.
    pub fn of(filter: &LogFilter) -> Self {
        Self {
            from: filter.from.map_or(i64::MIN, Timestamp::as_millis),
            end: filter.to.map_or(i64::MAX, |to| to.as_millis().saturating_add(1)),
        }
    }

    /// The filter, for this stretch alone.
    pub fn select(self, filter: &LogFilter) -> LogFilter {
        let from = (self.from != i64::MIN).then(|| Timestamp::from_millis(self.from));
        let to = (self.end != i64::MAX).then(|| Timestamp::from_millis(self.end.saturating_sub(1)));
        LogFilter { from, to, ..filter.clone() }
    }

    pub fn is_empty(self) -> bool {
        self.from >= self.end
    }

    /// What both hold.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), end: self.end.min(other.end) }
    }

    /// What is before, within and behind the whole steps of this length that it holds.
    pub fn split(self, step: i64) -> (Self, Self, Self) {
        let Self { from, end } = self;
        if self.is_empty() {
            return (Self::NONE, Self::NONE, Self::NONE);
        }
        let first = if from == i64::MIN { from } else { from.saturating_add(step - 1).div_euclid(step) * step };
        let last = if end == i64::MAX { end } else { end.div_euclid(step) * step };
        if first >= last {
            return (self, Self::NONE, Self::NONE);
        }
        (Self { end: first, ..self }, Self { from: first, end: last }, Self { from: last, ..self })
    }
}

/// Where the step of this length begins that holds the moment.
pub fn start_of(step: i64, at: Timestamp) -> i64 {
    at.as_millis().div_euclid(step) * step
}

impl LogFilter {
    /// Whether it asks for actions and time alone.
    pub fn is_of_actions(&self) -> bool {
        self.user_ids.is_empty() && self.event_id.is_none() && self.metadata.is_empty()
    }

    /// Whether a log with this action is selected, as far as its action goes.
    pub fn takes_action(&self, action: Option<&str>) -> bool {
        let any = self.actions.is_empty() || self.actions.iter().any(|wanted| Some(wanted.as_str()) == action);
        let prefix = self.action_prefix.as_deref();
        any && prefix.is_none_or(|prefix| action.is_some_and(|action| action.starts_with(prefix)))
    }

    /// Whether it leaves no action out.
    pub fn takes_every_action(&self) -> bool {
        self.actions.is_empty() && self.action_prefix.is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_largest_groups_are_kept_in_order() {
        let mut tops = TopGroups::new(3);
        for (value, count) in [(Some("b"), 2), (Some("a"), 2), (None, 1), (Some("c"), 9), (Some("d"), 2)] {
            tops.push(value.map(str::to_owned), count);
        }
        let Tops { total, groups } = tops.finish();
        let groups: Vec<(Option<&str>, u64)> =
            groups.iter().map(|group| (group.value.as_deref(), group.count)).collect();
        assert_eq!((total, groups), (16, vec![(Some("c"), 9), (Some("a"), 2), (Some("b"), 2)]));
    }

    #[test]
    fn a_stretch_without_bounds_has_no_ends() {
        let (before, whole, behind) = Span::ALL.split(DAY);
        assert!(before.is_empty() && behind.is_empty());
        assert_eq!(whole, Span::ALL);
    }

    proptest! {
        #[test]
        fn the_parts_of_a_stretch_are_the_stretch(from in -5000_i64..5000, length in 0_i64..5000, step in 1_i64..1000) {
            let all = Span { from, end: from + length };
            let (before, whole, behind) = all.split(step);
            let parts = [before, whole, behind];
            let covered: i64 = parts.iter().map(|part| (part.end - part.from).max(0)).sum();
            prop_assert_eq!(covered, length);
            prop_assert!(parts.iter().all(|part| part.is_empty() || (part.from >= from && part.end <= all.end)));
            prop_assert_eq!((whole.from.rem_euclid(step), whole.end.rem_euclid(step)), (0, 0));
            prop_assert!(before.end - before.from < 2 * step && behind.end - behind.from < step);
        }
    }
}
