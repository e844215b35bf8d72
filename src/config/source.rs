//! Where settings come from: flags win over the environment, which wins over `.env`. The only reader of the
//! environment.

use std::{collections::BTreeMap, path::Path};

use super::{
    catalog::{CATALOG, Setting},
    dot_env,
};

/// Where a value was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    Flag,
    Environment,
    DotEnv,
    Default,
}

impl Layer {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::DotEnv => ".env",
            Self::Default => "default",
        }
    }
}

/// All values that were given, by layer. An empty value is no value, so that `KAFKA_BROKERS=` switches one off.
#[derive(Debug, Default)]
pub struct Layers {
    layers: Vec<(Layer, BTreeMap<String, String>)>,
}

impl Layers {
    /// What the process was given: `flags`, its environment, and `.env` in the working directory.
    ///
    /// # Errors
    /// Where `.env` is there but cannot be read as such; the text names the line, not its value.
    pub fn of_process(flags: BTreeMap<String, String>) -> Result<Self, String> {
        Ok(Self::new(flags, environment(), dot_env::read(Path::new(".env"))?))
    }

    pub fn new(
        flags: BTreeMap<String, String>,
        environment: BTreeMap<String, String>,
        dot_env: BTreeMap<String, String>,
    ) -> Self {
        let layers = vec![(Layer::Flag, flags), (Layer::Environment, environment), (Layer::DotEnv, dot_env)];
        Self { layers }
    }

    /// The value of a setting, and the layer it was found in.
    pub fn get(&self, setting: &Setting) -> (&str, Layer) {
        // An empty value in a higher layer hides a lower one: that is how `.env` is overruled.
        for (layer, values) in &self.layers {
            match values.get(setting.name).map(|value| value.trim()) {
                Some("") => return (setting.default, Layer::Default),
                Some(value) => return (value, *layer),
                None => {}
            }
        }
        (setting.default, Layer::Default)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the reader of the environment")]
fn environment() -> BTreeMap<String, String> {
    CATALOG
        .iter()
        .filter_map(|setting| std::env::var(setting.name).ok().map(|value| (setting.name.to_owned(), value)))
        .collect()
}
