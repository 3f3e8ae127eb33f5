//! The waterfall of a trace as text: one row a span, with a bar, and below them what to look at first.
//!
//! Pure. Rows are never wider than told; sentences wrap. Names and messages of log lines cannot move the cursor. In the bars `█` is the
//! time in which the request waited for the span itself, `▒` the time in which the span was going on.

use std::collections::HashMap;

use anstyle::{AnsiColor, Style};
use query::traces::containers::ContainerNote;
use query::traces::resources::Resources;
use query::traces::waterfall::{Bar, Waterfall};
use query::why::Evidence;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output::service_style;

/// Rows shown beside the lines; `--spans` shows all.
pub(crate) const MAX_ROWS: usize = 60;
/// Narrower terminals are treated as this wide.
const MIN_WIDTH: usize = 40;
/// Wider bars tell no more.
const MAX_BAR: usize = 80;
const MIN_BAR: usize = 10;
/// Columns of a duration and the blanks around it.
const DURATION: usize = 11;
/// Deeper calls are not moved further to the right.
const MAX_INDENT: usize = 12;
/// Stretches of the critical path named, the longest.
const MAX_STRETCHES: usize = 9;
/// Services and failures named.
const MAX_NAMED: usize = 10;

/// The waterfall, with at most `most` rows of at most `width` columns.
pub(crate) fn lines(waterfall: &Waterfall, width: usize, most: usize, colour: bool) -> Vec<String> {
    let width = width.max(MIN_WIDTH);
    let mut lines = vec![headline(waterfall)];
    let rows = rows(&waterfall.spans, most);
    let page = Page::new(&rows, waterfall.duration_ns, width, colour);
    let mut stretches: HashMap<&str, Vec<(i64, i64)>> = HashMap::new();
    for stretch in &waterfall.critical_path {
        if let Some(id) = &stretch.span_id {
            stretches.entry(id).or_default().push((stretch.from_ns, stretch.to_ns));
        }
    }
    lines.extend(
        rows.iter().map(|bar| page.row(bar, stretches.get(bar.span_id.as_str()).map_or(&[], Vec::as_slice))),
    );
    let left_out = waterfall.spans.len() - rows.len();
    if left_out > 0 {
        lines.push(format!(
            "  … {} that took less are not shown; --spans shows all",
            plural(left_out, "span")
        ));
    }
    lines.extend(slowest(waterfall));
    lines.extend(waited_for(waterfall));
    lines.extend(failures(waterfall));
    lines.extend(services(waterfall));
    lines.extend(waterfall.containers.iter().flat_map(container));
    lines
}

/// What the waterfall does not show, in sentences.
pub(crate) fn missing(waterfall: &Waterfall) -> Vec<String> {
    let mut missing = Vec::new();
    if waterfall.is_cut {
        let why = "the trace has more lines than `traces.max_trace_lines`: its waterfall is not whole";
        missing.push(why.to_owned());
    }
    if waterfall.spans_omitted > 0 {
        let count = waterfall.spans_omitted;
        let are = if count == 1 { "is" } else { "are" };
        missing.push(format!("{} more {are} in the trace", plural(count, "span")));
    }
    match waterfall.other_traces.as_slice() {
        [] => {}
        [one] => missing.push(format!("trace {one} has this id too")),
        [newest, ..] => {
            let count = waterfall.other_traces.len();
            missing.push(format!("{count} other traces have this id too, for example {newest}"));
        }
    }
    missing
}

/// `2 spans`
pub(crate) fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn headline(waterfall: &Waterfall) -> String {
    let spans: usize = waterfall.services.iter().map(|share| share.spans).sum();
    let failed: usize = waterfall.services.iter().map(|share| share.errors).sum();
    let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    format!(
        "trace {}: {} of {} in {}{failed}",
        waterfall.trace_id,
        plural(spans, "span"),
        plural(waterfall.services.len(), "service"),
        duration(waterfall.duration_ns)
    )
}

/// The spans worth a row: all, or those that failed or were waited for longest, with their callers.
fn rows(spans: &[Bar], most: usize) -> Vec<&Bar> {
    if spans.len() <= most {
        return spans.iter().collect();
    }
    let mut ranked: Vec<usize> = (0..spans.len()).collect();
    ranked.sort_by_key(|place| {
        let bar = &spans[*place];
        (!bar.is_origin_of_error, std::cmp::Reverse(bar.critical_ns), std::cmp::Reverse(bar.duration_ns))
    });
    let callers = callers(spans);
    let mut is_shown = vec![false; spans.len()];
    let mut shown = 0;
    for place in ranked {
        let way: Vec<usize> = std::iter::successors(Some(place), |place| callers[*place])
            .take_while(|place| !is_shown[*place])
            .collect();
        if shown + way.len() > most {
            break;
        }
        shown += way.len();
        way.into_iter().for_each(|place| is_shown[place] = true);
    }
    spans.iter().zip(is_shown).filter_map(|(bar, shown)| shown.then_some(bar)).collect()
}

/// The place of each span's caller: the last one before it that is less deep.
fn callers(spans: &[Bar]) -> Vec<Option<usize>> {
    let mut above: Vec<usize> = Vec::new();
    let mut callers = Vec::with_capacity(spans.len());
    for (place, bar) in spans.iter().enumerate() {
        above.truncate(bar.depth);
        callers.push(above.last().copied());
        above.push(place);
    }
    callers
}

/// How a row is laid out: mark, label, duration, bar.
struct Page {
    label: usize,
    bar: usize,
    total_ns: i64,
    colour: bool,
}

impl Page {
    fn new(rows: &[&Bar], total_ns: i64, width: usize, colour: bool) -> Self {
        let longest = rows.iter().map(|bar| label(bar).width()).max().unwrap_or(0);
        let room = width - 2 - DURATION;
        let label = longest.min(room.saturating_sub(MIN_BAR)).min(room * 3 / 5);
        Self { label, bar: (room - label).min(MAX_BAR), total_ns, colour }
    }

    fn row(&self, bar: &Bar, critical: &[(i64, i64)]) -> String {
        let failed = bar.error.is_some();
        let mark = if failed { "!" } else { " " };
        let text = cut(&label(bar), self.label);
        let padding = " ".repeat(self.label - text.width());
        let (mark_style, style) = match (self.colour, failed) {
            (false, _) => (Style::new(), Style::new()),
            (true, false) => (Style::new(), service_style(&bar.service)),
            (true, true) => {
                let red = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
                (red, red)
            }
        };
        let drawing = self.drawing(bar, critical);
        format!(
            "{mark_style}{mark}{mark_style:#} {style}{text}{style:#}{padding} {:>9} {style}{drawing}{style:#}",
            duration(bar.duration_ns)
        )
    }

    /// The bar, without blanks at its end.
    fn drawing(&self, bar: &Bar, critical: &[(i64, i64)]) -> String {
        let end_ns = bar.offset_ns + bar.duration_ns;
        let (first, last) = (self.cell(bar.offset_ns), self.cell(end_ns - 1).max(self.cell(bar.offset_ns)));
        let mut cells = vec!['▒'; last - first + 1];
        for (from_ns, to_ns) in critical {
            let (from, to) = (self.cell(*from_ns), self.cell(to_ns - 1));
            cells.iter_mut().take(to - first + 1).skip(from - first).for_each(|cell| *cell = '█');
        }
        if bar.duration_ns == 0 {
            cells = vec!['·'];
        }
        format!("{}{}", " ".repeat(first), cells.into_iter().collect::<String>())
    }

    /// The column in which a time lies.
    fn cell(&self, offset_ns: i64) -> usize {
        let total = i128::from(self.total_ns.max(1));
        let cell = i128::from(offset_ns.max(0)) * self.bar as i128 / total;
        usize::try_from(cell).unwrap_or(0).min(self.bar - 1)
    }
}

/// The service and what it did, moved to the right by the calls above it.
fn label(bar: &Bar) -> String {
    format!("{}{}", "  ".repeat(bar.depth.min(MAX_INDENT)), title(bar))
}

fn title(bar: &Bar) -> String {
    plain(&format!("{} {}", bar.service, bar.name))
}

fn slowest(waterfall: &Waterfall) -> Option<String> {
    let id = waterfall.slowest.as_ref()?;
    let bar = waterfall.spans.iter().find(|bar| bar.span_id == *id)?;
    let percent = 100 * i128::from(bar.critical_ns) / i128::from(waterfall.duration_ns.max(1));
    Some(format!(
        "slowest hop: {}, {} itself ({percent} % of the time)",
        title(bar),
        duration(bar.critical_ns)
    ))
}

/// The longest stretches of the critical path, in order.
fn waited_for(waterfall: &Waterfall) -> Option<String> {
    let path = &waterfall.critical_path;
    if path.len() < 2 {
        return None;
    }
    let mut longest: Vec<usize> = (0..path.len()).collect();
    longest.sort_by_key(|place| std::cmp::Reverse(path[*place].to_ns - path[*place].from_ns));
    longest.truncate(MAX_STRETCHES);
    longest.sort_unstable();
    let services: HashMap<&str, &str> =
        waterfall.spans.iter().map(|bar| (bar.span_id.as_str(), bar.service.as_str())).collect();
    let named = |place: &usize| {
        let stretch = &path[*place];
        let service = stretch.span_id.as_ref().and_then(|id| services.get(id.as_str()));
        let service = match (service, &stretch.span_id) {
            (Some(service), _) => plain(service),
            (None, Some(_)) => "(a span not shown)".to_owned(),
            (None, None) => "(nobody)".to_owned(),
        };
        format!("{service} {}", duration(stretch.to_ns - stretch.from_ns))
    };
    let shown: Vec<String> = longest.iter().map(named).collect();
    let rest = path.len() - longest.len();
    let rest = if rest > 0 { format!(", and {rest} shorter") } else { String::new() };
    Some(format!("critical path: {}{rest}", shown.join(" > ")))
}

/// What failed, where it began first.
fn failures(waterfall: &Waterfall) -> Vec<String> {
    let mut failed: Vec<&Bar> = waterfall.spans.iter().filter(|bar| bar.error.is_some()).collect();
    failed.sort_by_key(|bar| !bar.is_origin_of_error);
    let more = failed.len().saturating_sub(MAX_NAMED);
    let mut lines: Vec<String> = failed
        .iter()
        .take(MAX_NAMED)
        .map(|bar| {
            let what = if bar.is_origin_of_error { "failed first" } else { "failed" };
            format!("{what}: {}: {}", title(bar), plain(bar.error.as_deref().unwrap_or_default()))
        })
        .collect();
    if more > 0 {
        lines.push(format!("failed: and {more} more"));
    }
    lines
}

fn services(waterfall: &Waterfall) -> Vec<String> {
    let named = waterfall.services.iter().take(MAX_NAMED);
    let name = named.clone().map(|share| plain(&share.service).width()).max().unwrap_or(0);
    let mut lines: Vec<String> = named
        .map(|share| {
            let service = plain(&share.service);
            let padding = " ".repeat(name - service.width());
            let failed = if share.errors > 0 { format!(", {} failed", share.errors) } else { String::new() };
            format!(
                "  {service}{padding} {:>9} on the critical path, {} of {}{failed}",
                duration(share.critical_ns),
                plural(share.spans, "span"),
                plural(usize::try_from(share.lines).unwrap_or(usize::MAX), "line"),
            )
        })
        .collect();
    let more = waterfall.services.len().saturating_sub(MAX_NAMED);
    if more > 0 {
        lines.push(format!("  and {}", plural(more, "service")));
    }
    lines
}

/// What happened to a container.
fn container(note: &ContainerNote) -> Vec<String> {
    let mut lines = vec![format!("container {} ({}):", plain(&note.container), plain(&note.service))];
    if let Some(resources) = &note.resources {
        lines.push(format!("  {}", used(resources)));
    } else if let Some(usage) = &note.usage {
        let limit = match usage.memory_limit_bytes {
            0 => String::new(),
            limit => format!(" of {:.1}", mib(limit)),
        };
        let (peak, cpu) = (mib(usage.memory_peak_bytes), usage.cpu_mean);
        lines.push(format!("  memory up to {peak:.1}{limit} MiB, CPU {cpu:.2} on average"));
    }
    let event =
        |event: &Evidence| format!("  {} {}", event.at.as_deref().unwrap_or_default(), plain(&event.text));
    lines.extend(note.events.iter().map(event));
    lines
}

/// `CPU 0.48 of 0.50 (96 %), throttled in 75 % of periods, memory 31.2 of 64.0 MiB (49 %); read ...`
fn used(resources: &Resources) -> String {
    let of = |value: f64, limit: Option<f64>, digits: usize| match limit.filter(|limit| *limit > 0.0) {
        Some(limit) => {
            (format!("{value:.digits$} of {limit:.digits$}"), format!(" ({:.0} %)", value / limit * 100.0))
        }
        None => (format!("{value:.digits$}"), String::new()),
    };
    let mut parts = Vec::new();
    if let Some(mean) = resources.cpu_mean {
        let (cpu, share) = of(mean, resources.cpu_limit, 2);
        parts.push(format!("CPU {cpu}{share}"));
    }
    if let Some(throttled) = resources.throttled {
        parts.push(format!("throttled in {:.0} % of periods", throttled * 100.0));
    }
    let limit = resources.memory_limit_bytes.map(mib);
    let (memory, share) = of(mib(resources.memory_peak_bytes), limit, 1);
    parts.push(format!("memory {memory} MiB{share}"));
    let around = if resources.is_around { ", none within the trace" } else { "" };
    let read = match resources.readings {
        1 => format!("read at {}", resources.from),
        readings => format!("{readings} readings from {} to {}", resources.from, resources.to),
    };
    format!("{}; {read}{around}", parts.join(", "))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A time for people: three digits at least, one unit.
pub(crate) fn duration(ns: i64) -> String {
    let value = ns as f64;
    match ns {
        0 => "0".to_owned(),
        1..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", value / 1e6),
        1_000_000_000..100_000_000_000 => format!("{:.2} s", value / 1e9),
        _ => format!("{:.1} min", value / 60e9),
    }
}

/// Text on one line, its control characters as escapes.
fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// At most so many columns of a text, the last one `…` when it is cut.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        shown.push(c);
    }
    shown.push('…');
    shown
}

#[cfg(test)]
mod tests;
