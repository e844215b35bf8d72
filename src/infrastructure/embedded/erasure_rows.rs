//! Jobs that erase logs, and their rules, as rows of `logs.db`. Writes are part of a transaction of the writing thread.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::domain::{ErasureJob, ErasureRule, ErasureRules, JobId, JobKind, JobState, Timestamp, UserDigest};

/// The rule of the retention is kept under this id, which no job has.
const RETENTION: [u8; 16] = [0; 16];
const COLUMNS: &str = "id, kind, user_id, before, received_up_to, state, created_at, finished_at, erased";

/// The rules, read again when they have changed. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct RuleCache(Arc<Mutex<Option<KnownRules>>>);

/// With the version that they were read at.
type KnownRules = (i64, Arc<ErasureRules>);

impl RuleCache {
    /// The rules as this transaction sees them.
    pub(super) fn read(&self, connection: &Connection) -> rusqlite::Result<Arc<ErasureRules>> {
        let version: i64 =
            connection.prepare_cached("SELECT rules_version FROM counters")?.query_row([], |row| row.get(0))?;
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cached {
            Some((known, rules)) if *known == version => Ok(Arc::clone(rules)),
            _ => {
                let rules = Arc::new(rules(connection)?);
                *cached = Some((version, Arc::clone(&rules)));
                Ok(rules)
            }
        }
    }
}

/// All rules.
pub(super) fn rules(connection: &Connection) -> rusqlite::Result<ErasureRules> {
    let mut statement = connection.prepare_cached("SELECT user, before, received_up_to FROM erasure_rules")?;
    let rules = statement.query_map([], |row| {
        Ok(ErasureRule {
            user: row.get::<_, Option<[u8; 32]>>(0)?.map(UserDigest::from_bytes),
            before: time(row, 1)?,
            received_up_to: time(row, 2)?,
        })
    })?;
    rules.collect()
}

fn put_rule(connection: &Connection, id: &[u8; 16], rule: ErasureRule) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO erasure_rules (id, user, before, received_up_to) VALUES (?, ?, ?, ?)")?
        .execute(params![
            id,
            rule.user.as_ref().map(UserDigest::as_bytes),
            rule.before.map(Timestamp::as_millis),
            rule.received_up_to.map(Timestamp::as_millis),
        ])?;
    rules_changed(connection)
}

fn rules_changed(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE counters SET rules_version = rules_version + 1")?.execute([]).map(drop)
}

/// The job as it is kept; one that is there already stays as it is.
pub(super) fn begin(connection: &Connection, job: &ErasureJob) -> rusqlite::Result<ErasureJob> {
    if let Some(known) = self::job(connection, job.id)? {
        return Ok(known);
    }
    connection.execute(
        &format!("INSERT INTO erasure_jobs ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        params![
            job.id.as_bytes(),
            job.kind.as_str(),
            job.user_id,
            job.before.map(Timestamp::as_millis),
            job.received_up_to.map(Timestamp::as_millis),
            job.state.as_str(),
            job.created_at.as_millis(),
            job.finished_at.map(Timestamp::as_millis),
            i64::try_from(job.erased).unwrap_or(i64::MAX),
        ],
    )?;
    // The retention has a rule of its own, which moves on.
    if job.kind == JobKind::Erasure {
        put_rule(connection, job.id.as_bytes(), job.rule())?;
    }
    Ok(job.clone())
}

/// Moves the retention's rule. Where it moves back, what it kept away so far stays away.
pub(super) fn retain_from(connection: &Connection, before: Option<Timestamp>, now: Timestamp) -> rusqlite::Result<()> {
    let known: Option<Timestamp> = connection
        .query_row("SELECT before FROM erasure_rules WHERE id = ?", [RETENTION], |row| time(row, 0))
        .optional()?
        .flatten();
    if known == before {
        return Ok(());
    }
    if let Some(known) = known.filter(|known| before.is_none_or(|before| before < *known)) {
        let kept = ErasureRule { user: None, before: Some(known), received_up_to: Some(now) };
        put_rule(connection, JobId::derived(&[b"retention", &known.as_millis().to_be_bytes()]).as_bytes(), kept)?;
    }
    match before {
        Some(_) => put_rule(connection, &RETENTION, ErasureRule { user: None, before, received_up_to: None }),
        None => {
            connection.execute("DELETE FROM erasure_rules WHERE id = ?", [RETENTION])?;
            rules_changed(connection)
        }
    }
}

pub(super) fn job(connection: &Connection, id: JobId) -> rusqlite::Result<Option<ErasureJob>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM erasure_jobs WHERE id = ?"))?
        .query_row([id.as_bytes()], read_job)
        .optional()
}

pub(super) fn jobs(connection: &Connection, most: u32) -> rusqlite::Result<Vec<ErasureJob>> {
    let sql = format!("SELECT {COLUMNS} FROM erasure_jobs ORDER BY created_at DESC, id LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map([most], read_job)?.collect()
}

/// The oldest that has not finished; from now on it runs.
pub(super) fn claim(connection: &Connection) -> rusqlite::Result<Option<ErasureJob>> {
    let sql = format!("SELECT {COLUMNS} FROM erasure_jobs WHERE finished_at IS NULL ORDER BY created_at, id LIMIT 1");
    let Some(job) = connection.prepare_cached(&sql)?.query_row([], read_job).optional()? else { return Ok(None) };
    let running = JobState::Running;
    connection
        .prepare_cached("UPDATE erasure_jobs SET state = ? WHERE id = ?")?
        .execute(params![running.as_str(), job.id.as_bytes()])?;
    Ok(Some(ErasureJob { state: running, ..job }))
}

/// `false` where it has finished.
pub(super) fn keep(connection: &Connection, id: JobId, erased: u64) -> rusqlite::Result<bool> {
    let kept = connection
        .prepare_cached("UPDATE erasure_jobs SET erased = ? WHERE id = ? AND finished_at IS NULL")?
        .execute(params![i64::try_from(erased).unwrap_or(i64::MAX), id.as_bytes()])?;
    Ok(kept == 1)
}

/// Ends a job that has not finished, with the user's name forgotten.
pub(super) fn end(connection: &Connection, id: JobId, state: JobState, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE erasure_jobs SET state = ?, finished_at = ?, user_id = NULL WHERE id = ? AND finished_at IS NULL",
        )?
        .execute(params![state.as_str(), now.as_millis(), id.as_bytes()])
        .map(drop)
}

fn read_job(row: &Row<'_>) -> rusqlite::Result<ErasureJob> {
    let (kind, state): (String, String) = (row.get(1)?, row.get(5)?);
    Ok(ErasureJob {
        id: JobId::from_bytes(row.get(0)?),
        kind: JobKind::parse(&kind).ok_or_else(|| unreadable(1, "kind"))?,
        user_id: row.get(2)?,
        before: time(row, 3)?,
        received_up_to: time(row, 4)?,
        state: JobState::parse(&state).ok_or_else(|| unreadable(5, "state"))?,
        created_at: Timestamp::from_millis(row.get(6)?),
        finished_at: time(row, 7)?,
        erased: row.get::<_, i64>(8)?.unsigned_abs(),
    })
}

fn unreadable(column: usize, name: &str) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, name.to_owned(), rusqlite::types::Type::Text)
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}
