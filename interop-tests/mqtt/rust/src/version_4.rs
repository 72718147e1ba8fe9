//! rumqttc in MQTT 3.1.1.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rumqttc::{Event, LastWill, MqttOptions, Packet, QoS};

use crate::device::{Client, Link, Message, Options, Told, POLL};

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

impl Client for rumqttc::Client {
    fn publish(&self, message: &Message) {
        let Message {
            topic,
            payload,
            qos,
            retain,
        } = message.clone();
        self.publish(topic, QOS[usize::from(qos)], retain, payload)
            .expect("a running client");
    }

    fn subscribe(&self, filter: &str, qos: u8) {
        self.subscribe(filter, QOS[usize::from(qos)])
            .expect("a running client");
    }

    fn unsubscribe(&self, filter: &str) {
        self.unsubscribe(filter).expect("a running client");
    }

    fn disconnect(&self) {
        self.disconnect().expect("a running client");
    }
}

/// Starts the thread that reads; it ends with the connection.
pub fn start(given: &Options, link: Link) -> Box<dyn Client> {
    let mut options = MqttOptions::new(&given.client_id, &given.host, given.port);
    options
        .set_keep_alive(Duration::from_secs(60))
        .set_credentials(&given.user, &given.password);
    options.set_clean_session(given.clean);
    if let Some(Message {
        topic,
        payload,
        qos,
        retain,
    }) = given.will.clone()
    {
        options.set_last_will(LastWill::new(topic, payload, QOS[usize::from(qos)], retain));
    }
    let (client, mut connection) = rumqttc::Client::new(options, 10);
    std::thread::spawn(move || {
        let why = loop {
            match connection.recv_timeout(POLL) {
                Ok(Ok(event)) => tell(event, &link),
                Ok(Err(error)) => break error.to_string(),
                Err(_) if link.hang_up.load(Ordering::SeqCst) => break "hung up".to_owned(),
                Err(rumqttc::RecvTimeoutError::Timeout) => {}
                Err(rumqttc::RecvTimeoutError::Disconnected) => break "all is sent".to_owned(),
            }
        };
        drop(connection);
        link.told.send(Told::Ended(why)).ok(); // nobody may be interested any more
    });
    Box::new(client)
}

fn tell(event: Event, link: &Link) {
    let told = match event {
        Event::Incoming(Packet::ConnAck(connack)) => Told::Connected(connack.session_present),
        Event::Incoming(Packet::SubAck(_)) => Told::Subscribed,
        Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => {
            link.acknowledged.fetch_add(1, Ordering::SeqCst);
            return;
        }
        Event::Incoming(Packet::Publish(got)) => Told::Received(Message {
            topic: got.topic,
            payload: String::from_utf8(got.payload.to_vec()).expect("text"),
            qos: got.qos as u8,
            retain: got.retain,
        }),
        _ => return,
    };
    link.told.send(told).ok(); // nobody may be interested any more
}
