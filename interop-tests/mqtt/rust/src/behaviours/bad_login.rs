//! A wrong password is refused with the right code.

use crate::device::{Broker, Options};

pub fn run(broker: &Broker) {
    let wrong = Options {
        password: "wrong".to_owned(),
        ..broker.options()
    };
    let Err(why) = broker.try_connect(&wrong) else {
        panic!("not refused")
    };
    assert!(
        why.contains("BadUserNamePassword") || why.contains("NotAuthorized"),
        "{why}"
    );
    broker.connect().disconnect();
}
