//! Writes the Grafana dashboards: `cargo run -p dashboards`.
//!
//! The code here is the source and the JSON under `grafana/dashboards` its product, which is committed because people
//! import it. A test compares the two.

mod boards;
mod dashboard;
mod field;
mod link;
mod panel;
mod query;
#[cfg(test)]
mod tests;
mod variable;

use std::io;
use std::path::{Path, PathBuf};

/// Where the dashboards are written to, one file each, named by its uid.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards")
}

/// The text of a file.
fn rendered(dashboard: &serde_json::Value) -> String {
    format!("{dashboard:#}\n")
}

fn main() -> io::Result<()> {
    let folder = folder();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            std::fs::remove_file(path)?; // a dashboard that is no more
        }
    }
    for board in boards::all() {
        std::fs::write(folder.join(format!("{}.json", board.uid())), rendered(&board.json()))?;
    }
    Ok(())
}
