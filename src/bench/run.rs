//! One run from beginning to end: load, drain, judgement, report.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::LocalSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    BenchError, Observer,
    client::Client,
    contents::{Contents, MOST_LOGS},
    drain::{DrainWatch, Sent},
    judge::{Judge, Judgement},
    load::{self, Load},
    own_service::OwnService,
    process::Process,
    readable::ReadableSampler,
    reading::{ReadError, read_back},
    record::Record,
    report::{Measured, Report},
    request::Requests,
    schedule::Schedule,
    target::Target,
};
use crate::config::{BenchOptions, BenchTarget};

/// The most logs of a run that is judged: they are kept in memory, about 20 bytes each.
pub const MOST_JUDGED: u64 = 50_000_000;
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// How long all of the service is waited for.
const WHOLE_PATIENCE: Duration = Duration::from_secs(20);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Runs the load and reports on it. `settings` are for a service that is started for it. `stop` ends the load early;
/// what was acknowledged until then is judged.
///
/// Dropping the future ends a service that was started, at once.
///
/// # Errors
/// Where there was no load.
pub async fn run(
    options: &BenchOptions,
    settings: &[(String, String)],
    stop: &CancellationToken,
    observer: &mut dyn Observer,
) -> Result<Report, BenchError> {
    if let Some(target) = &options.target {
        return against(options, target, None, stop, observer).await;
    }
    let service = OwnService::start(settings).await?;
    let mut report = against(options, &service.target, Some(service.pid()), stop, observer).await?;
    report.failures.extend(service.stop().await.err());
    Ok(report)
}

/// `own` is the process of a service that was started here.
async fn against(
    options: &BenchOptions,
    at: &BenchTarget,
    own: Option<u32>,
    stop: &CancellationToken,
    observer: &mut dyn Observer,
) -> Result<Report, BenchError> {
    let found = Target::find(at).await.map_err(|error| BenchError::Unreachable(at.to_string(), error))?;
    let target = Rc::new(found);
    let mut client = Client::new(Rc::clone(&target));
    until_ready(&mut client, &target).await?;
    let process = match own.or(options.pid) {
        Some(pid) => Process::watch(pid),
        None => client.ends().await.ok().and_then(Process::listening),
    };
    let run = Run { options, target, contents: Contents::new(format!("{:08x}", rand::random::<u32>())), process };
    LocalSet::new().run_until(run.measure(own.is_some(), stop, observer)).await
}

/// It may take a while where topics and indexes are made and a group is joined. A service that only takes logs will do
/// if need be, and one that says nothing about it is taken to be ready.
async fn until_ready(client: &mut Client, target: &Target) -> Result<(), BenchError> {
    let began = Instant::now();
    loop {
        let path = if began.elapsed() < WHOLE_PATIENCE { "/readyz" } else { "/readyz?for=write" };
        let reason = match client.get(path).await {
            Ok(answer) if answer.status != 503 => return Ok(()),
            Ok(answer) => String::from_utf8_lossy(answer.body).into_owned(),
            Err(error) => error.to_string(),
        };
        if began.elapsed() >= READY_PATIENCE {
            return Err(BenchError::NotReady(target.url.clone(), reason));
        }
        sleep(ASK_AGAIN).await;
    }
}

struct Run<'a> {
    options: &'a BenchOptions,
    target: Rc<Target>,
    contents: Contents,
    process: Option<Process>,
}

impl Run<'_> {
    async fn measure(
        mut self,
        started_here: bool,
        stop: &CancellationToken,
        observer: &mut dyn Observer,
    ) -> Result<Report, BenchError> {
        let drain = DrainWatch::begin(Rc::clone(&self.target), self.options.drain_timeout).await;
        let connections = load::connect(&self.target, self.options.connections).await?;
        let cpu_before = self.cpu();
        let load = Rc::new(self.load());
        let took = load.run(connections, stop, &mut self.process, observer).await;
        let cpu_load = self.cpu();
        let unsent = load.schedule.unsent(Instant::now());
        let record = load.record.replace(Record::new(false, false));
        let sent = Sent { contents: &self.contents, logs: load.schedule.begun(), acknowledged: record.acknowledged };
        let drained = drain.finish(sent, &mut self.process, observer).await;
        let cpu_drain = self.cpu();
        let peak_memory = self.process.as_ref().map(Process::peak_memory);
        let readable = load.sampler.finish().await;
        let judged = self.judge(&record, observer).await;
        Ok(Report::new(Measured {
            options: self.options.clone(),
            url: self.target.url.clone(),
            run: self.contents.run().to_owned(),
            started_here,
            took,
            unsent,
            gone: load.left.get() == 0,
            record,
            readable,
            drained,
            cpu_load: cpu_load.zip(cpu_before).map(|(end, begin)| end - begin),
            cpu_all: cpu_drain.zip(cpu_before).map(|(end, begin)| end - begin),
            peak_memory,
            judged,
        }))
    }

    fn cpu(&self) -> Option<f64> {
        self.process.as_ref().and_then(Process::cpu_seconds)
    }

    /// Its time begins now.
    fn load(&self) -> Load {
        let BenchOptions { duration, logs, rate, batch, check, .. } = *self.options;
        let most = if check { MOST_JUDGED } else { MOST_LOGS };
        let items = batch.unwrap_or(1);
        Load {
            target: Rc::clone(&self.target),
            requests: Requests::new(&self.target, self.contents.clone(), batch.is_some()),
            schedule: Arc::new(Schedule::new(logs.unwrap_or(most).min(most), items, duration, rate)),
            record: RefCell::new(Record::new(batch.is_some(), check)),
            sampler: ReadableSampler::new(Rc::clone(&self.target), items),
            left: Cell::new(0),
        }
    }

    async fn judge(&self, record: &Record, observer: &mut dyn Observer) -> Option<Result<Judgement, ReadError>> {
        if !self.options.check || record.acknowledged == 0 {
            return None;
        }
        let mut judge = Judge::new(&self.contents, &record.journal);
        let users = self.contents.users(record.journal.len()).collect();
        let read = read_back(&self.target, users, &mut judge, observer).await;
        Some(read.map(|()| judge.verdict()))
    }
}
