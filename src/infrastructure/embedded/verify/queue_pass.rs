//! The first pass: what `queue.db` holds. It has to come before the logs, because what it no longer holds is there.

use rusqlite::Connection;

use super::{
    super::{error::port_error, sequence, sequence::SequenceRow},
    CHUNK,
    ranges::Ranges,
    report::Reports,
    source::{Found, QUEUE, Soundness, Stream},
};
use crate::domain::ports::PortError;

/// What was found in the queue.
pub(super) struct Queue {
    pub(super) row: SequenceRow,
    /// Sequence numbers whose events wait to be drained.
    pub(super) waiting: Ranges,
}

pub(super) fn read(connection: &mut Connection, reports: &mut Reports) -> Result<Queue, PortError> {
    let row = sequence::read(connection).map_err(|error| port_error("reading queue.db", error))?;
    let mut queue = Queue { row, waiting: Ranges::default() };
    reports.total += u64::try_from(row.last + 1 - row.position).unwrap_or(0);
    let mut after = i64::MIN;
    loop {
        // In short transactions, so that the service can go on tidying up.
        let chunk = chunk(connection, after).map_err(|error| port_error("reading queue.db", error))?;
        for found in &chunk {
            queue.take(found, reports)?;
        }
        reports.progress()?;
        match chunk.last() {
            Some(last) if chunk.len() == CHUNK => after = last.key,
            _ => return Ok(queue),
        }
    }
}

fn chunk(connection: &mut Connection, after: i64) -> rusqlite::Result<Vec<Found>> {
    let mut statement = QUEUE.prepare(connection)?;
    let mut stream = Stream::open(&QUEUE, &mut statement, after)?;
    let mut chunk = Vec::new();
    while let Some(found) = stream.head.filter(|_| chunk.len() < CHUNK) {
        chunk.push(found);
        stream.advance()?;
    }
    Ok(chunk)
}

impl Queue {
    fn take(&mut self, found: &Found, reports: &mut Reports) -> Result<(), PortError> {
        reports.summary.looked_up += 1;
        let SequenceRow { first, last, position } = self.row;
        let seq = found.key;
        let old = seq < first;
        match found.soundness {
            Soundness::Sound => {}
            Soundness::Unchecked if old => {}
            Soundness::Unchecked | Soundness::Changed => {
                reports.damaged(format!("{found}: changed after it was written"))?;
            }
        }
        if old {
            reports.summary.pending += u64::from(seq >= position);
        } else if seq >= position && seq <= last {
            self.waiting.push(seq, seq);
        }
        Ok(())
    }
}
