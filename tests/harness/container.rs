//! Containers that run the emitter, and what the engine still holds of their logs.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use super::engine::Engine;
use super::image::IMAGE;
use super::script::{self, Sink, Stream};
use super::wait_for;

/// The lines of a container by stream, each without its line end.
pub(crate) type Lines = BTreeMap<Stream, Vec<Vec<u8>>>;

/// A container to be started: `docker run` in parts.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    name: String,
    arguments: Vec<String>,
    scripts: Vec<Vec<String>>,
}

/// A container named `name` that plays `script` (see `emitter/script.rs`).
pub(crate) fn emitter(name: &str, script: &str) -> Spec {
    Spec { name: name.to_owned(), arguments: Vec::new(), scripts: vec![words(script)] }
}

fn words(script: &str) -> Vec<String> {
    script.split_whitespace().map(str::to_owned).collect()
}

impl Spec {
    /// Plays another script beside the others, in a process of its own. It must use another stream.
    pub(crate) fn and(mut self, script: &str) -> Self {
        self.scripts.push(words(script));
        self
    }

    /// Adds an argument of `docker run`, in words.
    pub(crate) fn with(mut self, arguments: &str) -> Self {
        self.arguments.extend(words(arguments));
        self
    }

    pub(crate) fn tty(self) -> Self {
        self.with("--tty")
    }

    /// Starts the container in the background.
    pub(crate) fn start(self, engine: &Engine) -> Container<'_> {
        // The emitter ignores SIGTERM, as the first process of a container does.
        let mut arguments: Vec<&str> = vec!["run", "--detach", "--network", "none", "--stop-timeout", "1"];
        arguments.extend(["--name", &self.name]);
        arguments.extend(self.arguments.iter().map(String::as_str));
        arguments.push(IMAGE);
        let shell;
        if let [script] = self.scripts.as_slice() {
            arguments.extend(["/bin/emit", &self.name]);
            arguments.extend(script.iter().map(String::as_str));
        } else {
            let commands = self.scripts.iter().enumerate();
            let commands: Vec<String> = commands
                .map(|(i, script)| format!("/bin/emit {} {} &", tag(&self.name, i), script.join(" ")))
                .collect();
            shell = format!("{} wait", commands.join(" "));
            arguments.extend(["/bin/sh", "-c", &shell]);
        }
        let id = engine.docker(&arguments);
        let is_tty = self.arguments.iter().any(|a| a == "--tty");
        Container { engine, id, name: self.name, scripts: self.scripts, is_tty }
    }
}

/// Several emitters of a container differ by tag: they count their runs apart.
fn tag(name: &str, index: usize) -> String {
    if index == 0 { name.to_owned() } else { format!("{name}-{index}") }
}

/// A started container; it stays until its engine ends.
#[derive(Debug)]
pub(crate) struct Container<'e> {
    engine: &'e Engine,
    pub(crate) id: String,
    pub(crate) name: String,
    scripts: Vec<Vec<String>>,
    is_tty: bool,
}

impl Container<'_> {
    /// What the scripts write in `runs` runs.
    pub(crate) fn written(&self, runs: u32) -> Lines {
        let mut memory = Memory::default();
        for (index, script) in self.scripts.iter().enumerate() {
            for run in 0..runs {
                script::play(&tag(&self.name, index), run, script, &mut memory).expect("wrong script");
            }
        }
        if self.is_tty {
            assert!(
                !memory.0.contains_key(&Stream::Err),
                "a terminal has one stream: write to it with `out`"
            );
        }
        memory.0.iter().map(|(stream, bytes)| (*stream, split(bytes))).collect()
    }

    /// What the engine still holds, read with `docker logs`.
    pub(crate) fn held(&self) -> Lines {
        let output = self.engine.docker_command(&["logs", &self.id]).output().unwrap();
        assert!(output.status.success(), "docker logs: {}", String::from_utf8_lossy(&output.stderr));
        self.lines_of(output)
    }

    /// What can be read of standard output with `docker logs`, which breaks off at a damaged message and then says so
    /// on standard error.
    pub(crate) fn readable(&self) -> Lines {
        let mut lines = self.lines_of(self.engine.docker_command(&["logs", &self.id]).output().unwrap());
        lines.remove(&Stream::Err);
        lines
    }

    fn lines_of(&self, output: Output) -> Lines {
        let mut held = Lines::new();
        for (stream, bytes) in [(Stream::Out, output.stdout), (Stream::Err, output.stderr)] {
            let mut lines = split(&bytes);
            if self.is_tty {
                lines.iter_mut().for_each(|line| line.truncate(line.trim_ascii_end().len()));
            }
            if !lines.is_empty() {
                held.insert(stream, lines);
            }
        }
        held
    }

    pub(crate) fn is_running(&self) -> bool {
        self.engine.docker(&["inspect", "--format", "{{.State.Running}}", &self.id]) == "true"
    }

    /// Whether the container has exited, and is gone perhaps.
    pub(crate) fn has_ended(&self) -> bool {
        let inspect = ["inspect", "--format", "{{.State.Running}}", &self.id];
        self.engine.docker_command(&inspect).output().unwrap().stdout.trim_ascii() != b"true"
    }

    /// Waits until the container has exited.
    ///
    /// # Panics
    /// When it has not within `limit`.
    pub(crate) fn wait_exited(&self, limit: Duration) {
        assert!(wait_for(limit, || !self.is_running()), "container `{}` does not end", self.name);
    }

    /// Waits until the engine holds `count` lines.
    ///
    /// # Panics
    /// When it does not within `limit`.
    pub(crate) fn wait_held(&self, count: usize, limit: Duration) {
        let held = || self.held().values().map(Vec::len).sum::<usize>();
        assert!(wait_for(limit, || held() >= count), "container `{}` wrote {} lines only", self.name, held());
    }
}

fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    if lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines
}

#[derive(Default)]
struct Memory(BTreeMap<Stream, Vec<u8>>);

impl Sink for Memory {
    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        self.0.entry(stream).or_default().extend_from_slice(bytes);
    }

    fn pause(&mut self, _time: Duration) {}
}
