//! The store on MongoDB: logs, the id counter, tombstones and the marks of dead letters, in the old service's database.
//!
//! `options` says where it is; `store` is the adapter and `supervise` keeps it connected and prepared. One file per
//! operation: `append`, `find` (with `totals`), `export`, `import`, `receipt`, `delete`, `counter`, `indexes`,
//! `dead_letter_index`, `ledger`.
//! `document` with `from_json` and `to_json` own what a log looks like in BSON; `error` says what each failure means;
//! `handles` opens the clients; `call` and `reach` bound how long anybody waits.

mod append;
mod call;
mod counter;
mod counts;
mod dead_letter_index;
mod delete;
mod document;
mod erasure_rules;
mod erasure_store;
mod error;
mod export;
mod fates;
mod filter;
mod find;
mod from_json;
mod handles;
mod import;
mod indexes;
mod ledger;
mod metadata_indexes;
mod options;
#[doc(hidden)]
pub mod raw;
mod reach;
mod receipt;
mod statistics;
mod store;
mod supervise;
mod to_json;
mod top_actions;
mod totals;
mod update_many;

pub use dead_letter_index::DeadLetterIndex;
pub use fates::MongoFates;
pub use ledger::MongoLedger;
pub use options::{InvalidMongoUri, MongoOptions};
pub use store::MongoStore;
