use std::sync::Arc;

use super::*;
use crate::delivery_run::Part;

/// Exchange and key, properties, body, flags, expiration.
type Row<'a> = (&'a [u8], &'a [u8], &'a [u8], &'a [u8], u8, u32);

fn run_of(rows: &[Row]) -> MessageRun {
    let mut builder = RunBuilder::new(Origin::Stomp);
    for (exchange, key, properties, body, flags, expiration_ms) in rows {
        let key = builder.key(exchange, key);
        let facts = Facts {
            expiration_ms: *expiration_ms,
            priority: 0,
            flags: *flags,
        };
        builder.push(key, properties, body, facts);
    }
    builder.finish()
}

fn deliveries(rows: &[Row], redelivered: bool) -> DeliveryRun {
    let part = Part {
        messages: Arc::new(run_of(rows)),
        first: 0,
        count: rows.len() as u32,
        redelivered,
        expires_ms: 0,
    };
    DeliveryRun { parts: vec![part] }
}

fn encoded(rows: &[Row], first_tag: u64, version: u8) -> String {
    let subscription = Subscription::new(Some(b"s:1"), 7, b"x", version, true);
    let wire = encode(&deliveries(rows, false), first_tag, &subscription);
    String::from_utf8(wire).unwrap()
}

const PLAIN: Row = (b"", b"q", b"", b"hi", 0, NO_EXPIRATION);

#[test]
fn a_message_by_each_version() {
    let row: Row = (
        b"amq.topic",
        b"a.b",
        b"content-type:text/plain\na\\cb:c\\n\\\\\n",
        b"hi",
        1,
        60_000,
    );
    assert_eq!(
        encoded(&[row], 9, 12),
        "MESSAGE\nsubscription:s\\c1\ndestination:/topic/a.b\nmessage-id:7@@x@@9\nack:7@@x@@9\nredelivered:false\n\
         persistent:true\nexpiration:60000\ncontent-type:text/plain\na\\cb:c\\n\\\\\ncontent-length:2\n\nhi\0\n"
    );
    assert_eq!(
        encoded(&[row], 9, 11),
        encoded(&[row], 9, 12).replace("ack:7@@x@@9\n", "")
    );
    // 1.0 cannot write the header's name.
    assert_eq!(
        encoded(&[row], 9, 10),
        "MESSAGE\nsubscription:s:1\ndestination:/topic/a.b\nmessage-id:7@@x@@9\nredelivered:false\n\
         persistent:true\nexpiration:60000\ncontent-type:text/plain\ncontent-length:2\n\nhi\0\n"
    );
}

#[test]
fn what_differs_between_messages_is_each_ones_own() {
    let rows: [Row; 5] = [
        PLAIN,
        (b"", b"q", b"a:1\n", b"hi", 0, NO_EXPIRATION),
        (b"x", b"", b"a:1\n", b"\0", 0, NO_EXPIRATION),
        (b"x", b"", b"a:1\n", b"?", 1, NO_EXPIRATION),
        (b"x", b"", b"a:1\n", b"?", 1, 5),
    ];
    let together = encoded(&rows, 98, 12);
    let one_by_one = rows
        .iter()
        .zip(98..)
        .map(|(row, tag)| encoded(&[*row], tag, 12));
    assert_eq!(together, one_by_one.collect::<String>());
    assert!(together.contains("destination:/exchange/x\nmessage-id:7@@x@@100\nack:7@@x@@100\n"));
    assert!(together.contains("content-length:1\n\n\0\0\n"));
}

#[test]
fn what_the_broker_says_a_publisher_does_not() {
    let lines = b"subscription:0\nack:1\ndestination:/queue/z\nmessage-id:2\nredelivered:true\ncontent-length:9\nacks:1\nb:\0\n";
    let row: Row = (b"", b"q", lines, b"hi", 0, NO_EXPIRATION);
    let kept: Row = (b"", b"q", b"acks:1\n", b"hi", 0, NO_EXPIRATION);
    for version in [10, 11, 12] {
        assert_eq!(encoded(&[row], 1, version), encoded(&[kept], 1, version));
    }
}

#[test]
fn without_id_or_ack() {
    let auto = Subscription::new(None, 1, b"x", 12, false);
    let wire = encode(&deliveries(&[PLAIN], true), 1, &auto);
    assert_eq!(
        wire,
        b"MESSAGE\ndestination:/queue/q\nmessage-id:1@@x@@1\nredelivered:true\ncontent-length:2\n\nhi\0\n"
    );
}

#[test]
fn a_reply_to_is_replaced_where_it_stood() {
    let rows: [Row; 2] = [
        (
            b"",
            b"q",
            b"a:1\nreply-to:/temp-queue/t\nreply-tox:1\n",
            b"hi",
            1,
            5,
        ),
        (
            b"x",
            b"k",
            b"reply-to:/temp-queue/t\n",
            b"",
            0,
            NO_EXPIRATION,
        ),
    ];
    let run = replace_reply_to(&run_of(&rows), b"/reply-queue/a:b");
    assert_eq!(
        run.properties(0),
        b"a:1\nreply-to:/reply-queue/a\\cb\nreply-tox:1\n"
    );
    assert_eq!(run.properties(1), b"reply-to:/reply-queue/a\\cb\n");
    assert_eq!(
        (
            run.body(0),
            run.entries[0].flags,
            run.entries[0].expiration_ms
        ),
        (&b"hi"[..], 1, 5)
    );
    assert_eq!(run.exchange(run.entries[1].key), b"x");
}

#[test]
fn tags_are_counted_up() {
    for first in [1, 9, 99, 999_999] {
        let mut tag = Decimal::of(first);
        for number in first..first + 3 {
            assert_eq!(tag.text(), number.to_string().as_bytes());
            tag.step();
        }
    }
}
