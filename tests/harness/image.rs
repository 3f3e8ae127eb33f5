//! The one image of the tests: a static busybox and our emitter, made on the spot, a few MB.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::engine::Engine;

/// Name of the image.
pub(crate) const IMAGE: &str = "emitter:test";

/// Imports the image into `engine`.
pub(crate) fn load(engine: &Engine) {
    static TAR: OnceLock<PathBuf> = OnceLock::new();
    let tar = TAR.get_or_init(build);
    engine.docker(&["import", &tar.to_string_lossy(), IMAGE]);
}

fn build() -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("image-{}", std::process::id()));
    let bin = scratch.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::create_dir_all(scratch.join("tmp")).unwrap();
    std::fs::copy("/bin/busybox", bin.join("busybox")).expect("tests need the package `busybox-static`");
    std::os::unix::fs::symlink("busybox", bin.join("sh")).unwrap();
    must_run(
        Command::new("rustc")
            .args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static"])
            .args(["-C", "panic=abort", "-C", "strip=symbols", "-o"])
            .arg(bin.join("emit"))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emitter/main.rs")),
    );
    // Renamed into place: several test processes may build it at once.
    let tar = scratch.with_extension("tar");
    must_run(Command::new("tar").arg("-C").arg(&scratch).arg("-cf").arg(&tar).arg("."));
    std::fs::remove_dir_all(&scratch).unwrap();
    let image = scratch.with_file_name("image.tar");
    std::fs::rename(&tar, &image).unwrap();
    image
}

fn must_run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
