//! The frame around everything: `type u8 | channel u16 | size u32 | payload | 0xCE` (specification 4.2.3).

pub const METHOD: u8 = 1;
pub const HEADER: u8 = 2;
pub const BODY: u8 = 3;
pub const HEARTBEAT: u8 = 8;

pub const HEAD_SIZE: usize = 7;
/// Bytes of a frame beside its payload.
pub const OVERHEAD: usize = 8;
pub const END: u8 = 0xCE;

/// One frame, whole.
#[derive(Clone, Copy)]
pub struct WireFrame<'a> {
    pub kind: u8,
    pub channel: u16,
    pub payload: &'a [u8],
}

/// What stands at the front of some bytes.
pub enum Front<'a> {
    Whole(WireFrame<'a>),
    /// A frame's start; the frame is this long, as far as can be seen.
    Part(usize),
    UnknownKind(u8),
    /// Longer than allowed: its size.
    TooLong(usize),
    WrongEnd,
}

/// The frame at the front of `data`; what is wrong with it is seen as soon as it is there.
#[inline]
pub fn front(data: &[u8], frame_size_max: usize) -> Front<'_> {
    let Some(head) = data.first_chunk::<HEAD_SIZE>() else {
        return Front::Part(HEAD_SIZE);
    };
    let [kind, c1, c0, s3, s2, s1, s0] = *head;
    if !matches!(kind, METHOD | HEADER | BODY | HEARTBEAT) {
        return Front::UnknownKind(kind);
    }
    let size = u32::from_be_bytes([s3, s2, s1, s0]) as usize + OVERHEAD;
    if size > frame_size_max {
        return Front::TooLong(size);
    }
    let Some((&end, payload)) = data.get(HEAD_SIZE..size).and_then(<[u8]>::split_last) else {
        return Front::Part(size);
    };
    if end != END {
        return Front::WrongEnd;
    }
    Front::Whole(WireFrame {
        kind,
        channel: u16::from_be_bytes([c1, c0]),
        payload,
    })
}

impl WireFrame<'_> {
    /// Its size on the wire.
    pub fn size(&self) -> usize {
        self.payload.len() + OVERHEAD
    }
}
