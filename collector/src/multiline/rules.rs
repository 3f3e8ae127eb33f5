//! Which lines begin a stack trace, and which continue it: the layouts of Java, .NET, Node.js, Python, Go and Rust.
//!
//! Pure and cheap: a line is judged by its first bytes and at most [`LOOKED_AT_BYTES`] of it are searched.
//! JSON lines never begin a trace.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Names of exceptions are searched for in this much of a line.
const LOOKED_AT_BYTES: usize = 2048;
/// A word like `ERROR` that heads a record stands within this much of a line.
const HEAD_BYTES: usize = 96;
/// Blank lines and the like that a trace may hold in a row.
const MAX_DOUBTFUL: u8 = 2;

/// What a line is to the open trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Part of it.
    Continue,
    /// Part of it if a part follows.
    Doubtful,
    /// Not part of it.
    End,
}

/// An open trace: what may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trace {
    /// A log line of a level that exceptions are reported with; the exception may follow on lines of its own.
    Headline,
    /// Frames (`at ...`) of Java, .NET and Node.js, causes and what is printed between them.
    Exception {
        /// A frame ended in `{`: Node.js prints the error's properties until `}`.
        properties: bool,
        /// Blank lines since the last certain part.
        blank: u8,
    },
    /// After `Traceback (most recent call last):`.
    Python(Python),
    /// After `panic: ` or `goroutine 1 [running]:`.
    Go {
        /// A goroutine's head was seen: calls may follow.
        goroutine: bool,
        /// Blank lines since the last certain part.
        blank: u8,
    },
    /// After `thread 'main' panicked at`.
    Rust {
        /// The next line is the message, whatever it looks like.
        message_next: bool,
    },
    /// Node.js quotes the source before the error: after `/app/index.js:3` come the line, a caret, a blank line.
    NodeSource {
        /// Lines seen since.
        lines: u8,
        /// The caret was among them.
        caret: bool,
    },
    /// .NET's console logger: the message stands on indented lines below `fail: Category[0]`.
    DotnetConsole,
}

/// Where in a Python traceback we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Python {
    /// Among the indented frames.
    Frames,
    /// After the line that names the exception.
    Named,
    /// After `During handling of the above exception, another exception occurred:`.
    Chained,
}

const EXCEPTION: Trace = Trace::Exception { properties: false, blank: 0 };

// === impl Trace ===

impl Trace {
    /// The trace that may begin with this line.
    pub(super) fn begin(line: &[u8]) -> Option<Self> {
        let line = &line[..line.len().min(LOOKED_AT_BYTES)];
        let first = *line.first()?;
        if first == b'{' {
            return None;
        }
        if first.is_ascii_whitespace() {
            return begin_indented(line);
        }
        if is_go_start(line) {
            return Some(Self::Go { goroutine: line.starts_with(b"goroutine "), blank: 0 });
        }
        if line.starts_with(b"thread '") && contains(&PANICKED, line) {
            return Some(Self::Rust { message_next: line.ends_with(b":") });
        }
        if contains(&TRACEBACK, line) {
            return Some(Self::Python(Python::Frames));
        }
        if names_exception(line) {
            return Some(EXCEPTION);
        }
        if is_source_position(line) {
            return Some(Self::NodeSource { lines: 0, caret: false });
        }
        if is_dotnet_console(line) {
            return Some(Self::DotnetConsole);
        }
        is_headline(line).then_some(Self::Headline)
    }

    /// What the next line is to this trace.
    pub(super) fn step(&mut self, line: &[u8]) -> Step {
        let line = &line[..line.len().min(LOOKED_AT_BYTES)];
        match self {
            Self::Headline => self.after_headline(line),
            Self::Exception { properties, blank } => step_exception(properties, blank, line),
            Self::Python(state) => step_python(state, line),
            Self::Go { goroutine, blank } => step_go(goroutine, blank, line),
            Self::Rust { message_next } => step_rust(message_next, line),
            Self::NodeSource { .. } => self.step_node_source(line),
            Self::DotnetConsole => continue_if(line.starts_with(b"      ")),
        }
    }

    fn after_headline(&mut self, line: &[u8]) -> Step {
        let exception = is_frame(line) || (names_exception(line) && starts_with_name(line));
        if exception {
            *self = EXCEPTION;
        } else if line.starts_with(b"Traceback (most recent call last)") {
            *self = Self::Python(Python::Frames);
        } else {
            return Step::End;
        }
        Step::Continue
    }

    fn step_node_source(&mut self, line: &[u8]) -> Step {
        let Self::NodeSource { lines, caret } = self else { return Step::End };
        *lines += 1;
        let text = line.trim_ascii();
        if *lines == 1 {
            return Step::Doubtful; // the quoted source: any text
        }
        if !*caret {
            *caret = !text.is_empty() && text.iter().all(|b| matches!(b, b'^' | b'~'));
            return if *caret { Step::Doubtful } else { Step::End };
        }
        if text.is_empty() && *lines <= 3 {
            return Step::Doubtful;
        }
        if names_exception(line) {
            *self = EXCEPTION;
            return Step::Continue;
        }
        Step::End
    }
}

fn begin_indented(line: &[u8]) -> Option<Trace> {
    if contains(&TRACEBACK, line) {
        return Some(Trace::Python(Python::Frames));
    }
    // A trace whose first line was not known as one: its frames at least stay together.
    (is_frame(line) && line.contains(&b'(')).then_some(EXCEPTION)
}

const fn continue_if(yes: bool) -> Step {
    if yes { Step::Continue } else { Step::End }
}

// === Java, .NET, Node.js ===

fn step_exception(properties: &mut bool, blank: &mut u8, line: &[u8]) -> Step {
    let text = line.trim_ascii();
    if text.is_empty() {
        *blank += 1;
        return if *blank <= MAX_DOUBTFUL { Step::Doubtful } else { Step::End };
    }
    let indented = line[0].is_ascii_whitespace();
    if *properties {
        if !indented && text != b"}" {
            return Step::End;
        }
        *properties = text != b"}" || indented;
        *blank = 0;
        return Step::Continue;
    }
    let part = (indented && (is_frame(line) || is_numbered(text) || text.starts_with(b"from ")))
        || is_more(text)
        || CAUSES.iter().any(|cause| text.starts_with(cause))
        || (text.starts_with(b"#") && text.get(1).is_some_and(u8::is_ascii_digit));
    // After a blank line only what names a cause or the runtime may follow: frames do not stand alone.
    if !part || (*blank > 0 && is_frame(line)) {
        return Step::End;
    }
    *properties = is_frame(line) && text.ends_with(b"{");
    *blank = 0;
    Step::Continue
}

const CAUSES: [&[u8]; 11] = [
    b"Caused by:",
    b"Suppressed:",
    b"Wrapped by:",
    b"---> ",
    b"--- End of",
    b"[CIRCULAR REFERENCE",
    b"[cause]:",
    b"[errors]:",
    b"Stack backtrace:",
    b"Stack trace:",
    b"Node.js v",
];

/// `    at f (file:1:2)`
fn is_frame(line: &[u8]) -> bool {
    line.first().is_some_and(u8::is_ascii_whitespace) && line.trim_ascii_start().starts_with(b"at ")
}

/// `... 12 more`, `... 3 common frames omitted`
fn is_more(text: &[u8]) -> bool {
    text.strip_prefix(b"... ").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
}

/// `0: cause`
fn is_numbered(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    (1..=4).contains(&digits) && text[digits..].starts_with(b": ")
}

static TRACEBACK: LazyLock<Finder> = LazyLock::new(|| Finder::new("Traceback (most recent call last)"));
static PANICKED: LazyLock<Finder> = LazyLock::new(|| Finder::new("panicked at"));
static EXCEPTION_WORDS: LazyLock<[Finder; 3]> =
    LazyLock::new(|| [Finder::new("Exception"), Finder::new("Error"), Finder::new("Throwable")]);

fn contains(finder: &Finder, line: &[u8]) -> bool {
    finder.find(line).is_some()
}

/// Whether the line names an exception: `java.lang.IllegalStateException: closed`, `Uncaught TypeError: x`,
/// `Exception in thread "main" ...`, `Unhandled exception. System.Exception: ...`.
fn names_exception(line: &[u8]) -> bool {
    EXCEPTION_WORDS.iter().any(|word| {
        word.find_iter(line).any(|at| {
            let after = &line[at + word.needle().len()..];
            after.first().is_none_or(|b| *b == b':' || *b == b'\r') || after.starts_with(b" in thread ")
        })
    })
}

/// Whether the line starts with a name rather than a time: what an exception looks like on a line of its own.
fn starts_with_name(line: &[u8]) -> bool {
    let name = line.iter().take_while(|b| b.is_ascii_alphanumeric() || b"._$".contains(*b)).count();
    line.first().is_some_and(u8::is_ascii_alphabetic)
        && (line.get(name).is_none_or(|b| *b == b':')
            || [&b"Exception in thread "[..], b"Uncaught ", b"Unhandled "]
                .iter()
                .any(|s| line.starts_with(s)))
}

/// `/app/index.js:3`, `file:///app/index.mjs:3`, `node:internal/fs:12`, `C:\app\index.js:3`
fn is_source_position(line: &[u8]) -> bool {
    let known = matches!(line, [b'/', ..] | [_, b':', b'\\', ..])
        || line.starts_with(b"file:///")
        || line.starts_with(b"node:");
    if !known || line.iter().any(u8::is_ascii_whitespace) {
        return false;
    }
    let digits = line.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    digits > 0 && line[..line.len() - digits].ends_with(b":")
}

/// `fail: Shop.Orders[13]`
fn is_dotnet_console(line: &[u8]) -> bool {
    line.ends_with(b"]") && [&b"fail: "[..], b"crit: ", b"warn: "].iter().any(|level| line.starts_with(level))
}

/// A line in the layout of Logback, Log4j or Python's logging with a level that exceptions come with.
fn is_headline(line: &[u8]) -> bool {
    let head = &line[..line.len().min(HEAD_BYTES)];
    let mut words = head.split(|b| !b.is_ascii_alphanumeric());
    words.any(|word| matches!(word, b"ERROR" | b"FATAL" | b"SEVERE" | b"CRITICAL" | b"WARN" | b"WARNING"))
}

// === Python ===

fn step_python(state: &mut Python, line: &[u8]) -> Step {
    let blank = line.trim_ascii().is_empty();
    match state {
        Python::Frames if !blank && line[0].is_ascii_whitespace() => Step::Continue,
        Python::Frames if is_python_exception(line) => {
            *state = Python::Named;
            Step::Continue
        }
        Python::Named if blank => Step::Doubtful,
        Python::Named
            if line.starts_with(b"During handling of the above")
                || line.starts_with(b"The above exception was") =>
        {
            *state = Python::Chained;
            Step::Continue
        }
        Python::Chained if blank => Step::Continue,
        Python::Chained if contains(&TRACEBACK, line) => {
            *state = Python::Frames;
            Step::Continue
        }
        Python::Frames | Python::Named | Python::Chained => Step::End,
    }
}

/// `ValueError: bad`, `shop.errors.Declined`, `KeyboardInterrupt`; not `INFO:root:ready`.
fn is_python_exception(line: &[u8]) -> bool {
    let length = line.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')).count();
    let (name, after) = line.split_at(length);
    let class = name.rsplit(|b| *b == b'.').next().unwrap_or(name);
    let capitalised =
        class.first().is_some_and(u8::is_ascii_uppercase) && class.iter().any(u8::is_ascii_lowercase);
    let named = capitalised || name.contains(&b'.');
    named && (after.trim_ascii().is_empty() || after.starts_with(b":"))
}

// === Go ===

fn is_go_start(line: &[u8]) -> bool {
    const STARTS: [&[u8]; 7] = [
        b"panic: ",
        b"fatal error: ",
        b"runtime: goroutine stack exceeds",
        b"SIGSEGV: ",
        b"SIGABRT: ",
        b"SIGQUIT: ",
        b"unexpected fault address ",
    ];
    STARTS.iter().any(|start| line.starts_with(start)) || is_goroutine(line) || contains(&HTTP_PANIC, line)
}

static HTTP_PANIC: LazyLock<Finder> = LazyLock::new(|| Finder::new("http: panic serving "));

/// `goroutine 1 [running]:`
fn is_goroutine(line: &[u8]) -> bool {
    line.strip_prefix(b"goroutine ").is_some_and(|rest| {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        digits > 0 && rest[digits..].starts_with(b" [")
    })
}

fn step_go(goroutine: &mut bool, blank: &mut u8, line: &[u8]) -> Step {
    if line.trim_ascii().is_empty() {
        *blank += 1;
        return if *blank <= MAX_DOUBTFUL { Step::Doubtful } else { Step::End };
    }
    *goroutine |= is_goroutine(line);
    const PARTS: [&[u8]; 10] = [
        b"\t",
        b"panic: ",
        b"fatal error: ",
        b"[signal ",
        b"goroutine ",
        b"created by ",
        b"runtime stack:",
        b"exit status ",
        b"PC=",
        b"...",
    ];
    let part = PARTS.iter().any(|part| line.starts_with(part))
        || (*goroutine && (is_call(line) || line.starts_with(b"[originating from goroutine ")))
        || is_register(line)
        || (is_call(line) && *blank == 0);
    if part {
        *blank = 0;
    }
    continue_if(part)
}

/// `main.(*Server).handle(0xc000010000, {0x1, 0x2})`
fn is_call(line: &[u8]) -> bool {
    let open = memchr::memchr2(b'(', b' ', line);
    line.ends_with(b")") && open.is_some_and(|at| at > 0 && line[at] == b'(') && line.contains(&b'.')
}

/// `rax    0x0`
fn is_register(line: &[u8]) -> bool {
    let name = line.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    (2..=6).contains(&name) && line[name..].starts_with(b" ") && line[name..].trim_ascii().starts_with(b"0x")
}

// === Rust ===

fn step_rust(message_next: &mut bool, line: &[u8]) -> Step {
    let blank = line.trim_ascii().is_empty();
    if std::mem::take(message_next) && !blank {
        return Step::Continue;
    }
    if blank {
        return Step::Doubtful;
    }
    let part = line[0].is_ascii_whitespace()
        || [&b"stack backtrace:"[..], b"note: ", b"Location:"].iter().any(|part| line.starts_with(part));
    continue_if(part)
}
