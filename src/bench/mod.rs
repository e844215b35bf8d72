//! `eyego bench`: loads a service over HTTP as its clients would, measures it from outside, reads everything back and
//! judges it. It knows the service by its public interface alone.

mod answer;
mod client;
mod connection;
mod contents;
mod drain;
mod journal;
mod judge;
mod latency;
mod ledger;
mod load;
mod own_service;
mod page;
mod process;
mod readable;
mod reading;
mod record;
mod report;
mod request;
mod results;
mod run;
mod schedule;
mod target;

use std::{error::Error, io, process::ExitStatus, time::Duration};

pub use report::{Report, Verdict};
pub use run::{MOST_JUDGED, run};

/// Sees the run go on.
pub trait Observer {
    /// So many logs are acknowledged, this long after the load began.
    fn loading(&mut self, acknowledged: u64, elapsed: Duration);
    /// So many logs are still to be stored.
    fn draining(&mut self, left: u64);
    /// The logs of so many users, of so many in all, have been read back.
    fn judging(&mut self, users: u64, of: u64);
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("nobody answers at {0}")]
    Unreachable(String, #[source] io::Error),
    #[error("connection {0} of the load could not be opened")]
    Connect(usize, #[source] io::Error),
    #[error("the service went away during the load")]
    Gone,
    #[error("the service at {0} is not ready to take logs: {1}")]
    NotReady(String, String),
    #[error("the service could not be started")]
    Start(#[source] io::Error),
    #[error("the service did not say where it listens")]
    NoGreeting,
    #[error("the service did not end when it was asked to")]
    End(#[source] io::Error),
    #[error("the service ended badly ({0})")]
    EndedBadly(ExitStatus),
    #[error("signals cannot be listened to")]
    Signals(#[source] io::Error),
    #[error("no log was acknowledged")]
    NothingAcknowledged,
    #[error("it could not be judged")]
    NotJudged(#[source] Box<dyn Error + Send + Sync>),
    #[error("{0} logs were not stored yet, and nothing happened any more")]
    NotStoredYet(u64),
}
