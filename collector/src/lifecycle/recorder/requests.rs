//! What the recorder asks the daemon for.

use std::collections::HashMap;

use bollard::models::{ContainerInspectResponse, EventMessage};
use bollard::query_parameters::{EventsOptions, InspectContainerOptions};
use futures_util::{Stream, StreamExt, stream};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::{REQUEST_TIMEOUT, Recorder};
use crate::stats::Facts;

/// Inspect requests at once.
const CONCURRENT_INSPECTS: usize = 8;
/// Asked for by name, so that health checks (three exec events each) do not flood the connection.
const ACTIONS: [&str; 16] = [
    "create",
    "start",
    "die",
    "destroy",
    "remove",
    "oom",
    "kill",
    "stop",
    "restart",
    "pause",
    "unpause",
    "rename",
    "update",
    "health_status",
    "connect",
    "disconnect",
];

impl Recorder {
    /// Facts by id, without the containers that are gone.
    pub(super) async fn inspect_all(&self, ids: Vec<String>) -> Result<HashMap<String, Facts>, String> {
        let requests: Vec<_> = ids.into_iter().map(|id| self.inspect(id)).collect();
        let mut answers = stream::iter(requests).buffer_unordered(CONCURRENT_INSPECTS);
        let mut found = HashMap::new();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Ok(answer)) => {
                    found.extend(Facts::of_inspect(&answer).map(|facts| (facts.id.clone(), facts)))
                }
                Ok(Err(bollard::errors::Error::DockerResponseServerError {
                    status_code: 404 | 409, ..
                })) => {}
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err("no answer to inspect".to_owned()),
            }
        }
        Ok(found)
    }

    async fn inspect(
        &self,
        id: String,
    ) -> Result<Result<ContainerInspectResponse, bollard::errors::Error>, Elapsed> {
        timeout(REQUEST_TIMEOUT, self.docker.inspect_container(&id, None::<InspectContainerOptions>)).await
    }

    /// Events since a time, up to another or for ever.
    pub(super) fn events(
        &self,
        since_ns: i64,
        until_s: Option<i64>,
    ) -> impl Stream<Item = Result<EventMessage, String>> + use<> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let filters = HashMap::from([
            ("type".to_owned(), words(&["container", "network"])),
            ("event".to_owned(), words(&ACTIONS)),
        ]);
        let options = EventsOptions {
            since: Some(format!("{}.{:09}", since_ns / 1_000_000_000, since_ns % 1_000_000_000)),
            until: until_s.map(|s| s.to_string()),
            filters: Some(filters),
        };
        self.docker.events(Some(options)).map(|event| event.map_err(|error| error.to_string()))
    }
}
