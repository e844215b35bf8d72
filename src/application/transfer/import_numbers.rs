//! Which id each imported log gets.

use std::sync::Arc;

use super::line_reader::ImportLine;
use crate::domain::{
    LogId,
    ports::{FIRST_ID_NOT_KEPT, ImportIds, LogImport, LogRepository, PortError},
};

/// The id that a log gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenId {
    pub id: LogId,
    /// It is that of its line.
    pub kept: bool,
}

/// Gives out ids: their own to logs whose ids are set aside, else new ones in the order of the lines.
pub struct ImportNumbers {
    repository: Arc<dyn LogRepository>,
    target: Arc<dyn LogImport>,
    /// Up to where ids are set aside; `None` where none are kept.
    below: Option<LogId>,
    /// Nobody else has taken an id yet: more may be set aside.
    is_open: bool,
}

impl ImportNumbers {
    pub fn new(repository: Arc<dyn LogRepository>, target: Arc<dyn LogImport>, ids: ImportIds) -> Self {
        let below = match ids {
            ImportIds::Kept { below } => Some(below),
            ImportIds::New => None,
        };
        Self { repository, target, below, is_open: below.is_some() }
    }

    /// Sets all ids up to the highest aside, as far as they are to be had.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    pub async fn set_aside(&mut self, highest: LogId) -> Result<(), PortError> {
        let Some(below) = self.below.filter(|below| self.is_open && highest >= *below) else { return Ok(()) };
        let Some(to) = highest.get().checked_add(1).map(LogId::new) else { return Ok(()) };
        if self.target.set_aside(below, to).await? {
            self.below = Some(to);
        } else {
            self.is_open = false;
        }
        Ok(())
    }

    /// An id for each line, in order.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    pub async fn number(&mut self, lines: &[ImportLine]) -> Result<Vec<GivenId>, PortError> {
        if let Some(highest) = lines.iter().filter_map(|line| line.id).filter(|id| *id < FIRST_ID_NOT_KEPT).max() {
            self.set_aside(highest).await?;
        }
        let own = |line: &ImportLine| line.id.filter(|id| self.below.is_some_and(|below| *id < below));
        let own: Vec<Option<LogId>> = lines.iter().map(own).collect();
        let homeless = own.iter().filter(|own| own.is_none()).count();
        let mut fresh = self.fresh(homeless).await?.into_iter();
        // There are as many fresh ids as logs that need one.
        let given = own.into_iter().filter_map(|own| match own {
            Some(id) => Some(GivenId { id, kept: true }),
            None => fresh.next().map(|id| GivenId { id, kept: false }),
        });
        Ok(given.collect())
    }

    /// Ids for logs that got one that another log has.
    ///
    /// # Errors
    /// `Unavailable`: call again.
    pub async fn renumber(&mut self, count: usize) -> Result<Vec<LogId>, PortError> {
        self.repository.raise_counter().await?;
        self.fresh(count).await
    }

    /// Out of what is set aside where that can be done, so that what follows may still keep its ids.
    async fn fresh(&mut self, count: usize) -> Result<Vec<LogId>, PortError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let first = self.below.filter(|_| self.is_open);
        if let Some(below) = first {
            let past = below.get().saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
            self.set_aside(LogId::new(past - 1)).await?;
            if self.below == Some(LogId::new(past)) {
                return Ok((below.get()..past).map(LogId::new).collect());
            }
        }
        Ok(self.repository.reserve(u32::try_from(count).unwrap_or(u32::MAX)).await?.collect())
    }
}
