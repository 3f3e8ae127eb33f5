//! A unix socket in front of another that can be told to end answers in the middle.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Its threads end with their connections; the listener ends with the test process.
#[derive(Debug)]
pub(crate) struct CuttingProxy {
    path: PathBuf,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    cutting: AtomicBool,
    answers: AtomicU64,
    cuts: AtomicU64,
}

impl CuttingProxy {
    /// Serves `path` from the socket `target`; passes everything on until told to cut.
    pub(crate) fn start(target: &Path, path: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let (state, target) = (Arc::new(State::default()), target.to_owned());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = UnixStream::connect(&target) else { continue };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || pass(from, to, None));
                let state = Arc::clone(&shared);
                std::thread::spawn(move || pass(server, client, Some(&state)));
            }
        });
        Self { path, state }
    }

    /// Whether answers are cut from now on: each after another number of bytes, at most 8 KB.
    pub(crate) fn cut(&self, yes: bool) {
        self.state.cutting.store(yes, Ordering::Relaxed);
    }

    /// How many answers were cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.state.cuts.load(Ordering::Relaxed)
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }
}

/// Copies until one side ends, or the answer has had its share.
fn pass(mut from: UnixStream, mut to: UnixStream, state: Option<&State>) {
    let number = state.map_or(0, |s| s.answers.fetch_add(1, Ordering::Relaxed));
    let share = usize::try_from(number * 977 % 8192).unwrap();
    let mut passed = 0;
    let mut buffer = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let cut = state.filter(|s| s.cutting.load(Ordering::Relaxed) && passed + read > share);
        let take = if cut.is_some() { share.saturating_sub(passed) } else { read };
        if to.write_all(&buffer[..take]).is_err() {
            break;
        }
        if let Some(state) = cut {
            state.cuts.fetch_add(1, Ordering::Relaxed);
            break;
        }
        passed += read;
    }
    for side in [&from, &to] {
        side.shutdown(Shutdown::Both).ok();
    }
}
