//! Values of field tables as text: plain where one line of text says it, else JSON (RFC 8259).

use std::fmt::Write as _;

use crate::amqp::table::{self, Field, DEPTH_MAX};
use crate::conversion::text;

/// A number, a truth, or nothing as text; None for strings, byte arrays, arrays and tables.
pub fn scalar(kind: u8, value: &[u8]) -> Option<String> {
    Some(match (kind, value) {
        (b't', &[byte]) => (byte != 0).to_string(),
        (b'b', &[byte]) => (byte as i8).to_string(),
        (b'B', &[byte]) => byte.to_string(),
        (b's', _) => i16::from_be_bytes(value.try_into().ok()?).to_string(),
        (b'u', _) => u16::from_be_bytes(value.try_into().ok()?).to_string(),
        (b'I', _) => i32::from_be_bytes(value.try_into().ok()?).to_string(),
        (b'i', _) => u32::from_be_bytes(value.try_into().ok()?).to_string(),
        (b'l', _) => i64::from_be_bytes(value.try_into().ok()?).to_string(),
        (b'T', _) => u64::from_be_bytes(value.try_into().ok()?).to_string(),
        (b'f', _) => format!("{:?}", f32::from_be_bytes(value.try_into().ok()?)),
        (b'd', _) => format!("{:?}", f64::from_be_bytes(value.try_into().ok()?)),
        (b'D', &[scale, ..]) => decimal(scale, i32::from_be_bytes(value[1..].try_into().ok()?)),
        (b'V', _) => String::new(),
        _ => return None,
    })
}

fn decimal(scale: u8, value: i32) -> String {
    let places = scale as usize;
    let digits = format!("{:0>1$}", value.unsigned_abs(), places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let sign = if value < 0 { "-" } else { "" };
    let point = if places > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

/// A field's value as JSON; None if it is longer than `size_max` bytes, or nested deeper than a table may be.
pub fn json(field: &Field, size_max: usize) -> Option<String> {
    let mut writer = Writer {
        out: String::new(),
        size_max,
    };
    writer.put(field, 0)?;
    Some(writer.out)
}

struct Writer {
    out: String,
    size_max: usize,
}

impl Writer {
    fn put(&mut self, field: &Field, depth: usize) -> Option<()> {
        match field.kind {
            b'F' => self.put_all(b'F', ('{', '}'), field.value, depth)?,
            b'A' => self.put_all(b'A', ('[', ']'), field.value, depth)?,
            b'S' | b'x' => self.put_string(field.kind, field.value),
            b'V' => self.out.push_str("null"),
            kind => {
                let shown = scalar(kind, field.value)?;
                // JSON has no word for what is not finite.
                let finite = !shown.ends_with("NaN") && !shown.ends_with("inf");
                self.out.push_str(if finite { &shown } else { "null" });
            }
        }
        (self.out.len() <= self.size_max).then_some(())
    }

    fn put_all(
        &mut self,
        kind: u8,
        (open, close): (char, char),
        content: &[u8],
        depth: usize,
    ) -> Option<()> {
        if depth == DEPTH_MAX {
            return None;
        }
        self.out.push(open);
        if kind == b'F' {
            for (number, field) in table::fields(content).enumerate() {
                self.put_comma(number);
                self.put_string(b'S', field.name);
                self.out.push(':');
                self.put(&field, depth + 1)?;
            }
        } else {
            for (number, element) in table::elements(content).enumerate() {
                self.put_comma(number);
                self.put(&element, depth + 1)?;
            }
        }
        self.out.push(close);
        Some(())
    }

    fn put_comma(&mut self, number: usize) {
        if number > 0 {
            self.out.push(',');
        }
    }

    /// Bytes that are not UTF-8, and those of a byte array, in base64.
    fn put_string(&mut self, kind: u8, bytes: &[u8]) {
        self.out.push('"');
        match std::str::from_utf8(bytes) {
            Ok(text) if kind == b'S' => text.chars().for_each(|c| self.put_character(c)),
            _ => self.out.push_str(&text::to_base64(bytes)),
        }
        self.out.push('"');
    }

    fn put_character(&mut self, character: char) {
        if matches!(character, '"' | '\\') {
            self.out.push('\\');
        }
        if text::is_plain(character) {
            self.out.push(character);
            return;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            write!(self.out, "\\u{unit:04x}").expect("a string takes all");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_their_point() {
        assert_eq!(decimal(2, 12_345), "123.45");
        assert_eq!(decimal(2, -5), "-0.05");
        assert_eq!(decimal(0, i32::MIN), "-2147483648");
        assert_eq!(decimal(255, 1).len(), 257);
    }

    #[test]
    fn a_nested_table_is_json() {
        let mut inner = Vec::new();
        table::put_field(&mut inner, b"say", b'S', "\"hi\"\n\u{1FFFE}".as_bytes());
        table::put_field(&mut inner, b"raw", b'x', b"\x01");
        table::put_field(&mut inner, b"nan", b'd', &f64::NAN.to_be_bytes());
        table::put_field(&mut inner, b"list", b'A', b"Vt\x01");
        let mut outer = Vec::new();
        table::put_field(&mut outer, b"h", b'F', &inner);
        let field = table::fields(&outer).next().unwrap();
        let expected =
            r#"{"say":"\"hi\"\u000a\ud83f\udffe","raw":"AQ==","nan":null,"list":[null,true]}"#;
        assert_eq!(json(&field, 1000).as_deref(), Some(expected));
        assert_eq!(json(&field, 20), None);
    }
}
