//! Time cut into buckets by the clock of a time zone.

use jiff::{ToSpan, civil::Date, tz::TimeZone};

use crate::domain::{QUARTER_HOUR, Slot, Timestamp};

/// More are a mistake, and an answer that nobody reads.
pub const MAX_BUCKETS: usize = 10_000;

/// How long a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    QuarterHour,
    Hour,
    Day,
    /// From Monday on (ISO 8601).
    Week,
    Month,
}

impl Interval {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "15m" => Some(Self::QuarterHour),
            "1h" => Some(Self::Hour),
            "1d" => Some(Self::Day),
            "1w" => Some(Self::Week),
            "1M" => Some(Self::Month),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::QuarterHour => "15m",
            Self::Hour => "1h",
            Self::Day => "1d",
            Self::Week => "1w",
            Self::Month => "1M",
        }
    }
}

/// A time zone of the IANA database, which is part of this program and of the machine; the machine's goes first.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

impl Zone {
    pub const UTC: Self = Self(TimeZone::UTC);

    /// `None` where there is no such zone.
    pub fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// As the database writes it.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// In milliseconds, to be added to UTC.
    fn offset(&self, at: i64) -> i64 {
        i64::from(self.0.to_offset(instant(at)).seconds()) * 1000
    }

    fn date(&self, at: i64) -> Date {
        self.0.to_datetime(instant(at)).date()
    }

    /// Where a day begins. Where the clock leaps over midnight that is the first moment after the leap.
    fn start_of(&self, date: Date) -> Option<i64> {
        let start = self.0.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).compatible();
        start.ok().map(jiff::Timestamp::as_millisecond)
    }

    /// Where in `from..=to` the offset becomes that of `to`.
    fn change(&self, from: i64, to: i64) -> i64 {
        let (mut before, mut after) = (from, to);
        let offset = self.offset(to);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.offset(middle) == offset { after = middle } else { before = middle }
        }
        after
    }
}

/// The nearest that there is: the last day of the year 9999 is beyond what can be reckoned with.
fn instant(at: i64) -> jiff::Timestamp {
    let nearest = if at < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(at).unwrap_or(nearest)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that would be more than {MAX_BUCKETS} buckets")]
pub struct TooManyBuckets;

/// Buckets that follow upon each other: each ends where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeBuckets {
    starts: Vec<i64>,
}

impl TimeBuckets {
    /// From the bucket that holds `from` to the one that holds `to`; none where `to` is earlier.
    ///
    /// An hour, and a quarter of one, is one of the zone's clock. Where that is put back, the hour that comes again is a
    /// bucket of its own; and where the offset changes within an hour, a bucket ends there.
    ///
    /// # Errors
    /// Where that would be too many.
    pub fn cut(interval: Interval, zone: &Zone, from: Timestamp, to: Timestamp) -> Result<Self, TooManyBuckets> {
        let (from, to) = (from.as_millis(), to.as_millis());
        let mut starts = Vec::new();
        let mut next = (from <= to).then(|| interval.start(zone, from));
        while let Some(start) = next.filter(|start| *start <= to) {
            if starts.len() == MAX_BUCKETS {
                return Err(TooManyBuckets);
            }
            starts.push(start);
            next = interval.next(zone, start).filter(|next| *next > start);
        }
        Ok(Self { starts })
    }

    /// The longest step, up to a quarter of an hour, of which every bucket is made up.
    pub fn grain(&self) -> i64 {
        let inner = self.starts.iter().skip(1);
        inner.fold(QUARTER_HOUR, |grain, start| greatest_common_divisor(grain, start.rem_euclid(QUARTER_HOUR)))
    }

    /// The buckets with the counts of the slots in them.
    pub fn fill(&self, slots: &[Slot]) -> Vec<Slot> {
        let empty = |start: &i64| Slot { start: Timestamp::from_millis(*start), count: 0 };
        let mut buckets: Vec<Slot> = self.starts.iter().map(empty).collect();
        for slot in slots {
            // The first slot may begin before the first bucket.
            let behind = self.starts.partition_point(|start| *start <= slot.start.as_millis());
            if let Some(bucket) = buckets.get_mut(behind.saturating_sub(1)) {
                bucket.count += slot.count;
            }
        }
        buckets
    }
}

impl Interval {
    fn start(self, zone: &Zone, at: i64) -> i64 {
        let date = match self {
            Self::QuarterHour => return start_by_clock(zone, QUARTER_HOUR, at),
            Self::Hour => return start_by_clock(zone, 4 * QUARTER_HOUR, at),
            Self::Day => Some(zone.date(at)),
            Self::Week => {
                let date = zone.date(at);
                date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days()).ok()
            }
            Self::Month => Some(zone.date(at).first_of_month()),
        };
        // Only at the beginning of time is there none.
        date.and_then(|date| zone.start_of(date)).unwrap_or(at)
    }

    /// `None` at the end of time.
    fn next(self, zone: &Zone, start: i64) -> Option<i64> {
        let span = match self {
            Self::QuarterHour => return Some(next_by_clock(zone, QUARTER_HOUR, start)),
            Self::Hour => return Some(next_by_clock(zone, 4 * QUARTER_HOUR, start)),
            Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
        };
        zone.start_of(zone.date(start).checked_add(span).ok()?)
    }
}

fn start_by_clock(zone: &Zone, length: i64, at: i64) -> i64 {
    let offset = zone.offset(at);
    let start = (at + offset).div_euclid(length) * length - offset;
    if zone.offset(start) == offset { start } else { zone.change(start, at) }
}

fn next_by_clock(zone: &Zone, length: i64, start: i64) -> i64 {
    let offset = zone.offset(start);
    let next = ((start + offset).div_euclid(length) + 1) * length - offset;
    if zone.offset(next) == offset { next } else { zone.change(start, next) }
}

fn greatest_common_divisor(one: i64, other: i64) -> i64 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
#[path = "time_buckets_tests.rs"]
mod tests;
