//! What is published while a session has no connection arrives when it has one again.

use crate::device::{fresh, numbered, Broker};

pub fn run(broker: &Broker) {
    let (topic, client_id) = (fresh("offline"), fresh("session"));
    let mut device = broker.resume(&client_id);
    device.subscribe(&topic, 2);
    device.hang_up();
    let publisher = broker.connect();
    let sent = numbered(&topic, 200, 1);
    publisher.publish_all(&sent);
    let mut device = broker.resume(&client_id);
    assert!(device.session_present);
    assert_eq!(device.take(200), sent);
    publisher.publish(&topic, "end", 1, false);
    assert_eq!(device.until("end"), []);
    device.disconnect();
    broker.forget(&client_id);
}
