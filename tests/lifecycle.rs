//! What happens to containers is stored and searchable, and `why` finds deaths by service and by time.

use std::time::Duration;

use crate::harness::engine::Version;
use crate::harness::image::IMAGE;
use crate::harness::site::{Site, on_each_engine};
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

impl Site {
    /// Sentences of the stored events of a container, oldest first.
    fn told(&self, container: &str) -> Vec<String> {
        let query = format!("stream:events container:{container}");
        let output = self.server.client(&["search", "--json", "--limit", "0", "--forward", &query]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let msg = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let event: serde_json::Value = serde_json::from_str(record["line"].as_str().unwrap()).unwrap();
            event["msg"].as_str().unwrap().to_owned()
        };
        text.lines().map(msg).collect()
    }

    fn wait_told(&self, container: &str, sentences: &[&str]) {
        let mut told = Vec::new();
        let all = wait_for(LIMIT, || {
            told = self.told(container);
            sentences.iter().all(|sentence| told.iter().any(|t| t == sentence))
        });
        assert!(all, "{sentences:#?} should be among {told:#?}");
    }
}

fn a_containers_changes_are_stored_and_searchable(version: Version) {
    let site = Site::open_with(version, "--bridge=", &[]);
    let docker = |arguments: &[&str]| site.engine.docker(arguments);
    docker(&["network", "create", "shop_net"]);
    docker(&["run", "-d", "--stop-timeout", "1", "--name", "before", IMAGE, "/bin/busybox", "sleep", "1000"]);
    docker(&["network", "connect", "shop_net", "before"]);
    docker(&["network", "disconnect", "shop_net", "before"]);
    docker(&["restart", "before"]);
    docker(&["rename", "before", "after"]);
    docker(&["kill", "--signal", "HUP", "after"]);
    docker(&["rm", "--force", "after"]);
    let before = ["before joined network shop_net", "before left network shop_net", "before was restarted"];
    site.wait_told("before", &before);
    let after = ["before is now named after", "after was sent signal 1", "after removed"];
    site.wait_told("after", &after);
}

fn compose_that_changes_an_image_is_seen(version: Version) {
    let site = Site::open(version);
    site.engine.docker(&["tag", IMAGE, "emitter:next"]);
    let start = |name: &str, image: &str| {
        let labels = ["project=shop", "service=pay", "container-number=1"]
            .map(|label| format!("com.docker.compose.{label}"));
        let mut run = vec!["run", "-d", "--network", "none", "--name", name];
        for label in &labels {
            run.extend(["--label", label]);
        }
        run.extend([image, "/bin/sh", "-c", "busybox sleep 1; exit 4"]);
        site.engine.docker(&run);
    };
    // Compose renames the old one, makes the new one, and removes the old one.
    start("shop-pay-1", IMAGE);
    site.verdict("shop-pay-1", 1, "crash");
    site.engine.docker(&["rename", "shop-pay-1", "old_shop-pay-1"]);
    start("shop-pay-1", "emitter:next");
    site.engine.docker(&["rm", "--force", "old_shop-pay-1"]);
    site.wait_told("shop-pay-1", &["shop-pay-1 now runs emitter:next instead of emitter:test"]);

    let verdict = site.verdict("pay", 2, "crash");
    assert_eq!((&verdict["service"], &verdict["exit_code"]), (&"pay".into(), &4.into()), "{verdict:#}");
    let all = site.server.client(&["why", "--since", "1h", "--json"]);
    assert_eq!(String::from_utf8_lossy(&all.stdout).lines().count(), 2, "both died in the last hour");
}

on_each_engine!(a_containers_changes_are_stored_and_searchable, compose_that_changes_an_image_is_seen);
