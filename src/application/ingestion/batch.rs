//! A batch's records by what they are: events to store, and letters of what is none.

use crate::domain::{
    Event, NumberedEvent,
    ports::{DeadLetter, DeadLetterReason, Delivery},
};

/// An event with the offset of the record that carried it.
pub(super) struct Unnumbered {
    pub(super) offset: i64,
    pub(super) event: Event,
}

impl From<NumberedEvent> for Unnumbered {
    fn from(numbered: NumberedEvent) -> Self {
        Self { offset: numbered.offset, event: numbered.event }
    }
}

/// A batch's records by what they are.
pub(super) struct Sorted {
    pub(super) events: Vec<Unnumbered>,
    /// For each event the letter that it would become if the store refused it.
    pub(super) places: Vec<DeadLetter>,
    /// What is no event.
    pub(super) letters: Vec<DeadLetter>,
}

pub(super) fn sort(deliveries: Vec<Delivery>) -> Sorted {
    let (events, places) = (Vec::with_capacity(deliveries.len()), Vec::with_capacity(deliveries.len()));
    let mut sorted = Sorted { events, places, letters: Vec::new() };
    for Delivery { position, timestamp, record, event } in deliveries {
        let offset = position.offset;
        let letter = |event_id, reason| DeadLetter { event_id, reason, position, timestamp, record };
        match event {
            Ok(event) => {
                sorted.places.push(letter(event.id, DeadLetterReason::StoreRejected));
                sorted.events.push(Unnumbered { offset, event });
            }
            Err(malformed) => sorted.letters.push(letter(malformed.event_id, malformed.reason)),
        }
    }
    sorted
}
