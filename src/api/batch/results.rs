//! What became of each item, written as it becomes known.

use std::io::Write;

use crate::{
    api::{error::ApiError, error_code::ErrorCode},
    application::log_service::ServiceError,
    domain::EventId,
};

/// In characters.
const LONGEST_MESSAGE: usize = 160;

/// What became of an item. The words are part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Accepted,
    /// It is not taken as it is, now or later.
    Rejected,
    /// It was not taken; it may be sent again.
    Unavailable,
    /// It may have been taken; sent again under the same key it is stored once.
    Unknown,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
        }
    }
}

/// The results of a batch, in the order of its items.
#[derive(Debug, Default)]
pub(in crate::api) struct BatchResults {
    /// Only what was not accepted is listed.
    minimal: bool,
    counts: [usize; 4],
    /// The entries, separated by commas.
    listed: Vec<u8>,
    doubt: Option<ServiceError>,
    refusal: Option<ServiceError>,
}

impl BatchResults {
    pub(super) fn new(minimal: bool) -> Self {
        Self { minimal, ..Self::default() }
    }

    pub(super) fn accepted(&mut self, id: EventId) {
        self.count(Status::Accepted);
        if !self.minimal {
            self.begin(Status::Accepted);
            self.event_id(id);
            self.listed.push(b'}');
        }
    }

    pub(super) fn not_taken(&mut self, id: EventId, error: ServiceError) {
        let status = match error {
            ServiceError::NeverTaken(_) => Status::Rejected,
            ServiceError::OutcomeUnknown(_) => Status::Unknown,
            _ => Status::Unavailable,
        };
        let code = match status {
            Status::Unknown => ErrorCode::OutcomeUnknown,
            Status::Rejected => ErrorCode::EventTooLarge,
            Status::Accepted | Status::Unavailable => ErrorCode::QueueUnavailable,
        };
        match status {
            Status::Unknown => self.doubt = self.doubt.take().or(Some(error)),
            Status::Unavailable => self.refusal = self.refusal.take().or(Some(error)),
            Status::Accepted | Status::Rejected => {}
        }
        self.refused(status, Some(id).filter(|_| status == Status::Unknown), &code.into());
    }

    pub(super) fn refused(&mut self, status: Status, id: Option<EventId>, problem: &ApiError) {
        self.count(status);
        self.begin(status);
        if let Some(id) = id {
            self.event_id(id);
        }
        // A Vec always takes it, and text always serialises.
        let _ = write!(self.listed, ",\"code\":\"{}\",\"message\":", problem.code().word());
        let _ = serde_json::to_writer(&mut self.listed, shortened(problem.explanation()));
        self.listed.push(b'}');
    }

    fn count(&mut self, status: Status) {
        self.counts[status as usize] += 1;
    }

    fn of(&self, status: Status) -> usize {
        self.counts[status as usize]
    }

    fn begin(&mut self, status: Status) {
        if !self.listed.is_empty() {
            self.listed.push(b',');
        }
        let index = self.counts.iter().sum::<usize>() - 1;
        let _ = write!(self.listed, "{{\"index\":{index},\"status\":\"{}\"", status.word());
    }

    fn event_id(&mut self, id: EventId) {
        let _ = write!(self.listed, ",\"eventId\":\"{}\"", id.write(&mut EventId::buffer()));
    }

    /// Everything was taken.
    pub(in crate::api) fn is_complete(&self) -> bool {
        self.counts.iter().sum::<usize>() == self.of(Status::Accepted)
    }

    /// Nothing was taken, not even perhaps, and that for want of the bus. What is wrong with other items is told when it
    /// is back.
    pub(in crate::api) fn is_all_unavailable(&self) -> bool {
        self.of(Status::Unavailable) > 0 && self.of(Status::Accepted) + self.of(Status::Unknown) == 0
    }

    /// Some of it may be sent again later.
    pub(in crate::api) fn may_be_retried(&self) -> bool {
        self.of(Status::Unavailable) + self.of(Status::Unknown) > 0
    }

    /// Why the outcome of the first item whose outcome is unknown is so.
    pub(in crate::api) fn doubt(&self) -> Option<&ServiceError> {
        self.doubt.as_ref()
    }

    /// Why the first item that was not taken for want of the bus was not.
    pub(in crate::api) fn into_refusal(self) -> ApiError {
        self.refusal.map_or_else(|| ErrorCode::QueueUnavailable.into(), ApiError::from)
    }

    pub(in crate::api) fn into_json(self) -> Vec<u8> {
        let [accepted, rejected, unavailable, unknown] = self.counts;
        let mut json = Vec::with_capacity(self.listed.len() + 128);
        let _ = write!(
            json,
            "{{\"accepted\":{accepted},\"rejected\":{rejected},\"unavailable\":{unavailable},\"unknown\":{unknown},\"results\":["
        );
        json.extend_from_slice(&self.listed);
        json.extend_from_slice(b"]}");
        json
    }
}

/// Some explanations quote what the client sent.
fn shortened(explanation: &str) -> &str {
    let end = explanation.char_indices().nth(LONGEST_MESSAGE).map_or(explanation.len(), |(end, _)| end);
    &explanation[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ports::PortError;

    fn id() -> EventId {
        EventId::from_bytes([7; 16])
    }

    #[test]
    fn the_answer_is_json_with_a_result_per_item() {
        let mut results = BatchResults::new(false);
        results.accepted(id());
        results.refused(Status::Rejected, None, &ApiError::new(ErrorCode::InvalidUserId, "userId \"x\""));
        results.not_taken(id(), ServiceError::OutcomeUnknown(PortError::unavailable("why")));
        results.not_taken(id(), ServiceError::NotTaken(PortError::unavailable("why")));
        assert!(!results.is_complete() && !results.is_all_unavailable() && results.may_be_retried());
        let json: serde_json::Value = serde_json::from_slice(&results.into_json()).unwrap();
        let text = "07070707-0707-0707-0707-070707070707";
        assert_eq!(
            json,
            serde_json::json!({"accepted": 1, "rejected": 1, "unavailable": 1, "unknown": 1, "results": [
                {"index": 0, "status": "accepted", "eventId": text},
                {"index": 1, "status": "rejected", "code": "invalid_user_id", "message": "userId \"x\""},
                {"index": 2, "status": "unknown", "eventId": text, "code": "outcome_unknown",
                    "message": ErrorCode::OutcomeUnknown.message()},
                {"index": 3, "status": "unavailable", "code": "queue_unavailable",
                    "message": ErrorCode::QueueUnavailable.message()},
            ]})
        );
    }

    #[test]
    fn who_wants_little_gets_the_counts_and_the_failures() {
        let mut results = BatchResults::new(true);
        results.accepted(id());
        results.refused(Status::Rejected, None, &ErrorCode::InvalidJson.into());
        let json: serde_json::Value = serde_json::from_slice(&results.into_json()).unwrap();
        assert_eq!((&json["accepted"], &json["results"][0]["index"]), (&1.into(), &1.into()));
        assert_eq!(json["results"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn what_a_client_sent_is_not_quoted_at_length() {
        let mut results = BatchResults::new(true);
        let quoting = ApiError::new(ErrorCode::RepeatedField, "ü".repeat(100_000));
        results.refused(Status::Rejected, None, &quoting);
        assert!(results.into_json().len() < 1000);
    }
}
