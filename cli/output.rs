//! Results on standard output: text for people, one JSON object a line for programs.
//!
//! Piped output carries the bytes as logged. On a terminal control characters other than colours are
//! shown as escapes, so that a log line cannot move the cursor or retitle the window.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use anstyle::{AnsiColor, Color, Style};
use jiff::tz::TimeZone;
use query::Hit;

/// Colours that tell services apart on dark and light backgrounds.
const SERVICE_COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Green,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightCyan,
];

/// How many columns a service name gets before it pushes the line to the right.
const SERVICE_WIDTH: usize = 14;

/// How wide text is that goes into a file or another program.
const PAGE_WIDTH: usize = 120;

/// Writes results.
#[derive(Debug)]
pub(crate) struct Printer {
    out: BufWriter<StdoutLock<'static>>,
    json: bool,
    terminal: bool,
    colour: bool,
    zone: TimeZone,
}

impl Printer {
    /// A printer on standard output.
    pub(crate) fn new(json: bool) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let colour = !json && anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
        Self { out: BufWriter::new(stdout.lock()), json, terminal, colour, zone: TimeZone::system() }
    }

    /// Columns of the terminal; [`PAGE_WIDTH`] where there is none.
    pub(crate) fn width(&self) -> usize {
        let size = if self.terminal { terminal_size::terminal_size_of(io::stdout()) } else { None };
        size.map_or(PAGE_WIDTH, |(width, _)| usize::from(width.0))
    }

    /// Whether text is coloured.
    pub(crate) const fn colour(&self) -> bool {
        self.colour
    }

    /// One record.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub(crate) fn hit(&mut self, hit: &Hit) -> io::Result<()> {
        if self.json {
            return self.json(hit);
        }
        let when = self.local_time(hit.timestamp_ns);
        self.line(&when, hit)
    }

    /// One record of a trace, with its distance from the first one.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub(crate) fn trace_hit(&mut self, hit: &Hit, first_ns: i64) -> io::Result<()> {
        if self.json {
            return self.json(hit);
        }
        let offset_ms = hit.timestamp_ns.saturating_sub(first_ns) as f64 / 1e6;
        self.line(&format!("{offset_ms:>+12.3} ms"), hit)
    }

    /// A value as one line of JSON.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }

    /// A line of plain text.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// A piece of a log, indented: as text, and harmless on a terminal.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub(crate) fn quoted(&mut self, line: &[u8]) -> io::Result<()> {
        if self.terminal {
            return writeln!(self.out, "    {}", harmless(line));
        }
        writeln!(self.out, "    {}", String::from_utf8_lossy(line).replace('\n', "\n    "))
    }

    /// Hands everything to the system; needed before waiting for more.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn line(&mut self, when: &str, hit: &Hit) -> io::Result<()> {
        let service = hit.labels.get("service_name").or_else(|| hit.labels.get("container")).unwrap_or("-");
        let level = hit.metadata("level").unwrap_or_default();
        let (service_style, level_style) = if self.colour {
            (service_style(service), level_style(level))
        } else {
            (Style::new(), Style::new())
        };
        write!(
            self.out,
            "{when} {service_style}{service:<SERVICE_WIDTH$}{service_style:#} {level_style}{level:<5}{level_style:#} ",
            level = short_level(level),
        )?;
        if self.terminal {
            self.out.write_all(harmless(&hit.line).as_bytes())?;
        } else {
            self.out.write_all(&hit.line)?;
        }
        self.out.write_all(b"\n")
    }

    fn local_time(&self, timestamp_ns: i64) -> String {
        match jiff::Timestamp::from_nanosecond(i128::from(timestamp_ns)) {
            Ok(time) => time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
            Err(_) => timestamp_ns.to_string(),
        }
    }
}

/// Whether an error of standard output only means that the reader has seen enough.
pub(crate) fn is_closed_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

fn short_level(level: &str) -> &str {
    match level {
        "unknown" => "",
        "critical" => "crit",
        other => other,
    }
}

/// The colour of a service, always the same.
pub(crate) fn service_style(service: &str) -> Style {
    let sum = service.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    Style::new().fg_color(Some(Color::Ansi(SERVICE_COLOURS[sum % SERVICE_COLOURS.len()])))
}

fn level_style(level: &str) -> Style {
    match level {
        "error" | "critical" | "fatal" => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
        "warn" => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
        "debug" | "trace" => Style::new().dimmed(),
        _ => Style::new(),
    }
}

/// The line as text in which only tabs, line ends and colour sequences are left of the control characters.
fn harmless(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(next) = rest.chars().next() {
        let taken = colour_sequence(rest).unwrap_or_else(|| next.len_utf8());
        let (head, tail) = rest.split_at(taken);
        match next {
            '\n' => shown.push_str("\n    "),
            '\t' => shown.push('\t'),
            c if c.is_control() && taken == c.len_utf8() => shown.extend(c.escape_default()),
            _ => shown.push_str(head),
        }
        rest = tail;
    }
    if text.contains('\u{1b}') {
        shown.push_str("\u{1b}[0m");
    }
    shown
}

/// Length of the colour sequence (`ESC [ digits and semicolons m`) that `text` begins with.
fn colour_sequence(text: &str) -> Option<usize> {
    let body = text.strip_prefix("\u{1b}[")?;
    let end = body.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    body.as_bytes().get(end).filter(|byte| **byte == b'm').map(|_| "\u{1b}[".len() + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_lines_keep_colours_and_lose_cursor_movements() {
        assert_eq!(harmless(b"a\tb"), "a\tb");
        assert_eq!(harmless(b"\x1b[31mred\x1b[0m"), "\u{1b}[31mred\u{1b}[0m\u{1b}[0m");
        assert_eq!(harmless(b"\x1b[2Jx"), "\\u{1b}[2Jx\u{1b}[0m");
        assert_eq!(harmless(b"\x1b]0;title\x07"), "\\u{1b}]0;title\\u{7}\u{1b}[0m");
        assert_eq!(harmless(b"Traceback\n  File"), "Traceback\n      File");
        assert_eq!(harmless(b"\xff\x00"), "\u{fffd}\\u{0}");
    }
}
