//! Settings: read once from flags, the environment and `.env`, checked completely before anything else happens.

mod bench;
mod catalog;
mod cli;
mod dot_env;
mod parse;
mod settings;
mod source;
mod transfer;

pub use bench::{BenchOptions, BenchTarget};
pub use catalog::{CATALOG, Setting};
pub use cli::{Command, Invocation, parse as parse_command_line};
pub use settings::{
    Backend, EmbeddedSettings, HttpSettings, KafkaSettings, LogFormat, MongoSettings, Problem, QuerySettings, Role,
    Secret, Settings, StartPosition, ValueCheck,
};
pub use source::{Layer, Layers};
pub use transfer::{ExportOptions, FileFormat, ImportOptions};
