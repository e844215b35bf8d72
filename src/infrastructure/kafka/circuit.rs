//! Whether publishing makes sense at all: the memory of acknowledgements, missed deadlines and probes.
//!
//! While the bus is known to be away nothing is queued, so that "not taken" is true (contract C3).

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::domain::ports::{PortError, Status};

/// Something in flight and no acknowledgement for so long is worth a probe.
const STALL: Duration = Duration::from_secs(1);
/// After an outage one publish is let through at a time; one that hangs holds the others up no longer than this.
const TRIAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum State {
    /// Not connected yet, or topics are missing.
    Starting(String),
    Up,
    /// Nothing is let through; the reason is for clients too.
    Down(String),
    /// The bus answers again; one publish at a time tries it, the first acknowledgement ends the trial.
    Trying {
        last: Option<Instant>,
    },
    Ended,
}

/// What a probe of the bus found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Ready,
    /// It answers, but cannot take records.
    Unready(String),
    /// No answer in time.
    Silent(String),
}

#[derive(Debug)]
pub(super) struct Circuit {
    origin: Instant,
    state: Mutex<State>,
    /// Mirrors `State::Up`, so that the usual case takes no lock.
    up: AtomicBool,
    in_flight: AtomicIsize,
    /// Milliseconds since `origin`.
    last_ack: AtomicU64,
    busy_since: AtomicU64,
}

impl Circuit {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            state: Mutex::new(State::Starting("connecting to kafka".to_owned())),
            up: AtomicBool::new(false),
            in_flight: AtomicIsize::new(0),
            last_ack: AtomicU64::new(0),
            busy_since: AtomicU64::new(0),
        }
    }

    /// Whether a publish may begin now; if not, [`Circuit::refusal`] says why.
    pub(super) fn admits(&self, now: Instant) -> bool {
        if self.up.load(Ordering::Acquire) {
            return true;
        }
        match &mut *self.lock() {
            State::Up => true,
            State::Starting(_) | State::Down(_) | State::Ended => false,
            State::Trying { last } => {
                let held_up = last.is_some_and(|last| now.saturating_duration_since(last) < TRIAL);
                if !held_up {
                    *last = Some(now);
                }
                !held_up
            }
        }
    }

    pub(super) fn refusal(&self) -> PortError {
        match &*self.lock() {
            State::Starting(reason) | State::Down(reason) => PortError::unavailable(reason.as_str()),
            State::Up | State::Trying { .. } => PortError::unavailable("kafka is just coming back"),
            State::Ended => PortError::closed("the publisher is closed"),
        }
    }

    /// A record is about to be queued.
    pub(super) fn sending(&self, now: Instant) {
        if self.in_flight.fetch_add(1, Ordering::AcqRel) <= 0 {
            self.busy_since.store(self.millis(now), Ordering::Release);
        }
    }

    /// A record left the queue, or never entered it.
    pub(super) fn settled(&self, now: Instant, acknowledged: bool) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        if !acknowledged {
            return;
        }
        self.last_ack.store(self.millis(now), Ordering::Release);
        if !self.up.load(Ordering::Acquire) {
            let mut state = self.lock();
            if matches!(*state, State::Trying { .. }) {
                self.set(&mut state, State::Up);
            }
        }
    }

    /// A publish that began at `begun` got no answer within its deadline.
    pub(super) fn overdue(&self, begun: Instant) {
        let mut state = self.lock();
        let passing = matches!(*state, State::Up | State::Trying { .. });
        if passing && !self.acknowledged_since(begun) {
            self.set(&mut state, State::Down("kafka does not acknowledge".to_owned()));
        }
    }

    /// Whether records wait and none has been acknowledged for a while.
    pub(super) fn stalled(&self, now: Instant) -> bool {
        if self.in_flight.load(Ordering::Acquire) <= 0 {
            return false;
        }
        let since = self.last_ack.load(Ordering::Acquire).max(self.busy_since.load(Ordering::Acquire));
        self.millis(now).saturating_sub(since) >= u64::try_from(STALL.as_millis()).unwrap_or(u64::MAX)
    }

    /// What a probe that began at `begun` found. A silence is believed only if nothing was acknowledged meanwhile.
    pub(super) fn probed(&self, begun: Instant, sight: Sight) {
        let mut state = self.lock();
        match (&*state, sight) {
            (State::Ended, _) | (State::Up | State::Trying { .. }, Sight::Ready) => {}
            (State::Starting(_), Sight::Ready) => self.set(&mut state, State::Up),
            (State::Down(_), Sight::Ready) => self.set(&mut state, State::Trying { last: None }),
            (State::Starting(_), Sight::Unready(reason) | Sight::Silent(reason)) => {
                self.set(&mut state, State::Starting(reason));
            }
            (_, Sight::Unready(reason)) => self.set(&mut state, State::Down(reason)),
            (_, Sight::Silent(reason)) => {
                if !self.acknowledged_since(begun) {
                    self.set(&mut state, State::Down(reason));
                }
            }
        }
    }

    /// The client had to be replaced: whatever is known of it counts no more.
    pub(super) fn replaced(&self) {
        let mut state = self.lock();
        if matches!(*state, State::Up) {
            self.set(&mut state, State::Trying { last: None });
        }
    }

    pub(super) fn end(&self) {
        self.set(&mut self.lock(), State::Ended);
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    pub(super) fn status(&self) -> Status {
        match &*self.lock() {
            State::Up | State::Trying { .. } => Status::Up,
            State::Starting(reason) | State::Down(reason) => Status::Down(reason.clone()),
            State::Ended => Status::Down("shutting down".to_owned()),
        }
    }

    fn acknowledged_since(&self, begun: Instant) -> bool {
        let last = self.last_ack.load(Ordering::Acquire);
        last > 0 && last >= self.millis(begun)
    }

    fn set(&self, state: &mut State, next: State) {
        self.up.store(matches!(next, State::Up), Ordering::Release);
        *state = next;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        circuit: Circuit,
        start: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let start = Instant::now();
            Self { circuit: Circuit::new(start), start }
        }

        fn up() -> Self {
            let scene = Self::new();
            scene.circuit.probed(scene.at(0), Sight::Ready);
            scene
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        fn admits(&self, millis: u64) -> bool {
            self.circuit.admits(self.at(millis))
        }
    }

    fn silent() -> Sight {
        Sight::Silent("away".to_owned())
    }

    #[test]
    fn nothing_is_let_through_before_the_first_sight() {
        let scene = Scene::new();
        assert!(!scene.admits(1));
        scene.circuit.probed(scene.at(1), Sight::Unready("topic t is missing".to_owned()));
        assert_eq!(scene.circuit.status(), Status::Down("topic t is missing".to_owned()));
        scene.circuit.probed(scene.at(2), Sight::Ready);
        assert!(scene.admits(3) && scene.circuit.is_up());
    }

    #[test]
    fn a_missed_deadline_shuts_it_unless_others_are_acknowledged() {
        let scene = Scene::up();
        scene.circuit.sending(scene.at(10));
        scene.circuit.sending(scene.at(10));
        scene.circuit.settled(scene.at(20), true);
        scene.circuit.overdue(scene.at(10));
        assert!(scene.admits(5000));
        scene.circuit.overdue(scene.at(21));
        assert!(!scene.admits(5021));
    }

    #[test]
    fn a_stall_is_seen_and_a_silent_probe_shuts_it() {
        let scene = Scene::up();
        assert!(!scene.circuit.stalled(scene.at(9000)));
        scene.circuit.sending(scene.at(9000));
        assert!(!scene.circuit.stalled(scene.at(9999)));
        assert!(scene.circuit.stalled(scene.at(10_000)));
        scene.circuit.probed(scene.at(10_000), silent());
        assert!(!scene.admits(10_001));
    }

    #[test]
    fn a_silent_probe_is_not_believed_while_acknowledgements_come() {
        let scene = Scene::up();
        scene.circuit.sending(scene.at(1));
        scene.circuit.settled(scene.at(100), true);
        scene.circuit.probed(scene.at(90), silent());
        assert!(scene.admits(101));
        scene.circuit.probed(scene.at(90), Sight::Unready("no leader".to_owned()));
        assert!(!scene.admits(102));
    }

    #[test]
    fn after_an_outage_one_publish_tries_and_its_acknowledgement_opens_it() {
        let scene = Scene::up();
        scene.circuit.probed(scene.at(1), silent());
        scene.circuit.probed(scene.at(2), Sight::Ready);
        assert_eq!(scene.circuit.status(), Status::Up);
        assert!(scene.admits(3));
        assert!(!scene.admits(4));
        assert!(scene.admits(1003));
        scene.circuit.sending(scene.at(1003));
        scene.circuit.settled(scene.at(1010), true);
        assert!(scene.admits(1011) && scene.admits(1011));
    }

    #[test]
    fn an_acknowledgement_while_it_is_shut_does_not_open_it() {
        let scene = Scene::up();
        scene.circuit.sending(scene.at(1));
        scene.circuit.probed(scene.at(2), Sight::Unready("no leader".to_owned()));
        scene.circuit.settled(scene.at(3), true);
        assert!(!scene.admits(4));
    }

    #[test]
    fn the_end_is_final() {
        let scene = Scene::up();
        scene.circuit.end();
        scene.circuit.probed(scene.at(1), Sight::Ready);
        assert!(!scene.admits(2));
        assert_eq!(scene.circuit.refusal().kind(), crate::domain::ports::PortErrorKind::Closed);
    }
}
