//! An engine with `binnacle run` beside it: what most scenarios begin with.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::binnacle::Server;
use super::engine::{Engine, Version};

/// Fields in the order in which they end: server, engine, folder.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) engine: Engine,
    _scratch: TempDir,
}

impl Site {
    /// Starts both; the server is ready.
    pub(crate) fn open(version: Version) -> Self {
        Self::open_with(version, "", &[])
    }

    /// Starts both, with flags for dockerd and arguments for `binnacle run`.
    pub(crate) fn open_with(version: Version, dockerd_flags: &str, arguments: &[&str]) -> Self {
        Self::beside(Engine::start_with(version, dockerd_flags), arguments)
    }

    /// Starts `binnacle run` with more arguments beside an engine.
    pub(crate) fn beside(engine: Engine, arguments: &[&str]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let host = engine.host();
        let mut server = Server::new("run", scratch.path(), &[&["--docker-host", &host], arguments].concat());
        server.start();
        server.wait_ready();
        Self { server, engine, _scratch: scratch }
    }
}

/// The device node of the disk that holds `path`. Recent kernels (seen with 6.18) count block I/O under cgroups
/// of version 1 only where it is limited, and only whole disks can be limited.
///
/// # Panics
/// When `path` is on no disk, as on tmpfs.
pub(crate) fn disk_of(path: &Path) -> PathBuf {
    let device = Command::new("stat").args(["--format", "%Hd:%Ld"]).arg(path).output().unwrap().stdout;
    let device = Path::new("/sys/dev/block").join(String::from_utf8(device).unwrap().trim());
    let node = device.canonicalize().unwrap_or_else(|e| {
        panic!("`{}` is on no disk ({e}): set TMPDIR to a folder that is", path.display())
    });
    let disk = if node.join("partition").exists() { node.parent().unwrap() } else { &node };
    Path::new("/dev").join(disk.file_name().unwrap())
}

/// Makes one test per engine out of each scenario, a `fn(Version)`.
macro_rules! on_each_engine {
    ($($scenario:ident),+ $(,)?) => {
        mod installed_engine {
            $(#[test]
            fn $scenario() {
                super::$scenario(crate::harness::engine::Version::Installed);
            })+
        }
        mod newer_engine {
            $(#[test]
            fn $scenario() {
                super::$scenario(crate::harness::engine::Version::Newer);
            })+
        }
    };
}
pub(crate) use on_each_engine;
