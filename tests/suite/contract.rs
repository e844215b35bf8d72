//! What the contract suites share: a harness for one adapter, and the macro that runs a suite on it.

/// One empty adapter, for one test.
pub trait Harness: Sized {
    /// `None` where the server it needs is not there.
    async fn start() -> Option<Self>;
    async fn end(self);
}

/// Runs one test of a suite and cleans up, also after a failure.
pub async fn run<H: Harness>(test: impl AsyncFnOnce(&mut H)) {
    use futures_util::FutureExt;
    let Some(mut harness) = H::start().await else { return };
    let result = std::panic::AssertUnwindSafe(test(&mut harness)).catch_unwind().await;
    harness.end().await;
    if let Err(failure) = result {
        std::panic::resume_unwind(failure);
    }
}

/// `contract_suite!(name_of_macro: tests…)` makes the macro that runs these tests on an adapter:
/// `name_of_macro!(adapter, Harness)`. The tests stay private, so that one left out of the list is dead code.
macro_rules! contract_suite {
    ($suite:ident: $($test:ident)*) => {
        macro_rules! $suite {
            ($name:ident, $harness:ty) => {
                mod $name {
                    $(
                        #[tokio::test]
                        async fn $test() {
                            crate::contract::run::<$harness>(async |harness| super::$test(harness).await).await;
                        }
                    )*
                }
            };
        }
    };
}

pub(crate) use contract_suite;
