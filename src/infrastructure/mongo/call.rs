//! How a driver call is made: in a task of its own, with an end to the waiting.

use std::{future::Future, time::Duration};

use tokio::task::JoinHandle;

use super::{error::Failure, handles::Handles, store::MongoStore};

/// Starts a driver call that nothing can break off: the driver's futures must be polled to their end, dropping one
/// half-way leaves its connection in an undefined state (RUST-937).
#[expect(
    clippy::disallowed_methods,
    reason = "bounded by the call it runs; whoever waits may give up, the call may not"
)]
pub(super) fn start<T: Send + 'static>(call: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(call)
}

impl MongoStore {
    /// Makes a call, and stops waiting for it when the server gets lost or the patience ends; the call itself goes
    /// on and may still take effect. While the server is known to be away nothing is sent.
    pub(super) async fn call<T, F>(&self, patience: Duration, make: impl FnOnce(Handles) -> F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = mongodb::error::Result<T>> + Send + 'static,
    {
        let handles = self.handles().filter(|_| self.reach().is_up()).ok_or(Failure::Away)?;
        let running = start(make(handles));
        tokio::select! {
            // A result that is there counts, whatever else happened.
            biased;
            result = running => match result {
                Ok(result) => result.map_err(Failure::from),
                Err(_) => Err(Failure::GivenUp("the call ended without a result")),
            },
            () = self.reach().lost() => Err(Failure::GivenUp("the server was lost meanwhile")),
            () = tokio::time::sleep(patience) => Err(Failure::GivenUp("no answer in time")),
        }
    }
}
