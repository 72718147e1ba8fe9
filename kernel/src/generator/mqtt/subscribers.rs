//! Many clients that have subscribed and then do nothing.

use super::{client_id, connect, subscribe, wire};
use crate::generator::clock::{now, seconds};
use crate::generator::socket::Socket;

/// Connected until they are dropped.
pub struct Subscribers {
    sockets: Vec<Socket>,
    /// From the first connect to the last SUBACK.
    seconds: f64,
}

impl Subscribers {
    /// One after another: connects, subscribes with QoS 1 to a topic of its own, waits for the SUBACK.
    /// `interrupted` is asked now and then whether to give up.
    pub fn open(
        host: &str,
        port: u16,
        count: usize,
        nonce: u32,
        interrupted: &mut dyn FnMut() -> bool,
    ) -> Result<Self, String> {
        let began = now();
        let mut sockets = Vec::with_capacity(count);
        for place in 0..count {
            if place % 256 == 0 && interrupted() {
                return Err("interrupted".into());
            }
            let name = client_id(nonce, 'i', place);
            let mut socket = connect(Socket::connect(host, port)?, &name, true)?;
            subscribe(&mut socket, &format!("idle/{name}"), 1)?;
            sockets.push(socket);
        }
        Ok(Self {
            sockets,
            seconds: seconds(now() - began),
        })
    }

    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    pub fn close(&mut self) {
        for mut socket in self.sockets.drain(..) {
            wire::bare(socket.output(), wire::DISCONNECT);
            socket.hang_up();
        }
    }
}
