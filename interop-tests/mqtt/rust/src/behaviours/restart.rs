//! After the broker was killed and started: what a session is owed, and what is retained.

use crate::device::{fresh, numbered, payloads, restart_broker, Broker};

pub fn run(broker: &Broker) {
    let (topic, client_id) = (fresh("restart"), fresh("session"));
    let below = format!("{topic}/x");
    let mut device = broker.resume(&client_id);
    device.subscribe(&format!("{topic}/+"), 1);
    device.disconnect();
    let mut publisher = broker.connect();
    let sent = numbered(&below, 20, 1);
    publisher.publish_all(&sent);
    publisher.publish(&topic, "kept", 1, true);
    restart_broker();
    publisher.wait_ended();
    let mut device = broker.resume(&client_id);
    assert!(device.session_present);
    assert_eq!(device.take(20), sent);
    device.subscribe(&topic, 1);
    let got = device.next();
    assert_eq!((got.payload.as_str(), got.retain), ("kept", true));
    device.publish(&topic, "", 1, true);
    device.publish(&below, "end", 1, false);
    assert_eq!(payloads(&device.until("end")), [""]);
    device.disconnect();
    broker.forget(&client_id);
}
