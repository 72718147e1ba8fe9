//! Reads a whole data directory and checks every byte that is live. Changes nothing.

use std::collections::BTreeSet;

use crate::checkpoint::{blocks_name, read_blocks_file};
use crate::damage::{Damage, StoreResult};
use crate::disk::{read_file, Disk};
use crate::file_header::{self, FileKind, Identity, REMEDY_COPY};
use crate::identity_file;
use crate::journal_close::CloseMark;
use crate::journal_files::journal_name;
use crate::journal_recovery::{recover, Cut};
use crate::manifest::{manifest_name, Manifest};
use crate::record_batch::decode_retained;
use crate::segment::{scan_runs, segment_name};
use crate::store_open::{open_segments, restore};
use bytes::Bytes;

/// What a good data directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub journal_files: u64,
    pub writes: u64,
    pub entries: u64,
    pub journal_size: u64,
    pub segments: u64,
    pub pieces: u64,
    pub records: u64,
    pub segment_size: u64,
    /// Number of the newest checkpoint; 0: none.
    pub checkpoint: u64,
    pub blocks: u64,
    pub groups: u64,
    pub queues: u64,
    pub closed_cleanly: bool,
    /// A torn last write, which opening will cut.
    pub cut: Option<Cut>,
}

/// The directory's identity; it must have one.
pub fn read_identity(disk: &dyn Disk) -> StoreResult<Identity> {
    let name = identity_file::NAME;
    let Some(content) = read_file(disk, name)? else {
        let what = "missing: this is no data directory of Dragoman, or not a whole one";
        return Err(Damage::new(name, 0, what, REMEDY_COPY).into());
    };
    Ok(file_header::decode(name, FileKind::Identity, &content)?.1)
}

/// Checks everything. `progress` is told each file's name before it is read.
pub fn verify(disk: &dyn Disk, progress: &mut dyn FnMut(&str)) -> StoreResult<Verified> {
    progress(identity_file::NAME);
    let identity = read_identity(disk)?;
    let mut verified = Verified::default();
    let manifest = Manifest::read_newest(disk, &identity)?;
    if let Some(manifest) = &manifest {
        progress(&manifest_name(manifest.number));
        verify_checkpoint(disk, &identity, manifest, progress, &mut verified)?;
        verify_segments(disk, &identity, manifest, progress, &mut verified)?;
    }
    let expected = manifest
        .map(|manifest| manifest.journal)
        .unwrap_or_default();
    let mut told = BTreeSet::new();
    let recovered = recover(disk, &identity, expected, &mut |file, found, rows| {
        if told.insert(file) {
            progress(&journal_name(file));
        }
        verified.writes += 1;
        verified.entries += rows.iter().map(|row| row.entries.len() as u64).sum::<u64>();
        verified.journal_size += found.header.padded_size();
    })?;
    verified.journal_files = recovered.files.len() as u64;
    verified.closed_cleanly = recovered.closed_cleanly;
    verified.cut = recovered.cut;
    CloseMark::verify(disk, &identity)?;
    Ok(verified)
}

fn verify_checkpoint(
    disk: &dyn Disk,
    identity: &Identity,
    manifest: &Manifest,
    progress: &mut dyn FnMut(&str),
    verified: &mut Verified,
) -> StoreResult<()> {
    for mark in &manifest.blocks {
        progress(&blocks_name(mark.number));
        read_blocks_file(disk, identity, mark, &mut |_, _| verified.blocks += 1)?;
    }
    let groups = restore(disk, identity, manifest)?;
    verified.checkpoint = manifest.number;
    verified.groups = groups.len() as u64;
    verified.queues = groups
        .values()
        .map(|group| group.state.queues.len() as u64)
        .sum();
    Ok(())
}

fn verify_segments(
    disk: &dyn Disk,
    identity: &Identity,
    manifest: &Manifest,
    progress: &mut dyn FnMut(&str),
    verified: &mut Verified,
) -> StoreResult<()> {
    for segment in open_segments(disk, identity, manifest)?.iter() {
        let name = segment_name(segment.number);
        progress(&name);
        let file = disk.open(&name)?;
        let mut bad = None;
        let seed = identity.checksum_seed(segment.number);
        let runs = scan_runs(&*file, &name, seed, &mut |run, _, frame| {
            let frame = Bytes::copy_from_slice(frame);
            match decode_retained(&frame, 0, frame.len()) {
                Ok(retained) => verified.records += retained.numbers.len() as u64,
                Err(what) => bad = bad.take().or(Some((run.position, what))),
            }
            verified.pieces += 1;
        })?;
        if let Some((position, what)) = bad {
            return Err(Damage::new(&name, position, what, REMEDY_COPY).into());
        }
        let end = runs.last().map_or(0, |run| run.position + run.size);
        if segment.rebuilt || runs != segment.runs {
            let what = "the footer is not what the runs say";
            return Err(Damage::new(&name, end, what, REMEDY_COPY).into());
        }
        verified.segments += 1;
        verified.segment_size += segment.size;
    }
    Ok(())
}
