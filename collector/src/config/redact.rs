//! Settings of what is taken out of lines before they are stored: the config section `ingest.redact`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is taken out of every line before it is stored. Each rule is `off`, `mask` or `hash`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RedactConfig {
    /// Credentials: what follows `Bearer` and `Basic`, and JSON Web Tokens. `mask` writes `[redacted:token]`, `hash`
    /// a keyed hash, the same for the same secret: `[token:9f86d081884c7d65]`.
    pub bearer_tokens: Treatment,
    /// Passwords in URLs: `postgres://user:password@host`.
    pub url_passwords: Treatment,
    /// Numbers of payment cards, 14 to 16 digits with a right check digit. A number that the line gives as its trace
    /// or correlation id stays.
    pub cards: Treatment,
    /// E-mail addresses. An address that the line gives as its trace or correlation id stays.
    pub emails: Treatment,
    /// File of the key of the hashes, 16 bytes or more. Without it a card or an address could be guessed from its hash.
    pub hash_key_file: Option<PathBuf>,
}

/// What becomes of a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Treatment {
    /// It is stored.
    #[default]
    Off,
    /// Its kind is stored.
    Mask,
    /// Its kind and a keyed hash are stored: one can see that two lines hold the same.
    Hash,
}

impl Treatment {
    /// Whether the secret is looked for.
    #[must_use]
    pub const fn is_on(self) -> bool {
        !matches!(self, Self::Off)
    }
}

impl RedactConfig {
    /// Whether any rule applies.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.rules().iter().any(|(_, treatment)| treatment.is_on())
    }

    /// What is wrong with the section: (path within the section, message) for each mistake.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let hashing = self.rules().into_iter().filter(|(_, treatment)| *treatment == Treatment::Hash);
        hashing
            .filter(|_| self.hash_key_file.is_none())
            .map(|(name, _)| (name.to_owned(), "`hash` needs `ingest.redact.hash_key_file`".to_owned()))
            .collect()
    }

    const fn rules(&self) -> [(&'static str, Treatment); 4] {
        [
            ("bearer_tokens", self.bearer_tokens),
            ("url_passwords", self.url_passwords),
            ("cards", self.cards),
            ("emails", self.emails),
        ]
    }
}
