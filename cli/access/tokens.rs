//! The tokens that are known, by their digests, and what each may do.

use std::path::PathBuf;

use dial::{Token, TokenError};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::config::Config;
use super::gate::Scope;

/// Digests of the known tokens: the tokens themselves do not stay in memory.
pub(super) struct Tokens {
    read: Vec<[u8; 32]>,
    admin: Vec<[u8; 32]>,
}

impl Tokens {
    /// Reads the files of `config`.
    ///
    /// # Errors
    /// When a file cannot be read or holds what is no token.
    pub(super) fn read(config: &Config) -> Result<Self, TokenError> {
        let digests = |file: &Option<PathBuf>| match file {
            Some(file) => Ok(Token::read_all(file)?.iter().map(|token| digest(token.secret())).collect()),
            None => Ok(Vec::new()),
        };
        Ok(Self { read: digests(&config.read_token_file)?, admin: digests(&config.token_file)? })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read.is_empty() && self.admin.is_empty()
    }

    /// What `shown` may do, `None` for an unknown token. Takes the same time whichever token it is like: digests
    /// of one length are compared, and all of them.
    pub(super) fn scope_of(&self, shown: &[u8]) -> Option<Scope> {
        let shown = digest(shown);
        let admin = is_among(&self.admin, &shown);
        let read = is_among(&self.read, &shown);
        if bool::from(admin) { Some(Scope::Admin) } else { bool::from(read).then_some(Scope::Read) }
    }
}

fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

fn is_among(known: &[[u8; 32]], shown: &[u8; 32]) -> Choice {
    known.iter().fold(Choice::from(0), |found, token| found | token.ct_eq(shown))
}
