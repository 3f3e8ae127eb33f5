//! docs/configuration.md, rendered from the settings themselves: their doc comments, defaults and names.

use std::fmt::Write;

use serde_json::Value;

use super::{Config, environment_name, sources};

const HEAD: &str = "\
# Configuration

<!-- Rendered from the code. After a change run `BLESS=1 cargo test --bin binnacle reference`. -->

Settings come from flags, environment variables, a YAML file (`--config FILE`) and defaults; the first of
these that names a setting wins. A value that cannot be used stops the start with a message that names the
setting, the value and where it was written; all mistakes are reported at once. `binnacle check-config`
does the same checks and touches nothing.

In the file a path such as `ingest.detect_level` is a key below a section:

```yaml
ingest:
  detect_level: true
```

Durations are written `250ms`, `30s`, `1h30m`, `7d`; sizes `64MiB`, `10GB` or plain bytes.
";

/// The page.
fn markdown() -> String {
    let defaults = serde_json::to_value(Config::default()).expect("BUG: the defaults do not serialise");
    let schema = schemars::schema_for!(Config).to_value();
    let mut page = HEAD.to_owned();
    let mut section = String::new();
    let mut paths = sources::paths(&defaults);
    paths.sort_by_key(|path| path.contains('.'));
    writeln!(page, "\n## General\n").expect("BUG: writing to a string");
    for path in paths {
        if let Some((name, _)) = path.split_once('.')
            && name != section
        {
            section = name.to_owned();
            let about = description(&schema, name).unwrap_or_default();
            writeln!(page, "\n## `{section}`\n\n{about}\n").expect("BUG: writing to a string");
        }
        let default = sources::get(&defaults, &path).map_or_else(String::new, shown);
        let about = description(&schema, &path).unwrap_or_default();
        writeln!(page, "### `{path}`\n\n{about}\n").expect("BUG: writing to a string");
        writeln!(page, "Default: {default}. Environment: `{}`.\n", environment_name(&path))
            .expect("BUG: writing to a string");
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "unset".to_owned(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => {
            items.iter().map(|i| format!("`{}`", sources::plain(i))).collect::<Vec<_>>().join(", ")
        }
        Value::Object(_) => "none".to_owned(),
        other => format!("`{}`", sources::plain(other)),
    }
}

/// The doc comment of the setting at `path`, on one line for each paragraph.
fn description(schema: &Value, path: &str) -> Option<String> {
    let mut node = schema;
    let mut found = None;
    for key in path.split('.') {
        node = resolve(schema, node).get("properties")?.get(key)?;
        found = node.get("description").or_else(|| resolve(schema, node).get("description"));
    }
    let text = found?.as_str()?;
    Some(text.split("\n\n").map(|p| p.replace('\n', " ")).collect::<Vec<_>>().join("\n\n"))
}

/// Follows a `$ref` into the schema's definitions.
fn resolve<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let target = node.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
    target.and_then(|pointer| schema.pointer(pointer)).unwrap_or(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_page_is_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == markdown(),
            "docs/configuration.md is stale: BLESS=1 cargo test --bin binnacle reference"
        );
    }

    #[test]
    fn every_setting_is_explained() {
        let page = markdown();
        for block in page.split("\n### ").skip(1) {
            let mut lines = block.lines().skip(1).filter(|l| !l.is_empty());
            let first = lines.next().unwrap_or_default();
            assert!(!first.starts_with("Default:"), "no doc comment: {block}");
        }
    }
}
