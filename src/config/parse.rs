//! Reading single values: numbers within bounds, durations, lists, words.

use std::{ops::RangeInclusive, time::Duration};

pub(super) fn number(text: &str, bounds: RangeInclusive<u64>) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|number| bounds.contains(number))
        .ok_or_else(|| format!("must be a whole number from {} to {}", bounds.start(), bounds.end()))
}

/// A number of seconds, or with a unit: `500ms`, `5s`, `2m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const LONGEST: u64 = 3_600_000;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        _ => 0,
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .filter(|millis| (1..=LONGEST).contains(millis))
        .map(Duration::from_millis)
        .ok_or_else(|| "must be a time from 1ms to 60m, such as 500ms, 5s or 2m".to_owned())
}

pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(text))
        .map(|(_, value)| *value)
        .ok_or_else(|| format!("must be one of {}", words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")))
}

pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// `name=value` pairs separated by semicolons. The error names the pair by its place, not by its value.
pub(super) fn properties(text: &str) -> Result<Vec<(String, String)>, String> {
    text.split(';')
        .enumerate()
        .filter(|(_, pair)| !pair.trim().is_empty())
        .map(|(index, pair)| {
            pair.split_once('=')
                .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| format!("entry {} must be name=value", index + 1))
        })
        .collect()
}

/// Whether a broker reads as host:port.
pub(super) fn is_broker(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// Kafka's rule for topic names (and a sensible one for groups and client ids): letters, digits, `.`, `_`, `-`.
pub(super) fn kafka_name(text: &str) -> Result<String, String> {
    let valid = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if valid && !text.is_empty() && text.len() <= 245 && text != "." && text != ".." {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 245 letters, digits, dots, underscores or hyphens".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "-1s", "1.5s", "1h", "0", "61m", "99999999999999999999s", "5 s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn properties_are_pairs() {
        assert_eq!(properties("a=1; b = x=y;").unwrap(), [("a".into(), "1".into()), ("b".into(), "x=y".into())]);
        let error = properties("a=1;secret").unwrap_err();
        assert!(error.contains("entry 2") && !error.contains("secret"));
    }

    #[test]
    fn brokers_have_a_port() {
        assert!(is_broker("kafka:9092") && is_broker("[::1]:9092"));
        for bad in ["kafka", ":9092", "kafka:0", "kafka:x", "http://kafka:9092"] {
            assert!(!is_broker(bad), "{bad}");
        }
    }
}
