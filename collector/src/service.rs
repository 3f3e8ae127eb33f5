//! The label `service_name`: every stream has one, so that people find their services in one place.

use crate::config::IngestConfig;

/// The label that names a stream's service.
pub(crate) const SERVICE_NAME: &str = "service_name";
/// Its value where nothing names a service, as in Loki.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// Adds `service_name` where it is missing, from the first of the configured labels that is there.
pub(crate) fn discover(config: &IngestConfig, labels: &mut Vec<(String, String)>) {
    if !config.discover_service_name || labels.iter().any(|(name, _)| name == SERVICE_NAME) {
        return;
    }
    let value = |wanted: &String| labels.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let service = config.service_name_labels.iter().find_map(value).cloned();
    labels.push((SERVICE_NAME.to_owned(), service.unwrap_or_else(|| UNKNOWN_SERVICE.to_owned())));
}
