//! From one protocol's form of a message to another's (`docs/conversions.md`).

pub mod topic;
