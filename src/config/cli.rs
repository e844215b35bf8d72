//! The command line: a subcommand, and a flag for every setting.

use std::{collections::BTreeMap, ffi::OsString};

use clap::{Arg, ArgMatches};

use super::{
    bench,
    bench::BenchOptions,
    catalog::CATALOG,
    transfer::{self, ExportOptions, ImportOptions},
};

/// What the process is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Serve,
    Healthcheck,
    CheckConfig,
    Verify,
    Bench(BenchOptions),
    Export(ExportOptions),
    Import(ImportOptions),
}

/// A parsed command line.
#[derive(Debug)]
pub struct Invocation {
    pub command: Command,
    /// Settings given as flags, by the settings' names.
    pub flags: BTreeMap<String, String>,
}

/// Parses the command line; the error is clap's, which also carries `--help` and `--version`.
///
/// # Errors
/// An unknown flag or subcommand.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let command = match matches.subcommand() {
        Some(("healthcheck", _)) => Command::Healthcheck,
        Some(("check-config", _)) => Command::CheckConfig,
        Some(("verify", _)) => Command::Verify,
        Some(("bench", matches)) => Command::Bench(bench::options(matches)),
        Some(("export", matches)) => Command::Export(transfer::export_options(matches)),
        Some(("import", matches)) => Command::Import(transfer::import_options(matches)),
        _ => Command::Serve,
    };
    let mut flags = flags(&matches);
    if let Some((_, matches)) = matches.subcommand() {
        flags.extend(self::flags(matches));
    }
    Ok(Invocation { command, flags })
}

fn flags(matches: &ArgMatches) -> BTreeMap<String, String> {
    CATALOG
        .iter()
        .filter_map(|setting| Some((setting.name.to_owned(), matches.get_one::<String>(setting.name)?.clone())))
        .collect()
}

fn command() -> clap::Command {
    let with_settings = |command: clap::Command| command.args(CATALOG.iter().map(argument)).next_line_help(true);
    with_settings(clap::Command::new("eyego"))
        .version(env!("CARGO_PKG_VERSION"))
        .about("Takes user activity logs, queues them durably, stores each exactly once, and serves them back.")
        .after_help(
            "Every setting is a flag and an environment variable; flags win over the environment, which wins over a \
             .env file in the working directory. With neither KAFKA_BROKERS nor MONGO_URI set, eyego keeps everything \
             in DATA_DIR and needs no servers.",
        )
        .subcommand(with_settings(clap::Command::new("serve").about("Run the service (the default)")))
        .subcommand(with_settings(
            clap::Command::new("healthcheck").about("Ask the service running here whether it lives; exit 0 or 1"),
        ))
        .subcommand(with_settings(
            clap::Command::new("check-config").about("Print the effective settings and where each came from"),
        ))
        .subcommand(with_settings(clap::Command::new("verify").about(
            "Hold everything that was acknowledged against what is stored, beside the running service; exit 1 if an \
             event is missing, 2 if not everything could be read",
        )))
        .subcommand(with_settings(clap::Command::new("bench").args(bench::arguments()).about(
            "Load a service, measure it, read everything back and judge it: exit 1 if a log is lost or stored twice, 2 \
             if there was nothing to judge. Without --url it loads a service of its own, with the settings given and a \
             temporary DATA_DIR",
        )))
        .subcommand(with_settings(clap::Command::new("export").args(transfer::export_arguments()).about(
            "Write the stored logs to a file, by ascending id, beside the running service or without it; exit 1 if not \
             all could be written",
        )))
        .subcommand(with_settings(clap::Command::new("import").args(transfer::import_arguments()).about(
            "Store what eyego export wrote. Each event is stored once, so it may be run again. Into a store that never \
             held a log ids are kept, else new ones are given. The embedded engine has to be stopped, MongoDB may be in \
             use; exit 1 if not all could be stored",
        )))
}

fn argument(setting: &super::catalog::Setting) -> Arg {
    let default = if setting.default.is_empty() { String::new() } else { format!(", default {}", setting.default) };
    let help = format!("{} [{}{default}]", setting.help, setting.name);
    Arg::new(setting.name).long(setting.flag()).value_name("VALUE").help(help).allow_hyphen_values(true)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::FileFormat;

    fn invocation(arguments: &[&str]) -> Invocation {
        parse(std::iter::once("eyego").chain(arguments.iter().copied()).map(OsString::from)).unwrap()
    }

    #[test]
    fn flags_are_taken_before_and_after_the_subcommand() {
        let invocation = invocation(&["--port", "1", "check-config", "--role=api"]);
        assert_eq!(invocation.command, Command::CheckConfig);
        assert_eq!(invocation.flags["PORT"], "1");
        assert_eq!(invocation.flags["ROLE"], "api");
    }

    #[test]
    fn serving_is_the_default() {
        assert_eq!(invocation(&[]).command, Command::Serve);
        assert_eq!(invocation(&["serve"]).command, Command::Serve);
        assert_eq!(invocation(&["healthcheck"]).command, Command::Healthcheck);
    }

    #[test]
    fn a_load_without_an_end_lasts_ten_seconds() {
        let options = |arguments: &[&str]| match invocation(arguments).command {
            Command::Bench(options) => options,
            other => panic!("{other:?}"),
        };
        let default = options(&["bench"]);
        assert_eq!((default.duration, default.logs), (Some(Duration::from_secs(10)), None));
        assert_eq!((default.connections, default.check, default.target), (64, true, None));
        let counted = options(&["bench", "--logs", "5", "--no-check", "--drain-timeout", "0"]);
        assert_eq!((counted.duration, counted.logs, counted.check), (None, Some(5), false));
        assert_eq!(counted.drain_timeout, Duration::ZERO);
        assert_eq!(invocation(&["bench", "--port", "1"]).flags["PORT"], "1");
        for bad in [["--rate", "0"], ["--batch", "0"], ["--url", "https://h"], ["--logs", "many"]] {
            assert!(parse(["eyego", "bench"].into_iter().chain(bad).map(OsString::from)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn files_are_standard_streams_unless_named() {
        let Command::Export(export) = invocation(&["export"]).command else { panic!("no export") };
        assert_eq!((export.output, export.format, export.after_id), (None, FileFormat::Ndjson, None));
        let arguments =
            ["export", "--output", "x.zst", "--after-id", "-5", "--user-id", "a", "--user-id", "b", "--port", "1"];
        let Command::Export(export) = invocation(&arguments).command else { panic!("no export") };
        assert_eq!((export.output, export.after_id), (Some("x.zst".into()), Some(-5)));
        assert_eq!(export.user_ids, ["a", "b"]);
        assert_eq!(invocation(&arguments).flags["PORT"], "1");
        for (arguments, input, skip_bad) in [
            (&["import"][..], None, false),
            (&["import", "-"], None, false),
            (&["import", "x", "--skip-bad"], Some("x"), true),
        ] {
            let options = ImportOptions { input: input.map(Into::into), skip_bad };
            assert_eq!(invocation(arguments).command, Command::Import(options));
        }
        assert!(parse(["eyego", "export", "--format", "xml"].map(OsString::from)).is_err());
    }

    #[test]
    fn help_names_every_setting_with_its_default() {
        let help = parse(["eyego", "--help"].map(OsString::from)).unwrap_err().to_string();
        for setting in CATALOG {
            assert!(help.contains(&format!("--{}", setting.flag())) && help.contains(setting.name), "{}", setting.name);
            assert!(help.contains(setting.default), "{}", setting.name);
        }
    }
}
