//! Points in time as the contract reads and prints them.

use std::fmt;

const MILLIS_PER_DAY: i64 = 86_400_000;
/// 0001-01-01T00:00:00.000Z.
const MIN_MILLIS: i64 = -62_135_596_800_000;
/// 9999-12-31T23:59:59.999Z.
const MAX_MILLIS: i64 = 253_402_300_799_999;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an ISO 8601 date, month or date-time with an optional offset, or milliseconds since 1970, \
     within the years 1 to 9999"
)]
pub struct InvalidTimestamp;

impl Timestamp {
    /// Any value, also outside the years a client may name: stored data may hold it.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Milliseconds as a client gives them: within the years 1 to 9999.
    pub fn from_client_millis(millis: i64) -> Result<Self, InvalidTimestamp> {
        if (MIN_MILLIS..=MAX_MILLIS).contains(&millis) { Ok(Self(millis)) } else { Err(InvalidTimestamp) }
    }

    /// A JSON number as a client gives it: a fraction is cut.
    pub fn from_client_number(literal: &str) -> Result<Self, InvalidTimestamp> {
        if let Ok(millis) = literal.parse::<i64>() {
            return Self::from_client_millis(millis);
        }
        let number = literal.parse::<f64>().map_err(|_| InvalidTimestamp)?.trunc();
        if (MIN_MILLIS as f64..=MAX_MILLIS as f64).contains(&number) {
            Self::from_client_millis(number as i64)
        } else {
            Err(InvalidTimestamp)
        }
    }

    /// Reads what was printed from one, also outside the years a client may name.
    pub fn parse_printed(text: &str) -> Result<Self, InvalidTimestamp> {
        Moment::parse(text).map(|moment| moment.first).or_else(|_| printed(text).ok_or(InvalidTimestamp))
    }

    /// Room for the printed form of any time.
    pub const fn buffer() -> [u8; 32] {
        [0; 32]
    }

    /// Prints into the buffer: always UTC with exactly three decimals and `Z`. Years outside 0 to 9999 (stored by others)
    /// have JavaScript's expanded form of six digits or more and a sign.
    pub fn write(self, buffer: &mut [u8; 32]) -> &str {
        let (year, month, day) = civil_from_days(self.0.div_euclid(MILLIS_PER_DAY));
        // Below 2^32, where dividing costs less.
        let of_day = u32::try_from(self.0.rem_euclid(MILLIS_PER_DAY)).unwrap_or(0);
        let (minutes, millis) = (of_day / 60_000, of_day % 60_000);
        let ([m1, m2], [d1, d2]) = (two_digits(month), two_digits(day));
        let ([h1, h2], [n1, n2]) = (two_digits(minutes / 60), two_digits(minutes % 60));
        let ([s1, s2], [t1, t2], t3) = (two_digits(millis / 1000), two_digits(millis / 10 % 100), digit(millis % 10));
        let rest = [b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2, b'.', t1, t2, t3, b'Z'];
        let years = match u32::try_from(year).ok().filter(|year| *year <= 9999) {
            Some(year) => {
                buffer[..2].copy_from_slice(&two_digits(year / 100));
                buffer[2..4].copy_from_slice(&two_digits(year % 100));
                4
            }
            None => {
                let text = format!("{}{:06}", if year < 0 { '-' } else { '+' }, year.unsigned_abs());
                buffer[..text.len()].copy_from_slice(text.as_bytes());
                text.len()
            }
        };
        buffer[years..years + rest.len()].copy_from_slice(&rest);
        str::from_utf8(&buffer[..years + rest.len()]).unwrap_or_default()
    }
}

/// As [`Timestamp::write`] prints it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write(&mut Self::buffer()))
    }
}

/// Of a number below a hundred.
fn two_digits(number: u32) -> [u8; 2] {
    [digit(number / 10), digit(number % 10)]
}

fn digit(number: u32) -> u8 {
    b'0' + number as u8
}

/// What a text names: an instant, a day or a month, as its first and its last millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub first: Timestamp,
    pub last: Timestamp,
}

impl Moment {
    /// Reads a date (`2025-05-21`), a month (`2025-05`), a date-time (`T`, `t` or a blank between; seconds and
    /// fraction optional, digits below a millisecond cut; `Z`, `z`, `+02:00`, `+0200` or none, which is UTC) or
    /// milliseconds since 1970 (11 to 14 digits).
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let bytes = text.as_bytes();
        if (11..=14).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit) {
            let millis = text.parse().map_err(|_| InvalidTimestamp)?;
            return Timestamp::from_client_millis(millis).map(|at| Self { first: at, last: at });
        }
        Scanner(bytes).moment().ok_or(InvalidTimestamp)
    }
}

struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn moment(mut self) -> Option<Moment> {
        let year = self.digits(4)?;
        self.take(b"-")?;
        let month = self.digits(2).filter(|month| (1..=12).contains(month))?;
        if year < 1 {
            return None;
        }
        if self.0.is_empty() {
            let next = if month == 12 { days_from_civil(year + 1, 1, 1) } else { days_from_civil(year, month + 1, 1) };
            return span(days_from_civil(year, month, 1), next);
        }
        self.take(b"-")?;
        let day = self.digits(2).filter(|day| (1..=days_in_month(year, month)).contains(day))?;
        let days = days_from_civil(year, month, day);
        if self.0.is_empty() {
            return span(days, days + 1);
        }
        self.take(b"Tt ")?;
        let millis = days * MILLIS_PER_DAY + self.time_of_day()? - self.offset()?;
        let at = Timestamp::from_client_millis(millis).ok()?;
        self.0.is_empty().then_some(Moment { first: at, last: at })
    }

    fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.digits(2).filter(|hour| *hour <= 23)?;
        self.take(b":")?;
        let minute = self.digits(2).filter(|minute| *minute <= 59)?;
        let mut millis = (hour * 60 + minute) * 60_000;
        if self.take(b":").is_some() {
            millis += self.digits(2).filter(|second| *second <= 59)? * 1000;
            if self.take(b".").is_some() {
                millis += self.fraction()?;
            }
        }
        Some(millis)
    }

    fn fraction(&mut self) -> Option<i64> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        let digit = |index: usize| if index < count { i64::from(self.0[index] - b'0') } else { 0 };
        let millis = digit(0) * 100 + digit(1) * 10 + digit(2);
        self.0 = &self.0[count..];
        Some(millis)
    }

    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.take(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.take(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.digits(2).filter(|hours| *hours <= 23)?;
        self.take(b":");
        let minutes = self.digits(2).filter(|minutes| *minutes <= 59)?;
        Some(sign * (hours * 60 + minutes) * 60_000)
    }

    fn take(&mut self, any_of: &[u8]) -> Option<u8> {
        let first = *self.0.first().filter(|byte| any_of.contains(byte))?;
        self.0 = &self.0[1..];
        Some(first)
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
    }
}

/// The printed form alone: what is read must print as it stands there.
fn printed(text: &str) -> Option<Timestamp> {
    const BEHIND_YEAR: usize = "-00-00T00:00:00.000Z".len();
    let (year, rest) = text.split_at_checked(text.len().checked_sub(BEHIND_YEAR)?)?;
    let year = year.parse::<i64>().ok().filter(|year| year.abs() < 1_000_000_000)?;
    let mut rest = Scanner(rest.as_bytes());
    rest.take(b"-")?;
    let month = rest.digits(2)?;
    rest.take(b"-")?;
    let day = rest.digits(2)?;
    rest.take(b"T")?;
    let of_day = rest.time_of_day()?;
    let millis = i128::from(days_from_civil(year, month, day)) * i128::from(MILLIS_PER_DAY) + i128::from(of_day);
    i64::try_from(millis).ok().map(Timestamp).filter(|at| at.to_string() == text)
}

fn span(first_day: i64, next_day: i64) -> Option<Moment> {
    let first = Timestamp::from_client_millis(first_day * MILLIS_PER_DAY).ok()?;
    let last = Timestamp::from_client_millis(next_day * MILLIS_PER_DAY - 1).ok()?;
    Some(Moment { first, last })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = u32::try_from(days.rem_euclid(146_097)).unwrap_or(0);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = i64::from(year_of_era) + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first(text: &str) -> String {
        Moment::parse(text).unwrap_or_else(|_| panic!("{text}")).first.to_string()
    }

    #[test]
    fn every_form_of_the_contract_is_read() {
        for text in [
            "2025-05-21T12:34:56.789Z",
            "2025-05-21t12:34:56.789z",
            "2025-05-21 12:34:56.789",
            "2025-05-21T14:34:56.789+02:00",
            "2025-05-21T14:34:56.7899999+0200",
            "2025-05-21T09:04:56.789-03:30",
            "1747830896789",
        ] {
            assert_eq!(first(text), "2025-05-21T12:34:56.789Z", "{text}");
        }
        assert_eq!(first("2025-05-21T12:34"), "2025-05-21T12:34:00.000Z");
        assert_eq!(first("2025-05-21T12:34:56.7Z"), "2025-05-21T12:34:56.700Z");
        assert_eq!(first("2025-05-21"), "2025-05-21T00:00:00.000Z");
        assert_eq!(first("2025-05"), "2025-05-01T00:00:00.000Z");
        assert_eq!(first("0001-01-01"), "0001-01-01T00:00:00.000Z");
        assert_eq!(first("00000000000"), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn what_has_more_than_one_meaning_is_refused() {
        for text in [
            "",
            "0",
            "2025",
            "20250521",
            "2025-02-30",
            "2025-02-29",
            "2025-13-01",
            "2025-00-01",
            "2025-05-00",
            "05/21/2025",
            "2025-05-21T24:00",
            "2025-05-21T23:60",
            "2025-05-21T23:59:60Z",
            "2025-05-21T12",
            "2025-05-21T12:34:56.Z",
            "2025-05-21T12:34+02",
            "2025-05-21T12:34+24:00",
            "2025-05-21Z",
            "2025-05-21T12:34Z ",
            " 2025-05-21",
            "0000-01-01",
            "0001-01-01T00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "+012025-05-21",
            "Wed, 21 May 2025 12:34:56 GMT",
            "1747830896",
            "999999999999999",
            "99999999999999999999",
            "２０２５-05-21",
        ] {
            assert_eq!(Moment::parse(text), Err(InvalidTimestamp), "{text}");
        }
    }

    #[test]
    fn a_day_and_a_month_reach_to_their_end() {
        let last = |text| Moment::parse(text).unwrap().last.to_string();
        assert_eq!(last("2025-01-31"), "2025-01-31T23:59:59.999Z");
        assert_eq!(last("2024-02"), "2024-02-29T23:59:59.999Z");
        assert_eq!(last("9999-12"), "9999-12-31T23:59:59.999Z");
        assert_eq!(last("2025-01-31T10:00"), "2025-01-31T10:00:00.000Z");
    }

    #[test]
    fn numbers_are_milliseconds_with_the_fraction_cut() {
        let at = |literal| Timestamp::from_client_number(literal).map(Timestamp::as_millis);
        assert_eq!(at("0"), Ok(0));
        assert_eq!(at("-0.9"), Ok(0));
        assert_eq!(at("1747830896789.9"), Ok(1_747_830_896_789));
        assert_eq!(at("1.747830896789e12"), Ok(1_747_830_896_789));
        for bad in ["253402300800000", "-62135596800001", "1e300", "1e400", "99999999999999999999"] {
            assert_eq!(at(bad), Err(InvalidTimestamp), "{bad}");
        }
    }

    #[test]
    fn stored_years_outside_the_contract_still_print() {
        assert_eq!(Timestamp::from_millis(MAX_MILLIS + 1).to_string(), "+010000-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(-62_198_755_200_000).to_string(), "-000001-01-01T00:00:00.000Z");
        for extreme in [i64::MIN, i64::MAX] {
            assert!(Timestamp::from_millis(extreme).to_string().ends_with('Z'));
        }
    }

    #[test]
    fn nothing_but_what_is_printed_reads_as_such() {
        assert_eq!(
            Timestamp::parse_printed("0000-02-29T00:00:00.000Z").unwrap().to_string(),
            "0000-02-29T00:00:00.000Z"
        );
        for bad in [
            "",
            "Z",
            "+010000-01-01T00:00:00Z",
            "+10000-01-01T00:00:00.000Z",
            "-000001-02-30T00:00:00.000Z",
            "é000-01-01T00:00:00.000Z",
        ] {
            assert_eq!(Timestamp::parse_printed(bad), Err(InvalidTimestamp), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_of_any_stored_time_reads_back(millis: i64) {
            let at = Timestamp::from_millis(millis);
            prop_assert_eq!(Timestamp::parse_printed(&at.to_string()).unwrap(), at);
        }

        #[test]
        fn what_is_printed_reads_back(millis in MIN_MILLIS..=MAX_MILLIS) {
            let at = Timestamp::from_millis(millis);
            prop_assert_eq!(Moment::parse(&at.to_string()).unwrap().first, at);
        }

        #[test]
        fn the_calendar_agrees_with_a_library(millis in MIN_MILLIS..=253_370_764_800_000i64) {
            let expected = jiff::Timestamp::from_millisecond(millis).unwrap();
            prop_assert_eq!(Timestamp::from_millis(millis).to_string(), format!("{expected:.3}"));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = Moment::parse(&text);
        }

        #[test]
        fn no_near_miss_panics(text in "[0-9TtZz:.+ -]{0,30}") {
            let _ = Moment::parse(&text);
        }
    }
}
