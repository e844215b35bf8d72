//! What a failed send means for the record: the one table of Kafka's error codes.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::domain::ports::{PortError, PublishOutcome};

/// What became of a record that was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing of it is stored, and it never will be taken as it is.
    TooLarge,
    /// Nothing of it is stored; it may be sent again.
    Refused,
    /// It may be stored now, or later.
    Unknown,
}

/// Before a record is in the client's queue nothing can have been sent.
pub(super) fn enqueue_failure(code: Option<Code>) -> Failure {
    if code == Some(Code::MessageSizeTooLarge) { Failure::TooLarge } else { Failure::Refused }
}

/// After that, only a broker that refused the record itself is proof. `alone` says that the record travelled in a
/// batch of its own, so that a batch refused for its size was refused for this record.
///
/// A refusal can follow an attempt that was stored and whose answer was lost only if rights or settings of the topic
/// changed between the two; that is left aside.
pub(super) fn delivery_failure(code: Option<Code>, alone: bool) -> Failure {
    match code {
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge) => {
            if alone {
                Failure::TooLarge
            } else {
                Failure::Refused
            }
        }
        Some(
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::InvalidTopic
            | Code::InvalidRecord
            | Code::InvalidDifferentRecord
            | Code::InvalidTimestamp
            | Code::InvalidRequiredAcks
            | Code::PolicyViolation
            | Code::SecurityDisabled
            | Code::UnsupportedCompressionType
            | Code::UnsupportedForMessageFormat,
        ) => Failure::Refused,
        // Time-outs, purges, lost connections, a fatal client, too few replicas after the append, a topic that
        // vanished, and whatever comes new.
        _ => Failure::Unknown,
    }
}

impl Failure {
    pub(super) fn outcome(self, error: KafkaError) -> PublishOutcome {
        match self {
            Self::TooLarge => PublishOutcome::Refused(
                PortError::rejected("the record is larger than the topic takes").caused_by(error),
            ),
            Self::Refused => {
                PublishOutcome::Refused(PortError::unavailable("kafka did not take the record").caused_by(error))
            }
            Self::Unknown => {
                PublishOutcome::Unknown(PortError::unavailable("kafka did not confirm the record").caused_by(error))
            }
        }
    }
}

/// The code inside an error, also where the library's own accessor leaves it out.
pub(super) fn code_of(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_before_it_is_queued() {
        assert_eq!(enqueue_failure(Some(Code::MessageSizeTooLarge)), Failure::TooLarge);
        for code in [Code::QueueFull, Code::Fatal, Code::UnknownTopic, Code::UnknownPartition, Code::State] {
            assert_eq!(enqueue_failure(Some(code)), Failure::Refused, "{code:?}");
        }
        assert_eq!(enqueue_failure(None), Failure::Refused);
    }

    #[test]
    fn a_batch_refused_for_its_size_is_proof_only_against_a_record_that_was_alone() {
        for code in [Code::MessageSizeTooLarge, Code::InvalidMessageSize, Code::MessageBatchTooLarge] {
            assert_eq!(delivery_failure(Some(code), true), Failure::TooLarge);
            assert_eq!(delivery_failure(Some(code), false), Failure::Refused);
        }
    }

    #[test]
    fn only_a_refusal_of_the_record_itself_is_definite() {
        for code in [
            Code::TopicAuthorizationFailed,
            Code::ClusterAuthorizationFailed,
            Code::InvalidTopic,
            Code::InvalidRecord,
            Code::InvalidDifferentRecord,
            Code::InvalidTimestamp,
            Code::InvalidRequiredAcks,
            Code::PolicyViolation,
            Code::SecurityDisabled,
            Code::UnsupportedCompressionType,
            Code::UnsupportedForMessageFormat,
        ] {
            assert_eq!(delivery_failure(Some(code), true), Failure::Refused, "{code:?}");
        }
        for code in [
            Code::MessageTimedOut,
            Code::TimedOutQueue,
            Code::OperationTimedOut,
            Code::RequestTimedOut,
            Code::PurgeQueue,
            Code::PurgeInflight,
            Code::BrokerTransportFailure,
            Code::AllBrokersDown,
            Code::NetworkException,
            Code::Fatal,
            Code::GaplessGuarantee,
            Code::OutOfOrderSequenceNumber,
            Code::UnknownProducerId,
            Code::InvalidProducerEpoch,
            Code::NotEnoughReplicas,
            Code::NotEnoughReplicasAfterAppend,
            Code::LeaderNotAvailable,
            Code::NotLeaderForPartition,
            Code::UnknownTopicOrPartition,
            Code::UnknownTopic,
            Code::UnknownPartition,
            Code::KafkaStorageError,
            Code::InvalidMessage,
            Code::Unknown,
        ] {
            assert_eq!(delivery_failure(Some(code), true), Failure::Unknown, "{code:?}");
        }
        assert_eq!(delivery_failure(None, true), Failure::Unknown);
    }
}
