//! What a batch takes of a budget that all requests have in common, as it comes to need it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::{error::ApiError, error_code::ErrorCode};

pub(in crate::api) struct Share<'a> {
    budget: &'a Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl<'a> Share<'a> {
    /// Nothing yet.
    pub(super) fn of(budget: &'a Arc<Semaphore>) -> Self {
        Self { budget, held: None }
    }

    fn held(&self) -> usize {
        self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// # Errors
    /// The budget has not that much left: overloaded.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), ApiError> {
        let more = u32::try_from(bytes.saturating_sub(self.held())).unwrap_or(u32::MAX);
        if more == 0 {
            return Ok(());
        }
        let more = Arc::clone(self.budget).try_acquire_many_owned(more).map_err(|_| {
            ApiError::new(ErrorCode::Overloaded, "other requests fill the memory set aside for bodies and answers")
        })?;
        match &mut self.held {
            Some(held) => held.merge(more),
            held @ None => *held = Some(more),
        }
        Ok(())
    }

    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.held().saturating_sub(bytes);
        drop(self.held.as_mut().and_then(|held| held.split(surplus)));
    }

    /// What is held for so many bytes that are there already: this much, or less where no more is to be had.
    pub(in crate::api) fn settle(mut self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.shrink_to(bytes);
        let _ = self.grow_to(bytes);
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_and_shrinks_within_the_budget() {
        let budget = Arc::new(Semaphore::new(100));
        let mut share = Share::of(&budget);
        share.grow_to(60).unwrap();
        share.grow_to(40).unwrap();
        assert_eq!(budget.available_permits(), 40);
        assert_eq!(share.grow_to(101).unwrap_err().code(), ErrorCode::Overloaded);
        share.shrink_to(10);
        assert_eq!(budget.available_permits(), 90);
        let held = share.settle(30);
        assert_eq!(budget.available_permits(), 70);
        drop(held);
        assert_eq!(budget.available_permits(), 100);
    }

    #[test]
    fn what_is_there_already_takes_what_it_can_get() {
        let budget = Arc::new(Semaphore::new(100));
        let mut share = Share::of(&budget);
        share.grow_to(20).unwrap();
        let held = share.settle(200);
        assert_eq!(held.map(|held| held.num_permits()), Some(20));
    }
}
