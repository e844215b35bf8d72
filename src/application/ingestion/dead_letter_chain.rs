//! Several places for dead letters behind one port.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::ports::{DeadLetter, DeadLetters, PortError};

/// Keeps each letter in every place, in order: the record itself first, then what is found by.
pub struct DeadLetterChain(pub Vec<Arc<dyn DeadLetters>>);

#[async_trait]
impl DeadLetters for DeadLetterChain {
    async fn publish(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        for place in &self.0 {
            place.publish(letters).await?;
        }
        Ok(())
    }
}
