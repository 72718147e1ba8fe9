//! What a reader of our files says when bytes are not what was written.
//!
//! Damage is repaired from a peer or refused. It is never the end of a log, never skipped and
//! never a reason to delete.

use std::fmt;

use crate::disk::DiskError;
use crate::file_header::{REMEDY_STRANGER, REMEDY_VERSION};

/// Bytes on disk that can't be what was written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub file: String,
    /// Byte in the file where the damaged thing starts.
    pub position: u64,
    pub what: String,
    /// What a person can do about it.
    pub remedy: String,
}

impl Damage {
    pub fn new(file: &str, position: u64, what: impl Into<String>, remedy: &str) -> Self {
        Self {
            file: file.to_owned(),
            position,
            what: what.into(),
            remedy: remedy.to_owned(),
        }
    }

    /// What was written is gone, so that a good copy, or another member's, must stand in for it. Not so
    /// where the files are whole and it is the wrong program or directory that reads them.
    pub fn is_loss(&self) -> bool {
        ![REMEDY_VERSION, REMEDY_STRANGER].contains(&self.remedy.as_str())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} is damaged at byte {}: {}. {}",
            self.file, self.position, self.what, self.remedy
        )
    }
}

/// Why the store can't go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    Disk(DiskError),
    Damage(Damage),
}

impl StoreError {
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Disk(error) if error.is_no_space())
    }
}

impl From<DiskError> for StoreError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(formatter),
            Self::Damage(damage) => damage.fmt(formatter),
        }
    }
}

pub type StoreResult<T> = Result<T, StoreError>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_header::REMEDY_COPY;

    #[test]
    fn only_what_a_good_copy_would_mend_is_lost() {
        let damage = |remedy| Damage::new("manifest", 0, "it is wrong", remedy);
        assert!(damage(REMEDY_COPY).is_loss());
        assert!(!damage(REMEDY_VERSION).is_loss());
        assert!(!damage(REMEDY_STRANGER).is_loss());
    }
}
