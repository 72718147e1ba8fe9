//! A directory of the machine's file system behind the [`Disk`] trait.

use std::io::IoSlice;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::buffer::spare_capacity;
use rustix::fs::{self, Advice, AtFlags, FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};

use crate::disk::{Disk, DiskError, DiskFault, DiskFile, DiskResult};

/// Lies in the directory for as long as the directory does; its lock is what counts.
const LOCK_NAME: &str = "lock";
static ZEROS: [u8; 1 << 18] = [0; 1 << 18];
/// The kernel takes at most this many parts a call (`UIO_MAXIOV`).
const PARTS_MAX: usize = 1024;

fn fault(errno: Errno) -> DiskFault {
    match errno {
        Errno::NOSPC | Errno::DQUOT => DiskFault::NoSpace,
        Errno::NOENT => DiskFault::NotFound,
        Errno::EXIST => DiskFault::Exists,
        Errno::WOULDBLOCK => DiskFault::Locked,
        other => DiskFault::Errno(other.raw_os_error()),
    }
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

pub struct RealDisk {
    path: String,
    directory: OwnedFd,
    lock: Mutex<Option<OwnedFd>>,
}

impl RealDisk {
    /// Opens the directory at `path`, which must exist. Locks nothing.
    pub fn open(path: &Path) -> DiskResult<Self> {
        let shown = path.display().to_string();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = retry(|| fs::open(path, flags, Mode::empty()))
            .map_err(|errno| DiskError::new(fault(errno), "open", &shown))?;
        Ok(Self {
            path: shown,
            directory,
            lock: Mutex::new(None),
        })
    }

    fn open_with(&self, name: &str, flags: OFlags, what: &'static str) -> DiskResult<OwnedFd> {
        assert!(!name.contains('/') && !name.is_empty(), "{name:?}");
        let mode = Mode::RUSR | Mode::WUSR;
        retry(|| fs::openat(&self.directory, name, flags | OFlags::CLOEXEC, mode))
            .map_err(|errno| DiskError::new(fault(errno), what, name))
    }
}

impl Disk for RealDisk {
    fn list(&self) -> DiskResult<Vec<String>> {
        let error = |errno| DiskError::new(fault(errno), "list", &self.path);
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.directory).map_err(error)? {
            let name = entry
                .map_err(error)?
                .file_name()
                .to_string_lossy()
                .into_owned();
            if ![".", "..", LOCK_NAME].contains(&name.as_str()) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let file = self.open_with(name, OFlags::RDWR, "open")?;
        Ok(RealFile::shared(name, file))
    }

    fn create(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = self.open_with(name, flags, "create")?;
        Ok(RealFile::shared(name, file))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        retry(|| fs::renameat(&self.directory, from, &self.directory, to))
            .map_err(|errno| DiskError::new(fault(errno), "rename", from))
    }

    fn remove(&self, name: &str) -> DiskResult<()> {
        retry(|| fs::unlinkat(&self.directory, name, AtFlags::empty()))
            .map_err(|errno| DiskError::new(fault(errno), "remove", name))
    }

    fn sync_dir(&self) -> DiskResult<()> {
        retry(|| fs::fsync(&self.directory))
            .map_err(|errno| DiskError::new(fault(errno), "sync directory", &self.path))
    }

    fn free_space(&self) -> DiskResult<u64> {
        let space = retry(|| fs::fstatvfs(&self.directory))
            .map_err(|errno| DiskError::new(fault(errno), "stat", &self.path))?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    fn lock(&self) -> DiskResult<()> {
        let flags = OFlags::RDWR | OFlags::CREATE;
        let file = self.open_with(LOCK_NAME, flags, "lock")?;
        retry(|| fs::flock(&file, FlockOperation::NonBlockingLockExclusive))
            .map_err(|errno| DiskError::new(fault(errno), "lock", &self.path))?;
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    fn unlock(&self) {
        // Closing the descriptor gives the lock back.
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

struct RealFile {
    /// The name it was opened by, for errors.
    name: String,
    file: OwnedFd,
    /// The same, past the page cache, once it is wanted; None: the file system has no such thing, or /proc isn't there.
    direct: OnceLock<Option<OwnedFd>>,
}

impl RealFile {
    fn shared(name: &str, file: OwnedFd) -> Arc<dyn DiskFile> {
        Arc::new(Self {
            name: name.to_owned(),
            file,
            direct: OnceLock::new(),
        })
    }

    fn error(&self, errno: Errno, operation: &'static str) -> DiskError {
        DiskError::new(fault(errno), operation, &self.name)
    }

    /// Not by its name, as it may have another one by now.
    fn direct(&self) -> Option<&OwnedFd> {
        let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let open = || fs::open(&path, flags, Mode::empty());
        self.direct.get_or_init(|| retry(open).ok()).as_ref()
    }
}

impl DiskFile for RealFile {
    fn size(&self) -> DiskResult<u64> {
        let stat = retry(|| fs::fstat(&self.file)).map_err(|errno| self.error(errno, "stat"))?;
        Ok(stat.st_size as u64)
    }

    /// Into memory that nobody filled with zeros first.
    fn read_range(&self, position: u64, size: usize) -> DiskResult<Vec<u8>> {
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size {
            let at = position + bytes.len() as u64;
            let read = retry(|| rustix::io::pread(&self.file, spare_capacity(&mut bytes), at))
                .map_err(|errno| self.error(errno, "read"))?;
            if read == 0 {
                break;
            }
        }
        bytes.truncate(size);
        Ok(bytes)
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> DiskResult<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            let read =
                retry(|| rustix::io::pread(&self.file, &mut *rest, position + filled as u64))
                    .map_err(|errno| self.error(errno, "read"))?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        Ok(filled)
    }

    fn writev_at(&self, mut position: u64, parts: &[IoSlice<'_>]) -> DiskResult<()> {
        // A short write is rare (a signal, a nearly full disk): only then is the list copied.
        let mut rest: Vec<IoSlice<'_>>;
        let mut parts = parts;
        loop {
            let wanted = &parts[..parts.len().min(PARTS_MAX)];
            let size: usize = wanted.iter().map(|part| part.len()).sum();
            if size == 0 && wanted.len() == parts.len() {
                return Ok(());
            }
            let mut written = retry(|| rustix::io::pwritev(&self.file, wanted, position))
                .map_err(|errno| self.error(errno, "write"))?;
            position += written as u64;
            if written == size {
                parts = &parts[wanted.len()..];
                continue;
            }
            if written == 0 {
                return Err(self.error(Errno::NOSPC, "write"));
            }
            let full = parts
                .iter()
                .take_while(|part| {
                    let fits = part.len() <= written;
                    written -= if fits { part.len() } else { 0 };
                    fits
                })
                .count();
            rest = parts[full..].to_vec();
            rest[0].advance(written);
            parts = &rest;
        }
    }

    fn write_blocks(&self, position: u64, blocks: &[u8]) -> DiskResult<()> {
        let mut at = 0;
        if let Some(direct) = self.direct() {
            while at < blocks.len() {
                match retry(|| rustix::io::pwrite(direct, &blocks[at..], position + at as u64)) {
                    Ok(0) => return Err(self.error(Errno::NOSPC, "write")),
                    Ok(written) => at += written,
                    Err(Errno::INVAL) => break, // it wants larger blocks, or can't after all
                    Err(errno) => return Err(self.error(errno, "write")),
                }
            }
        }
        self.writev_at(position + at as u64, &[IoSlice::new(&blocks[at..])])
    }

    fn write_synced(&self, position: u64, sectors: &[u8]) -> DiskResult<bool> {
        let Some(direct) = self.direct() else {
            return Ok(false);
        };
        let parts = [IoSlice::new(sectors)];
        match retry(|| rustix::io::pwritev2(direct, &parts, position, ReadWriteFlags::DSYNC)) {
            Ok(written) => Ok(written == sectors.len()),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(false),
            Err(errno) => Err(self.error(errno, "write")),
        }
    }

    fn read_blocks(&self, position: u64, blocks: &mut [u8]) -> DiskResult<usize> {
        let mut filled = 0;
        if let Some(direct) = self.direct() {
            while filled < blocks.len() {
                let rest = &mut blocks[filled..];
                match retry(|| rustix::io::pread(direct, &mut *rest, position + filled as u64)) {
                    Ok(0) => return Ok(filled),
                    Ok(read) => filled += read,
                    Err(Errno::INVAL) => break, // it wants larger blocks, or can't after all
                    Err(errno) => return Err(self.error(errno, "read")),
                }
            }
        }
        Ok(filled + self.read_at(position + filled as u64, &mut blocks[filled..])?)
    }

    fn zero(&self, mut position: u64, size: u64) -> DiskResult<()> {
        let end = position + size;
        while position < end {
            let part = ZEROS.len().min((end - position) as usize);
            self.writev_at(position, &[IoSlice::new(&ZEROS[..part])])?;
            position += part as u64;
        }
        Ok(())
    }

    fn preallocate(&self, size: u64) -> DiskResult<()> {
        match retry(|| fs::fallocate(&self.file, FallocateFlags::empty(), 0, size)) {
            // Not every file system has it: zeros take the room as well.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let present = self.size()?;
                self.zero(present, size.saturating_sub(present))
            }
            result => result.map_err(|errno| self.error(errno, "preallocate")),
        }
    }

    fn set_size(&self, size: u64) -> DiskResult<()> {
        retry(|| fs::ftruncate(&self.file, size)).map_err(|errno| self.error(errno, "cut"))
    }

    fn sync(&self) -> DiskResult<()> {
        retry(|| fs::fdatasync(&self.file)).map_err(|errno| self.error(errno, "sync"))
    }

    fn release_cached(&self, position: u64, size: u64) {
        // Advice only: whoever doesn't take it keeps the pages for longer.
        let _ = fs::fadvise(
            &self.file,
            position,
            NonZeroU64::new(size),
            Advice::DontNeed,
        );
    }
}
