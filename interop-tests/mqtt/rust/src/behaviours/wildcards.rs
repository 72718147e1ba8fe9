//! Which topics a filter matches.

use crate::device::{fresh, payloads, Broker};

pub fn run(broker: &Broker) {
    let own = fresh("w");
    let topics =
        ["", "/", "/a/b", "/a//b", "/x.y/b", "/日本/😀"].map(|rest| format!("{own}{rest}"));
    let matched: [(&str, &[usize]); 5] = [
        ("/#", &[0, 1, 2, 3, 4, 5]),
        ("/+", &[1]),
        ("/+/b", &[2, 4]),
        ("/a/+/b", &[3]),
        ("/日本/+", &[5]),
    ];
    let publisher = broker.connect();
    for (filter, wanted) in matched {
        let mut subscriber = broker.connect();
        subscriber.subscribe(&format!("{own}{filter}"), 1);
        subscriber.subscribe(&format!("end-{own}"), 1);
        topics
            .iter()
            .for_each(|topic| publisher.publish(topic, topic, 1, false));
        publisher.publish(&format!("end-{own}"), "end", 1, false);
        let got = subscriber.until("end");
        assert_eq!(
            payloads(&got),
            wanted
                .iter()
                .map(|&number| topics[number].as_str())
                .collect::<Vec<_>>()
        );
        assert!(got.iter().all(|message| message.topic == message.payload));
        subscriber.unsubscribe(&format!("{own}{filter}"));
        subscriber.disconnect();
    }
}
