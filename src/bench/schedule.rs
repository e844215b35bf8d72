//! Which request is sent when. In an open loop the moments are fixed beforehand: a service that stalls finds the
//! requests of that time waiting, and their latency counts from when they should have been sent.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

/// Shorter sleeps would only cost CPU: so much may a request be late.
const SHORTEST_SLEEP: Duration = Duration::from_micros(100);
/// How soon the end is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// One request: the logs it carries, and when it should be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) intended: Instant,
}

impl Turn {
    pub(super) fn numbers(self) -> Range<u64> {
        self.first..self.first + u64::from(self.count)
    }
}

/// When requests are due in an open loop.
#[derive(Debug, Clone, Copy)]
struct Pace {
    seconds_per_request: f64,
}

impl Pace {
    fn moment(self, request: u64) -> Duration {
        Duration::from_secs_f64(request as f64 * self.seconds_per_request)
    }

    /// How many requests fell due within this time.
    fn due(self, elapsed: Duration) -> u64 {
        (elapsed.as_secs_f64() / self.seconds_per_request).ceil() as u64
    }
}

#[derive(Debug)]
pub(super) struct Schedule {
    began: Instant,
    until: Option<Instant>,
    logs: u64,
    batch: u32,
    pace: Option<Pace>,
    next: AtomicU64,
    stopped: AtomicBool,
    /// A permit for each request that is due.
    due: Semaphore,
}

impl Schedule {
    /// From now on: at most so many logs, in requests of `batch`, for at most this time, at so many logs a second.
    pub(super) fn new(logs: u64, batch: u32, duration: Option<Duration>, rate: Option<f64>) -> Self {
        let began = Instant::now();
        Self {
            began,
            until: duration.map(|duration| began + duration),
            logs,
            batch,
            pace: rate.map(|rate| Pace { seconds_per_request: f64::from(batch) / rate }),
            next: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            due: Semaphore::new(0),
        }
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// How many logs have been given out.
    pub(super) fn begun(&self) -> u64 {
        self.next.load(Ordering::Relaxed).min(self.requests()).saturating_mul(u64::from(self.batch)).min(self.logs)
    }

    /// How many logs were due and never given out: all connections were busy.
    pub(super) fn unsent(&self, now: Instant) -> u64 {
        let Some(pace) = self.pace else { return 0 };
        let now = self.until.map_or(now, |until| until.min(now));
        let due = pace.due(now.saturating_duration_since(self.began)).min(self.requests());
        due.saturating_mul(u64::from(self.batch)).min(self.logs).saturating_sub(self.begun())
    }

    /// Ends the load: no further turns.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.stopped.load(Ordering::Relaxed)
            || self.until.is_some_and(|until| now >= until)
            || self.next.load(Ordering::Relaxed) >= self.requests()
    }

    /// The next request, once it is due. `None` when the load is over.
    pub(super) async fn turn(&self, now: Instant) -> Option<Turn> {
        let Some(pace) = self.pace else { return self.take(now).map(|(_, turn)| turn) };
        self.due.acquire().await.ok()?.forget();
        let (request, turn) = self.take(Instant::now())?;
        Some(Turn { intended: self.began + pace.moment(request), ..turn })
    }

    fn take(&self, now: Instant) -> Option<(u64, Turn)> {
        if self.is_over(now) {
            return None;
        }
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let first = request.checked_mul(u64::from(self.batch)).filter(|first| *first < self.logs)?;
        let count = u32::try_from(self.logs - first).unwrap_or(u32::MAX).min(self.batch);
        Some((request, Turn { first, count, intended: now }))
    }

    fn requests(&self) -> u64 {
        self.logs.div_ceil(u64::from(self.batch))
    }

    /// Releases requests as they fall due, from a thread of its own: the runtime's timers are too coarse. Nothing to
    /// do in a closed loop.
    pub(super) fn pace(self: &Arc<Self>, connections: usize) -> Option<JoinHandle<()>> {
        let (schedule, pace) = (Arc::clone(self), self.pace?);
        let run = move || {
            let mut released = 0;
            while !schedule.is_over(Instant::now()) && released < schedule.requests() {
                let due = pace.due(schedule.began.elapsed()).min(schedule.requests());
                schedule.due.add_permits(usize::try_from(due - released).unwrap_or(0));
                released = due;
                let next = schedule.began + pace.moment(released);
                let sleep = next.saturating_duration_since(Instant::now());
                thread::sleep(sleep.clamp(SHORTEST_SLEEP, LONGEST_SLEEP));
            }
            // Whoever still waits for a turn learns that there is none.
            schedule.due.add_permits(connections);
        };
        Some(thread::spawn(run))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn all(schedule: &Schedule) -> Vec<(u64, u32)> {
        let turns = std::iter::from_fn(|| schedule.turn(Instant::now()).now_or_never().flatten());
        turns.map(|turn| (turn.first, turn.count)).collect()
    }

    #[test]
    fn the_last_batch_has_what_is_left() {
        let schedule = Schedule::new(25, 10, None, None);
        assert_eq!(all(&schedule), [(0, 10), (10, 10), (20, 5)]);
        assert_eq!(schedule.begun(), 25);
        assert!(schedule.is_over(Instant::now()));
        assert_eq!(all(&Schedule::new(2, 1, None, None)), [(0, 1), (1, 1)]);
    }

    #[test]
    fn a_load_that_is_stopped_or_over_gives_no_turns() {
        let schedule = Schedule::new(100, 1, Some(Duration::from_secs(60)), None);
        assert!(schedule.turn(schedule.began()).now_or_never().flatten().is_some());
        assert!(schedule.turn(schedule.began() + Duration::from_secs(60)).now_or_never().flatten().is_none());
        schedule.stop();
        assert_eq!(all(&schedule), []);
        assert_eq!(schedule.begun(), 1);
    }

    #[test]
    fn requests_fall_due_at_a_steady_pace() {
        let pace = Pace { seconds_per_request: 0.1 };
        assert_eq!(pace.due(Duration::ZERO), 0);
        assert_eq!(pace.due(Duration::from_millis(1)), 1);
        assert_eq!(pace.due(Duration::from_millis(250)), 3);
        assert_eq!(pace.moment(3), Duration::from_millis(300));
    }

    #[test]
    fn latency_counts_from_the_intended_moment_however_late_the_turn_is() {
        let schedule = Arc::new(Schedule::new(20, 2, None, Some(2000.0)));
        schedule.pace(1).unwrap().join().unwrap();
        let turns: Vec<_> = std::iter::from_fn(|| schedule.turn(Instant::now()).now_or_never().flatten()).collect();
        assert_eq!(turns.len(), 10);
        for (index, turn) in (0..).zip(&turns) {
            assert_eq!(turn.intended, schedule.began() + Duration::from_millis(index));
        }
    }

    #[test]
    fn what_no_connection_was_free_for_is_counted() {
        let schedule = Schedule::new(1000, 10, Some(Duration::from_secs(1)), Some(100.0));
        assert_eq!(schedule.unsent(schedule.began() + Duration::from_millis(450)), 50);
        assert_eq!(schedule.unsent(schedule.began() + Duration::from_secs(9)), 100);
        assert_eq!(Schedule::new(1000, 10, None, None).unsent(Instant::now()), 0);
    }
}
