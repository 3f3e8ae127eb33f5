//! Everything that the dashboards show, alive: containers of an engine, Binnacle with its demo shop, the lab's shop,
//! node-exporter, Alertmanager, and a Prometheus that watches them all under the repository's rules.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::binnacle::{Server, free_address};
use super::engine::{Engine, Version};
use super::image::IMAGE;
use super::prometheus::Prometheus;
use super::site::disk_of;

/// Roles of the shop, each at an address of its own: they find each other by name at one port.
const ROLES: [&str; 7] = ["gateway", "catalog", "cart", "checkout", "payment", "orders", "load"];
const SHOP_PORT: u16 = 8080;

/// Fields in the order in which they end.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) prometheus: Prometheus,
    pub(crate) server: Server,
    _processes: Vec<Process>,
    engine: Engine,
    _scratch: TempDir,
}

/// A process that ends with the test.
#[derive(Debug)]
struct Process(Child);

impl Process {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap_or_else(|e| panic!("cannot run {command:?} (see ./test): {e}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("cannot end a process: {error}");
        }
    }
}

impl Stand {
    /// Starts all of it. What it shows takes some seconds to come.
    pub(crate) fn open() -> Self {
        let (engine, scratch) =
            (Engine::start_with(Version::Installed, "--bridge="), tempfile::tempdir().unwrap());
        let folder = scratch.path();
        let config = folder.join("binnacle.yaml");
        std::fs::write(&config, "collect: {stats: {period: 1s}}\n").unwrap();
        let arguments = ["--demo", "--docker-host", &engine.host(), "--config", &config.to_string_lossy()];
        let mut server = Server::new("run", folder, &arguments);
        server.start();
        server.wait_ready();

        let (node, alertmanager, redis) = (free_address(), free_address(), free_address());
        let mut processes = shop(folder, redis);
        let mut start = |program: &str, arguments: &[String]| {
            let log = folder.join(format!("{program}.log"));
            processes.push(Process::start(Command::new(program).args(arguments), &log));
        };
        start("prometheus-node-exporter", &[format!("--web.listen-address={node}")]);
        let routes = folder.join("alertmanager.yml");
        let nobody = "route: {receiver: nobody}\nreceivers: [{name: nobody, webhook_configs: [{url: 'http://127.0.0.1:9/'}]}]\n";
        std::fs::write(&routes, nobody).unwrap();
        start(
            "prometheus-alertmanager",
            &[
                format!("--config.file={}", routes.display()),
                format!("--storage.path={}", folder.join("alertmanager").display()),
                format!("--web.listen-address={alertmanager}"),
                "--cluster.listen-address=".to_owned(),
            ],
        );
        let jobs = [
            ("cadvisor", vec![server.address()]),
            ("node", vec![node]),
            ("alertmanager", vec![alertmanager]),
            ("shop", (0..ROLES.len()).map(shop_address).collect()),
        ];
        let prometheus = Prometheus::with_rules(&jobs, alertmanager, folder);
        let stand = Self { prometheus, server, _processes: processes, engine, _scratch: scratch };
        stand.start_containers();
        stand
    }

    /// A compose project of two services: one works, moves bytes and logs requests, one fails and is started again.
    fn start_containers(&self) {
        let limit = format!("{}:1gb", disk_of(&self.engine.data_root()).display());
        let work = r#"while :; do
            busybox dd if=/dev/zero of=/f bs=4096 count=8 oflag=direct 2>/dev/null
            echo '{"level":"info","msg":"rendered","page":"/pay/7"}'
            echo 'WARN template cache is cold' >&2; busybox sleep 0.5; done"#;
        let fail = "echo 'ERROR no configuration, giving up' >&2; busybox sleep 2; exit 3";
        let flags = [
            "--memory=64m",
            "--cpus=0.5",
            "--pids-limit=64",
            "--health-cmd=true",
            "--health-interval=1s",
            "--device-write-bps",
        ];
        self.run("web", &[&flags[..], &[&limit]].concat(), work);
        self.run("mail", &["--restart=on-failure:100", "--memory=32m"], fail);
    }

    fn run(&self, service: &str, flags: &[&str], script: &str) {
        let name = format!("shop-{service}-1");
        let labels =
            ["project=shop".to_owned(), format!("service={service}"), "container-number=1".to_owned()]
                .map(|label| format!("--label=com.docker.compose.{label}"));
        let mut run = vec!["run", "--detach", "--name", &name];
        run.extend(labels.iter().map(String::as_str));
        run.extend(flags);
        run.extend([IMAGE, "/bin/sh", "-c", script]);
        self.engine.docker(&run);
    }
}

fn shop_address(place: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 41, 0, u8::try_from(place).unwrap() + 1), SHOP_PORT))
}

/// The lab's shop as processes of this machine, without PostgreSQL: its orders fail, and what to see is how.
fn shop(folder: &Path, redis: SocketAddr) -> Vec<Process> {
    let binary = shop_binary();
    let hosts = folder.join("hosts");
    let lines =
        ROLES.iter().enumerate().map(|(place, role)| format!("{} {role}\n", shop_address(place).ip()));
    std::fs::write(&hosts, format!("127.0.0.1 localhost\n{}", lines.collect::<String>())).unwrap();
    let mut cache = Command::new("redis-server");
    let port = redis.port().to_string();
    cache.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--dir"]).arg(folder);
    let mut processes = vec![Process::start(&mut cache, &folder.join("redis.log"))];
    for (place, role) in ROLES.iter().enumerate() {
        // A file of hosts of their own.
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", r#"mount --bind "$0" /etc/hosts && exec "$@""#]).arg(&hosts);
        command
            .arg(&binary)
            .arg(role)
            .env("SHOP_LISTEN", shop_address(place).to_string())
            .env("SHOP_SEED", "7")
            .env("SHOP_REDIS", format!("redis://{redis}"))
            .env("SHOP_POSTGRES", "postgresql://shop@127.0.0.1:9/shop")
            .env("SHOP_CUSTOMERS_PER_SECOND", "4");
        processes.push(Process::start(&mut command, &folder.join(format!("shop-{role}.log"))));
    }
    processes
}

/// Builds the shop as the tests are built.
fn shop_binary() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--workspace", "--bin", "shop"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cannot run cargo");
    assert!(built.success(), "the shop cannot be built");
    Path::new(env!("CARGO_BIN_EXE_binnacle")).with_file_name("shop")
}
