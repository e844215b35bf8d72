//! An import: lines of an export become logs again, each event once, however often it is run.

use std::{future::Future, io, num::NonZeroUsize, sync::Arc, time::Duration};

use futures_util::{
    future::BoxFuture,
    stream::{FuturesOrdered, StreamExt},
};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    import_numbers::ImportNumbers,
    line_batches::{BadLine, LineBatch},
    line_reader::ImportLine,
};
use crate::domain::{
    LogId, NumberedEvent,
    ports::{
        AppendOutcome, ErrorChain, ImportIds, ImportProgress, ImportReporter, ImportSummary, LogImport, LogRepository,
        PortError, PortErrorKind,
    },
};

/// An imported log has no place in the queue: no bus has an offset below zero.
const NO_OFFSET: i64 = -1;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a store that is away is waited for. An import that ends for this can be run again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the logs go.
#[derive(Clone)]
pub struct ImportParts {
    pub repository: Arc<dyn LogRepository>,
    pub target: Arc<dyn LogImport>,
    /// How many batches may be on their way into the store.
    pub in_flight: NonZeroUsize,
    /// Lines that are none of an export, or that the store does not take, are left out instead of ending the import.
    pub leaves_out: bool,
}

/// Why an import ended before its input did.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("line {0}: {1}")]
    Line(u64, String),
    #[error("the input could not be read")]
    Input(#[source] io::Error),
    #[error("the store failed")]
    Store(#[source] PortError),
    #[error("interrupted")]
    Interrupted,
}

/// What is read of the input, and how far it has been read.
pub type Piece = (io::Result<LineBatch>, u64);

/// An import under way.
pub struct Import {
    parts: ImportParts,
    ids: ImportIds,
    numbers: Arc<Mutex<ImportNumbers>>,
    summary: ImportSummary,
}

impl Import {
    /// # Errors
    /// Where the store cannot be asked.
    pub async fn begin(parts: ImportParts) -> Result<Self, ImportError> {
        let ids = patiently(|| parts.target.begin()).await?;
        let numbers = ImportNumbers::new(parts.repository.clone(), parts.target.clone(), ids);
        Ok(Self { parts, ids, numbers: Arc::new(Mutex::new(numbers)), summary: ImportSummary::default() })
    }

    pub fn ids(&self) -> ImportIds {
        self.ids
    }

    /// Sets the ids up to the highest of the whole input aside at once, so that what others store meanwhile is numbered
    /// behind them.
    ///
    /// # Errors
    /// Where the store cannot be asked.
    pub async fn set_aside(&self, highest: LogId) -> Result<(), ImportError> {
        let mut numbers = self.numbers.lock().await;
        let deadline = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        while let Err(error) = numbers.set_aside(highest).await {
            wait(error, deadline, &mut pause).await?;
        }
        Ok(())
    }

    /// Stores what comes until it ends. What was stored before an error stays; to run the import again does the rest.
    ///
    /// # Errors
    /// Why it ended before its input did.
    pub async fn run(
        mut self,
        mut pieces: mpsc::Receiver<Piece>,
        reporter: &mut dyn ImportReporter,
        stop: &CancellationToken,
    ) -> (ImportSummary, Result<(), ImportError>) {
        let ended = self.take_all(&mut pieces, reporter, stop).await;
        let ended = match ended {
            Ok(()) => patiently(|| self.parts.target.finish()).await,
            error => error,
        };
        (self.summary, ended)
    }

    async fn take_all(
        &mut self,
        pieces: &mut mpsc::Receiver<Piece>,
        reporter: &mut dyn ImportReporter,
        stop: &CancellationToken,
    ) -> Result<(), ImportError> {
        let mut storing: FuturesOrdered<BoxFuture<'static, Stored>> = FuturesOrdered::new();
        let mut stopped = Ok(());
        while stopped.is_ok() {
            let Some(piece) = stop.run_until_cancelled(pieces.recv()).await else {
                stopped = Err(ImportError::Interrupted);
                break;
            };
            let Some((batch, bytes)) = piece else { break };
            let LineBatch { mut lines, bad } = match batch {
                Ok(batch) => batch,
                Err(error) => {
                    stopped = Err(ImportError::Input(error));
                    break;
                }
            };
            let found = lines.len() + bad.len();
            for bad in bad {
                if let Err(error) = self.leave_out(bad, reporter) {
                    // What stands before it is stored.
                    if let ImportError::Line(number, _) = &error {
                        lines.retain(|line| line.number < *number);
                    }
                    stopped = Err(error);
                    break;
                }
            }
            self.summary.lines += if stopped.is_ok() { found } else { lines.len() + 1 } as u64;
            storing.push_back(self.begun(lines).await?);
            reporter.progress(ImportProgress { lines: self.summary.lines, bytes });
            if storing.len() >= self.parts.in_flight.get()
                && let Some(stored) = storing.next().await
            {
                self.count(stored, reporter)?;
            }
        }
        while let Some(stored) = storing.next().await {
            self.count(stored, reporter)?;
        }
        stopped
    }

    /// Numbers the lines, in their turn, and sends them on their way.
    async fn begun(&mut self, mut lines: Vec<ImportLine>) -> Result<BoxFuture<'static, Stored>, ImportError> {
        let ids: Vec<LogId> = lines.iter().filter_map(|line| line.id).collect();
        let here = patiently(|| self.parts.target.under_foreign_keys(&ids)).await?;
        let before = lines.len();
        lines.retain(|line| !here.contains(&line.event.id));
        self.summary.already_stored += (before - lines.len()) as u64;
        let given = {
            let mut numbers = self.numbers.lock().await;
            let deadline = Instant::now() + PATIENCE;
            let mut pause = FIRST_PAUSE;
            loop {
                match numbers.number(&lines).await {
                    Ok(given) => break given,
                    Err(error) => wait(error, deadline, &mut pause).await?,
                }
            }
        };
        let (mut events, mut marks) = (Vec::with_capacity(lines.len()), Vec::with_capacity(lines.len()));
        for (line, given) in lines.into_iter().zip(given) {
            events.push(NumberedEvent { id: given.id, offset: NO_OFFSET, event: line.event });
            marks.push(Mark { line: line.number, kept: given.kept, timed: line.timed });
        }
        let storing = store(self.parts.repository.clone(), Arc::clone(&self.numbers), events, marks);
        Ok(Box::pin(storing))
    }

    fn count(&mut self, stored: Stored, reporter: &mut dyn ImportReporter) -> Result<(), ImportError> {
        let mut refused = Ok(());
        for (line, outcome) in stored? {
            match outcome {
                AppendOutcome::Stored => {
                    self.summary.stored += 1;
                    self.summary.renumbered += u64::from(!line.kept);
                    self.summary.timed += u64::from(line.timed);
                }
                AppendOutcome::AlreadyStored => self.summary.already_stored += 1,
                AppendOutcome::Deleted => self.summary.deleted += 1,
                AppendOutcome::Rejected(reason) => {
                    let bad = BadLine { number: line.line, reason: format!("the store does not take it: {reason}") };
                    refused = refused.and(self.leave_out(bad, reporter));
                }
                // It would have been numbered anew.
                AppendOutcome::IdTaken => {}
            }
        }
        refused
    }

    fn leave_out(&mut self, bad: BadLine, reporter: &mut dyn ImportReporter) -> Result<(), ImportError> {
        let BadLine { number, reason } = bad;
        if !self.parts.leaves_out {
            return Err(ImportError::Line(number, reason));
        }
        self.summary.left_out += 1;
        reporter.left_out(number, &reason);
        Ok(())
    }
}

/// What is to be told of a line once it is stored.
#[derive(Debug, Clone, Copy)]
struct Mark {
    line: u64,
    /// It has the id of its line.
    kept: bool,
    timed: bool,
}

/// What became of each line of a batch.
type Stored = Result<Vec<(Mark, AppendOutcome)>, ImportError>;

async fn store(
    repository: Arc<dyn LogRepository>,
    numbers: Arc<Mutex<ImportNumbers>>,
    mut events: Vec<NumberedEvent>,
    mut marks: Vec<Mark>,
) -> Stored {
    let mut settled = Vec::with_capacity(marks.len());
    while !events.is_empty() {
        let outcomes = patiently(|| repository.append(&events)).await?;
        let (mut clashes, mut marks_of_clashes) = (Vec::new(), Vec::new());
        for ((event, mark), outcome) in events.into_iter().zip(marks).zip(outcomes) {
            if outcome == AppendOutcome::IdTaken {
                clashes.push(event);
                marks_of_clashes.push(Mark { kept: false, ..mark });
            } else {
                settled.push((mark, outcome));
            }
        }
        (events, marks) = (clashes, marks_of_clashes);
        if !events.is_empty() {
            let ids = renumbered(&numbers, events.len()).await?;
            events.iter_mut().zip(ids).for_each(|(event, id)| event.id = id);
        }
    }
    Ok(settled)
}

async fn renumbered(numbers: &Mutex<ImportNumbers>, count: usize) -> Result<Vec<LogId>, ImportError> {
    let mut numbers = numbers.lock().await;
    let deadline = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        match numbers.renumber(count).await {
            Ok(ids) => return Ok(ids),
            Err(error) => wait(error, deadline, &mut pause).await?,
        }
    }
}

/// Calls again while the store is away, for as long as the patience lasts.
async fn patiently<T, F>(call: impl Fn() -> F) -> Result<T, ImportError>
where
    F: Future<Output = Result<T, PortError>>,
{
    let deadline = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    loop {
        match call().await {
            Ok(value) => return Ok(value),
            Err(error) => wait(error, deadline, &mut pause).await?,
        }
    }
}

async fn wait(error: PortError, deadline: Instant, pause: &mut Duration) -> Result<(), ImportError> {
    let may_pass = matches!(error.kind(), PortErrorKind::Unavailable | PortErrorKind::TooSlow);
    if !may_pass || Instant::now() + *pause > deadline {
        return Err(ImportError::Store(error));
    }
    if *pause == FIRST_PAUSE {
        warn!(error = %ErrorChain(&error), "the import waits for the store and tries again");
    }
    sleep(*pause).await;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
    Ok(())
}
