//! The identity file: whose data directory this is, drawn once when it is made.

use crate::damage::{Damage, StoreResult};
use crate::disk::{read_file, replace_file, Disk};
use crate::file_header::{self, FileKind, Identity, REMEDY_COPY};
use crate::journal_files::journal_numbers;

pub const NAME: &str = "identity";

/// Reads the identity, or makes the directory `fresh`'s own if nothing is in it yet.
///
/// A directory with a journal and no identity is damaged: nothing in it is touched.
pub fn claim(disk: &dyn Disk, fresh: Identity) -> StoreResult<Identity> {
    if let Some(content) = read_file(disk, NAME)? {
        let (_, identity) = file_header::decode(NAME, FileKind::Identity, &content)?;
        return Ok(identity);
    }
    if !journal_numbers(disk)?.is_empty() {
        let what = "missing, although there is a journal";
        return Err(Damage::new(NAME, 0, what, REMEDY_COPY).into());
    }
    replace_file(
        disk,
        NAME,
        &file_header::encode(FileKind::Identity, 0, &fresh),
    )?;
    Ok(fresh)
}
