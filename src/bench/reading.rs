//! Reads every log of the run back through the public API, user by user.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use tokio::time::sleep;

use super::{
    Observer,
    client::{AskError, Client},
    judge::Judge,
    page::Page,
    target::Target,
};

/// The largest page the API gives.
const LIMIT: usize = 1000;
const READERS: usize = 4;
/// How long a page may be refused before reading is given up.
const PATIENCE: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Why it could not be judged.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("the logs could not be read back")]
    Ask(#[source] AskError),
    #[error("the logs could not be read back: GET /api/logs answers {0}")]
    Status(u16),
    #[error("a page of logs could not be read")]
    Page(#[source] serde_json::Error),
}

/// Shows the judge every stored log of these users.
pub(super) async fn read_back(
    target: &Rc<Target>,
    users: Vec<String>,
    judge: &mut Judge<'_>,
    observer: &mut dyn Observer,
) -> Result<(), ReadError> {
    let (count, done) = (users.len() as u64, Cell::new(0));
    let users = RefCell::new(users.into_iter());
    let (judge, observer) = (RefCell::new(judge), RefCell::new(observer));
    let reader = async || {
        let mut client = Client::new(Rc::clone(target));
        while let Some(user) = { users.borrow_mut().next() } {
            read_user(&mut client, &user, &judge).await?;
            done.set(done.get() + 1);
            observer.borrow_mut().judging(done.get(), count);
        }
        Ok(())
    };
    try_join_all((0..READERS).map(|_| reader())).await.map(drop)
}

async fn read_user(client: &mut Client, user: &str, judge: &RefCell<&mut Judge<'_>>) -> Result<(), ReadError> {
    // While logs still arrive, one may move on to the next page and be seen again there.
    let mut seen = HashSet::new();
    for number in 1.. {
        let path = format!("/api/logs?userId={user}&limit={LIMIT}&page={number}");
        let body = patient_get(client, &path).await?;
        let page = Page::parse(body).map_err(ReadError::Page)?;
        let mut judge = judge.borrow_mut();
        page.logs.iter().filter(|log| seen.insert(log.id)).for_each(|log| judge.see(log));
        if page.logs.len() < LIMIT {
            break;
        }
    }
    Ok(())
}

async fn patient_get<'a>(client: &'a mut Client, path: &str) -> Result<&'a [u8], ReadError> {
    let began = Instant::now();
    loop {
        let failed = match client.get(path).await {
            Ok(answer) if answer.status == 200 => break,
            Ok(answer) => ReadError::Status(answer.status),
            Err(error) => ReadError::Ask(error),
        };
        let hopeless = matches!(failed, ReadError::Status(400..=499));
        if hopeless || began.elapsed() >= PATIENCE {
            return Err(failed);
        }
        sleep(ASK_AGAIN).await;
    }
    Ok(client.last_body())
}
