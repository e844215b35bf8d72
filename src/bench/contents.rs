//! What the logs of a run say: a log follows from its number alone, so that it can be written in place and, when it is
//! read back, be known again and compared.

use std::ops::Range;

const ACTIONS: [&str; 20] = [
    "login",
    "logout",
    "page_view",
    "click",
    "search",
    "view_product",
    "add_to_cart",
    "remove_from_cart",
    "checkout",
    "payment",
    "refund",
    "signup",
    "password_change",
    "profile_update",
    "upload",
    "download",
    "share",
    "comment",
    "like",
    "follow",
];
const USERS: u64 = 1000;

/// Numbers have ten digits.
pub(super) const MOST_LOGS: u64 = 10_000_000_000;

/// A log as bytes, with the places of what differs from number to number.
#[derive(Debug, Clone)]
struct Pattern {
    bytes: Vec<u8>,
    user: [usize; 2],
    time: usize,
    ip: usize,
    path: usize,
    duration: usize,
    number: usize,
}

impl Pattern {
    fn new(run: &str, action: &str) -> Self {
        let text = format!(
            r#"{{"userId":"{}UUUU","action":"{action}","timestamp":"2025-06-15THH:MM:SS.mmmZ","metadata":{{"ip":"203.0.113.III","userAgent":"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101","path":"/products/PPPPPP","sessionId":"{run}-UUUU","durationMs":DDD,"run":"{run}","number":"NNNNNNNNNN"}}}}"#,
            user_prefix(run),
        );
        let place = |mark: &str| text.find(mark).unwrap_or_default();
        Self {
            user: [place("UUUU"), text.rfind("UUUU").unwrap_or_default()],
            time: place("HH:MM"),
            ip: place("III"),
            path: place("PPPPPP"),
            duration: place("DDD"),
            number: place("NNNNNNNNNN"),
            bytes: text.into_bytes(),
        }
    }

    fn push(&self, out: &mut Vec<u8>, number: u64) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let log = &mut out[start..];
        let user = number % USERS;
        for place in self.user {
            digits(log, place, 4, user);
        }
        // A log a millisecond, all on one day: dates would have to be computed.
        let millis = number % 86_400_000;
        digits(log, self.time, 2, millis / 3_600_000);
        digits(log, self.time + 3, 2, millis / 60_000 % 60);
        digits(log, self.time + 6, 2, millis / 1000 % 60);
        digits(log, self.time + 9, 3, millis % 1000);
        digits(log, self.ip, 3, 100 + user % 150);
        digits(log, self.path, 6, number.wrapping_mul(7919) % 1_000_000);
        digits(log, self.duration, 3, 100 + number % 900);
        digits(log, self.number, 10, number);
    }
}

fn digits(log: &mut [u8], place: usize, count: usize, value: u64) {
    let mut rest = value;
    for digit in log[place..place + count].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

fn user_prefix(run: &str) -> String {
    format!("bench-{run}-")
}

/// The fields of a log as they are read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    pub(super) user: &'a str,
    pub(super) action: &'a str,
    pub(super) timestamp: &'a str,
    /// JSON.
    pub(super) metadata: &'a str,
}

#[derive(Debug, Clone)]
pub(super) struct Contents {
    run: String,
    patterns: Vec<Pattern>,
}

impl Contents {
    pub(super) fn new(run: String) -> Self {
        let patterns = ACTIONS.iter().map(|action| Pattern::new(&run, action)).collect();
        Self { run, patterns }
    }

    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// Appends the JSON of a log.
    pub(super) fn push(&self, out: &mut Vec<u8>, number: u64) {
        self.patterns[action(number)].push(out, number);
    }

    /// How many bytes [`Self::push`] appends.
    pub(super) fn length(&self, number: u64) -> usize {
        self.patterns[action(number)].bytes.len()
    }

    /// The users of the first so many logs.
    pub(super) fn users(&self, logs: u64) -> impl Iterator<Item = String> {
        let prefix = user_prefix(&self.run);
        (0..logs.min(USERS)).map(move |user| format!("{prefix}{user:04}"))
    }

    pub(super) fn user(&self, number: u64) -> String {
        format!("{}{:04}", user_prefix(&self.run), number % USERS)
    }

    /// Whether a log that was read back is the one with this number. `scratch` is overwritten.
    pub(super) fn is_intact(&self, number: u64, fields: Fields<'_>, scratch: &mut Vec<u8>) -> bool {
        scratch.clear();
        self.push(scratch, number);
        let metadata = range_of(scratch, b"\"metadata\":", 1);
        let same_text = |name: &[u8], text: &str| {
            let place = range_of(scratch, name, 0);
            scratch[place]
                .strip_prefix(b"\"")
                .is_some_and(|rest| rest.strip_prefix(text.as_bytes()).is_some_and(|rest| rest.starts_with(b"\"")))
        };
        same_text(b"\"userId\":", fields.user)
            && same_text(b"\"action\":", fields.action)
            && same_text(b"\"timestamp\":", fields.timestamp)
            && same_json(&scratch[metadata], fields.metadata.as_bytes())
    }
}

fn action(number: u64) -> usize {
    ((number + number / USERS) % ACTIONS.len() as u64) as usize
}

/// From behind a name to the end of the text, less so many bytes.
fn range_of(text: &[u8], name: &[u8], less: usize) -> Range<usize> {
    let at = text.windows(name.len()).position(|window| window == name).unwrap_or_default();
    at + name.len()..text.len() - less
}

fn same_json(one: &[u8], other: &[u8]) -> bool {
    let value = |text| serde_json::from_slice::<serde_json::Value>(text).ok();
    one == other || value(one).is_some_and(|one| value(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn log(contents: &Contents, number: u64) -> Value {
        let mut bytes = Vec::new();
        contents.push(&mut bytes, number);
        assert_eq!(bytes.len(), contents.length(number));
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_log_is_about_330_bytes_of_json_and_carries_its_number() {
        let contents = Contents::new("0123abcd".to_owned());
        for number in [0, 1, 999, 1000, 123_456_789, MOST_LOGS - 1] {
            assert!((300..360).contains(&contents.length(number)), "{}", contents.length(number));
            let log = log(&contents, number);
            assert_eq!(log["userId"], contents.user(number).as_str());
            assert_eq!(log["metadata"]["number"], format!("{number:010}"));
            assert_eq!(log["metadata"]["run"], "0123abcd");
        }
        assert_eq!(log(&contents, 3_723_004)["timestamp"], "2025-06-15T01:02:03.004Z");
        assert_eq!(log(&contents, 42)["metadata"]["sessionId"], "0123abcd-0042");
    }

    #[test]
    fn logs_have_a_thousand_users_and_twenty_actions_each() {
        let contents = Contents::new("r".to_owned());
        assert_eq!(contents.users(5000).count(), 1000);
        assert_eq!(contents.users(3).collect::<Vec<_>>(), ["bench-r-0000", "bench-r-0001", "bench-r-0002"]);
        let actions: std::collections::HashSet<_> = (0..20).map(|n| action(7 + n * USERS)).collect();
        assert_eq!(actions.len(), 20);
    }

    #[test]
    fn what_was_changed_is_seen_and_what_was_only_rewritten_is_not() {
        let contents = Contents::new("r".to_owned());
        let sent = log(&contents, 42);
        let metadata = sent["metadata"].to_string();
        let text = |name: &str| sent[name].as_str().unwrap();
        let fields =
            Fields { user: text("userId"), action: text("action"), timestamp: text("timestamp"), metadata: &metadata };
        let rewritten = metadata.replace(",\"", " , \"");
        let changed = metadata.replace("203", "204");
        let intact = |fields: Fields<'_>| contents.is_intact(42, fields, &mut Vec::new());
        assert!(intact(fields));
        assert!(intact(Fields { metadata: &rewritten, ..fields }));
        assert!(!intact(Fields { user: "bench-r-0043", ..fields }));
        assert!(!intact(Fields { user: "bench-r-004", ..fields }));
        assert!(!intact(Fields { action: "", ..fields }));
        assert!(!intact(Fields { timestamp: "2025-06-15T00:00:00.043Z", ..fields }));
        assert!(!intact(Fields { metadata: &changed, ..fields }));
        assert!(!intact(Fields { metadata: "{}", ..fields }));
    }
}
