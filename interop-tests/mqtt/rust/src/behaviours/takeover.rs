//! The last to connect with a client id has it; the old connection is ended.

use crate::device::{fresh, Broker};

pub fn run(broker: &Broker) {
    let (topic, client_id) = (fresh("takeover"), fresh("taken"));
    let mut first = broker.resume(&client_id);
    first.subscribe(&topic, 1);
    let mut second = broker.resume(&client_id);
    first.wait_ended();
    assert!(second.session_present);
    second.publish(&topic, "here", 1, false);
    assert_eq!(second.next().payload, "here");
    second.disconnect();
    broker.forget(&client_id);
}
