use super::*;
use crate::sim_disk::SplitMix;

fn head() -> StreamHead {
    StreamHead {
        group: 3,
        position: Position { index: 77, term: 4 },
        peer: 9,
        queue_count: 1,
        row_count: 1,
        conf: vec![1, 2, 3],
    }
}

const ADDRESS: Address = Address { entry: 5, frame: 1 };

fn stream() -> Vec<u8> {
    let mut writer = StreamWriter::begin(&head());
    let record = |writer: &mut StreamWriter, kind, key: &[u8], content: &[u8]| {
        let content = Bytes::copy_from_slice(content);
        writer.record(kind, key, content).unwrap();
    };
    record(&mut writer, BLOCK_HEAD, b"", b"the head");
    record(&mut writer, BLOCK_QUEUE, &[0; 8], b"a queue");
    record(&mut writer, BLOCK_ROW, b"key", b"");
    let frame = Bytes::from(vec![7; 3000]);
    writer.frame(ADDRESS, 2, frame).unwrap();
    writer.end();
    let mut out = Vec::new();
    loop {
        let taken = writer.take(100);
        assert!(taken.len() <= 100);
        if taken.is_empty() {
            return out;
        }
        out.extend(taken);
    }
}

/// All items, with the parts pushed one after the other.
fn read<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Item>, StreamError> {
    let (mut reader, mut items) = (StreamReader::default(), Vec::new());
    for part in parts {
        reader.push(part);
        while let Some(item) = reader.next()? {
            if let Item::Record { kind, content, .. } = &item {
                if *kind == KIND_FRAME {
                    reader.count_frame(2, content.len());
                }
            }
            items.push(item);
        }
    }
    Ok(items)
}

#[test]
fn a_stream_is_the_same_however_it_is_cut() {
    let stream = stream();
    let whole = read([&stream[..]]).unwrap();
    assert_eq!(whole.len(), 6);
    assert_eq!(whole[0], Item::Head(head()));
    assert_eq!(whole[5], Item::End);
    for seed in 0..200 {
        let mut random = SplitMix(seed);
        let (mut parts, mut rest) = (Vec::new(), &stream[..]);
        while !rest.is_empty() {
            let size = 1 + random.below(1 + seed * 20) as usize;
            let (part, left) = rest.split_at(size.min(rest.len()));
            parts.push(part);
            rest = left;
        }
        assert_eq!(read(parts).unwrap(), whole);
    }
}

#[test]
fn a_flipped_bit_a_missing_byte_or_one_too_many_is_refused() {
    let stream = stream();
    for position in 0..stream.len() {
        let mut bad = stream.clone();
        bad[position] ^= 1 << (position % 8);
        // What claims to be longer than it is may wait for what never comes.
        let items = read([&bad[..]]);
        assert!(items.is_err(), "byte {position}: {items:?}");
        let cut = read([&stream[..position]]).unwrap();
        assert!(!cut.contains(&Item::End));
    }
    let error = read([&stream[..], b"x"]).unwrap_err();
    assert_eq!(error.position, stream.len() as u64);
    assert_eq!(error.what, "there is more after the end");
}

#[test]
fn no_record_passes_in_another_s_place() {
    let stream = stream();
    let start = HEAD_SIZE + 3 + 4;
    let (first, second) = (RECORD_HEAD_SIZE + 8, RECORD_HEAD_SIZE + 8 + 7);
    let (a, b) = (start + first, start + first + second);
    let swapped = [&stream[..start], &stream[a..b], &stream[start..a]];
    assert_eq!(read(swapped).unwrap_err().position, start as u64);
    let twice = [&stream[..a], &stream[start..a]];
    assert_eq!(read(twice).unwrap_err().position, a as u64);
    let lost = [&stream[..start], &stream[a..]];
    assert_eq!(read(lost).unwrap_err().position, start as u64);
}

#[test]
fn a_size_over_its_limit_is_refused_before_anything_of_it_came() {
    for (kind, key_min, key_max, content_max) in KINDS {
        for (key_size, content_size) in [
            (key_max + 1, 0),
            (key_min, content_max as usize + 1),
            (key_min.wrapping_sub(1), 0),
        ] {
            assert!(check_sizes(kind, key_size, content_size).is_err());
        }
        assert_eq!(check_sizes(kind, key_min, content_max as usize), Ok(()));
        let mut reader = StreamReader {
            next: Next::Record,
            ..StreamReader::default()
        };
        let mut bytes = vec![kind, 0];
        bytes.extend_from_slice(&(key_min as u16).to_le_bytes());
        bytes.extend_from_slice(&(content_max + 1).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let sum = head_checksum(0, 0, &bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        reader.push(&bytes);
        assert!(reader.next().is_err(), "kind {kind}");
    }
    assert!(check_sizes(99, 0, 0).is_err());
}

#[test]
fn another_version_or_another_end_is_refused() {
    let mut bytes = head().encode();
    bytes[8] = 2;
    let sum = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&sum.to_le_bytes());
    let error = read([&bytes[..]]).unwrap_err();
    assert_eq!(error.what, "version 2 is not known, only 1");
    let mut writer = StreamWriter::begin(&head());
    writer.totals.messages = 1;
    writer.end();
    let error = read([&writer.take(1000)[..]]).unwrap_err();
    assert_eq!(error.what, "the end counts other than what came");
}
