//! How many logs there are of each quarter of an hour and action, kept beside the logs and without transactions.
//!
//! `logcounts` has a document for each quarter: `n` logs, `a` of each action, `v` that grows with every change and `e`
//! that grows with every recount. `logcountmarks` says who is about to change a quarter.
//!
//! - Whoever stores or deletes logs of a quarter leaves a mark of his own first, and reads `e` after that. What he did
//!   is gathered in memory and added once a second, on condition that `e` is the same still. The mark goes when the
//!   quarter has been quiet for a while.
//! - Where it is not certain what was stored or deleted, or `e` has moved on, or an event was stored already, the
//!   quarter gets a mark of doubt. Who dies leaves his marks; they grow old.
//! - A quarter with a mark of doubt or an old one is recounted from the logs once nobody has it open: `e` and `v` are
//!   read, then the marks, then the logs are counted, and the counts set on condition that `e` and `v` are the same
//!   still. Who opens it meanwhile either reads the new `e` after everything was counted, or adds by the old one, in
//!   vain, and doubts.
//!
//! Readers count quarters in doubt from the logs.
//!
//! Beside `n` stands between which ids the logs of the quarter lie: `f` and `l`, and the same for each day, there also
//! with those that have gone. A mark has in `f` the lowest id that may be stored under it. So whoever asks for a stretch
//! of time knows, at every moment, ids that all of it lies between. What the old service stores meanwhile is noticed by
//! its keys.

mod build;
mod days;
mod field;
mod foreign;
mod id_bounds;
mod ids;
mod marks;
mod open;
mod recount;
mod tally;

pub(super) use field::{action_of, field_of};
pub(super) use ids::Ids;
pub(super) use marks::in_doubt;
pub(super) use open::{Counts, Quarters};
pub(super) use recount::whole;
pub(super) use tally::{Change, quarter_of};
