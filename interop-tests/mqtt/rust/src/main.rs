//! `rumqttc LEVEL BEHAVIOUR URL`: one behaviour, shown by rumqttc in MQTT 3.1.1 (level 4) or 5.  It panics where the
//! broker does otherwise.

mod behaviours;
mod device;
mod version_4;
mod version_5;

use device::Broker;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [level, behaviour, url] = arguments.as_slice() else {
        panic!("usage: rumqttc LEVEL BEHAVIOUR URL");
    };
    let broker = Broker::new(url, level == "5");
    match behaviour.as_str() {
        "bad_login" => behaviours::bad_login::run(&broker),
        "every_qos" => behaviours::every_qos::run(&broker),
        "offline_messages" => behaviours::offline_messages::run(&broker),
        "restart" => behaviours::restart::run(&broker),
        "retained" => behaviours::retained::run(&broker),
        "takeover" => behaviours::takeover::run(&broker),
        "wildcards" => behaviours::wildcards::run(&broker),
        "will" => behaviours::will::run(&broker),
        _ => panic!("no behaviour {behaviour}"),
    }
    println!("shown");
    std::process::exit(0); // the clients' threads are not waited for
}
