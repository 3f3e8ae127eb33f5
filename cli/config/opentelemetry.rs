//! OpenTelemetry's variables for exporters, as settings of the section `export`.

use std::collections::BTreeMap;

/// How the names of all of them begin.
pub(crate) const PREFIX: &str = "OTEL_EXPORTER_OTLP_";

/// What follows [`PREFIX`], and the setting; of two for one setting the later wins.
const VARIABLES: [(&str, &str); 12] = [
    ("ENDPOINT", "export.endpoint"),
    ("TRACES_ENDPOINT", "export.traces_endpoint"),
    ("PROTOCOL", "export.protocol"),
    ("TRACES_PROTOCOL", "export.protocol"),
    ("HEADERS", "export.headers"),
    ("TRACES_HEADERS", "export.headers"),
    ("COMPRESSION", "export.compression"),
    ("TRACES_COMPRESSION", "export.compression"),
    ("TIMEOUT", "export.timeout"),
    ("TRACES_TIMEOUT", "export.timeout"),
    ("CERTIFICATE", "export.certificate"),
    ("TRACES_CERTIFICATE", "export.certificate"),
];

/// Those that are set: path of the setting, name and value. An empty one is as good as none, says the
/// specification; times are milliseconds there.
pub(super) fn settings(environment: &BTreeMap<String, String>) -> Vec<(&'static str, String, String)> {
    let mut found = Vec::new();
    for (suffix, path) in VARIABLES {
        let name = format!("{PREFIX}{suffix}");
        let Some(value) = environment.get(&name).map(|value| value.trim()).filter(|value| !value.is_empty())
        else {
            continue;
        };
        let is_millis = path == "export.timeout" && value.bytes().all(|byte| byte.is_ascii_digit());
        let value = if is_millis { format!("{value}ms") } else { value.to_owned() };
        found.push((path, name, value));
    }
    found
}
