//! The desk's rules.

use std::thread;

use super::*;
use crate::{
    domain::{
        Timestamp,
        ports::{Position, RawRecord},
    },
    infrastructure::wire,
};

const NO_LIMITS: BatchLimits = BatchLimits { records: 1000, bytes: 1 << 20, at_least: 1 };

fn delivery(partition: i32, offset: i64) -> Delivery {
    let record = RawRecord { value: Some(vec![b'x'; 100]), ..RawRecord::default() };
    let position = Position { topic: "t".into(), partition, offset };
    let timestamp = Timestamp::from_millis(0);
    let event = wire::decode(&record, &position, timestamp);
    Delivery { position, timestamp, record, event }
}

fn desk(partitions: &[i32]) -> Desk {
    let desk = Desk::new(Capacity { records: 4, bytes: 1 << 20 });
    desk.assign(partitions);
    desk
}

fn take(desk: &Desk) -> Batch {
    desk.take(NO_LIMITS).unwrap().unwrap()
}

fn offsets(batch: &Batch) -> Vec<(i32, i64)> {
    batch.deliveries.iter().map(|delivery| (delivery.position.partition, delivery.position.offset)).collect()
}

#[test]
fn a_batch_keeps_order_and_limits() {
    let desk = desk(&[0, 1]);
    for (partition, offset) in [(0, 5), (1, 9), (0, 6)] {
        desk.push(delivery(partition, offset));
    }
    let batch = desk.take(BatchLimits { records: 2, bytes: 1 << 20, at_least: 1 }).unwrap().unwrap();
    assert_eq!(offsets(&batch), [(0, 5), (1, 9)]);
    assert_eq!(batch.checkpoint.next, [(0, 6), (1, 10)]);
    let rest = desk.take(BatchLimits { records: 2, bytes: 1, at_least: 1 }).unwrap().unwrap();
    assert_eq!(offsets(&rest), [(0, 6)], "a larger record makes a batch of its own");
    assert!(desk.take(NO_LIMITS).unwrap().is_none());
}

#[test]
fn only_what_is_marked_is_to_be_stored() {
    let desk = desk(&[0]);
    desk.push(delivery(0, 5));
    let first = take(&desk);
    desk.push(delivery(0, 6));
    let second = take(&desk);
    assert!(desk.unstored().is_empty());
    desk.mark(&first.checkpoint).unwrap();
    assert_eq!(desk.unstored(), [(0, 6)]);
    desk.stored(&[(0, 6)]);
    assert!(desk.unstored().is_empty());
    desk.mark(&second.checkpoint).unwrap();
    assert_eq!(desk.unstored(), [(0, 7)]);
}

#[test]
fn a_checkpoint_is_void_for_a_partition_that_moved_and_valid_for_the_others() {
    let desk = desk(&[0, 1]);
    desk.push(delivery(0, 5));
    desk.push(delivery(1, 5));
    let batch = take(&desk);
    desk.revoke(&[0]);
    desk.mark(&batch.checkpoint).unwrap();
    assert_eq!(desk.unstored(), [(1, 6)]);
    desk.assign(&[0]);
    desk.mark(&batch.checkpoint).unwrap();
    assert_eq!(desk.unstored(), [(1, 6)], "also when it came back meanwhile");
}

#[test]
fn nothing_beyond_what_was_handed_out_is_ever_stored() {
    let desk = desk(&[0]);
    desk.push(delivery(0, 5));
    let batch = take(&desk);
    desk.mark(&Checkpoint { assignment: batch.checkpoint.assignment, next: vec![(0, 99), (7, 1)] }).unwrap();
    assert_eq!(desk.unstored(), [(0, 6)]);
}

#[test]
fn a_withdrawn_partition_leaves_nothing_on_the_desk() {
    let desk = desk(&[0, 1]);
    for (partition, offset) in [(0, 1), (1, 1), (0, 2), (1, 2)] {
        desk.push(delivery(partition, offset));
    }
    assert!(desk.is_full());
    desk.withdraw(&[0]);
    assert!(desk.has_room());
    assert_eq!(offsets(&take(&desk)), [(1, 1), (1, 2)]);
}

#[test]
fn records_of_a_partition_that_is_not_owned_are_not_taken() {
    let desk = desk(&[0]);
    desk.push(delivery(1, 1));
    assert!(desk.take(NO_LIMITS).unwrap().is_none());
}

#[test]
fn a_revoke_waits_for_the_batch_in_hand() {
    let desk = desk(&[0]);
    desk.push(delivery(0, 5));
    let batch = take(&desk);
    let long = Instant::now() + Duration::from_secs(30);
    assert!(!desk.wait_until_done(&[0], Instant::now()));
    assert!(desk.wait_until_done(&[1], long));
    thread::scope(|scope| {
        scope.spawn(|| desk.mark(&batch.checkpoint).unwrap());
        assert!(desk.wait_until_done(&[0], long));
    });
}

#[test]
fn a_front_that_left_is_not_waited_for() {
    let desk = desk(&[0]);
    desk.push(delivery(0, 5));
    drop(take(&desk));
    desk.leave();
    assert!(!desk.wait_until_done(&[0], Instant::now() + Duration::from_secs(30)));
    desk.push(delivery(0, 6));
    assert!(!desk.is_open() && desk.has_room());
}

#[test]
fn after_the_end_the_front_is_told() {
    let desk = desk(&[0]);
    desk.end();
    assert_eq!(desk.take(NO_LIMITS).unwrap_err(), Ended);
    assert_eq!(desk.mark(&Checkpoint { assignment: 1, next: Vec::new() }), Err(Ended));
}

#[test]
fn who_waits_for_many_gets_none_before_they_are_there_or_the_desk_is_full() {
    let desk = desk(&[0]);
    let two = BatchLimits { at_least: 2, ..NO_LIMITS };
    desk.push(delivery(0, 5));
    assert!(desk.take(two).unwrap().is_none());
    desk.push(delivery(0, 6));
    assert_eq!(offsets(&desk.take(two).unwrap().unwrap()), [(0, 5), (0, 6)]);
    let many = BatchLimits { at_least: 1000, ..NO_LIMITS };
    for offset in 7..11 {
        assert!(desk.take(many).unwrap().is_none());
        desk.push(delivery(0, offset));
    }
    assert_eq!(desk.take(many).unwrap().unwrap().deliveries.len(), 4);
}
