//! The domain: what an activity log is, which values it may hold, and the ports through which the outside is reached.
//!
//! Nothing here does I/O, knows a driver or a runtime. A value that exists is valid: fields are private and every
//! constructor checks.

mod account;
mod erasure;
mod event;
mod event_id;
mod export;
mod filter;
mod idempotency_key;
mod log_fields;
mod log_id;
mod metadata;
mod metadata_match;
mod metadata_path;
mod page;
pub mod ports;
mod query;
mod start_at;
mod statistics;
mod stored_logs;
mod text;
mod timestamp;

pub use account::{Account, Fate, PartitionOffsets, Tally};
pub use erasure::{ErasureFilter, ErasureJob, ErasureRule, ErasureRules, JobId, JobKind, JobState, UserDigest};
pub use event::{ActivityLog, Event, NewLog, NumberedEvent};
pub use event_id::EventId;
pub use export::{ExportPart, ExportQuery, ExportRange, PartBuilder, UnnumberedPlace};
pub use filter::LogFilter;
pub use idempotency_key::{IdempotencyKey, InvalidIdempotencyKey};
pub use log_fields::{FieldProblem, FieldRules, FieldsProblem, LogFields, read_text, read_timestamp};
pub use log_id::{IdRange, LogId};
pub use metadata::{Metadata, MetadataProblem, MetadataSeed, MetadataWriter};
pub use metadata_match::{InvalidMetadataMatch, MetadataMatch};
pub use metadata_path::{InvalidMetadataPath, MetadataNumber, MetadataPath, MetadataValue};
pub use page::{Count, LogSlice, MAX_PAGE_BYTES, MAX_PAGE_LIMIT, PageRequest, SliceBuilder};
pub use query::{From, LogQuery, Order, Place};
pub use start_at::StartAt;
pub use statistics::{DAY, Group, GroupBy, QUARTER_HOUR, Slot, Span, TopGroups, Tops, start_of};
pub use stored_logs::{StoredLog, StoredLogs};
pub use text::{Action, InvalidText, MAX_TEXT_CHARS, UserId, number_as_text};
pub use timestamp::{InvalidTimestamp, Moment, Timestamp};
