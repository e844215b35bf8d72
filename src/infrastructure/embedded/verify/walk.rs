//! The second pass: every table of `logs.db` side by side, in the order of the sequence.
//!
//! Logs are read by id, which grows with the sequence but for the few that got a new number; the other tables by
//! sequence number. So no index over the logs is needed, and what comes late is taken off the list of what is missing.

use rusqlite::{CachedStatement, Connection};

use super::{
    super::error::port_error,
    CHUNK,
    ranges::Ranges,
    report::Reports,
    source::{Found, Kind, LOGS, OTHERS, Soundness, Source, Stream, UNNUMBERED_TOMBSTONES, found_unnumbered},
};
use crate::domain::ports::PortError;

const STREAMS: usize = 1 + OTHERS.len();

/// Where the walk is.
pub(super) struct Walk {
    first: i64,
    /// What comes after is younger than the walk.
    last: i64,
    last_id: i64,
    /// Everything up to here was passed.
    at: i64,
    /// For each stream the key of its last row that was taken.
    taken: [i64; STREAMS],
    pub(super) missing: Ranges,
}

impl Walk {
    /// From `first` to `last`, over the logs up to `last_id`.
    pub(super) fn new(first: i64, last: i64, last_id: i64) -> Self {
        Self { first, last, last_id, at: first - 1, taken: [i64::MIN; STREAMS], missing: Ranges::default() }
    }

    pub(super) fn run(&mut self, connection: &mut Connection, reports: &mut Reports) -> Result<(), PortError> {
        loop {
            let chunk = self.chunk(connection).map_err(failed)?;
            for found in &chunk {
                self.take(found, reports)?;
            }
            reports.progress()?;
            if chunk.len() < CHUNK {
                break;
            }
        }
        self.missing.push(self.at + 1, self.last);
        self.at = self.at.max(self.last);
        unnumbered_tombstones(connection, reports)
    }

    /// Reads on in one short transaction: what is deleted meanwhile moves from the logs to the tombstones, and a
    /// number has to be seen in one place or the other, and only once.
    fn chunk(&mut self, connection: &mut Connection) -> rusqlite::Result<Vec<Found>> {
        let transaction = connection.transaction()?;
        let sources: [&'static Source; STREAMS] = [&LOGS, &OTHERS[0], &OTHERS[1], &OTHERS[2], &OTHERS[3]];
        let mut statements: Vec<CachedStatement<'_>> =
            sources.iter().map(|source| source.prepare(&transaction)).collect::<rusqlite::Result<_>>()?;
        let mut streams = Vec::with_capacity(STREAMS);
        for ((source, statement), taken) in sources.into_iter().zip(&mut statements).zip(self.taken) {
            let after = if source.kind == Kind::Log { taken } else { taken.max(self.behind()) };
            streams.push(Stream::open(source, statement, after)?);
        }
        let mut chunk: Vec<Found> = Vec::new();
        while let Some((stream, found)) = self.lowest(&streams) {
            // Rows of one number stay together.
            let same = found.seq.is_some() && chunk.last().is_some_and(|last| last.seq == found.seq);
            if chunk.len() >= CHUNK && !same {
                break;
            }
            chunk.push(found);
            self.taken[stream] = found.key;
            streams[stream].advance()?;
        }
        Ok(chunk)
    }

    /// The number up to which the other tables have been read. Before the first is passed there is what is older.
    fn behind(&self) -> i64 {
        if self.at < self.first { i64::MIN } else { self.at }
    }

    fn lowest(&self, streams: &[Stream<'_>]) -> Option<(usize, Found)> {
        let heads = streams.iter().enumerate().filter_map(|(index, stream)| Some((index, stream.head?)));
        heads
            .filter(|(_, found)| match found.kind {
                Kind::Log => found.key <= self.last_id,
                _ => found.seq.is_some_and(|seq| seq <= self.last),
            })
            .min_by_key(|(_, found)| found.seq.unwrap_or(i64::MIN))
    }

    fn take(&mut self, found: &Found, reports: &mut Reports) -> Result<(), PortError> {
        let summary = &mut reports.summary;
        summary.looked_up += 1;
        *match found.kind {
            Kind::Log => &mut summary.stored,
            Kind::Tombstone | Kind::Forgotten => &mut summary.deleted,
            Kind::Duplicate => &mut summary.duplicates,
            Kind::DeadLetter => &mut summary.dead_lettered,
            Kind::Queued => &mut summary.pending,
        } += 1;
        let old = found.seq.is_none_or(|seq| seq < self.first);
        match found.soundness {
            Soundness::Sound => {}
            Soundness::Unchecked if old => {}
            Soundness::Unchecked | Soundness::Changed => {
                reports.damaged(format!("{found}: changed after it was written"))?;
            }
        }
        match found.seq {
            Some(seq) if !old => self.pass(seq, found, reports),
            _ => Ok(()),
        }
    }

    fn pass(&mut self, seq: i64, found: &Found, reports: &mut Reports) -> Result<(), PortError> {
        if seq > self.at {
            self.missing.push(self.at + 1, (seq - 1).min(self.last));
            self.at = seq;
        } else if !self.missing.remove(seq) {
            reports.damaged(format!("{found}: this sequence number is accounted for twice"))?;
        }
        Ok(())
    }

    /// Takes off the list what was numbered anew or deleted behind the walk's back.
    pub(super) fn look_again(&mut self, connection: &mut Connection) -> Result<(), PortError> {
        if self.missing.is_empty() {
            return Ok(());
        }
        self.look_behind(connection).map_err(failed)
    }

    fn look_behind(&mut self, connection: &mut Connection) -> rusqlite::Result<()> {
        let transaction = connection.transaction()?;
        let mut later = transaction.prepare_cached("SELECT seq FROM logs WHERE id > ? AND seq IS NOT NULL")?;
        let mut rows = later.query([self.last_id])?;
        while let Some(row) = rows.next()? {
            self.missing.remove(row.get(0)?);
        }
        let suspects: Vec<_> = self.missing.iter().collect();
        for source in &OTHERS {
            let mut statement = source.prepare(&transaction)?;
            for (first, last) in &suspects {
                let mut stream = Stream::open(source, &mut statement, first - 1)?;
                while let Some(seq) = stream.head.and_then(|found| found.seq).filter(|seq| seq <= last) {
                    self.missing.remove(seq);
                    stream.advance()?;
                }
            }
        }
        Ok(())
    }
}

fn failed(error: rusqlite::Error) -> PortError {
    port_error("reading logs.db", error)
}

fn unnumbered_tombstones(connection: &mut Connection, reports: &mut Reports) -> Result<(), PortError> {
    let mut after = Vec::new();
    loop {
        let mut statement = connection.prepare_cached(UNNUMBERED_TOMBSTONES).map_err(failed)?;
        let rows = statement.query_map(rusqlite::params![after, CHUNK as i64], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, found_unnumbered(row)?))
        });
        let chunk: Vec<_> = rows.and_then(Iterator::collect).map_err(failed)?;
        for (_, found) in &chunk {
            reports.summary.looked_up += 1;
            reports.summary.deleted += 1;
            if found.soundness == Soundness::Changed {
                reports.damaged(format!("{found}: changed after it was written"))?;
            }
        }
        match chunk.into_iter().last() {
            Some((event, _)) => after = event,
            None => return Ok(()),
        }
    }
}
