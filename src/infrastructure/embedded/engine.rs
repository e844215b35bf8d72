//! The engine as a whole: both databases of a folder, opened together and held against each other.

use std::{path::Path, sync::Arc};

use rusqlite::Connection;

use super::{
    damage::DamageAlarm,
    database::{Schema, Trust, open_writer},
    folder::{DataFolder, is_there},
    folder_error::FolderError,
    ledger_rows, log_rows,
    pairing::Files,
    queue::{self, EmbeddedQueue},
    sequence,
    store::{EmbeddedStore, StoreOptions},
};
use crate::domain::ports::Clock;

/// Queue and store of one folder, which is held until this is dropped.
pub struct EmbeddedEngine {
    pub queue: Arc<EmbeddedQueue>,
    pub store: Arc<EmbeddedStore>,
    alarm: DamageAlarm,
    folder: DataFolder,
}

impl EmbeddedEngine {
    /// Opens the folder, or makes it. Tombstones older than `tombstone_days` are forgotten; 0 keeps them for ever.
    ///
    /// After an end that was not clean the files are looked through first.
    ///
    /// # Errors
    /// Where the folder cannot be used: see [`FolderError`].
    pub fn open(path: &Path, clock: Arc<dyn Clock>, tombstone_days: u32) -> Result<Self, FolderError> {
        let folder = DataFolder::open(path)?;
        let (queue_file, logs_file) = (folder.queue_file(), folder.logs_file());
        match (is_there(&queue_file), is_there(&logs_file)) {
            (false, true) => may_stand_alone(&logs_file, &queue_file, &log_rows::SCHEMA, logs_held)?,
            (true, false) => may_stand_alone(&queue_file, &logs_file, &queue::SCHEMA, queue_held)?,
            (true, true) | (false, false) => {}
        }
        let trust = if folder.ended_well() { Trust::AsLeft } else { Trust::Checked };
        let alarm = DamageAlarm::default();
        let queue = EmbeddedQueue::open_with(&folder, &alarm, trust)?;
        let logs = open_writer(&logs_file, &log_rows::SCHEMA, trust)?;
        let ledger = ledger_rows::read(&logs).map_err(|error| FolderError::database(&logs_file, error))?;
        Files { queue: &queue_file, logs: &logs_file }.check(queue.opened_with(), ledger, folder.acknowledged())?;
        let options = StoreOptions { clock, tombstone_days, queue: queue.view(), alarm: alarm.clone() };
        let store = EmbeddedStore::start(&folder, logs, options)?;
        Ok(Self { queue: Arc::new(queue), store: Arc::new(store), alarm, folder })
    }

    /// Tells of damage that is met while the engine runs.
    pub fn alarm(&self) -> DamageAlarm {
        self.alarm.clone()
    }

    /// Finishes what was begun, closes both files and marks the end as clean, unless one of them is damaged. Blocks.
    pub fn close(&self) {
        self.queue.close();
        self.store.close();
        if !self.alarm.is_raised() {
            self.folder.mark_clean();
        }
    }
}

/// Whether a database has ever held anything; in words, if so.
type Held = fn(&Connection) -> rusqlite::Result<Option<String>>;

/// One database without the other is what a crash leaves at the very first start. Later it means loss.
fn may_stand_alone(file: &Path, missing: &Path, schema: &Schema, held: Held) -> Result<(), FolderError> {
    let connection = open_writer(file, schema, Trust::Checked)?;
    match held(&connection).map_err(|error| FolderError::database(file, error))? {
        None => Ok(()),
        Some(held) => Err(FolderError::Missing { missing: missing.to_owned(), other: file.to_owned(), held }),
    }
}

fn queue_held(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let row = sequence::read(connection)?;
    let rows: bool = connection.query_row("SELECT EXISTS (SELECT 1 FROM events)", [], |row| row.get(0))?;
    Ok((rows || row.last >= 1).then(|| format!("has carried events up to sequence {}", row.last)))
}

fn logs_held(connection: &Connection) -> rusqlite::Result<Option<String>> {
    if !log_rows::ever_held(connection)? {
        return Ok(None);
    }
    let next = ledger_rows::read(connection)?.map(|ledger| ledger.account.next - 1);
    Ok(Some(next.map_or_else(|| "holds logs".to_owned(), |last| format!("holds what came up to sequence {last}"))))
}
