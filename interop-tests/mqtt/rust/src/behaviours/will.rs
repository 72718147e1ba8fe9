//! A will is sent when the connection is lost, and not after DISCONNECT.

use crate::device::{fresh, Broker, Message, Options};

pub fn run(broker: &Broker) {
    let topic = fresh("will");
    let mut watcher = broker.connect();
    watcher.subscribe(&topic, 2);
    let will = |payload: &str| Message {
        topic: topic.clone(),
        payload: payload.to_owned(),
        qos: 2,
        retain: true,
    };
    let connect = |will: Message| {
        broker
            .try_connect(&Options {
                will: Some(will),
                ..broker.options()
            })
            .expect("a connection")
    };
    connect(will("never")).disconnect();
    connect(will("lost")).hang_up();
    assert_eq!(
        watcher.next(),
        Message {
            retain: false,
            ..will("lost")
        }
    );
    let mut late = broker.connect();
    late.subscribe(&topic, 1);
    assert_eq!(
        late.next(),
        Message {
            qos: 1,
            ..will("lost")
        }
    );
    late.publish(&topic, "", 1, true);
}
