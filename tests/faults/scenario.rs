//! What a scenario is, and the table of all of them.

use crate::{families, rig::Rig};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Servers,
    Embedded,
}

/// Which servers a scenario finds running. What it hurts is its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Setup {
    Embedded,
    /// Those that nobody hurts.
    Shared,
    /// A broker with these properties, and the shared MongoDB.
    OwnKafka(&'static [&'static str]),
    /// A mongod with these arguments, and the shared Kafka.
    OwnMongo(&'static [&'static str]),
    /// The scenario starts them.
    ByItself,
}

#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) backend: Backend,
    pub(crate) setup: Setup,
    /// Part of what runs with every `cargo test`.
    pub(crate) quick: bool,
    /// Holds bounds on times: runs with nothing beside it.
    pub(crate) alone: bool,
    pub(crate) run: fn(&mut Rig),
}

impl Scenario {
    pub(crate) const fn on(name: &'static str, setup: Setup, run: fn(&mut Rig)) -> Self {
        let backend = if matches!(setup, Setup::Embedded) { Backend::Embedded } else { Backend::Servers };
        Self { name, backend, setup, quick: false, alone: false, run }
    }

    pub(crate) const fn quick(self) -> Self {
        Self { quick: true, ..self }
    }

    pub(crate) const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }
}

/// All scenarios, those that need the machine to themselves last.
pub(crate) fn all() -> Vec<Scenario> {
    let families = [
        families::service::ALL,
        families::mongo::ALL,
        families::kafka::ALL,
        families::batches::ALL,
        families::data::ALL,
        families::deletes::ALL,
        families::embedded::ALL,
    ];
    let mut all: Vec<_> = families.into_iter().flatten().copied().collect();
    all.sort_by_key(|scenario| scenario.alone);
    all
}
