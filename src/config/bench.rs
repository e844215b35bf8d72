//! What `eyego bench` is asked for: the only options that are no settings, since they are about one run.

use std::{fmt, str::FromStr, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::parse;

const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// One run of the load generator.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchOptions {
    /// The service to load; `None` starts one.
    pub target: Option<BenchTarget>,
    pub connections: usize,
    /// Logs a second; `None` posts as fast as it is answered.
    pub rate: Option<f64>,
    /// The load ends with this time or with `logs`, whichever comes first; one of them is set.
    pub duration: Option<Duration>,
    pub logs: Option<u64>,
    /// Items in a request to the batch endpoint; `None` posts single logs.
    pub batch: Option<u32>,
    /// Whether everything is read back and judged.
    pub check: bool,
    /// How long the backlog may stand still before it is given up; zero does not wait for it.
    pub drain_timeout: Duration,
    pub json: bool,
    /// The process of the service, where it cannot be found by its port.
    pub pid: Option<u32>,
}

/// Where a service listens: the parts of an `http://` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchTarget {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    /// Stands before every path; empty, or begins with a slash and ends without one.
    pub prefix: String,
}

impl FromStr for BenchTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "must be http://host:port".to_owned();
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err("https is not supported: point it at the plain http port".to_owned()),
            _ => return Err(form()),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, "80"),
            Some((host, port)) => (host, port.strip_prefix(':').ok_or_else(form)?),
            None => authority.split_once(':').unwrap_or((authority, "80")),
        };
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(form)?;
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@[]".contains(&byte));
        if host.is_empty() || !plain(host) || !plain(path) {
            return Err(form());
        }
        Ok(Self { host: host.to_owned(), port, prefix: path.trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for BenchTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, prefix } = self;
        if host.contains(':') {
            write!(f, "http://[{host}]:{port}{prefix}")
        } else {
            write!(f, "http://{host}:{port}{prefix}")
        }
    }
}

pub(super) fn arguments() -> [Arg; 10] {
    let value = |name: &'static str, placeholder: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(placeholder).help(help)
    };
    let whole = |most: u64| value_parser!(u64).range(1..=most);
    [
        value("url", "URL", "Load the service at this http:// address; without it one is started here, and ended")
            .value_parser(|text: &str| text.parse::<BenchTarget>()),
        value("connections", "N", "Connections that post").default_value("64").value_parser(whole(10_000)),
        value(
            "rate",
            "R",
            "Logs a second at a steady pace; without it each connection posts as fast as it is answered",
        )
        .value_parser(rate),
        value("duration", "TIME", "How long the load lasts, 10s unless --logs is given").value_parser(parse::duration),
        value("logs", "N", "How many logs are posted at most").value_parser(whole(1_000_000_000)),
        value("batch", "N", "Post arrays of N logs to /api/logs/batch").value_parser(whole(10_000)),
        Arg::new("no-check")
            .long("no-check")
            .action(ArgAction::SetTrue)
            .help("Do not read the logs back; for a service that stores nothing"),
        value(
            "drain-timeout",
            "TIME",
            "How long storing the backlog may stand still before it is given up; 0 does not wait",
        )
        .default_value("120s")
        .value_parser(drain_timeout),
        Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON object"),
        value("pid", "PID", "The service's process, where it is not found by its port")
            .value_parser(value_parser!(u32).range(1..)),
    ]
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (0.01..=10_000_000.0).contains(rate))
        .ok_or_else(|| "must be a number from 0.01 to 10000000".to_owned())
}

fn drain_timeout(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { parse::duration(text) }
}

pub(super) fn options(matches: &ArgMatches) -> BenchOptions {
    let number = |name: &str| matches.get_one::<u64>(name).copied();
    let time = |name: &str| matches.get_one::<Duration>(name).copied();
    let logs = number("logs");
    BenchOptions {
        target: matches.get_one::<BenchTarget>("url").cloned(),
        connections: number("connections").and_then(|number| usize::try_from(number).ok()).unwrap_or(1),
        rate: matches.get_one::<f64>("rate").copied(),
        duration: time("duration").or_else(|| logs.is_none().then_some(DEFAULT_DURATION)),
        logs,
        batch: number("batch").and_then(|number| u32::try_from(number).ok()),
        check: !matches.get_flag("no-check"),
        drain_timeout: time("drain-timeout").unwrap_or_default(),
        json: matches.get_flag("json"),
        pid: matches.get_one::<u32>("pid").copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_plain_http_addresses() {
        for (text, host, port, prefix) in [
            ("http://127.0.0.1:3000", "127.0.0.1", 3000, ""),
            ("http://logs.example.org/", "logs.example.org", 80, ""),
            ("http://logs:8080/eyego/", "logs", 8080, "/eyego"),
            ("http://[::1]:3000", "::1", 3000, ""),
            ("http://[::1]", "::1", 80, ""),
        ] {
            let target: BenchTarget = text.parse().unwrap();
            assert_eq!((target.host.as_str(), target.port, target.prefix.as_str()), (host, port, prefix), "{text}");
            assert_eq!(target.to_string().parse::<BenchTarget>().unwrap(), target);
        }
        for bad in ["", "localhost:3000", "ftp://h", "http://", "http://:1", "http://h:0", "http://u@h", "http://h/?a"]
        {
            assert!(bad.parse::<BenchTarget>().is_err(), "{bad}");
        }
        assert!("https://h".parse::<BenchTarget>().unwrap_err().contains("https is not supported"));
    }
}
