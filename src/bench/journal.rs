//! What was answered for every log of the run, by its number: what the store is held against.

use uuid::Uuid;

use super::schedule::Turn;

/// What the poster of a log knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has to be stored exactly once.
    Acknowledged,
    /// It must not be stored.
    Refused,
    /// It may be stored once, or not at all.
    Unknown,
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    keeps: bool,
    fates: Vec<Fate>,
    /// As far as answers named them; nil where they did not. Empty for batches.
    events: Vec<Uuid>,
}

impl Journal {
    /// `keeps` is false where nobody will look: a long run then takes no memory.
    pub(super) fn new(keeps: bool) -> Self {
        Self { keeps, ..Self::default() }
    }

    pub(super) fn keeps(&self) -> bool {
        self.keeps
    }

    /// From the moment a request is sent until it is answered its outcome is unknown.
    pub(super) fn begin(&mut self, turn: Turn) {
        if self.keeps {
            let end = usize::try_from(turn.numbers().end).unwrap_or(usize::MAX);
            self.fates.resize(end.max(self.fates.len()), Fate::Unknown);
        }
    }

    pub(super) fn settle(&mut self, number: u64, fate: Fate) {
        if let Some(place) = index(number).and_then(|index| self.fates.get_mut(index)) {
            *place = fate;
        }
    }

    pub(super) fn name(&mut self, number: u64, event: Uuid) {
        let Some(index) = index(number).filter(|index| *index < self.fates.len()) else { return };
        if index >= self.events.len() {
            self.events.resize(self.fates.len(), Uuid::nil());
        }
        self.events[index] = event;
    }

    pub(super) fn event(&self, number: u64) -> Option<Uuid> {
        self.events.get(index(number)?).copied().filter(|event| !event.is_nil())
    }

    /// How many numbers were sent.
    pub(super) fn len(&self) -> u64 {
        self.fates.len() as u64
    }

    pub(super) fn fates(&self) -> impl Iterator<Item = (u64, Fate)> {
        (0..).zip(self.fates.iter().copied())
    }
}

fn index(number: u64) -> Option<usize> {
    usize::try_from(number).ok()
}
