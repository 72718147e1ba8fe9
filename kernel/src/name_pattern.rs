//! A regular expression over names, in time linear in the name whatever the expression.
//!
//! Who writes a permission must not be able to make every publish slow: no backtracking, hence no
//! back-references and no look-around (PCRE, and so `RabbitMQ`, has them).  Compiled size and depth are bounded.

use regex::{Regex, RegexBuilder};

const PATTERN_SIZE_MAX: usize = 4096;
const COMPILED_SIZE_MAX: usize = 1 << 20;
const NEST_MAX: u32 = 50;

/// A compiled pattern.
#[derive(Debug)]
pub struct NamePattern(Regex);

impl NamePattern {
    /// The error says what is wrong with it, in one line.
    pub fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > PATTERN_SIZE_MAX {
            return Err(format!("longer than {PATTERN_SIZE_MAX} bytes"));
        }
        RegexBuilder::new(pattern)
            .size_limit(COMPILED_SIZE_MAX)
            .dfa_size_limit(COMPILED_SIZE_MAX)
            .nest_limit(NEST_MAX)
            .build()
            .map(Self)
            .map_err(|error| match error {
                // Several lines with a drawing; the last one says it.
                regex::Error::Syntax(text) => {
                    let line = text.lines().last().unwrap_or_default();
                    line.trim_start_matches("error: ").to_owned()
                }
                other => other.to_string(),
            })
    }

    /// Does any part of `name` match?  Anchors are the pattern's business.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_name_may_match_unless_anchored() {
        assert!(NamePattern::new("b").unwrap().matches("abc"));
        assert!(!NamePattern::new("^b").unwrap().matches("abc"));
        assert!(NamePattern::new("").unwrap().matches("abc"));
        assert!(NamePattern::new("^(orders|amq\\.gen).*$")
            .unwrap()
            .matches("amq.gen-1"));
    }

    #[test]
    fn what_is_no_pattern_or_too_large_is_refused_in_one_line() {
        assert_eq!(NamePattern::new("(").unwrap_err(), "unclosed group");
        assert!(NamePattern::new("(a)\\1")
            .unwrap_err()
            .contains("backreferences"));
        for pattern in ["\\w{1000}{1000}", &"(".repeat(60), &"a".repeat(5000)] {
            let error = NamePattern::new(pattern).unwrap_err();
            assert!(!error.is_empty() && !error.contains('\n'), "{error}");
        }
    }
}
