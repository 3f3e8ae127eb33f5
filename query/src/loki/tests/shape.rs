//! What every answer looks like, whatever was asked: Grafana's streaming reader, logcli and Logs Drilldown rely
//! on each of these rules. [`check`] is applied to every answer of every test here.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use axum::http::StatusCode;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

type Checked = Result<(), String>;

macro_rules! rule {
    ($holds:expr, $($text:tt)*) => {
        if !$holds {
            return Err(format!($($text)*));
        }
    };
}

/// What of a request the rules depend on.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) categorize: bool,
    /// `direction=forward`
    pub(super) forward: bool,
    /// The query itself says in which order series come.
    pub(super) sorts: bool,
}

impl Asked {
    pub(super) fn new(target: &str, categorize: bool) -> Self {
        let (path, params) = target.split_once('?').unwrap_or((target, ""));
        let params = params.to_ascii_lowercase();
        Self {
            path: path.to_owned(),
            categorize,
            forward: params.contains("direction=forward"),
            sorts: params.contains("sort"),
        }
    }
}

/// An answer as a client gets it.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: String,
    pub(super) nosniff: bool,
    pub(super) body: String,
}

/// Checks one answer.
pub(super) fn check(asked: &Asked, answer: &Answer) -> Checked {
    rule!(answer.body.ends_with('\n'), "the body does not end with a line feed");
    let is_verdict = asked.path.ends_with("/format_query");
    if !answer.status.is_success() && !is_verdict {
        rule!(answer.content_type == "text/plain; charset=utf-8", "an error of type {}", answer.content_type);
        rule!(answer.nosniff, "an error without `X-Content-Type-Options: nosniff`");
        rule!(answer.body.trim().len() > 3 && !answer.body.starts_with('{'), "an error without a text");
        return Ok(());
    }
    let Some(endpoint) = asked.path.strip_prefix("/loki/api/v1/") else { return Ok(()) };
    if endpoint == "rules" {
        rule!(answer.content_type == "application/yaml; charset=utf-8", "rules as {}", answer.content_type);
        return Ok(());
    }
    rule!(
        answer.content_type == "application/json; charset=UTF-8",
        "an answer of type {}",
        answer.content_type
    );
    let parts: Vec<&str> = endpoint.split('/').collect();
    match parts.as_slice() {
        ["query" | "query_range"] | ["index", "volume" | "volume_range"] => query_result(asked, &answer.body),
        ["labels"] | ["label", _, "values"] => label_list(&answer.body),
        ["series"] => series(&answer.body),
        ["index", "stats"] => index_stats(&answer.body),
        ["detected_labels"] => detected_labels(&answer.body),
        ["detected_fields"] => detected_fields(&answer.body),
        ["detected_field", _, "values"] => detected_values(&answer.body),
        ["patterns"] => patterns(&answer.body),
        ["drilldown-limits"] => drilldown_limits(&answer.body),
        ["format_query"] | ["status", "buildinfo"] => object(&answer.body).map(drop),
        _ => Err(format!("no rules for `{}`", asked.path)),
    }
}

/// Checks one message of a live tail.
pub(super) fn check_frame(text: &str, categorize: bool) -> Checked {
    let frame = object(text)?;
    rule!(frame.get("encodingFlags").is_some() == categorize, "flags that nobody asked for, or none");
    let streams = list(frame.required("streams")?)?;
    for stream in &streams {
        one_stream(stream, categorize, true)?;
    }
    for dropped in frame.get("dropped_entries").map_or(Ok(Vec::new()), list)? {
        let dropped = object(dropped)?;
        labels(dropped.required("labels")?)?;
        nanoseconds(&value(dropped.required("timestamp")?)?)?;
    }
    Ok(())
}

// === JSON with its order ===

/// An object with its keys in order, none of them twice.
struct Object<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Object<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, raw)| *raw)
    }

    fn required(&self, key: &str) -> Result<&'a str, String> {
        self.get(key).ok_or_else(|| format!("`{key}` is missing"))
    }

    fn place(&self, key: &str) -> usize {
        self.0.iter().position(|(name, _)| name == key).unwrap_or(usize::MAX)
    }

    fn only(&self, known: &[&str]) -> Checked {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_ref())) {
            Some((name, _)) => Err(format!("`{name}` is unknown here")),
            None => Ok(()),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, raw)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    entries.push((key, raw.get()));
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

fn object(text: &str) -> Result<Object<'_>, String> {
    let object: Object<'_> = serde_json::from_str(text).map_err(|e| format!("no object: {e}"))?;
    let names: BTreeSet<&str> = object.0.iter().map(|(name, _)| name.as_ref()).collect();
    rule!(names.len() == object.0.len(), "a key stands twice in {text}");
    Ok(object)
}

/// A list; `null` is none.
fn list(text: &str) -> Result<Vec<&str>, String> {
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| format!("no list: {e} in {text}"))?;
    Ok(items.into_iter().map(RawValue::get).collect())
}

fn value(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

fn string(text: &str) -> Result<String, String> {
    serde_json::from_str(text).map_err(|_| format!("{text} is no string"))
}

/// A whole number written without a fraction: typed clients refuse any other.
fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no whole number"))
}

/// Names and values, all of them strings, by name.
fn labels(text: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = object(text)?.0;
    let pairs: Vec<(String, String)> = pairs
        .into_iter()
        .map(|(name, raw)| Ok((name.into_owned(), string(raw)?)))
        .collect::<Result<_, String>>()?;
    Ok(pairs)
}

// === Results of queries ===

fn query_result(asked: &Asked, body: &str) -> Checked {
    let envelope = object(body)?;
    envelope.only(&["status", "warnings", "data"])?;
    rule!(string(envelope.required("status")?)? == "success", "the status is no success");
    for warning in envelope.get("warnings").map_or(Ok(Vec::new()), list)? {
        string(warning)?;
    }
    let data = object(envelope.required("data")?)?;
    data.only(&["resultType", "encodingFlags", "result", "stats"])?;
    rule!(data.place("resultType") < data.place("result"), "`resultType` comes after `result`");
    match data.get("encodingFlags") {
        Some(flags) => {
            rule!(asked.categorize, "`encodingFlags` that nobody asked for");
            rule!(data.place("encodingFlags") < data.place("result"), "`encodingFlags` comes after `result`");
            rule!(list(flags)? == ["\"categorize-labels\""], "flags {flags}");
        }
        None => rule!(!asked.categorize, "no `encodingFlags`"),
    }
    data.get("stats").map_or(Ok(()), stats)?;
    let result = data.required("result")?;
    match string(data.required("resultType")?)?.as_str() {
        "scalar" => point(result).map(drop),
        "streams" => streams(asked, &list(result)?),
        "matrix" => matrix(&list(result)?),
        "vector" => vector(asked, &list(result)?),
        other => Err(format!("unknown result type `{other}`")),
    }
}

fn streams(asked: &Asked, items: &[&str]) -> Checked {
    let mut names = Vec::new();
    for item in items {
        names.push(one_stream(item, asked.categorize, asked.forward)?);
    }
    rule!(names.is_sorted_by(|a, b| a < b), "streams are not in the order of their labels: {names:?}");
    Ok(())
}

/// One stream; its labels as Loki writes them.
fn one_stream(item: &str, categorize: bool, forward: bool) -> Result<String, String> {
    let stream = object(item)?;
    stream.only(&["stream", "values"])?;
    let labels = labels(stream.required("stream")?)?;
    let lines = list(stream.required("values")?)?;
    rule!(!lines.is_empty(), "a stream without lines");
    let mut times = Vec::new();
    for line in lines {
        times.push(one_line(line, categorize)?);
    }
    if !forward {
        times.reverse();
    }
    rule!(times.is_sorted(), "lines are not in the order asked for: {item}");
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    Ok(format!("{{{}}}", pairs.join(", ")))
}

/// One line; its time.
fn one_line(line: &str, categorize: bool) -> Result<i64, String> {
    let parts = list(line)?;
    rule!(parts.len() == if categorize { 3 } else { 2 }, "a line of {} parts: {line}", parts.len());
    string(parts[1])?;
    if let Some(categories) = parts.get(2) {
        let categories = object(categories)?;
        categories.only(&["structuredMetadata", "parsed"])?;
        for (_, pairs) in &categories.0 {
            labels(pairs)?;
        }
    }
    nanoseconds(&value(parts[0])?)
}

fn nanoseconds(time: &Value) -> Result<i64, String> {
    let text = time.as_str().ok_or_else(|| format!("the time {time} is no string"))?;
    text.parse().map_err(|_| format!("the time `{text}` is not in nanoseconds"))
}

fn matrix(items: &[&str]) -> Checked {
    let mut names = Vec::new();
    for item in items {
        let series = object(item)?;
        series.only(&["metric", "values"])?;
        names.push(labels(series.required("metric")?)?);
        let points = list(series.required("values")?)?;
        rule!(!points.is_empty(), "a series without points");
        let times: Vec<f64> = points.into_iter().map(point).collect::<Result<_, _>>()?;
        rule!(times.is_sorted_by(|a, b| a < b), "points are not in the order of time");
    }
    each_once(&names)
}

fn vector(asked: &Asked, items: &[&str]) -> Checked {
    let mut names = Vec::new();
    for item in items {
        let series = object(item)?;
        series.only(&["metric", "value"])?;
        names.push(labels(series.required("metric")?)?);
        point(series.required("value")?)?;
    }
    // Volumes are in the order of their size.
    let ordered_by_value = asked.sorts || asked.path.contains("/index/");
    rule!(ordered_by_value || names.is_sorted(), "series are not in the order of their labels: {names:?}");
    each_once(&names)
}

fn each_once(names: &[Vec<(String, String)>]) -> Checked {
    rule!(names.iter().collect::<BTreeSet<_>>().len() == names.len(), "a series comes twice: {names:?}");
    Ok(())
}

/// `[seconds, "value"]`; the seconds.
fn point(text: &str) -> Result<f64, String> {
    let parts = list(text)?;
    rule!(parts.len() == 2, "a point of {} parts", parts.len());
    let decimals = parts[0].split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let plain = parts[0].bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.'));
    rule!(plain && decimals <= 3, "the time {} is not in seconds with milliseconds", parts[0]);
    let number = string(parts[1])?;
    let plain = number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        && number.parse::<f64>().is_ok()
        && !(number.contains('.') && number.ends_with('0'));
    rule!(plain || ["NaN", "+Inf", "-Inf"].contains(&number.as_str()), "the value `{number}`");
    parts[0].parse().map_err(|_| format!("the time {}", parts[0]))
}

/// logcli decodes into typed fields.
fn stats(text: &str) -> Checked {
    let stats = object(text)?;
    stats.only(&["summary", "querier", "ingester", "cache", "index"])?;
    for (name, raw) in object(stats.required("summary")?)?.0 {
        if !["execTime", "queueTime"].contains(&name.as_ref()) {
            whole(raw).map_err(|e| format!("stats, {name}: {e}"))?;
        }
    }
    Ok(())
}

// === Everything else ===

fn label_list(body: &str) -> Checked {
    let answer = object(body)?;
    answer.only(&["status", "data"])?;
    let Some(data) = answer.get("data") else { return Ok(()) };
    let names: Vec<String> = list(data)?.into_iter().map(string).collect::<Result<_, _>>()?;
    rule!(!names.is_empty(), "an empty list is left away");
    rule!(names.is_sorted_by(|a, b| a < b), "not sorted, or twice: {names:?}");
    Ok(())
}

fn series(body: &str) -> Checked {
    let sets = list(object(body)?.required("data")?)?;
    let sets: BTreeSet<Vec<(String, String)>> = sets.into_iter().map(labels).collect::<Result<_, _>>()?;
    rule!(sets.iter().all(|set| !set.is_empty()), "a series without labels");
    Ok(())
}

fn index_stats(body: &str) -> Checked {
    let stats = object(body)?;
    stats.only(&["streams", "chunks", "bytes", "entries"])?;
    rule!(stats.0.len() == 4, "something is missing");
    stats.0.iter().try_for_each(|(_, raw)| whole(raw).map(drop))
}

fn detected_labels(body: &str) -> Checked {
    let answer = object(body)?;
    answer.only(&["detectedLabels"])?;
    let Some(found) = answer.get("detectedLabels") else { return Ok(()) };
    for label in list(found)? {
        let label = object(label)?;
        string(label.required("label")?)?;
        rule!(whole(label.required("cardinality")?)? > 0, "a label without values");
    }
    Ok(())
}

fn detected_fields(body: &str) -> Checked {
    let answer = object(body)?;
    whole(answer.required("limit")?)?;
    for field in list(answer.required("fields")?)? {
        let field = object(field)?;
        field.only(&["label", "type", "cardinality", "parsers", "jsonPath"])?;
        string(field.required("label")?)?;
        let kind = string(field.required("type")?)?;
        rule!(
            ["string", "int", "float", "boolean", "duration", "bytes"].contains(&kind.as_str()),
            "a field of type `{kind}`"
        );
        rule!(whole(field.required("cardinality")?)? > 0, "a field without values");
        let parsers = field.required("parsers")?;
        rule!(parsers != "[]", "metadata is told by `null`, not by an empty list");
        let is_json = parsers.contains("\"json\"");
        rule!(field.get("jsonPath").is_none() || is_json, "a path without JSON");
        for key in field.get("jsonPath").map_or(Ok(Vec::new()), list)? {
            string(key)?;
        }
        if parsers != "null" {
            let parsers = list(parsers)?;
            rule!(parsers.iter().all(|p| ["\"json\"", "\"logfmt\""].contains(p)), "parsers {parsers:?}");
        }
    }
    Ok(())
}

fn detected_values(body: &str) -> Checked {
    let answer = object(body)?;
    whole(answer.required("limit")?)?;
    list(answer.required("values")?)?.into_iter().try_for_each(|value| string(value).map(drop))
}

fn patterns(body: &str) -> Checked {
    for pattern in list(object(body)?.required("data")?)? {
        let pattern = object(pattern)?;
        pattern.only(&["pattern", "level", "samples"])?;
        rule!(!string(pattern.required("pattern")?)?.is_empty(), "an empty pattern");
        pattern.get("level").map_or(Ok(String::new()), string)?;
        let mut times = Vec::new();
        for sample in list(pattern.required("samples")?)? {
            let parts = list(sample)?;
            rule!(parts.len() == 2 && whole(parts[1])? > 0, "a sample {sample}");
            times.push(whole(parts[0])?);
        }
        rule!(!times.is_empty() && times.is_sorted_by(|a, b| a < b), "samples at {times:?}");
    }
    Ok(())
}

fn drilldown_limits(body: &str) -> Checked {
    let answer = object(body)?;
    string(answer.required("version")?)?;
    let limits = object(answer.required("limits")?)?;
    for name in ["max_entries_limit_per_query", "max_query_series", "volume_max_series"] {
        whole(limits.required(name)?)?;
    }
    for name in ["discover_service_name", "log_level_fields"] {
        list(limits.required(name)?)?;
    }
    Ok(())
}
