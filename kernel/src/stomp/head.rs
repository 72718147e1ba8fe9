//! A frame's command and header lines, found as they come: no byte is looked at twice, and each limit is checked at
//! the byte that breaks it, so that however they are cut the violation is the same.

use memchr::memchr2;

use crate::decoder::Violation;
use crate::stomp::frame::{shown, violation};
use crate::stomp::header::{self, Rules};

pub const COMMAND_SIZE_MAX: usize = 32;
pub const HEADER_COUNT_MAX: usize = 100;
/// Of a header line, without its line feed.
pub const LINE_SIZE_MAX: usize = 8 << 10;

/// A line without its end; positions count from the frame's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    start: u32,
    end: u32,
}

impl Line {
    pub fn of(self, data: &[u8]) -> &[u8] {
        &data[self.start as usize..self.end as usize]
    }

    pub fn start(self) -> usize {
        self.start as usize
    }
}

/// How far one has come.
#[derive(Debug, Default)]
pub struct Head {
    /// The command and then the headers.
    lines: Vec<Line>,
    /// Where the next line begins.
    at: usize,
    /// Up to where no end of it is.
    seen: usize,
    /// The command ended in CR LF: so do the lines, whatever the version says.
    crlf: bool,
    /// Where the body begins.
    end: Option<usize>,
    /// The blank line is missing, and NUL stands there (`stomper`).
    cut_short: bool,
}

impl Head {
    pub fn clear(&mut self) {
        self.lines.clear();
        (self.at, self.seen, self.crlf) = (0, 0, false);
        (self.end, self.cut_short) = (None, false);
    }

    pub fn is_fresh(&self) -> bool {
        self.seen == 0
    }

    /// Where the body begins, once that is known.
    pub fn end(&self) -> Option<usize> {
        self.end
    }

    pub fn cut_short(&self) -> bool {
        self.cut_short
    }

    /// Whether there is a carriage return at a line's end.
    pub fn crlf(&self) -> bool {
        self.crlf
    }

    pub fn command<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        self.lines.first().map_or(b"", |line| line.of(data))
    }

    /// Those that are whole so far.
    pub fn headers(&self) -> &[Line] {
        self.lines.get(1..).unwrap_or_default()
    }

    /// The first header of this name, as it was meant.
    pub fn find(&self, data: &[u8], name: &[u8], rules: Rules) -> Option<Vec<u8>> {
        let mut found = self.headers().iter().filter_map(|line| {
            let (of, value) = header::split(line.of(data), rules).ok()?;
            (*of == *name).then(|| value.into_owned())
        });
        found.next()
    }

    /// The most bytes of the frame that are worth having before the next look.
    pub fn size_wanted(&self, frame_size_max: usize) -> usize {
        (self.at + self.line_size_max()).min(frame_size_max) + 1
    }

    fn line_size_max(&self) -> usize {
        if self.lines.is_empty() {
            COMMAND_SIZE_MAX
        } else {
            LINE_SIZE_MAX
        }
    }

    /// Looks on in the frame's bytes so far; where its body begins, once that is there. `any_crlf`: a line may end in
    /// CR LF though the command did not.
    #[inline]
    pub fn scan(
        &mut self,
        data: &[u8],
        any_crlf: bool,
        frame_size_max: usize,
    ) -> Result<Option<usize>, Violation> {
        while self.end.is_none() {
            let wanted = self.size_wanted(frame_size_max);
            // The limit may have become smaller.
            let end = data.len().min(wanted).max(self.seen);
            let Some(found) = memchr2(b'\n', 0, &data[self.seen..end]) else {
                self.seen = end;
                if data.len() < wanted {
                    return Ok(None);
                }
                return Err(self.too_large(data, frame_size_max));
            };
            self.end_line(data, self.seen + found, any_crlf)?;
        }
        Ok(self.end)
    }

    /// A line feed or NUL is at `at`.
    fn end_line(&mut self, data: &[u8], at: usize, any_crlf: bool) -> Result<(), Violation> {
        if data[at] == 0 {
            if at == self.at && !self.lines.is_empty() {
                (self.end, self.cut_short) = (Some(at), true);
                return Ok(());
            }
            let line = shown(&data[self.at..at]);
            let text = format!("NUL after {line}, before the blank line that ends the headers");
            return Err(violation("Malformed frame", text));
        }
        let first = self.lines.is_empty();
        let mut end = at;
        if end > self.at && data[end - 1] == b'\r' && (first || any_crlf || self.crlf) {
            end -= 1;
            self.crlf = true;
        }
        if end == self.at && !first {
            self.end = Some(at + 1);
            return Ok(());
        }
        if self.lines.len() > HEADER_COUNT_MAX {
            let text = format!("at most {HEADER_COUNT_MAX} are allowed");
            return Err(violation("Too many headers", text));
        }
        self.lines.push(Line {
            start: self.at as u32,
            end: end as u32,
        });
        (self.at, self.seen) = (at + 1, at + 1);
        Ok(())
    }

    fn too_large(&self, data: &[u8], frame_size_max: usize) -> Violation {
        if self.at + self.line_size_max() >= frame_size_max {
            return frame_too_large(frame_size_max);
        }
        let (what, most) = if self.lines.is_empty() {
            ("Command", COMMAND_SIZE_MAX)
        } else {
            ("Header line", LINE_SIZE_MAX)
        };
        let line = shown(&data[self.at..self.seen]);
        let text = format!("{line} goes on, at most {most} bytes are allowed");
        violation(&format!("{what} too long"), text)
    }
}

pub fn frame_too_large(frame_size_max: usize) -> Violation {
    let text = format!("at most {frame_size_max} bytes are allowed");
    violation("Frame too large", text)
}
