//! What a reader of our files says when bytes are not what was written.
//!
//! Damage is repaired from a peer or refused. It is never the end of a log, never skipped and
//! never a reason to delete.

use std::fmt;

use crate::disk::DiskError;

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
