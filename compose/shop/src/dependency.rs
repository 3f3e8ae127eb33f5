//! The databases: connections that come back by themselves, and a watcher that tells whether they answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::error::{Failure, Kind};
use crate::frame::Frame;

/// Longest wait for a database, to connect and to answer.
const DEADLINE: Duration = Duration::from_secs(2);
const WATCH_PERIOD: Duration = Duration::from_secs(2);

/// PostgreSQL behind one connection, made when it is needed.
#[derive(Debug)]
pub(crate) struct Postgres {
    config: tokio_postgres::Config,
    client: Mutex<Option<Arc<tokio_postgres::Client>>>,
    /// Runs once on every new connection.
    schema: &'static str,
    tasks: TaskTracker,
}

// === impl Postgres ===

impl Postgres {
    /// # Errors
    /// When the address makes no sense or the password cannot be read.
    pub(crate) fn new(
        url: &str,
        password_file: Option<&Path>,
        schema: &'static str,
        tasks: TaskTracker,
    ) -> anyhow::Result<Self> {
        let mut config: tokio_postgres::Config =
            url.parse().context("the address of PostgreSQL makes no sense")?;
        if let Some(path) = password_file {
            let password =
                std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            config.password(password.trim_end());
        }
        config.connect_timeout(DEADLINE).application_name("shop");
        Ok(Self { config, client: Mutex::new(None), schema, tasks })
    }

    /// The connection, a new one when the last one broke.
    pub(crate) async fn client(&self) -> Result<Arc<tokio_postgres::Client>, Failure> {
        let mut slot = self.client.lock().await;
        if let Some(client) = slot.as_ref().filter(|client| !client.is_closed()) {
            return Ok(Arc::clone(client));
        }
        let connected = within("connect", self.config.connect(tokio_postgres::NoTls)).await?;
        let (client, connection) = connected;
        // Ends with the client.
        self.tasks.spawn(async move { drop(connection.await) });
        within("schema", client.batch_execute(self.schema)).await?;
        let client = Arc::new(client);
        *slot = Some(Arc::clone(&client));
        Ok(client)
    }

    /// Lets go of the connection, so that its task can end.
    pub(crate) async fn close(&self) {
        *self.client.lock().await = None;
    }

    async fn answers(&self) -> bool {
        let Ok(client) = self.client().await else { return false };
        let is_up = within("ping", client.batch_execute("SELECT 1")).await.is_ok();
        if !is_up {
            // After a cut network the connection looks alive for minutes.
            self.close().await;
        }
        is_up
    }
}

/// What PostgreSQL answers, if it does so in time.
pub(crate) async fn within<T>(
    what: &str,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failure> {
    match timeout(DEADLINE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure::new(Kind::Database, format!("postgres: {what}: {error}"))),
        Err(_) => Err(Failure::new(
            Kind::Database,
            format!("postgres: {what}: no answer within {} ms", DEADLINE.as_millis()),
        )),
    }
}

/// A connection to Redis that comes back by itself; made when it is first needed.
///
/// # Errors
/// When the address makes no sense.
pub(crate) fn redis(url: &str) -> anyhow::Result<ConnectionManager> {
    let client = redis::Client::open(url).context("the address of Redis makes no sense")?;
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_connection_timeout(Some(DEADLINE))
        .set_response_timeout(Some(DEADLINE));
    ConnectionManager::new_lazy_with_config(client, config).context("cannot set up Redis")
}

/// Tells the frame whether PostgreSQL answers, until the service ends.
pub(crate) fn watch_postgres(frame: &Arc<Frame>, postgres: Arc<Postgres>) {
    let frame = Arc::clone(frame);
    frame.tasks.clone().spawn(async move {
        loop {
            frame.set_dependency("postgres", postgres.answers().await);
            tokio::select! {
                () = tokio::time::sleep(WATCH_PERIOD) => {}
                () = frame.stop.cancelled() => break,
            }
        }
        postgres.close().await;
    });
}

/// Tells the frame whether Redis answers, until the service ends.
pub(crate) fn watch_redis(frame: &Arc<Frame>, mut connection: ConnectionManager) {
    let frame = Arc::clone(frame);
    frame.tasks.clone().spawn(async move {
        loop {
            let answer = timeout(DEADLINE, redis::cmd("PING").query_async::<String>(&mut connection)).await;
            frame.set_dependency("redis", matches!(answer, Ok(Ok(_))));
            tokio::select! {
                () = tokio::time::sleep(WATCH_PERIOD) => {}
                () = frame.stop.cancelled() => return,
            }
        }
    });
}
