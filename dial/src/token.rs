//! A secret that opens a server. Its text never shows in messages, `Debug` output or logs.

use std::fmt;
use std::path::{Path, PathBuf};

use hyper::header::HeaderValue;

/// Fewest characters of a token: one of random letters and digits this long cannot be guessed over a network.
const MIN_TOKEN_CHARS: usize = 16;

/// A secret shared with a server.
#[derive(Clone)]
pub struct Token(String);

/// Why a text is no token. Names the place, never the text.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token file `{}`: {source}", path.display())]
    Unreadable {
        /// File.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Nothing but comments and empty lines.
    #[error("the token file `{}` holds no token", .0.display())]
    Empty(PathBuf),
    /// Too short to resist guessing.
    #[error(
        "{origin}: a token needs {MIN_TOKEN_CHARS} characters or more; make one with `openssl rand -hex 32`"
    )]
    TooShort {
        /// File and line, or variable.
        origin: String,
    },
    /// Cannot travel in a header.
    #[error("{origin}: a token holds only letters, digits and ASCII punctuation, no blanks")]
    Characters {
        /// File and line, or variable.
        origin: String,
    },
}

impl Token {
    /// Takes `text` as a token; `origin` names where it stands, for messages.
    ///
    /// # Errors
    /// When it is too short, or holds what no header may.
    pub fn new(text: &str, origin: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Characters { origin: origin.to_owned() });
        }
        if text.len() < MIN_TOKEN_CHARS {
            return Err(TokenError::TooShort { origin: origin.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The tokens of a file: one a line, empty lines and those that begin with `#` aside. More than one makes it
    /// possible to hand out a new one before the old one goes.
    ///
    /// # Errors
    /// When the file cannot be read, holds none, or a line is no token.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, TokenError> {
        let unreadable = |source| TokenError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let mut tokens = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if !line.trim().is_empty() && !line.starts_with('#') {
                tokens.push(Self::new(line, &format!("`{}` line {number}", path.display()))?);
            }
        }
        if tokens.is_empty() {
            return Err(TokenError::Empty(path.to_owned()));
        }
        Ok(tokens)
    }

    /// The first token of a file: what a client shows.
    ///
    /// # Errors
    /// As [`Token::read_all`].
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        Self::read_all(path)?.into_iter().next().ok_or_else(|| TokenError::Empty(path.to_owned()))
    }

    /// The secret itself.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// `Bearer` and the token, marked so that no library prints it.
    pub(crate) fn authorization(&self) -> HeaderValue {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0))
            .expect("BUG: a token of printable ASCII is a header value");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
