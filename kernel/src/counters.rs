//! Counters that only grow, and accounts of what is held at present.
//!
//! Both are touched with the GIL released and from more than one thread, once per run or buffer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The counters of a node, by name. Whoever counts keeps the [`Counter`] and asks for it once.
#[derive(Debug, Default)]
pub struct Counters(Mutex<BTreeMap<String, Arc<Counter>>>);

impl Counters {
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter of that name, made if there is none.
    pub fn counter(&self, name: &str) -> Arc<Counter> {
        let mut counters = self
            .0
            .lock()
            .expect("a counter's name was being added and that failed");
        if let Some(counter) = counters.get(name) {
            return counter.clone();
        }
        counters.entry(name.to_owned()).or_default().clone()
    }

    /// All counters, by name in order.
    pub fn values(&self) -> Vec<(String, u64)> {
        let counters = self
            .0
            .lock()
            .expect("a counter's name was being added and that failed");
        counters
            .iter()
            .map(|(name, counter)| (name.clone(), counter.get()))
            .collect()
    }
}

/// Bytes of memory held under one name, against a budget. Every buffer is charged once.
#[derive(Debug)]
pub struct Account {
    name: String,
    budget: u64,
    charged: AtomicU64,
}

impl Account {
    pub fn new(name: impl Into<String>, budget: u64) -> Self {
        Self {
            name: name.into(),
            budget,
            charged: AtomicU64::new(0),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn budget(&self) -> u64 {
        self.budget
    }

    pub fn charged(&self) -> u64 {
        self.charged.load(Relaxed)
    }

    pub fn charge(&self, size: u64) {
        self.charged.fetch_add(size, Relaxed);
    }

    /// Gives back what was charged before; more than that is a mistake of ours.
    pub fn release(&self, size: u64) {
        let before = self.charged.fetch_sub(size, Relaxed);
        assert!(before >= size, "{}: {size} released of {before}", self.name);
    }

    /// What was charged as `before` is now `after`: a buffer grew or shrank.
    pub fn recharge(&self, before: usize, after: usize) {
        if after >= before {
            self.charge((after - before) as u64);
        } else {
            self.release((before - after) as u64);
        }
    }

    /// More is held than the budget allows.
    pub fn exceeded(&self) -> bool {
        self.charged() > self.budget
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_counter() {
        let counters = Counters::new();
        counters.counter("b").add(2);
        counters.counter("a").add(1);
        counters.counter("b").add(3);
        assert_eq!(
            counters.values(),
            vec![("a".to_owned(), 1), ("b".to_owned(), 5)]
        );
    }

    #[test]
    #[should_panic(expected = "input: 3 released of 2")]
    fn more_can_not_be_released_than_was_charged() {
        let account = Account::new("input", 10);
        account.charge(2);
        account.release(3);
    }

    #[test]
    fn an_account_is_exceeded_past_its_budget_only() {
        let account = Account::new("input", 10);
        account.recharge(0, 10);
        assert!(!account.exceeded());
        account.recharge(10, 11);
        assert!(account.exceeded());
        account.recharge(11, 0);
        assert_eq!(account.charged(), 0);
    }
}
