//! A thousand messages of each QoS: all there, once, in order.

use crate::device::{fresh, numbered, Broker};

pub fn run(broker: &Broker) {
    for qos in 0..=2 {
        let topic = fresh("qos");
        let (mut subscriber, publisher) = (broker.connect(), broker.connect());
        subscriber.subscribe(&topic, qos);
        let sent = numbered(&topic, 1000, qos);
        publisher.publish_all(&sent);
        assert_eq!(subscriber.take(1000), sent);
        publisher.publish(&topic, "end", qos, false);
        assert_eq!(subscriber.until("end"), []);
        publisher.disconnect();
        subscriber.disconnect();
    }
}
