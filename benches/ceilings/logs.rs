//! Logs like those of `wrk.lua`: 330 bytes of JSON, 1,000 users, 20 actions, just happened.

use eyego::{
    domain::{
        Action, Event, EventId, FieldRules, LogFields, LogId, NewLog, NumberedEvent, Timestamp, UserId, ports::Clock,
        read_text, read_timestamp,
    },
    infrastructure::clock::SystemClock,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

const BYTES: usize = 330;
const ACTIONS: [&str; 20] = [
    "login", "logout", "view", "search", "click", "scroll", "download", "upload", "share", "like", "comment", "follow",
    "unfollow", "edit", "delete", "create", "purchase", "refund", "invite", "export",
];
/// How old a log is, at most, in milliseconds.
const JITTER: i64 = 30_000;
/// Different logs; events beyond that repeat them under ids of their own.
const VARIETY: usize = 10_000;

/// Makes events without end.
pub(crate) struct Logs {
    variety: Vec<NewLog>,
    made: usize,
}

impl Logs {
    pub(crate) fn new() -> Self {
        let mut random = StdRng::seed_from_u64(42);
        let variety = (0..VARIETY).map(|number| read(&body(&mut random, number))).collect();
        Self { variety, made: 0 }
    }

    pub(crate) fn events(&mut self, count: usize) -> Vec<Event> {
        self.take(count).collect()
    }

    /// Numbered from 0.
    pub(crate) fn numbered(&mut self, count: usize) -> Vec<NumberedEvent> {
        let numbers = 0_i64..;
        let number = |(offset, event)| NumberedEvent { id: LogId::new(offset), offset, event };
        numbers.zip(self.events(count)).map(number).collect()
    }
}

impl Iterator for Logs {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let log = self.variety[self.made % VARIETY].clone();
        self.made += 1;
        let now = SystemClock.now();
        Some(Event { id: EventId::fresh(now), received_at: now, log })
    }
}

fn body(random: &mut StdRng, number: usize) -> String {
    let start = format!(
        concat!(
            r#"{{"userId":"user-{:04}","action":"{}","timestamp":"{}","metadata":{{"#,
            r#""ip":"10.{}.{}.{}","userAgent":"Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0","path":"/shop/item/{}","#,
            r#""sessionId":"{:016x}","durationMs":{},"mobile":{},"note":""#,
        ),
        random.random_range(0..1000),
        ACTIONS[random.random_range(0..ACTIONS.len())],
        Timestamp::from_millis(SystemClock.now().as_millis() - random.random_range(0..JITTER)),
        random.random::<u8>(),
        random.random::<u8>(),
        random.random::<u8>(),
        random.random_range(0..100_000),
        number,
        random.random_range(0..5000),
        random.random::<bool>(),
    );
    let padding = "x".repeat(BYTES.saturating_sub(start.len() + 3));
    format!("{start}{padding}\"}}}}")
}

/// As the service reads a body.
fn read(body: &str) -> NewLog {
    let fields = LogFields::read(body, FieldRules::Strict).unwrap();
    NewLog {
        user_id: UserId::parse(read_text(fields.user_id.unwrap()).unwrap()).unwrap(),
        action: Action::parse(read_text(fields.action.unwrap()).unwrap()).unwrap(),
        timestamp: read_timestamp(fields.timestamp.unwrap()).unwrap(),
        metadata: fields.metadata,
    }
}
