//! Frames go out and come back the same, however they are cut, and nothing broken passes.

use super::*;

const SIZE_MAX: usize = 8 << 20;

fn message(to: u64, bulk: bool, sizes: &[usize]) -> PeerMessage {
    let pieces = sizes.iter().enumerate();
    let piece = |(place, size): (usize, &usize)| vec![place as u8 + 1; *size].into();
    PeerMessage {
        to,
        bulk,
        pieces: pieces.map(piece).collect(),
    }
}

fn taken(decoder: &mut FrameDecoder, data: &[u8]) -> Vec<(u8, Option<Vec<u64>>, Vec<u8>)> {
    decoder.receive_data(Bytes::copy_from_slice(data));
    let mut frames = Vec::new();
    while let Some(frame) = decoder.take_frame(SIZE_MAX).expect("good frames") {
        frames.push((frame.kind, numbers(&frame.head), frame.body.concat()));
    }
    frames
}

/// One peer's bulk frames: a small one, one with a large piece within, one that ends with one.
fn run() -> (FrameRun, Vec<Vec<u8>>) {
    let sizes: [&[usize]; 3] = [&[100], &[7, PIECE_SIZE_MIN, 9], &[5, 3 * PIECE_SIZE_MIN]];
    let messages: Vec<_> = sizes.iter().map(|sizes| message(2, true, sizes)).collect();
    let bodies = messages.iter().map(PeerMessage::data).collect();
    let mut runs = frame_runs(300, messages);
    assert_eq!(runs.len(), 1);
    (runs.remove(0), bodies)
}

#[test]
fn what_goes_out_comes_back_however_it_is_cut() {
    let (run, bodies) = run();
    let stream = run.pieces.concat();
    assert_eq!(run.size, stream.len());
    let expected: Vec<_> = bodies
        .into_iter()
        .map(|body| (APPEND, Some(vec![300]), body))
        .collect();
    for step in [
        1,
        2,
        3,
        11,
        12,
        13,
        100,
        16_383,
        16_384,
        40_000,
        stream.len(),
    ] {
        let mut decoder = FrameDecoder::default();
        let parts = stream.chunks(step);
        let frames: Vec<_> = parts.flat_map(|part| taken(&mut decoder, part)).collect();
        assert_eq!(frames, expected, "cut every {step} bytes");
        assert!(!decoder.is_unfinished());
    }
}

#[test]
fn large_pieces_are_not_copied_and_small_ones_go_together() {
    let large: Bytes = vec![7; PIECE_SIZE_MIN].into();
    let small = message(2, true, &[10, 20]);
    let mut with_large = message(2, true, &[1]);
    with_large.pieces.push(large.clone());
    let runs = frame_runs(1, vec![small.clone(), with_large, small]);
    let pieces = &runs[0].pieces;
    assert_eq!(pieces.len(), 3);
    assert_eq!(pieces[1].as_ptr(), large.as_ptr());
}

#[test]
fn each_peer_and_link_has_a_run_of_its_own_in_order() {
    let to = [(3, false), (2, true), (3, true), (3, false)];
    let messages = to.iter().map(|(to, bulk)| message(*to, *bulk, &[4]));
    let runs = frame_runs(0, messages.collect());
    let kinds: Vec<_> = runs.iter().map(|run| (run.to, run.bulk)).collect();
    assert_eq!(kinds, [(3, false), (2, true), (3, true)]);
    let frames = taken(&mut FrameDecoder::default(), &runs[0].pieces.concat());
    assert_eq!(frames, vec![(RAFT, Some(vec![0]), vec![1; 4]); 2]);
}

#[test]
fn groups_of_any_number_are_named() {
    for group in [0, 23, 24, 255, 256, 65_535, 65_536, u32::MAX] {
        let runs = frame_runs(group, vec![message(1, false, &[])]);
        let frames = taken(&mut FrameDecoder::default(), &runs[0].pieces.concat());
        assert_eq!(frames, [(RAFT, Some(vec![group.into()]), vec![])]);
    }
}

#[test]
fn any_flipped_bit_is_seen() {
    let runs = frame_runs(1, vec![message(1, false, &[20])]);
    let good = runs[0].pieces.concat();
    for bit in 0..good.len() * 8 {
        let mut broken = good.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        let mut decoder = FrameDecoder::default();
        decoder.receive_data(broken.into());
        assert!(decoder.take_frame(SIZE_MAX).is_err(), "bit {bit}");
    }
}

#[test]
fn a_length_is_looked_at_before_what_it_says_has_come() {
    let outer = |size: u32| {
        let length = size.to_le_bytes();
        [length, crc32c::crc32c(&length).to_le_bytes()].concat()
    };
    let fault = |data: Vec<u8>| {
        let mut decoder = FrameDecoder::default();
        decoder.receive_data(data.into());
        decoder.take_frame(1000)
    };
    let too_large = FrameFault::TooLarge {
        size: 1001,
        size_max: 1000,
    };
    assert_eq!(fault(outer(1001)), Err(too_large));
    assert_eq!(fault(outer(2)), Err(FrameFault::TooFew { size: 2 }));
    assert_eq!(fault(outer(1000)), Ok(None));
    let mut broken = outer(1000);
    broken[7] ^= 1;
    assert_eq!(fault(broken), Err(FrameFault::LengthChecksum));
}

#[test]
fn heads_that_are_more_than_a_few_numbers_are_left_to_others() {
    let good: [(&[u8], Vec<u64>); 4] = [
        (&[0x80], vec![]),
        (&[0x81, 0x17], vec![23]),
        (&[0x82, 0x18, 0xFF, 0x19, 1, 0], vec![255, 256]),
        (
            &[0x81, 0x1B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            vec![u64::MAX],
        ),
    ];
    for (head, expected) in good {
        assert_eq!(numbers(head), Some(expected));
    }
    let others: [&[u8]; 7] = [
        &[],
        &[0x81],
        &[0x81, 0x20],
        &[0x81, 0x18],
        &[0x81, 1, 2],
        &[0x9F, 1, 0xFF],
        &[0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    ];
    for head in others {
        assert_eq!(numbers(head), None, "{head:?}");
    }
}
