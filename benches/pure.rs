//! What one log costs where nothing is waited for: `cargo bench --bench pure`.
#![expect(clippy::unwrap_used, reason = "a program for benchmarks may end where it stands")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use eyego::{
    domain::{
        Action, Event, EventId, FieldRules, LogFields, LogId, NewLog, NumberedEvent, Timestamp, UserId,
        ports::{Position, RawRecord},
        read_text, read_timestamp,
    },
    infrastructure::{mongo, wire},
};

/// 330 bytes, as the loads of `benches/compare.sh` send.
const BODY: &str = concat!(
    r#"{"userId":"user-0042","action":"purchase","timestamp":"2025-05-21T12:34:56.789Z","metadata":{"ip":"10.20.30.40","#,
    r#""userAgent":"Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0","path":"/shop/item/4711","sessionId":"#,
    r#""0123456789abcdef","durationMs":1234,"mobile":false,"note":"#,
    r#""xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}}"#,
);
const RECEIVED: Timestamp = Timestamp::from_millis(1_747_830_896_789);

fn read(body: &str) -> LogFields<'_> {
    LogFields::read(body, FieldRules::Strict).unwrap()
}

fn validate(fields: &LogFields<'_>) -> (UserId, Action, Timestamp) {
    (
        UserId::parse(read_text(fields.user_id.unwrap()).unwrap()).unwrap(),
        Action::parse(read_text(fields.action.unwrap()).unwrap()).unwrap(),
        read_timestamp(fields.timestamp.unwrap()).unwrap(),
    )
}

fn numbered() -> NumberedEvent {
    let fields = read(BODY);
    let (user_id, action, timestamp) = validate(&fields);
    let log = NewLog { user_id, action, timestamp, metadata: fields.metadata };
    NumberedEvent {
        id: LogId::new(7),
        offset: 7,
        event: Event { id: EventId::fresh(RECEIVED), received_at: RECEIVED, log },
    }
}

fn record(event: &Event) -> RawRecord {
    let (id, received_at) = (event.id.to_string(), event.received_at.as_millis().to_string());
    let headers =
        [(wire::HEADER_VERSION, wire::VERSION), (wire::HEADER_EVENT_ID, &id), (wire::HEADER_RECEIVED_AT, &received_at)];
    RawRecord {
        key: Some(event.log.user_id.as_str().into()),
        value: Some(wire::encode_value(&event.log)),
        headers: headers.into_iter().map(|(name, value)| (name, Some(value.as_bytes()))).collect(),
    }
}

fn one_log(criterion: &mut Criterion) {
    let numbered = numbered();
    let record = record(&numbered.event);
    let position = Position { topic: "user-activity-logs".into(), partition: 0, offset: 7 };
    let fields = read(BODY);
    let mut group = criterion.benchmark_group("one log");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse the body", |bencher| bencher.iter(|| read(black_box(BODY))));
    group.bench_function("validate its fields", |bencher| bencher.iter(|| validate(black_box(&fields))));
    group.bench_function("encode the record", |bencher| {
        bencher.iter(|| wire::encode_value(black_box(&numbered.event.log)));
    });
    group.bench_function("decode the record", |bencher| {
        bencher.iter(|| wire::decode(black_box(&record), &position, RECEIVED).unwrap());
    });
    group.bench_function("encode the document", |bencher| {
        bencher.iter(|| mongo::raw::encode(black_box(&numbered)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, one_log);
criterion_main!(benches);
