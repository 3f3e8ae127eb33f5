//! What stands around an `@`: passwords in URLs and e-mail addresses.

use std::ops::Range;

use memchr::memmem;

use super::{Found, Rule};

/// Bytes of a host, a user or a password that are looked at: more is no URL of anybody, and a hostile line shall cost
/// no more than its length.
const MAX_AUTHORITY_BYTES: usize = 1024;
/// Longest local part and longest domain, as the standard has them.
const MAX_LOCAL_BYTES: usize = 64;
const MAX_DOMAIN_BYTES: usize = 255;

pub(super) fn find(line: &[u8], passwords: bool, emails: bool, found: &mut Vec<Found>) {
    let has_at = memchr::memchr(b'@', line).is_some();
    // The users of URLs, as ranges: `git@example.com` in one is no e-mail address.
    let mut users = Vec::new();
    if has_at {
        for scheme in [&b"://"[..], br":\/\/"] {
            for colon in memmem::find_iter(line, scheme) {
                let start = colon + scheme.len();
                let Some(at) = end_of_user(line, start) else { continue };
                users.push(start..at + 1);
                if let Some(password) = password(line, start, at).filter(|_| passwords) {
                    found.push(Found { rule: Rule::UrlPassword, start: password, end: at });
                }
            }
        }
    }
    if !emails {
        return;
    }
    if has_at {
        users.sort_unstable_by_key(|user: &Range<usize>| user.start);
        let mut users = users.into_iter().peekable();
        for at in memchr::memchr_iter(b'@', line) {
            while users.next_if(|user| user.end <= at).is_some() {}
            if !users.peek().is_some_and(|user| user.contains(&at)) {
                found.extend(email(line, at, at + 1));
            }
        }
    }
    for percent in memchr::memchr_iter(b'%', line) {
        if line[percent..].starts_with(b"%40") {
            found.extend(email(line, percent, percent + 3));
        }
    }
}

/// The last `@` before the host of a URL whose user begins at `start`.
fn end_of_user(line: &[u8], start: usize) -> Option<usize> {
    let rest = &line[start..line.len().min(start + MAX_AUTHORITY_BYTES)];
    let end = rest.iter().position(|byte| {
        byte.is_ascii_whitespace() || matches!(byte, b'/' | b'"' | b'\'' | b'\\' | b'<' | b'>' | b'`')
    });
    memchr::memrchr(b'@', &rest[..end.unwrap_or(rest.len())]).map(|at| start + at)
}

/// Where the password of `user:password` begins, unless it is none or was redacted before.
fn password(line: &[u8], start: usize, at: usize) -> Option<usize> {
    let colon = start + memchr::memchr(b':', &line[start..at])?;
    let password = &line[colon + 1..at];
    let was_redacted = password.ends_with(b"]")
        && (password.starts_with(b"[redacted:url_password") || password.starts_with(b"[url_password:"));
    (!password.is_empty() && !was_redacted).then_some(colon + 1)
}

/// The address whose `@` lies between `local_end` and `domain`.
fn email(line: &[u8], local_end: usize, domain: usize) -> Option<Found> {
    let before = &line[local_end.saturating_sub(MAX_LOCAL_BYTES)..local_end];
    let local = before.iter().rev().take_while(|byte| is_local_byte(**byte)).count();
    let after = &line[domain..line.len().min(domain + MAX_DOMAIN_BYTES)];
    let mut length = after.iter().take_while(|byte| is_domain_byte(**byte)).count();
    // A sentence may end with an address.
    while length > 0 && matches!(after[length - 1], b'.' | b'-') {
        length -= 1;
    }
    let name = &after[..length];
    let dot = memchr::memrchr(b'.', name)?;
    let top = &name[dot + 1..];
    let is_domain = dot > 0 && top.len() >= 2 && top.iter().all(u8::is_ascii_alphabetic);
    // Dots before a name belong to the text around it.
    let dots = line[local_end - local..local_end].iter().take_while(|byte| **byte == b'.').count();
    (is_domain && local > dots).then(|| Found {
        rule: Rule::Email,
        start: local_end - local + dots,
        end: domain + length,
    })
}

const fn is_local_byte(byte: u8) -> bool {
    // Letters beyond ASCII are allowed since RFC 6531; any of their bytes will do.
    byte.is_ascii_alphanumeric()
        || !byte.is_ascii()
        || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'~' | b'\'')
}

const fn is_domain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')
}
