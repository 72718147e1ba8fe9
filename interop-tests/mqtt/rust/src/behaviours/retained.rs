//! The last retained message comes at subscribing, flagged; an empty one deletes it.

use crate::device::{fresh, Broker};

pub fn run(broker: &Broker) {
    let topic = fresh("retained");
    let publisher = broker.connect();
    publisher.publish(&topic, "old", 1, true);
    publisher.publish(&topic, "new", 1, true);
    let mut subscriber = broker.connect();
    subscriber.subscribe(&topic, 2);
    let got = subscriber.next();
    assert_eq!(
        (got.payload.as_str(), got.qos, got.retain),
        ("new", 1, true)
    );
    publisher.publish(&topic, "", 1, true);
    let got = subscriber.next();
    assert_eq!((got.payload.as_str(), got.qos, got.retain), ("", 1, false));
    let mut late = broker.connect();
    late.subscribe(&format!("{topic}/#"), 1);
    publisher.publish(&topic, "end", 1, false);
    assert_eq!(late.until("end"), []);
}
