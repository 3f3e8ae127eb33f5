//! Pieces of parts kept in memory up to a bound, the least recently used out first.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Shared by all parts of a data folder.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    max_bytes: u64,
    entries: Mutex<Entries<K, V>>,
}

#[derive(Debug)]
struct Entries<K, V> {
    by_key: HashMap<K, Entry<V>>,
    bytes: u64,
    /// Counts the times something was asked for.
    clock: u64,
}

#[derive(Debug)]
struct Entry<V> {
    used: u64,
    bytes: u64,
    value: Arc<V>,
}

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    pub(super) fn new(max_bytes: u64) -> Self {
        let entries = Entries { by_key: HashMap::new(), bytes: 0, clock: 0 };
        Self { max_bytes, entries: Mutex::new(entries) }
    }

    /// What is kept under `key`, if anything is.
    pub(super) fn known(&self, key: K) -> Option<Arc<V>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.clock += 1;
        let now = entries.clock;
        let entry = entries.by_key.get_mut(&key)?;
        entry.used = now;
        Some(Arc::clone(&entry.value))
    }

    /// What is kept under `key`; if nothing is, what `load` gives, with its size in bytes.
    pub(super) fn get<E>(&self, key: K, load: impl FnOnce() -> Result<(V, u64), E>) -> Result<Arc<V>, E> {
        if let Some(known) = self.known(key) {
            return Ok(known);
        }
        // Loaded outside the lock; two threads may load the same, and the second one's stays.
        let (value, bytes) = load()?;
        let value = Arc::new(value);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry { used: entries.clock, bytes, value: Arc::clone(&value) };
        if let Some(old) = entries.by_key.insert(key, entry) {
            entries.bytes -= old.bytes;
        }
        entries.bytes += bytes;
        entries.shrink(self.max_bytes);
        Ok(value)
    }
}

impl<K: Copy + Eq + Hash, V> Entries<K, V> {
    fn shrink(&mut self, max_bytes: u64) {
        while self.bytes > max_bytes {
            let oldest = self.by_key.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key);
            let Some(entry) = oldest.and_then(|key| self.by_key.remove(&key)) else { return };
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_least_recently_goes_first() {
        let cache = Cache::new(10);
        let loaded = |key: u32| {
            let mut loaded = false;
            let value = cache.get(key, || {
                loaded = true;
                Ok::<_, ()>((key, 4))
            });
            assert_eq!(value.map(|value| *value), Ok(key));
            loaded
        };
        assert!(loaded(1) && loaded(2) && !loaded(1));
        assert!(loaded(3), "there is room for two");
        assert!(!loaded(1) && loaded(2));
        assert!(cache.get(9, || Err("no")).is_err());
        let large = cache.get(7, || Ok::<_, ()>((7, 100)));
        assert_eq!(large.map(|value| *value), Ok(7), "what does not fit is not kept");
        assert!(loaded(7));
    }
}
