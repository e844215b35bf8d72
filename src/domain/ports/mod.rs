//! The ports: what the application asks of the outside, with what each promises on order, duplicates, retry and
//! cancellation. Adapters implement them; wrappers (retry, metering, fault injection) implement them too.

mod clock;
mod consumer_group;
mod dead_letters;
mod erasure;
mod error;
mod event_publisher;
mod event_source;
mod history;
mod ledger;
mod log_export;
mod log_import;
mod log_repository;
mod log_statistics;
mod probe;
mod record_headers;
mod verification;

pub use clock::Clock;
pub use consumer_group::{ConsumerGroup, GroupState, LegacyLogs};
pub use dead_letters::{DeadLetter, DeadLetterReason, DeadLetters};
pub use erasure::{ErasureRequest, ErasureStep, ErasureStore};
pub use error::{ErrorChain, PortError, PortErrorKind};
pub use event_publisher::{EventPublisher, PublishOutcome};
pub use event_source::{Batch, BatchLimits, Checkpoint, Delivery, EventSource, Malformed, Position, RawRecord};
pub use history::{EventFate, EventFates, History, HistoryReader, OffsetRange};
pub use ledger::{AccountMove, BusOffsets, Ledger, LedgerWriter, OffsetsFound, Partitions};
pub use log_export::LogExport;
pub use log_import::{FIRST_ID_NOT_KEPT, ImportIds, ImportProgress, ImportReporter, ImportSummary, LogImport};
pub use log_repository::{AppendOutcome, DeleteOutcome, LogRepository, Receipt};
pub use log_statistics::LogStatistics;
pub use probe::{Probe, Status};
pub use record_headers::RecordHeaders;
pub use verification::{Verification, VerificationProgress, VerificationReporter, VerificationSummary};
