//! What `eyego export` and `eyego import` are asked for, beside the settings that say which store.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, value_parser};

/// What an export looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    Ndjson,
    Csv,
}

/// One export. The texts of the filter are read by whoever knows what logs are.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportOptions {
    pub format: FileFormat,
    /// `None` is standard output.
    pub output: Option<PathBuf>,
    pub after_id: Option<i64>,
    pub user_ids: Vec<String>,
    pub actions: Vec<String>,
    pub action_prefix: Option<String>,
    pub start_date: Option<String>,
    pub end_date: Option<String>,
    pub event_id: Option<String>,
    /// `path=value`.
    pub metadata: Vec<String>,
}

/// One import.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportOptions {
    /// `None` is standard input.
    pub input: Option<PathBuf>,
    /// Leave out what is no line of an export instead of ending there.
    pub skip_bad: bool,
}

pub(super) fn export_arguments() -> [Arg; 10] {
    let value = |name: &'static str, placeholder: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(placeholder).help(help)
    };
    let repeated = |argument: Arg| argument.action(ArgAction::Append);
    [
        value("format", "FORMAT", "ndjson, which import takes, or csv, a table for people")
            .value_parser(["ndjson", "csv"])
            .default_value("ndjson"),
        value("output", "FILE", "Where to write, packed if it ends in .gz or .zst; - is standard output")
            .value_parser(value_parser!(PathBuf))
            .default_value("-"),
        value("after-id", "ID", "Go on behind this id, the last of an export before")
            .value_parser(value_parser!(i64))
            .allow_negative_numbers(true),
        repeated(value("user-id", "USER", "Logs of this user; repeated, of any of these")),
        repeated(value("action", "ACTION", "Logs of this action; repeated, of any of these")),
        value("action-prefix", "PREFIX", "Logs whose action begins with this"),
        value("start-date", "DATE", "Logs from this date, month or moment on"),
        value("end-date", "DATE", "Logs up to this date, month or moment, inclusive"),
        value("event-id", "UUID", "The log of this event"),
        repeated(value(
            "metadata",
            "PATH=VALUE",
            "Logs with this value in their metadata; repeated, with all of these",
        )),
    ]
}

pub(super) fn export_options(matches: &ArgMatches) -> ExportOptions {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let texts = |name: &str| matches.get_many::<String>(name).into_iter().flatten().cloned().collect();
    ExportOptions {
        format: if text("format").as_deref() == Some("csv") { FileFormat::Csv } else { FileFormat::Ndjson },
        output: file(matches, "output"),
        after_id: matches.get_one::<i64>("after-id").copied(),
        user_ids: texts("user-id"),
        actions: texts("action"),
        action_prefix: text("action-prefix"),
        start_date: text("start-date"),
        end_date: text("end-date"),
        event_id: text("event-id"),
        metadata: texts("metadata"),
    }
}

pub(super) fn import_arguments() -> [Arg; 2] {
    [
        Arg::new("file")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .default_value("-")
            .help("What eyego export wrote, as it is or packed with gzip or zstd; - is standard input"),
        Arg::new("skip-bad")
            .long("skip-bad")
            .action(ArgAction::SetTrue)
            .help("Name what is no line of an export, or is not taken by the store, and leave it out; else the import ends there"),
    ]
}

pub(super) fn import_options(matches: &ArgMatches) -> ImportOptions {
    ImportOptions { input: file(matches, "file"), skip_bad: matches.get_flag("skip-bad") }
}

fn file(matches: &ArgMatches, name: &str) -> Option<PathBuf> {
    matches.get_one::<PathBuf>(name).filter(|path| path.as_os_str() != "-").cloned()
}
