//! `eyego serve`: the service itself.

use super::{FAILED, OK, complain, say};
use crate::{
    bootstrap::{Application, StartError},
    config::Settings,
    lifecycle::Verdict,
    telemetry,
};

pub(super) fn run(settings: Settings) -> u8 {
    telemetry::start(&settings.log_level, settings.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&[format!("the runtime could not be started: {error}")]);
            return FAILED;
        }
    };
    let ended = runtime.block_on(serve(settings));
    // Whatever still blocks a thread must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(Verdict::Clean) => OK,
        Ok(Verdict::TaskDied | Verdict::CutShort) => FAILED,
        Err(error) => {
            complain(&[describe(&error)]);
            FAILED
        }
    }
}

async fn serve(settings: Settings) -> Result<Verdict, StartError> {
    let application = Application::build(settings).await?;
    say(application.greeting());
    application.run().await
}

fn describe(error: &StartError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
