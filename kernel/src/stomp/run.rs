//! SENDs that come one after the other and are alike, as one run.

use bytes::Bytes;

use crate::decoder::Frame;
use crate::message_run::{Entry, Key, MessageRun, Origin, Span};
use crate::run_builder::{RunBuilder, RUN_COUNT_MAX, RUN_SIZE_MAX};
use crate::stomp::receipt::SendReceipts;
use crate::stomp::send::{Likeness, Send};

/// A run as the decoder gives it.
#[derive(Clone, Debug)]
pub struct Sends {
    pub messages: MessageRun,
    pub likeness: Likeness,
    pub receipts: SendReceipts,
}

/// The SENDs that came last.
pub struct Run {
    builder: RunBuilder,
    likeness: Likeness,
    receipts: SendReceipts,
    /// The key of the headers that came last, once one of this run had them.
    key: Option<u32>,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            builder: RunBuilder::new(Origin::Stomp),
            likeness: Likeness::default(),
            receipts: SendReceipts::default(),
            key: None,
        }
    }
}

impl Run {
    /// Other headers were read than those the last message had.
    pub fn forget(&mut self) {
        self.key = None;
    }

    pub fn is_empty(&self) -> bool {
        self.builder.count() == 0
    }

    /// Whether a message with these headers, whose frame has `size`, may join.
    #[inline]
    pub fn takes(&self, send: &Send, size: usize) -> bool {
        self.builder.has_room(size)
            && (self.key.is_some() || self.is_empty() || self.likeness == send.likeness)
    }

    /// `left`: bytes of its like may be there from it on.
    #[inline]
    pub fn push(
        &mut self,
        send: &Send,
        receipt: Option<&[u8]>,
        body: &[u8],
        size: usize,
        left: usize,
    ) {
        if self.is_empty() {
            self.begin(send, receipt, body, size, left);
        }
        let key = self.key.unwrap_or_else(|| {
            let key = self.builder.key(&send.exchange, &send.routing_key);
            self.key = Some(key);
            key
        });
        if let Some(id) = receipt {
            self.receipts.push(self.builder.count(), id);
        }
        self.builder.push(key, &send.properties, body, send.facts);
    }

    /// Makes room for `left` bytes of messages such as this one, whose frame has `size`.
    fn begin(
        &mut self,
        send: &Send,
        receipt: Option<&[u8]>,
        body: &[u8],
        size: usize,
        left: usize,
    ) {
        self.likeness = send.likeness.clone();
        let count = (left / size).clamp(1, RUN_COUNT_MAX);
        let names = send.exchange.len() + send.routing_key.len();
        let bytes = count * (send.properties.len() + body.len()) + names;
        self.builder
            .reserve(count, bytes.min(RUN_SIZE_MAX.max(size + names)));
        if let Some(id) = receipt {
            self.receipts.reserve(count, count * (id.len() + 1));
        }
    }

    pub fn finish(self) -> Frame {
        Frame::Sends(Box::new(Sends {
            messages: self.builder.finish(),
            likeness: self.likeness,
            receipts: self.receipts,
        }))
    }
}

/// A run of one message whose body stays where it is, in `buffer`.
pub fn alone(send: &Send, body: Span, mut buffer: Vec<u8>) -> Frame {
    buffer.reserve_exact(send.exchange.len() + send.routing_key.len() + send.properties.len());
    let mut put = |piece: &[u8]| {
        let span = Span::new(buffer.len(), piece.len());
        buffer.extend_from_slice(piece);
        span
    };
    let key = Key {
        exchange: put(&send.exchange),
        routing_key: put(&send.routing_key),
    };
    let entry = Entry {
        properties: put(&send.properties),
        body,
        key: 0,
        expiration_ms: send.facts.expiration_ms,
        priority: send.facts.priority,
        flags: send.facts.flags,
    };
    buffer.shrink_to_fit();
    let mut receipts = SendReceipts::default();
    if let Some(id) = &send.receipt {
        receipts.push(0, id);
    }
    Frame::Sends(Box::new(Sends {
        messages: MessageRun {
            origin: Origin::Stomp,
            buffer: Bytes::from(buffer),
            entries: vec![entry],
            dictionary: vec![key],
        },
        likeness: send.likeness.clone(),
        receipts,
    }))
}
