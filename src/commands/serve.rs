//! `eyego serve`: the service itself.

use super::{FAILED, OK, complain, say};
use crate::{
    bootstrap::{Application, StartError},
    config::Settings,
    domain::ports::ErrorChain,
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
            complain(&[ErrorChain(&error).to_string()]);
            FAILED
        }
    }
}

async fn serve(settings: Settings) -> Result<Verdict, StartError> {
    let application = Application::build(settings).await?;
    say(application.greeting());
    Ok(application.run().await)
}
