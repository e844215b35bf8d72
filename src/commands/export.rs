//! `eyego export`: writes the stored logs to a file.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::{BAD_CONFIGURATION, FAILED, OK, complain, packing};
use crate::{
    bootstrap::{self, ExportOrder, ExportProgress, ExportSink},
    config::{ExportOptions, Settings},
    domain::{EventId, LogFilter, LogId, MetadataMatch, Moment, ports::ErrorChain},
    telemetry,
};

const BUFFER: usize = 1 << 16;

pub(super) fn run(options: &ExportOptions, settings: &Settings) -> u8 {
    let filter = match filter(options) {
        Ok(filter) => filter,
        Err(problems) => {
            complain(&problems);
            return BAD_CONFIGURATION;
        }
    };
    telemetry::start("warn", settings.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&[format!("the runtime could not be started: {error}")]);
            return FAILED;
        }
    };
    let mut output = match Output::open(options.output.as_deref()) {
        Ok(output) => output,
        Err(error) => {
            complain(&[format!("the output could not be made: {error}")]);
            return FAILED;
        }
    };
    let after = options.after_id.map(LogId::new);
    let order = ExportOrder { format: options.format, filter, after };
    let exported = runtime.block_on(bootstrap::export(settings, order, &mut output));
    runtime.shutdown_background();
    output.bar.finish_and_clear();
    let exported = exported.map_err(|error| ErrorChain(&error).to_string()).and_then(|logs| {
        output.finish().map(|()| logs).map_err(|error| format!("the output could not be written: {error}"))
    });
    match exported {
        Ok(logs) => {
            // Standard output may be where the logs went.
            let _ = writeln!(io::stderr(), "{} logs exported", HumanCount(logs));
            OK
        }
        Err(problem) => {
            complain(&[problem]);
            FAILED
        }
    }
}

fn filter(options: &ExportOptions) -> Result<LogFilter, Vec<String>> {
    let mut problems = Vec::new();
    let mut moment = |name: &str, text: &Option<String>| {
        let read = text.as_deref().map(Moment::parse).transpose();
        read.map_err(|rule| problems.push(format!("--{name} {rule}"))).ok().flatten()
    };
    let from = moment("start-date", &options.start_date).map(|moment| moment.first);
    let to = moment("end-date", &options.end_date).map(|moment| moment.last);
    let event_id = options.event_id.as_deref().map(|text| EventId::parse(text).ok_or("--event-id must be a UUID"));
    let event_id = event_id.transpose().map_err(|problem| problems.push(problem.to_owned())).ok().flatten();
    let metadata = options.metadata.iter().filter_map(|text| {
        metadata(text).map_err(|problem| problems.push(format!("--metadata {text} {problem}"))).ok()
    });
    let metadata = metadata.collect();
    let filter = LogFilter {
        user_ids: options.user_ids.clone(),
        actions: options.actions.clone(),
        action_prefix: options.action_prefix.clone(),
        from,
        to,
        event_id,
        metadata,
    };
    if problems.is_empty() { Ok(filter) } else { Err(problems) }
}

fn metadata(text: &str) -> Result<MetadataMatch, String> {
    let (path, value) = text.split_once('=').ok_or("must be path=value")?;
    MetadataMatch::parse(path, value).map_err(|rule| rule.to_string())
}

/// Where the logs go. A file gets its name once it is whole: nobody takes a part of an export for all of it.
struct Output {
    writer: Box<dyn packing::Packer>,
    file: Option<PathBuf>,
    bar: ProgressBar,
}

impl Output {
    fn open(file: Option<&Path>) -> io::Result<Self> {
        let bar = ProgressBar::new(0);
        let template = "{wide_bar} {msg}, {percent}%, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let plain: Box<dyn Write + Send> = match file {
            Some(file) => Box::new(File::create(unfinished(file))?),
            None => Box::new(io::stdout()),
        };
        let writer = packing::pack(BufWriter::with_capacity(BUFFER, plain), file)?;
        Ok(Self { writer, file: file.map(Path::to_owned), bar })
    }

    fn finish(self) -> io::Result<()> {
        self.writer.finish()?;
        match self.file {
            Some(file) => {
                File::open(unfinished(&file))?.sync_all()?;
                fs::rename(unfinished(&file), file)
            }
            None => Ok(()),
        }
    }
}

fn unfinished(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

impl ExportSink for Output {
    fn write(&mut self, text: &[u8], progress: ExportProgress) -> io::Result<()> {
        self.bar.set_length(progress.of);
        self.bar.set_position(progress.at);
        self.bar.set_message(format!("{} logs", HumanCount(progress.logs)));
        self.writer.write_all(text)
    }
}
