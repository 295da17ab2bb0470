//! What was used most recently, within a bound.

use std::collections::HashMap;
use std::hash::Hash;

/// Keeps at least the `most / 2` that were used last, and never more than `most`. When the young half is full the old one goes.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (most / 2).max(1) }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_bound_holds() {
        let mut recent = Recent::new(100);
        recent.insert(0, 0);
        for number in 1..10_000 {
            recent.insert(number, number);
            assert_eq!(recent.get(&0), Some(&0), "used all the time, gone at {number}");
            assert!(recent.young.len() + recent.old.len() <= 100);
        }
        assert_eq!(recent.get(&9_999), Some(&9_999));
        assert_eq!(recent.get(&5_000), None);
    }

    #[test]
    fn the_newer_value_is_the_one_that_is_found() {
        let mut recent = Recent::new(2);
        for value in 0..5 {
            recent.insert("a", value);
            recent.insert("b", 9);
            assert_eq!(recent.get(&"a"), Some(&value));
        }
    }
}
