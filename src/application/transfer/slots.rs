//! How many exports run at a time. One whose client takes nothing any more makes room when another one wants it.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// A client that has taken nothing for this long may be gone without a word.
const STALLED: Duration = Duration::from_secs(60);

/// So many exports.
#[derive(Debug)]
pub(super) struct Slots {
    running: Mutex<Vec<Weak<Running>>>,
    most: usize,
}

#[derive(Debug)]
struct Running {
    taken_at: Mutex<Instant>,
    is_cut: AtomicBool,
}

/// The place of one export; free again once it is dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<Running>);

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self { running: Mutex::default(), most }
    }

    /// `None` where all are taken, each by a client that takes what it gets.
    pub(super) fn take(&self, now: Instant) -> Option<Slot> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|one| one.strong_count() > 0);
        if running.len() >= self.most {
            let stalled = running.iter().position(|one| one.upgrade().is_some_and(|one| one.is_stalled(now)))?;
            if let Some(stalled) = running.swap_remove(stalled).upgrade() {
                stalled.is_cut.store(true, Ordering::Relaxed);
            }
        }
        let taken = Running { taken_at: Mutex::new(now), is_cut: AtomicBool::new(false) };
        let taken = Arc::new(taken);
        running.push(Arc::downgrade(&taken));
        Some(Slot(taken))
    }
}

impl Running {
    fn is_stalled(&self, now: Instant) -> bool {
        now.duration_since(*self.taken_at.lock().unwrap_or_else(PoisonError::into_inner)) >= STALLED
    }
}

impl Slot {
    /// The client wants more. `false`: its place was given to another one.
    pub(super) fn goes_on(&self, now: Instant) -> bool {
        *self.0.taken_at.lock().unwrap_or_else(PoisonError::into_inner) = now;
        !self.0.is_cut.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_left_or_its_client_takes_nothing() {
        let slots = Slots::new(2);
        let begun = Instant::now();
        let (one, two) = (slots.take(begun).unwrap(), slots.take(begun).unwrap());
        assert!(slots.take(begun).is_none());
        drop(one);
        let three = slots.take(begun).unwrap();
        let later = begun + STALLED / 2;
        assert!(two.goes_on(later) && slots.take(later).is_none());
        let later = begun + STALLED;
        let four = slots.take(later).unwrap();
        assert!(!three.goes_on(later), "it took nothing for longest");
        assert!(two.goes_on(later) && four.goes_on(later));
        assert!(slots.take(later).is_none());
    }
}
