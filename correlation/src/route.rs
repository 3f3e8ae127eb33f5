//! From a path to its route: `/orders/1017?full=1` is `/orders/{id}`.
//!
//! Some parts show by their form that they are ids. Others show only by their number: when a position of
//! the path has held `max_slugs` different words, further words there become `{id}` as well. So the number
//! of routes is bounded whatever is requested.

use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::xxh3_64_with_seed;

const ID: &str = "{id}";
/// Parts deeper than this are cut; `…` stands for them.
const MAX_PARTS: usize = 12;
/// A longer part is a slug or a token, not a name.
const MAX_PART_BYTES: usize = 40;
/// Positions of paths that are remembered, over all services: about 100 bytes each and `max_slugs` words of
/// 16 bytes. When it is full, words at new positions become `{id}`.
const MAX_POSITIONS: usize = 10_000;

/// The words seen so far.
#[derive(Debug)]
pub struct Routes {
    max_slugs: usize,
    /// Words (hashed) by position: the hash of the service and the template before it.
    words: HashMap<u64, HashSet<u64>>,
}

impl Routes {
    /// Remembers up to `max_slugs` words at each position.
    #[must_use]
    pub fn new(max_slugs: usize) -> Self {
        Self { max_slugs, words: HashMap::new() }
    }

    /// The route of a path or URL. A path that is known to be a template is taken as it is, but for its length.
    pub fn template(&mut self, service: &str, path: &str, is_template: bool) -> String {
        let mut position = xxh3_64_with_seed(service.as_bytes(), 0);
        template_where(path, is_template, |word| {
            let word = if word == ID || self.is_known_or_fits(position, word) { word } else { ID };
            position = xxh3_64_with_seed(word.as_bytes(), position);
            word
        })
    }

    fn is_known_or_fits(&mut self, position: u64, word: &str) -> bool {
        let is_full = self.words.len() >= MAX_POSITIONS;
        let words = match self.words.entry(position) {
            std::collections::hash_map::Entry::Vacant(_) if is_full => return false,
            entry => entry.or_default(),
        };
        let word = xxh3_64_with_seed(word.as_bytes(), 0);
        if words.contains(&word) {
            return true;
        }
        if words.len() >= self.max_slugs {
            return false;
        }
        words.insert(word)
    }
}

/// The route of a path or URL by the form of its parts alone: the same for the same path, whatever came before.
#[must_use]
pub fn template(path: &str, is_template: bool) -> String {
    template_where(path, is_template, |word| word)
}

/// The route of a path whose words, `{id}` among them, go through `keep`.
fn template_where<'a>(path: &'a str, is_template: bool, mut keep: impl FnMut(&'a str) -> &'a str) -> String {
    let path = path_of(path);
    let mut route = String::with_capacity(path.len().min(256));
    for (i, part) in path.split('/').filter(|part| !part.is_empty()).enumerate() {
        route.push('/');
        if i == MAX_PARTS {
            route.push('…');
            break;
        }
        let template_part = is_template && part.len() <= MAX_PART_BYTES;
        let is_name = template_part || !is_id(part);
        route.push_str(keep(if is_name { part } else { ID }));
    }
    if route.is_empty() {
        route.push('/');
    }
    route
}

/// The path of a URL, without query and fragment.
#[must_use]
pub fn path_of(url: &str) -> &str {
    let end = memchr::memchr2(b'?', b'#', url.as_bytes()).unwrap_or(url.len());
    let url = url.get(..end).unwrap_or_default();
    // Most are paths already: a search for one character costs a tenth of one for three.
    if !url.contains(':') {
        return url;
    }
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => url,
    }
}

/// Whether the form of a part of a path shows that it is an id rather than a name.
fn is_id(part: &str) -> bool {
    if part.len() > MAX_PART_BYTES || !part.is_ascii() {
        return true;
    }
    let is_odd = |b: u8| {
        !b.is_ascii_alphanumeric() && !matches!(b, b'-' | b'_' | b'.' | b'~' | b':' | b'{' | b'}' | b'*')
    };
    if part.bytes().any(is_odd) {
        return true; // an e-mail address, an encoded text, a list
    }
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        return false;
    }
    if digits == part.len() || digits >= 4 {
        return true; // a number, a date, a UUID, `order-10177`
    }
    // `v1`, `oauth2`, `s3`, `app.min.js` keep their name; hexadecimal ids and their like do not.
    part.len() >= 8 && part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_become_id_and_names_stay() {
        let mut routes = Routes::new(50);
        for (path, route) in [
            ("/", "/"),
            ("", "/"),
            ("*", "/*"),
            ("/api/v1/orders", "/api/v1/orders"),
            ("/api/v1/orders/1017?full=1#top", "/api/v1/orders/{id}"),
            ("/users/6f1c2d3e-4b5a-6978-8897-a6b5c4d3e2f1/cart", "/users/{id}/cart"),
            ("/t/4bf92f3577b34da6a3ce929d0e0e4736", "/t/{id}"),
            ("/t/deadbee1", "/t/{id}"),
            ("/orders/order-10177", "/orders/{id}"),
            ("/u/jane%40example.org", "/u/{id}"),
            ("/u/jane@example.org", "/u/{id}"),
            ("https://shop.example/cart/9", "/cart/{id}"),
            ("https://shop.example", "/"),
            ("/oauth2/token", "/oauth2/token"),
            ("//double//slash/", "/double/slash"),
            ("/blog/a-very-long-title-of-a-post-that-nobody-will-read", "/blog/{id}"),
            ("/s/ünïcode", "/s/{id}"),
        ] {
            assert_eq!(routes.template("web", path, false), route, "{path}");
        }
    }

    #[test]
    fn a_template_is_taken_as_it_is() {
        assert_eq!(Routes::new(50).template("web", "/orders/{orderId}/2024", true), "/orders/{orderId}/2024");
    }

    #[test]
    fn words_beyond_the_limit_become_id_and_known_ones_stay() {
        let mut routes = Routes::new(3);
        for word in ["a", "b", "c"] {
            assert_eq!(routes.template("web", &format!("/blog/{word}"), false), format!("/blog/{word}"));
        }
        assert_eq!(routes.template("web", "/blog/d", false), "/blog/{id}");
        assert_eq!(routes.template("web", "/blog/b", false), "/blog/b");
        assert_eq!(routes.template("api", "/blog/d", false), "/blog/d", "another service");
    }

    proptest! {
        #[test]
        fn any_paths_make_a_bounded_number_of_short_routes(paths in prop::collection::vec("(/[a-z0-9%é]{0,60}){0,4}", 1..300)) {
            let mut routes = Routes::new(2);
            let made: HashSet<String> = paths.iter().map(|p| routes.template("web", p, false)).collect();
            // Two words and `{id}` at each of up to four positions, or none.
            prop_assert!(made.len() <= 1 + 3 + 9 + 27 + 81);
            prop_assert!(made.iter().all(|r| r.len() <= 4 * (MAX_PART_BYTES + 1)));
        }
    }
}
