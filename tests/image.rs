//! The image, built by its Dockerfile with stand-ins for the two stages that need a registry, and the services of
//! compose.minimal.yaml as they are meant to run: without root, without a writable root, without capabilities.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::engine::{Engine, Version};
use crate::harness::image::IMAGE;
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);
/// What compose.minimal.yaml gives each service, as flags of `docker run`.
const HARDENED: [&str; 8] = [
    "--detach",
    "--read-only",
    "--network=none",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--user=10001:10001",
    "--pids-limit=256",
    "--health-interval=1s",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn must_run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A tar of a folder, as `docker import` takes it.
fn tar(folder: &Path) -> PathBuf {
    let tar = folder.with_extension("tar");
    must_run(Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(&tar).arg("."));
    tar
}

/// Builds the image as `binnacle:test`, of this binary.
fn build(engine: &Engine, scratch: &Path, built: &Path) {
    let (binary, system) = (scratch.join("binary"), scratch.join("system"));
    std::fs::create_dir_all(binary.join("out")).unwrap();
    let strip = ["--strip-debug", "-o"];
    must_run(Command::new("strip").args(strip).arg(binary.join("out/binnacle")).arg(built));
    must_run(Command::new(root().join("compose/rootfs.sh")).arg(system.join("rootfs")));
    engine.docker(&["import", &tar(&binary).display().to_string(), "stand-in-binary:test"]);
    engine.docker(&["import", &tar(&system).display().to_string(), "stand-in-root:test"]);
    // Debian's own client brings BuildKit, which leaves out stages that nothing asks for.
    must_run(
        Command::new("/usr/bin/docker")
            .env("DOCKER_BUILDKIT", "1")
            .args(["--host", &engine.host(), "build", "--quiet", "--tag", "binnacle:test", "--file"])
            .arg(root().join("compose/Dockerfile"))
            .args(["--build-arg", "BINARY=stand-in-binary:test", "--build-arg", "ROOT=stand-in-root:test"])
            .arg(root()),
    );
}

fn run(engine: &Engine, name: &str, flags: &[&str], command: &[&str]) {
    let mut arguments = vec!["run", "--name", name];
    arguments.extend(HARDENED);
    arguments.extend(flags);
    arguments.push("binnacle:test");
    arguments.extend(command);
    engine.docker(&arguments);
}

fn wait_healthy(engine: &Engine, name: &str) {
    let status = || engine.docker(&["inspect", "--format", "{{.State.Health.Status}}", name]);
    let healthy = wait_for(LIMIT, || status() == "healthy");
    let log = engine.docker_command(&["logs", name]).output().unwrap();
    assert!(healthy, "{name} is {}: {}", status(), String::from_utf8_lossy(&log.stderr));
}

/// Account and capabilities of a container's process, as the kernel has them.
fn assert_powerless(engine: &Engine, name: &str) {
    let pid = engine.docker(&["inspect", "--format", "{{.State.Pid}}", name]);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |field: &str| {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(field("Uid:"), "10001", "{name}");
    assert_eq!(u64::from_str_radix(&field("CapEff:"), 16), Ok(0), "{name}");
    assert_eq!(field("NoNewPrivs:"), "1", "{name}");
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mounts")).unwrap();
    let is_root = |line: &&str| line.split(' ').nth(1) == Some("/");
    let options = mounts.lines().find(is_root).and_then(|line| line.split(' ').nth(3)).unwrap();
    assert!(options.split(',').any(|option| option == "ro"), "{name}: {options}");
}

#[test]
fn the_image_works_without_root_behind_the_proxy() {
    let engine = Engine::start(Version::Installed);
    let scratch = tempfile::tempdir().unwrap();
    build(&engine, scratch.path(), Path::new(env!("CARGO_BIN_EXE_binnacle")));

    let group = std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(engine.socket()).unwrap()).to_string();
    let docker = format!("{}:/var/run/docker.sock:ro", engine.socket().display());
    let door = "BINNACLE_PROXY_SOCKET=/run/binnacle/docker.sock";
    let flags = ["--group-add", &group, "-v", &docker, "-v", "proxy:/run/binnacle", "-e", door];
    run(&engine, "proxy", &flags, &["socket-proxy"]);
    wait_healthy(&engine, "proxy");

    let host = "BINNACLE_DOCKER_HOST=unix:///run/binnacle/docker.sock";
    let listen = "BINNACLE_LISTEN=127.0.0.1:9380";
    let flags = ["-v", "data:/data", "-v", "proxy:/run/binnacle", "-e", host, "-e", listen];
    run(&engine, "collect", &flags, &["collect"]);
    wait_healthy(&engine, "collect");
    run(&engine, "serve", &["-v", "data:/data"], &["serve"]);
    wait_healthy(&engine, "serve");
    for name in ["proxy", "collect", "serve"] {
        assert_powerless(&engine, name);
    }

    engine.docker(&[
        "run",
        "--network",
        "none",
        "--name",
        "said",
        IMAGE,
        "/bin/busybox",
        "echo",
        "needle here",
    ]);
    let search = ["exec", "serve", "/usr/bin/binnacle", "search", "needle"];
    let found = || engine.docker_command(&search).output().unwrap();
    assert!(wait_for(LIMIT, || String::from_utf8_lossy(&found().stdout).contains("needle here")));
    let status = engine.docker(&["stop", "collect"]);
    assert_eq!(status, "collect");
    let exit = engine.docker(&["inspect", "--format", "{{.State.ExitCode}}", "collect"]);
    assert_eq!(exit, "0", "SIGTERM ends it in order, as the first process too");
}

/// The packages that a binary in the image lists in itself, as `cargo auditable` left them there.
fn listed_packages(engine: &Engine, scratch: &Path) -> Vec<String> {
    let (binary, list) = (scratch.join("from-image"), scratch.join("list"));
    engine.docker(&["create", "--name", "holder", "binnacle:test"]);
    engine.docker(&["cp", "holder:/usr/bin/binnacle", &binary.display().to_string()]);
    let section = format!(".dep-v0={}", list.display());
    must_run(Command::new("objcopy").args(["--dump-section", &section]).arg(&binary));
    let unpack = "import sys, zlib; sys.stdout.buffer.write(zlib.decompress(open(sys.argv[1], 'rb').read()))";
    let unpacked = Command::new("python3").args(["-c", unpack]).arg(&list).output().unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    let packages: serde_json::Value = serde_json::from_slice(&unpacked.stdout).unwrap();
    let packages = packages["packages"].as_array().unwrap();
    packages.iter().map(|package| format!("{} {}", package["name"], package["version"])).collect()
}

#[test]
#[ignore = "wants a release built by cargo-auditable: `./test image` builds it and runs this"]
fn the_image_of_a_release_is_small_and_lists_what_it_is_made_of() {
    const MOST_BYTES: u64 = 60_000_000;
    let engine = Engine::start(Version::Installed);
    let scratch = tempfile::tempdir().unwrap();
    let release =
        std::env::var_os("BINNACLE_RELEASE").expect("run `./test image`, which sets BINNACLE_RELEASE");
    build(&engine, scratch.path(), Path::new(&release));
    let image = |format: &str| engine.docker(&["image", "inspect", "--format", format, "binnacle:test"]);
    let bytes: u64 = image("{{.Size}}").parse().unwrap();
    assert!(bytes < MOST_BYTES, "the image has {bytes} bytes");
    assert_eq!(image("{{.Config.User}}"), "10001:10001");
    assert_eq!(image("{{json .Config.Healthcheck.Test}}"), r#"["CMD","/usr/bin/binnacle","healthcheck"]"#);
    assert_eq!(image(r#"{{index .Config.Labels "org.opencontainers.image.title"}}"#), "Binnacle");
    let packages = listed_packages(&engine, scratch.path());
    let lists = |name: &str| packages.iter().any(|package| package.starts_with(&format!("\"{name}\" ")));
    assert!(lists("binnacle") && lists("tantivy") && lists("rustls"), "{packages:?}");
    println!("{bytes} bytes, {} packages listed", packages.len());
}
