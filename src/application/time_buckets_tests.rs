//! What buckets hold, in time zones of every kind.

use proptest::prelude::*;

use super::*;
use crate::domain::Moment;

const ALL: [Interval; 5] = [Interval::QuarterHour, Interval::Hour, Interval::Day, Interval::Week, Interval::Month];
/// With half and quarter hours, leaps at midnight, a day that never was, and offsets of seconds long ago.
const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "America/Havana",
    "Africa/Monrovia",
];

fn at(text: &str) -> Timestamp {
    Moment::parse(text).unwrap().first
}

fn zone(name: &str) -> Zone {
    Zone::named(name).unwrap()
}

/// The local time at which each bucket begins.
fn starts(interval: Interval, name: &str, from: &str, to: &str) -> Vec<String> {
    let zone = zone(name);
    let buckets = TimeBuckets::cut(interval, &zone, at(from), at(to)).unwrap();
    buckets
        .starts
        .iter()
        .map(|start| instant(*start).to_zoned(zone.0.clone()).strftime("%m-%d %H:%M").to_string())
        .collect()
}

#[test]
fn words_read_back() {
    for interval in ALL {
        assert_eq!(Interval::parse(interval.as_str()), Some(interval));
    }
    assert_eq!(Interval::parse("1m"), None);
}

#[test]
fn zones_go_by_their_names() {
    assert_eq!(zone("europe/berlin").name(), "Europe/Berlin");
    assert_eq!(Zone::UTC.name(), "UTC");
    for name in ["Europe/Nowhere", "", "../etc/passwd", "+02:00"] {
        assert!(Zone::named(name).is_none(), "{name}");
    }
}

#[test]
fn days_have_as_many_hours_as_the_clock_gives_them() {
    let hours = |day: &str, next: &str| starts(Interval::Hour, "Europe/Berlin", day, next).len();
    assert_eq!(hours("2025-03-29T23:00Z", "2025-03-30T21:59Z"), 23);
    assert_eq!(hours("2025-10-25T22:00Z", "2025-10-26T22:59Z"), 25);
    assert_eq!(hours("2025-05-20T22:00Z", "2025-05-21T21:59Z"), 24);
}

#[test]
fn an_hour_that_comes_again_is_a_bucket_of_its_own() {
    let found = starts(Interval::Hour, "Europe/Berlin", "2025-10-25T23:30Z", "2025-10-26T02:00Z");
    assert_eq!(found, ["10-26 01:00", "10-26 02:00", "10-26 02:00", "10-26 03:00"]);
    let found = starts(Interval::Hour, "Australia/Lord_Howe", "2025-04-05T13:30Z", "2025-04-05T16:00Z");
    assert_eq!(found, ["04-06 00:00", "04-06 01:00", "04-06 01:30", "04-06 02:00"]);
}

#[test]
fn days_weeks_and_months_are_those_of_the_calendar() {
    let found = starts(Interval::Day, "Europe/Berlin", "2025-03-29T12:00Z", "2025-03-31T12:00Z");
    assert_eq!(found, ["03-29 00:00", "03-30 00:00", "03-31 00:00"]);
    // A Wednesday, and a Monday.
    let found = starts(Interval::Week, "UTC", "2025-01-01", "2025-01-13");
    assert_eq!(found, ["12-30 00:00", "01-06 00:00", "01-13 00:00"]);
    let found = starts(Interval::Month, "Asia/Kathmandu", "2025-01-31T18:20Z", "2025-03-01");
    assert_eq!(found, ["02-01 00:00", "03-01 00:00"]);
    let found = starts(Interval::Day, "America/Sao_Paulo", "2018-11-03T12:00Z", "2018-11-04T12:00Z");
    assert_eq!(found, ["11-03 00:00", "11-04 01:00"], "the clock leaps over midnight");
    let found = starts(Interval::Day, "Pacific/Apia", "2011-12-29T12:00Z", "2011-12-31T12:00Z");
    assert_eq!(found, ["12-29 00:00", "12-31 00:00", "01-01 00:00"], "there was no 30th");
}

#[test]
fn there_is_an_end_to_buckets_and_to_time() {
    let cut = |interval, from, to| TimeBuckets::cut(interval, &Zone::UTC, at(from), at(to)).map(|cut| cut.starts.len());
    assert_eq!(cut(Interval::Day, "2025-01-02", "2025-01-01"), Ok(0));
    assert_eq!(cut(Interval::Hour, "2025-01-01T00:00Z", "2026-02-21T15:59Z"), Ok(MAX_BUCKETS));
    assert_eq!(cut(Interval::Hour, "2025-01-01T00:00Z", "2026-02-21T16:00Z"), Err(TooManyBuckets));
    assert_eq!(cut(Interval::Month, "0001-01-01", "9999-12-31"), Err(TooManyBuckets));
    for interval in ALL {
        assert!(cut(interval, "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z").is_ok_and(|count| count <= 1));
        assert!(cut(interval, "0001-01-01", "0001-01-01T01:00Z").is_ok_and(|count| count >= 1));
    }
}

#[test]
fn offsets_of_long_ago_make_the_grain_finer() {
    let grain = |name: &str, from: &str, to: &str| {
        TimeBuckets::cut(Interval::Hour, &zone(name), at(from), at(to)).unwrap().grain()
    };
    assert_eq!(grain("Europe/Berlin", "2025-03-01", "2025-03-31"), QUARTER_HOUR);
    assert_eq!(grain("Asia/Kathmandu", "2025-03-01", "2025-03-31"), QUARTER_HOUR);
    let old = grain("Africa/Monrovia", "1960-03-01", "1960-03-02");
    assert!(old < QUARTER_HOUR && old % 1000 == 0, "{old}");
}

proptest! {
    #[test]
    fn buckets_cover_the_range_and_begin_where_the_clock_says(
        name in proptest::sample::select(&ZONES[..]),
        interval in proptest::sample::select(&ALL[..]),
        from in -2_000_000_000_000_i64..4_000_000_000_000,
        length in 0_i64..40 * 86_400_000,
    ) {
        let (zone, to) = (zone(name), from + length);
        let cut = TimeBuckets::cut(interval, &zone, Timestamp::from_millis(from), Timestamp::from_millis(to)).unwrap();
        let starts = &cut.starts;
        prop_assert!(starts[0] <= from && *starts.last().unwrap() <= to);
        prop_assert!(interval.next(&zone, *starts.last().unwrap()).unwrap() > to);
        prop_assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
        for start in starts {
            let changes = zone.offset(*start) != zone.offset(start - 1);
            let local = start + zone.offset(*start);
            let aligned = match interval {
                Interval::QuarterHour => local % QUARTER_HOUR == 0,
                Interval::Hour => local % (4 * QUARTER_HOUR) == 0,
                _ => local % (96 * QUARTER_HOUR) == 0,
            };
            prop_assert!(aligned || changes, "{} {}", name, start);
            // Whatever lies in a bucket has the bucket's start.
            prop_assert_eq!(interval.start(&zone, *start), *start);
        }
        let grain = cut.grain();
        prop_assert!(starts.iter().skip(1).all(|start| start % grain == 0));
    }

    #[test]
    fn every_log_is_in_the_bucket_that_holds_it(
        name in proptest::sample::select(&ZONES[..]),
        interval in proptest::sample::select(&ALL[..]),
        from in 0_i64..4_000_000_000_000,
        logs in proptest::collection::vec(0_i64..20 * 86_400_000, 0..40),
    ) {
        let (zone, to) = (zone(name), from + 20 * 86_400_000);
        let cut = TimeBuckets::cut(interval, &zone, Timestamp::from_millis(from), Timestamp::from_millis(to)).unwrap();
        let grain = cut.grain();
        let mut slots: Vec<Slot> = logs
            .iter()
            .map(|log| Slot { start: Timestamp::from_millis((from + log).div_euclid(grain) * grain), count: 1 })
            .collect();
        slots.sort_by_key(|slot| slot.start);
        let buckets = cut.fill(&slots);
        for (index, bucket) in buckets.iter().enumerate() {
            let start = bucket.start.as_millis();
            let end = cut.starts.get(index + 1).copied().unwrap_or(i64::MAX);
            let held = logs.iter().filter(|log| start <= from + *log && from + *log < end).count();
            prop_assert_eq!(bucket.count, held as u64);
        }
    }
}
