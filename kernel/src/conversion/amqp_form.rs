//! AMQP 0-9-1's properties as conversions handle them: taken apart, and put together.

use std::collections::HashMap;

use crate::amqp::properties::{self, flag};
use crate::amqp::table::{self, Field};
use crate::conversion::mqtt_properties::{is_topic, STRING_SIZE_MAX};
use crate::conversion::{carried, text};

pub const SHORT_STRING_SIZE_MAX: usize = 255;
/// A header frame can't be cut, and the smallest limit of a frame that is usual is 128 KiB: the headers have that
/// without 4 KiB, of which the other properties need three.
const HEADERS_SIZE_MAX: usize = 124 * 1024;
/// A length before the array's or string's content, and its type.
const LONG_HEAD_SIZE: usize = 5;

/// AMQP properties, taken apart.
#[derive(Default)]
pub struct Message<'a> {
    /// By the flag's bit.
    pub values: [Option<&'a [u8]>; 16],
    pub headers: &'a [u8],
    pub topic: Option<&'a [u8]>,
    pub content_type: Option<&'a [u8]>,
    pub correlation_data: Option<&'a [u8]>,
    pub payload_format: Option<u8>,
    pub response_exchange: Option<&'a [u8]>,
    pub response_topic: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    pub fn read(encoded: &'a [u8]) -> Self {
        let mut message = Self::default();
        // What is ill-formed ends early: what was found till then counts.
        let _ = properties::visit(encoded, |property, value| {
            message.values[property.ilog2() as usize] = Some(value);
            Ok(())
        });
        message.headers = message.value(flag::HEADERS).unwrap_or_default();
        for field in table::fields(message.headers) {
            let kind = field.kind;
            let (place, fits) = match field.name {
                carried::TOPIC => (&mut message.topic, kind == b'S'),
                carried::CONTENT_TYPE => (
                    &mut message.content_type,
                    kind == b'S' && is_string(field.value),
                ),
                carried::CORRELATION_DATA => (
                    &mut message.correlation_data,
                    matches!(kind, b'S' | b'x') && field.value.len() <= STRING_SIZE_MAX,
                ),
                carried::RESPONSE_EXCHANGE => (&mut message.response_exchange, kind == b'S'),
                carried::RESPONSE_TOPIC => (
                    &mut message.response_topic,
                    kind == b'S' && is_topic(field.value),
                ),
                carried::PAYLOAD_FORMAT => {
                    message.payload_format = message.payload_format.or(payload_format(&field));
                    continue;
                }
                _ => continue,
            };
            if fits {
                place.get_or_insert(field.value);
            }
        }
        message
    }

    pub fn value(&self, flag: u16) -> Option<&'a [u8]> {
        self.values[flag.ilog2() as usize]
    }
}

fn payload_format(field: &Field) -> Option<u8> {
    let whole = matches!(
        field.kind,
        b'b' | b'B' | b's' | b'u' | b'I' | b'i' | b'l' | b't'
    );
    let (last, before) = field.value.split_last()?;
    (whole && *last <= 1 && before.iter().all(|byte| *byte == 0)).then_some(*last)
}

/// Whether MQTT can have it as a string and every client takes it.
pub fn is_string(value: &[u8]) -> bool {
    value.len() <= STRING_SIZE_MAX && text::is_text(value)
}

/// AMQP properties to be written, by flag.
#[derive(Default)]
pub struct Values {
    values: [Option<Vec<u8>>; 16],
    claimed: u16,
}

impl Values {
    /// Whether nobody did before.
    pub fn claim(&mut self, flag: u16) -> bool {
        let first = self.claimed & flag == 0;
        self.claimed |= flag;
        first
    }

    pub fn set(&mut self, flag: u16, value: Vec<u8>) {
        self.values[flag.ilog2() as usize] = Some(value);
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let mut present = 0;
        out.extend_from_slice(&[0; 2]);
        for (bit, value) in self.values.iter().enumerate().rev() {
            if let Some(value) = value {
                present |= 1 << bit;
                properties::put_value(out, 1 << bit, value);
            }
        }
        out[start..start + 2].copy_from_slice(&u16::to_be_bytes(present));
    }
}

/// A table to be written: a name that comes again makes an array, where the first stood.
#[derive(Default)]
pub struct Headers {
    fields: Vec<HeaderField>,
    number_of: HashMap<Vec<u8>, usize>,
    /// What of `HEADERS_SIZE_MAX` is used.
    pub size: usize,
}

struct HeaderField {
    name: Vec<u8>,
    /// Type and value of each.
    elements: Vec<u8>,
    count: usize,
}

impl Headers {
    pub fn has(&self, name: &[u8]) -> bool {
        self.number_of.contains_key(name)
    }

    /// Leaves out what does not fit.
    pub fn add(&mut self, name: &[u8], kind: u8, value: &[u8]) {
        let mut element = Vec::with_capacity(LONG_HEAD_SIZE + value.len());
        table::put_element(&mut element, kind, value);
        self.add_elements(name, &element, 1);
    }

    /// A user property whose name no header can have.
    pub fn add_pair(&mut self, name: &[u8], value: &[u8]) {
        let mut elements = Vec::with_capacity(2 * LONG_HEAD_SIZE + name.len() + value.len());
        table::put_element(&mut elements, b'S', name);
        table::put_element(&mut elements, b'S', value);
        self.add_elements(carried::USER_PROPERTIES, &elements, 2);
    }

    fn add_elements(&mut self, name: &[u8], elements: &[u8], count: usize) {
        let found = self.number_of.get(name).copied();
        let head_size = found.map_or(1 + name.len() + LONG_HEAD_SIZE, |_| 0);
        if self.size + head_size + elements.len() > HEADERS_SIZE_MAX {
            return;
        }
        self.size += head_size + elements.len();
        let number = found.unwrap_or_else(|| {
            self.number_of.insert(name.to_vec(), self.fields.len());
            self.fields.push(HeaderField {
                name: name.to_vec(),
                elements: Vec::new(),
                count: 0,
            });
            self.fields.len() - 1
        });
        let field = &mut self.fields[number];
        field.elements.extend_from_slice(elements);
        field.count += count;
    }

    pub fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size);
        for field in &self.fields {
            if field.count == 1 {
                out.push(field.name.len() as u8);
                out.extend_from_slice(&field.name);
                out.extend_from_slice(&field.elements);
            } else {
                table::put_field(&mut out, &field.name, b'A', &field.elements);
            }
        }
        out
    }
}
