//! Topic patterns as a trie of levels: which of them match a name?
//!
//! It knows levels only, no separator: AMQP's `a.*.#` and MQTT's `a/+/#` are the same three levels, and
//! both kinds may live in one trie.  A pattern's wildcards are marked, never spelled, so that a level
//! which happens to be `*` (legal in MQTT) stays a plain level.
//!
//! Matching keeps the set of nodes that the levels so far can have led to and moves it along by one level
//! at a time.  A node has one parent, so it enters the set at most twice a level: the cost is bounded by
//! levels x nodes whatever the patterns are, and `#.#.#.#` can't blow up.  Nothing recurses.

use std::collections::{BTreeMap, BTreeSet};

/// One level of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PatternLevel {
    /// These very bytes; an empty level is a level.
    Exact(Box<[u8]>),
    /// Any one level: AMQP's `*`, MQTT's `+`.
    One,
    /// Zero or more levels, anywhere: `#`.
    Many,
}

type NodeIndex = u32;
const ROOT: NodeIndex = 0;

#[derive(Default)]
struct Node {
    // Keyed by whoever binds: ordered, so that no choice of keys makes it slow.
    exact: BTreeMap<Box<[u8]>, NodeIndex>,
    one: Option<NodeIndex>,
    many: Option<NodeIndex>,
    /// This node is its parent's `many`: every further level leads back here.
    repeats: bool,
    ids: BTreeSet<u64>,
}

impl Node {
    fn child(&self, level: &PatternLevel) -> Option<NodeIndex> {
        match level {
            PatternLevel::Exact(bytes) => self.exact.get(bytes).copied(),
            PatternLevel::One => self.one,
            PatternLevel::Many => self.many,
        }
    }

    fn set_child(&mut self, level: &PatternLevel, child: Option<NodeIndex>) {
        match level {
            PatternLevel::One => self.one = child,
            PatternLevel::Many => self.many = child,
            PatternLevel::Exact(bytes) => match child {
                Some(child) => _ = self.exact.insert(bytes.clone(), child),
                None => _ = self.exact.remove(bytes),
            },
        }
    }

    fn is_bare(&self) -> bool {
        self.ids.is_empty() && self.exact.is_empty() && self.one.is_none() && self.many.is_none()
    }
}

/// Patterns with ids.  A pattern may have many ids, and an id many patterns.
pub struct TopicTrie {
    // A slab: what was removed is used again, and dropping a deep trie does not recurse.
    nodes: Vec<Node>,
    free: Vec<NodeIndex>,
    len: usize,
}

impl Default for TopicTrie {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            free: Vec::new(),
            len: 0,
        }
    }
}

impl TopicTrie {
    pub fn new() -> Self {
        Self::default()
    }

    /// How many (pattern, id) pairs there are.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many nodes are in use, the root included: what the patterns cost.
    pub fn node_count(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// False if the pair was there already.
    pub fn insert(&mut self, pattern: &[PatternLevel], id: u64) -> bool {
        let mut at = ROOT;
        for level in pattern {
            at = match self.node(at).child(level) {
                Some(child) => child,
                None => self.grow(at, level),
            };
        }
        let inserted = self.node_mut(at).ids.insert(id);
        self.len += usize::from(inserted);
        inserted
    }

    /// False if there was no such pair.  Patterns are compared as written: `#.#` is not `#` here.
    pub fn remove(&mut self, pattern: &[PatternLevel], id: u64) -> bool {
        let mut path = Vec::with_capacity(pattern.len() + 1);
        path.push(ROOT);
        let mut at = ROOT;
        for level in pattern {
            match self.node(at).child(level) {
                Some(child) => at = child,
                None => return false,
            }
            path.push(at);
        }
        if !self.node_mut(at).ids.remove(&id) {
            return false;
        }
        self.len -= 1;
        for depth in (1..path.len()).rev() {
            if !self.node(path[depth]).is_bare() {
                break;
            }
            self.node_mut(path[depth - 1])
                .set_child(&pattern[depth - 1], None);
            self.free.push(path[depth]);
        }
        true
    }

    /// The ids of all patterns that match, ascending, each once.
    ///
    /// Without `leading_wildcards` no wildcard stands for the first level: MQTT's rule for `$SYS/...`.
    pub fn find<L: AsRef<[u8]>>(&self, levels: &[L], leading_wildcards: bool) -> Vec<u64> {
        let mut active = Vec::new();
        if leading_wildcards {
            self.enter(ROOT, &mut active);
        } else {
            active.push(ROOT);
        }
        let mut next = Vec::new();
        for (position, level) in levels.iter().enumerate() {
            let wildcards = leading_wildcards || position > 0;
            for &at in &active {
                let node = self.node(at);
                if let Some(&child) = node.exact.get(level.as_ref()) {
                    self.enter(child, &mut next);
                }
                if let Some(child) = node.one.filter(|_| wildcards) {
                    self.enter(child, &mut next);
                }
                if node.repeats {
                    // Its own `many` is active too and repeats by itself.
                    next.push(at);
                }
            }
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut active, &mut next);
            next.clear();
            if active.is_empty() {
                break;
            }
        }
        let mut ids: Vec<u64> = active
            .iter()
            .flat_map(|&at| self.node(at).ids.iter().copied())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Adds a node and all that zero levels lead on to.
    fn enter(&self, node: NodeIndex, active: &mut Vec<NodeIndex>) {
        let mut entered = Some(node);
        while let Some(at) = entered {
            active.push(at);
            entered = self.node(at).many;
        }
    }

    fn grow(&mut self, parent: NodeIndex, level: &PatternLevel) -> NodeIndex {
        let node = Node {
            repeats: *level == PatternLevel::Many,
            ..Node::default()
        };
        let child = if let Some(index) = self.free.pop() {
            self.nodes[index as usize] = node;
            index
        } else {
            self.nodes.push(node);
            NodeIndex::try_from(self.nodes.len() - 1).expect("fewer than 2^32 levels are bound")
        };
        self.node_mut(parent).set_child(level, Some(child));
        child
    }

    fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[index as usize]
    }

    fn node_mut(&mut self, index: NodeIndex) -> &mut Node {
        &mut self.nodes[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Vec<PatternLevel> {
        text.split('.')
            .map(|level| match level {
                "*" => PatternLevel::One,
                "#" => PatternLevel::Many,
                exact => PatternLevel::Exact(exact.as_bytes().into()),
            })
            .collect()
    }

    fn matches(pattern_text: &str, name: &str) -> bool {
        let mut trie = TopicTrie::new();
        trie.insert(&pattern(pattern_text), 1);
        let levels: Vec<&str> = name.split('.').collect();
        !trie.find(&levels, true).is_empty()
    }

    #[test]
    fn wildcards_stand_for_one_level_and_for_any_number_anywhere() {
        for (text, name) in [
            ("a.b", "a.b"),
            ("*.b", "a.b"),
            ("#", "a.b.c"),
            ("#", ""),
            ("a.#", "a"),
            ("a.#.c", "a.c"),
            ("a.#.c", "a.b.c.b.c"),
            ("#.#", "a"),
            ("#.*", "a.b"),
            ("*", ""),
            ("a.*.b", "a..b"),
            ("#.b.#", "b"),
        ] {
            assert!(matches(text, name), "{text} {name}");
        }
        for (text, name) in [
            ("a.b", "a"),
            ("*", "a.b"),
            ("a.*", "a"),
            ("a.#.c", "a.b"),
            ("#.*.*", "a"),
            ("a", ""),
            ("#.b.#", "a.c"),
        ] {
            assert!(!matches(text, name), "{text} {name}");
        }
    }

    #[test]
    fn without_leading_wildcards_the_first_level_must_be_named() {
        let mut trie = TopicTrie::new();
        for (id, text) in ["#", "*.a", "$SYS.#", "#.a", "$SYS.a", "*.#"]
            .iter()
            .enumerate()
        {
            trie.insert(&pattern(text), id as u64);
        }
        assert_eq!(trie.find(&["$SYS", "a"], false), [2, 4]);
        assert_eq!(trie.find(&["$SYS", "a"], true), [0, 1, 2, 3, 4, 5]);
        assert_eq!(trie.find(&["$SYS"], false), [2]);
    }

    #[test]
    fn a_removed_pattern_leaves_no_node_behind() {
        let mut trie = TopicTrie::new();
        let texts = ["a.b.c", "a.*.#", "a", "#.#.#", "a.b"];
        for (id, text) in texts.iter().enumerate() {
            assert!(trie.insert(&pattern(text), id as u64));
            assert!(!trie.insert(&pattern(text), id as u64));
        }
        assert_eq!(trie.len(), texts.len());
        assert!(!trie.remove(&pattern("a.b.c"), 9));
        assert!(!trie.remove(&pattern("a.b.c.d"), 0));
        for (id, text) in texts.iter().enumerate() {
            assert!(trie.remove(&pattern(text), id as u64));
        }
        assert!(trie.is_empty());
        assert_eq!(trie.node_count(), 1);
        trie.insert(&pattern("x.y"), 7);
        assert_eq!(trie.nodes.len(), 9, "nodes are used again");
        assert_eq!(trie.find(&["x", "y"], true), [7]);
    }

    #[test]
    fn long_runs_of_wildcards_cost_no_more_than_levels_times_nodes() {
        // With backtracking this would be 200 choose 100.
        let mut trie = TopicTrie::new();
        let many: Vec<PatternLevel> = (0..200)
            .map(|i| match i % 2 {
                0 => PatternLevel::Many,
                _ => PatternLevel::Exact(b"a"[..].into()),
            })
            .collect();
        trie.insert(&many, 1);
        let mut name = vec!["a"; 1000];
        assert_eq!(trie.find(&name, true), [1]);
        name.push("b");
        assert_eq!(trie.find(&name, true), Vec::<u64>::new());
    }
}
