//! Secrets leave a line before it is stored: credentials, passwords in URLs, card numbers, e-mail addresses.
//!
//! The invariant: what a rule finds reaches neither disk nor index nor live tail; fields, level and ids are read from
//! the line that is left. Ids are never taken for secrets: a card number or an address that the line gives as its
//! trace or correlation id stays.
//!
//! A line without a suspicious byte costs three passes of vector search and no copy.

mod address;
mod card;
mod credential;
mod metrics;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use prometheus::Registry;
use sha2::Sha256;

use crate::config::{RedactConfig, Treatment};
use credential::Credentials;
use metrics::Metrics;

/// Fewest bytes of the key of hashes: as much as the hash that is shown.
const MIN_KEY_BYTES: usize = 16;
/// Of a hash so many bytes are shown: enough that two of a million values do not meet.
const SHOWN_HASH_BYTES: usize = 8;

/// Why the rules cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum RedactError {
    /// The key of the hashes cannot be read.
    #[error("cannot read `{}` (setting ingest.redact.hash_key_file): {source}", path.display())]
    Key {
        /// File.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The key of the hashes could be guessed.
    #[error("`{}` (setting ingest.redact.hash_key_file) holds less than {MIN_KEY_BYTES} bytes; make it with `openssl rand -hex 32`", .0.display())]
    ShortKey(PathBuf),
    /// The metrics are registered already.
    #[error("the metrics of redaction: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Token,
    UrlPassword,
    Card,
    Email,
}

impl Rule {
    const ALL: [Self; 4] = [Self::Token, Self::UrlPassword, Self::Card, Self::Email];

    /// As it stands in lines and as a label.
    const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::UrlPassword => "url_password",
            Self::Card => "card",
            Self::Email => "email",
        }
    }

    /// Whether an id may look like it.
    const fn may_be_id(self) -> bool {
        matches!(self, Self::Card | Self::Email)
    }
}

/// A secret's place in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    rule: Rule,
    start: usize,
    end: usize,
}

/// Applies the rules. Cloning shares it.
#[derive(Clone)]
pub struct Redactor {
    /// `None`: every rule is off.
    rules: Option<Arc<Rules>>,
}

struct Rules {
    config: RedactConfig,
    credentials: Credentials,
    /// Keyed, not yet fed.
    hash: Option<Hmac<Sha256>>,
    metrics: Metrics,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("rules", &self.rules.as_ref().map(|rules| &rules.config)).finish()
    }
}

// === impl Redactor ===

impl Redactor {
    /// Leaves every line as it is.
    #[must_use]
    pub const fn off() -> Self {
        Self { rules: None }
    }

    /// Applies the rules of `config` and counts in `registry` what is taken out.
    ///
    /// # Errors
    /// When the key of the hashes cannot be used, or `registry` holds the counter already.
    pub fn new(config: &RedactConfig, registry: &Registry) -> Result<Self, RedactError> {
        let metrics = Metrics::new(registry)?;
        if !config.is_on() {
            return Ok(Self::off());
        }
        let hash = config.hash_key_file.as_ref().map(keyed_hash).transpose()?;
        let rules = Rules { config: config.clone(), credentials: Credentials::new(), hash, metrics };
        Ok(Self { rules: Some(Arc::new(rules)) })
    }

    /// The line without what the rules find in it. `ids` tells the texts that the line gives as ids; it is asked only
    /// when something is found that might be one.
    #[must_use]
    pub fn line(&self, line: Bytes, ids: impl FnOnce(&[u8]) -> HashSet<Vec<u8>>) -> Bytes {
        let Some(rules) = &self.rules else { return line };
        let mut found = rules.find(&line);
        if found.iter().any(|found| found.rule.may_be_id()) {
            let ids = ids(&line);
            found.retain(|found| !found.rule.may_be_id() || !ids.contains(&line[found.start..found.end]));
        }
        if found.is_empty() { line } else { rules.without(&line, &found) }
    }

    /// A value of structured metadata without what the rules find in it.
    #[must_use]
    pub fn value(&self, value: String) -> String {
        let Some(rules) = &self.rules else { return value };
        let found = rules.find(value.as_bytes());
        if found.is_empty() {
            return value;
        }
        String::from_utf8_lossy(&rules.without(value.as_bytes(), &found)).into_owned()
    }
}

fn keyed_hash(path: &PathBuf) -> Result<Hmac<Sha256>, RedactError> {
    let key = std::fs::read(path).map_err(|source| RedactError::Key { path: path.clone(), source })?;
    let key = key.trim_ascii();
    if key.len() < MIN_KEY_BYTES {
        return Err(RedactError::ShortKey(path.clone()));
    }
    Ok(Hmac::<Sha256>::new_from_slice(key).expect("BUG: HMAC takes keys of any length"))
}

// === impl Rules ===

impl Rules {
    /// What the rules find, in the order of the line, none within another.
    fn find(&self, line: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        if self.config.bearer_tokens.is_on() {
            self.credentials.find(line, &mut found);
        }
        let (passwords, emails) = (self.config.url_passwords.is_on(), self.config.emails.is_on());
        if passwords || emails {
            address::find(line, passwords, emails, &mut found);
        }
        if self.config.cards.is_on() {
            card::find(line, &mut found);
        }
        if found.len() > 1 {
            found.sort_by_key(|found| (found.start, std::cmp::Reverse(found.end)));
            let mut end = 0;
            found.retain(|found| {
                let apart = found.start >= end;
                end = end.max(found.end);
                apart
            });
        }
        found
    }

    /// `line` with what was found replaced.
    fn without(&self, line: &[u8], found: &[Found]) -> Bytes {
        let mut out = Vec::with_capacity(line.len() + 16 * found.len());
        let mut json = line.trim_ascii_start().starts_with(b"{").then(JsonText::default);
        let mut done = 0;
        for Found { rule, start, end } in found.iter().copied() {
            let before = &line[done..start];
            out.extend_from_slice(before);
            // A bare number of JSON becomes a string, or the line would be no JSON any more.
            let is_bare = json.as_mut().is_some_and(|json| {
                json.pass(before);
                rule == Rule::Card && !json.in_string
            });
            if is_bare {
                out.push(b'"');
            }
            self.replace(rule, &line[start..end], &mut out);
            if is_bare {
                out.push(b'"');
            }
            if let Some(json) = &mut json {
                json.pass(&line[start..end]);
            }
            self.metrics.redacted(rule);
            done = end;
        }
        out.extend_from_slice(&line[done..]);
        out.into()
    }

    fn replace(&self, rule: Rule, secret: &[u8], out: &mut Vec<u8>) {
        match (self.treatment(rule), &self.hash) {
            (Treatment::Hash, Some(hash)) => {
                let mut hash = hash.clone();
                hash.update(&normal(rule, secret));
                out.extend_from_slice(format!("[{}:", rule.name()).as_bytes());
                for byte in &hash.finalize().into_bytes()[..SHOWN_HASH_BYTES] {
                    out.extend_from_slice(format!("{byte:02x}").as_bytes());
                }
                out.push(b']');
            }
            _ => out.extend_from_slice(format!("[redacted:{}]", rule.name()).as_bytes()),
        }
    }

    const fn treatment(&self, rule: Rule) -> Treatment {
        match rule {
            Rule::Token => self.config.bearer_tokens,
            Rule::UrlPassword => self.config.url_passwords,
            Rule::Card => self.config.cards,
            Rule::Email => self.config.emails,
        }
    }
}

/// One spelling for all ways to write the same secret, so that its hashes are alike.
fn normal(rule: Rule, secret: &[u8]) -> Vec<u8> {
    match rule {
        Rule::Card => secret.iter().copied().filter(u8::is_ascii_digit).collect(),
        Rule::Email => {
            let text = secret.to_ascii_lowercase();
            match memchr::memmem::find(&text, b"%40") {
                Some(at) => [&text[..at], b"@", &text[at + 3..]].concat(),
                None => text,
            }
        }
        Rule::Token | Rule::UrlPassword => secret.to_vec(),
    }
}

/// Whether a place of a JSON line lies in a string.
#[derive(Clone, Copy, Debug, Default)]
struct JsonText {
    in_string: bool,
    escaped: bool,
}

impl JsonText {
    fn pass(&mut self, text: &[u8]) {
        for byte in text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ => {}
            }
        }
    }
}
