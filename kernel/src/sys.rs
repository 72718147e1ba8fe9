//! What can't be said in safe Rust: descriptors that come as bare numbers.
#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{fcntl_dupfd_cloexec, fcntl_getfd, Result};

/// Takes `fd` over from Python, which has let go of it (`socket.detach()`); it is closed on drop.
///
/// # Errors
/// It is not an open descriptor. Nothing is taken over then.
pub fn own(fd: RawFd) -> Result<OwnedFd> {
    check(fd)?;
    // SAFETY: it is open, and the caller has handed it over.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A second descriptor of what `fd` is; `fd` stays its owner's.
///
/// # Errors
/// It is not an open descriptor, or there are no more.
pub fn duplicate(fd: RawFd) -> Result<OwnedFd> {
    check(fd)?;
    // SAFETY: it is open, and borrowed for this call only.
    fcntl_dupfd_cloexec(unsafe { BorrowedFd::borrow_raw(fd) }, 3)
}

fn check(fd: RawFd) -> Result<()> {
    if fd < 0 {
        return Err(rustix::io::Errno::BADF);
    }
    // SAFETY: borrowed for this call only, which fails where it is not open.
    fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) }).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_number_that_is_no_descriptor_is_refused() {
        assert!(own(-1).is_err());
        assert!(duplicate(1_000_000).is_err());
    }

    #[test]
    fn a_duplicate_outlives_what_it_was_made_of() {
        let (left, right) = std::os::unix::net::UnixStream::pair().unwrap();
        let copy = duplicate(left.as_raw_fd()).unwrap();
        drop(left);
        rustix::io::write(&copy, b"x").unwrap();
        let mut byte = [0; 1];
        rustix::io::read(&right, &mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }
}
