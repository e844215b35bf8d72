//! The desk between the polling thread and the async front: what is buffered, handed out and done, by partition.
//!
//! Knows nothing of Kafka's client; every rule about whose records may be committed is here.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::domain::ports::{Batch, BatchLimits, Checkpoint, Delivery};

/// What a record takes besides its bytes, roughly.
const RECORD_OVERHEAD: usize = 512;

/// How much may lie on the desk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The front is gone or wants to go: no more records, and nothing more will be marked.
    Closing,
    /// The thread is gone.
    Ended,
}

/// A partition that this member owns. All offsets are "the next to read"; zero is none.
#[derive(Debug)]
struct Partition {
    /// The assignment under which it came; checkpoints of older ones are void for it.
    since: u64,
    handed_out: i64,
    done: i64,
    stored: i64,
}

#[derive(Debug)]
struct State {
    buffer: VecDeque<Delivery>,
    bytes: usize,
    /// How many records the front waits for.
    wanted: usize,
    assignment: u64,
    partitions: BTreeMap<i32, Partition>,
    phase: Phase,
}

#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<State>,
    capacity: Capacity,
    /// Wakes the front: records arrived, or the thread ended.
    arrived: Notify,
    /// Wakes the thread: records were taken or marked, or the front is gone.
    changed: Condvar,
}

impl Desk {
    pub(super) fn new(capacity: Capacity) -> Self {
        let state = State {
            buffer: VecDeque::new(),
            bytes: 0,
            wanted: 1,
            assignment: 0,
            partitions: BTreeMap::new(),
            phase: Phase::Open,
        };
        Self { state: Mutex::new(state), capacity, arrived: Notify::new(), changed: Condvar::new() }
    }

    // The front's side.

    pub(super) async fn arrival(&self) {
        self.arrived.notified().await;
    }

    /// The next records, if there are enough; `Err` once the thread has ended.
    pub(super) fn take(&self, limits: BatchLimits) -> Result<Option<Batch>, Ended> {
        let mut state = self.lock();
        if state.phase == Phase::Ended {
            return Err(Ended);
        }
        state.wanted = limits.at_least;
        if !self.are_enough(&state) {
            return Ok(None);
        }
        let mut deliveries = Vec::with_capacity(limits.records.min(state.buffer.len()));
        let mut bytes = 0;
        let mut next = BTreeMap::new();
        while deliveries.len() < limits.records.max(1) {
            let Some(first) = state.buffer.front() else { break };
            bytes += record_bytes(first);
            if bytes > limits.bytes && !deliveries.is_empty() {
                break;
            }
            let Some(delivery) = state.buffer.pop_front() else { break };
            state.bytes = state.bytes.saturating_sub(weight(&delivery));
            next.insert(delivery.position.partition, delivery.position.offset + 1);
            deliveries.push(delivery);
        }
        if deliveries.is_empty() {
            return Ok(None);
        }
        for (partition, offset) in &next {
            if let Some(owned) = state.partitions.get_mut(partition) {
                owned.handed_out = *offset;
            }
        }
        let checkpoint = Checkpoint { assignment: state.assignment, next: next.into_iter().collect() };
        self.changed.notify_all();
        Ok(Some(Batch { deliveries, checkpoint }))
    }

    pub(super) fn empty_batch(&self) -> Batch {
        Batch {
            deliveries: Vec::new(),
            checkpoint: Checkpoint { assignment: self.lock().assignment, next: Vec::new() },
        }
    }

    /// Marks as done what the checkpoint covers and this member still owns since then.
    pub(super) fn mark(&self, checkpoint: &Checkpoint) -> Result<(), Ended> {
        let mut state = self.lock();
        if state.phase == Phase::Ended {
            return Err(Ended);
        }
        for (partition, next) in &checkpoint.next {
            if let Some(owned) = state.partitions.get_mut(partition)
                && owned.since <= checkpoint.assignment
            {
                owned.done = owned.done.max((*next).min(owned.handed_out));
            }
        }
        self.changed.notify_all();
        Ok(())
    }

    /// The front takes and marks nothing any more.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
        }
        state.buffer.clear();
        state.bytes = 0;
        self.changed.notify_all();
    }

    // The thread's side.

    pub(super) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    pub(super) fn push(&self, delivery: Delivery) {
        let mut state = self.lock();
        if state.phase == Phase::Open && state.partitions.contains_key(&delivery.position.partition) {
            state.bytes += weight(&delivery);
            state.buffer.push_back(delivery);
            if self.are_enough(&state) {
                self.arrived.notify_one();
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.full(&self.lock())
    }

    /// Half empty: room enough for polling to be worth it.
    pub(super) fn has_room(&self) -> bool {
        let state = self.lock();
        state.buffer.len() <= self.capacity.records / 2 && state.bytes <= self.capacity.bytes / 2
    }

    /// Waits a moment for room, a mark or the front's leaving.
    pub(super) fn wait_for_change(&self, most: Duration) {
        let state = self.lock();
        if state.phase == Phase::Open && self.full(&state) {
            drop(self.changed.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// What is done and not stored yet.
    pub(super) fn unstored(&self) -> Vec<(i32, i64)> {
        let state = self.lock();
        let behind = state.partitions.iter().filter(|(_, partition)| partition.done > partition.stored);
        behind.map(|(id, partition)| (*id, partition.done)).collect()
    }

    pub(super) fn stored(&self, offsets: &[(i32, i64)]) {
        let mut state = self.lock();
        for (id, offset) in offsets {
            if let Some(partition) = state.partitions.get_mut(id) {
                partition.stored = partition.stored.max(*offset);
            }
        }
    }

    pub(super) fn assign(&self, partitions: &[i32]) {
        let mut state = self.lock();
        state.assignment += 1;
        let since = state.assignment;
        for id in partitions {
            state.partitions.insert(*id, Partition { since, handed_out: 0, done: 0, stored: 0 });
        }
    }

    /// The partitions are about to go: what lies on the desk of them goes at once.
    pub(super) fn withdraw(&self, partitions: &[i32]) {
        let mut state = self.lock();
        state.buffer.retain(|delivery| !partitions.contains(&delivery.position.partition));
        state.bytes = state.buffer.iter().map(weight).sum();
    }

    /// Waits until everything handed out of these partitions is done. `false`: not in time.
    pub(super) fn wait_until_done(&self, partitions: &[i32], deadline: Instant) -> bool {
        let mut state = self.lock();
        loop {
            let open = |id| state.partitions.get(id).is_some_and(|partition| partition.handed_out > partition.done);
            if !partitions.iter().any(open) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.phase != Phase::Open {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The partitions are gone: no checkpoint counts for them any more.
    pub(super) fn revoke(&self, partitions: &[i32]) {
        self.withdraw(partitions);
        let mut state = self.lock();
        state.assignment += 1;
        for id in partitions {
            state.partitions.remove(id);
        }
    }

    pub(super) fn owns_any(&self) -> bool {
        !self.lock().partitions.is_empty()
    }

    pub(super) fn end(&self) {
        self.lock().phase = Phase::Ended;
        self.arrived.notify_one();
    }

    /// A full desk is enough, whatever is waited for: nothing more will come.
    fn are_enough(&self, state: &State) -> bool {
        state.buffer.len() >= state.wanted || self.full(state)
    }

    fn full(&self, state: &State) -> bool {
        state.buffer.len() >= self.capacity.records || state.bytes >= self.capacity.bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The polling thread is gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended;

fn record_bytes(delivery: &Delivery) -> usize {
    delivery.record.bytes()
}

/// Twice the record: as it came and as it was read.
fn weight(delivery: &Delivery) -> usize {
    RECORD_OVERHEAD + 2 * record_bytes(delivery)
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
