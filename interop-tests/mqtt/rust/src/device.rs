//! What each behaviour begins with: a client of either version, as blocking calls.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{version_4, version_5};

pub const WAIT: Duration = Duration::from_secs(10);
pub const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    pub qos: u8,
    pub retain: bool,
}

/// How a client connects.
#[derive(Clone)]
pub struct Options {
    pub client_id: String,
    pub clean: bool,
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub will: Option<Message>,
}

/// What the thread that reads the connection tells.
pub enum Told {
    /// Is the session there?
    Connected(bool),
    Subscribed,
    Received(Message),
    Ended(String),
}

/// What is shared with that thread.
pub struct Link {
    pub told: Sender<Told>,
    pub acknowledged: Arc<AtomicUsize>,
    pub hang_up: Arc<AtomicBool>,
}

/// The calls of rumqttc's two clients.
pub trait Client {
    fn publish(&self, message: &Message);
    fn subscribe(&self, filter: &str, qos: u8);
    fn unsubscribe(&self, filter: &str);
    fn disconnect(&self);
}

pub struct Device {
    client: Box<dyn Client>,
    told: Receiver<Told>,
    waiting: std::collections::VecDeque<Message>,
    acknowledged: Arc<AtomicUsize>,
    hang_up: Arc<AtomicBool>,
    pub session_present: bool,
}

impl Device {
    fn tell(&mut self, what: &str) -> Told {
        self.told
            .recv_timeout(WAIT)
            .unwrap_or_else(|_| panic!("{what} does not come"))
    }

    pub fn next(&mut self) -> Message {
        if let Some(message) = self.waiting.pop_front() {
            return message;
        }
        match self.tell("a message") {
            Told::Received(message) => message,
            Told::Ended(why) => panic!("ended: {why}"),
            _ => self.next(),
        }
    }

    pub fn take(&mut self, count: usize) -> Vec<Message> {
        (0..count).map(|_| self.next()).collect()
    }

    /// What comes before the marker.
    pub fn until(&mut self, marker: &str) -> Vec<Message> {
        std::iter::from_fn(|| Some(self.next()).filter(|message| message.payload != marker))
            .collect()
    }

    pub fn subscribe(&mut self, filter: &str, qos: u8) {
        self.client.subscribe(filter, qos);
        loop {
            match self.tell("SUBACK") {
                Told::Subscribed => return,
                Told::Received(message) => self.waiting.push_back(message),
                Told::Ended(why) => panic!("ended: {why}"),
                Told::Connected(_) => {}
            }
        }
    }

    pub fn unsubscribe(&self, filter: &str) {
        self.client.unsubscribe(filter);
    }

    /// Returns once all are acknowledged.
    pub fn publish_all(&self, messages: &[Message]) {
        let before = self.acknowledged.load(Ordering::SeqCst);
        messages
            .iter()
            .for_each(|message| self.client.publish(message));
        let wanted = before + messages.iter().filter(|message| message.qos > 0).count();
        let deadline = Instant::now() + 3 * WAIT;
        while self.acknowledged.load(Ordering::SeqCst) < wanted {
            assert!(Instant::now() < deadline, "not all are acknowledged");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn publish(&self, topic: &str, payload: &str, qos: u8, retain: bool) {
        let (topic, payload) = (topic.to_owned(), payload.to_owned());
        self.publish_all(&[Message {
            topic,
            payload,
            qos,
            retain,
        }]);
    }

    pub fn wait_ended(&mut self) -> String {
        loop {
            if let Told::Ended(why) = self.tell("the end of the connection") {
                return why;
            }
        }
    }

    pub fn disconnect(mut self) {
        self.client.disconnect();
        self.wait_ended();
    }

    /// Without a DISCONNECT.
    pub fn hang_up(mut self) {
        self.hang_up.store(true, Ordering::SeqCst);
        self.wait_ended();
    }
}

pub struct Broker {
    options: Options,
    version_5: bool,
}

impl Broker {
    /// From mqtt://user:password@host:port
    pub fn new(url: &str, version_5: bool) -> Self {
        let (login, address) = url
            .strip_prefix("mqtt://")
            .and_then(|rest| rest.split_once('@'))
            .expect("a URL");
        let (user, password) = login.split_once(':').expect("a password");
        let (host, port) = address.split_once(':').expect("a port");
        let options = Options {
            client_id: String::new(),
            clean: true,
            host: host.to_owned(),
            port: port.parse().expect("a port's number"),
            user: user.to_owned(),
            password: password.to_owned(),
            will: None,
        };
        Self { options, version_5 }
    }

    /// A clean session of its own.
    pub fn options(&self) -> Options {
        Options {
            client_id: fresh("device"),
            ..self.options.clone()
        }
    }

    /// Or what the broker says instead.
    pub fn try_connect(&self, options: &Options) -> Result<Device, String> {
        let (sender, told) = channel();
        let (acknowledged, hang_up) = (Arc::default(), Arc::default());
        let link = Link {
            told: sender,
            acknowledged: Arc::clone(&acknowledged),
            hang_up: Arc::clone(&hang_up),
        };
        let client = if self.version_5 {
            version_5::start(options, link)
        } else {
            version_4::start(options, link)
        };
        let mut device = Device {
            client,
            told,
            waiting: Default::default(),
            acknowledged,
            hang_up,
            session_present: false,
        };
        match device.tell("CONNACK") {
            Told::Connected(present) => device.session_present = present,
            Told::Ended(why) => return Err(why),
            _ => panic!("not a CONNACK"),
        }
        Ok(device)
    }

    pub fn connect(&self) -> Device {
        self.try_connect(&self.options()).expect("a connection")
    }

    /// A session that outlives its connection, for an hour in MQTT 5.
    pub fn resume(&self, client_id: &str) -> Device {
        let options = Options {
            client_id: client_id.to_owned(),
            clean: false,
            ..self.options()
        };
        self.try_connect(&options).expect("a connection")
    }

    pub fn forget(&self, client_id: &str) {
        let options = Options {
            client_id: client_id.to_owned(),
            ..self.options()
        };
        self.try_connect(&options)
            .expect("a connection")
            .disconnect();
    }
}

/// A name nobody used.
pub fn fresh(name: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        .as_micros();
    format!("{name}-{now:x}-{}", COUNT.fetch_add(1, Ordering::SeqCst))
}

/// Asks whoever runs this to kill and start the broker; returns once connections are accepted again.
pub fn restart_broker() {
    println!("restart");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("an answer");
    assert_eq!(line, "restarted\n");
}

pub fn payloads(messages: &[Message]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message.payload.as_str())
        .collect()
}

/// "0", "1", ... to one topic.
pub fn numbered(topic: &str, count: usize, qos: u8) -> Vec<Message> {
    let numbered = |number: usize| Message {
        topic: topic.to_owned(),
        payload: number.to_string(),
        qos,
        retain: false,
    };
    (0..count).map(numbered).collect()
}
