//! Field tables: walked over without recursion and without allocating, never re-encoded.
//!
//! Value types as RabbitMQ reads them (specification 4.2.5 and its errata).

/// Tables and arrays inside one another (limits G5).
pub const DEPTH_MAX: usize = 32;
/// Fields and array elements of one table, all depths together (limits G5).
pub const ELEMENT_COUNT_MAX: usize = 65_536;

/// What is wrong with encoded bytes.
pub type Fault = &'static str;

/// Reads big-endian fields from the front of a slice; None where it is too short.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn left(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub fn bytes(&mut self, size: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        Some(front)
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*front)
    }

    #[inline]
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline]
    pub fn short_string(&mut self) -> Option<&'a [u8]> {
        let size = self.u8()?;
        self.bytes(size as usize)
    }

    /// Also a table's or an array's content.
    #[inline]
    pub fn long_string(&mut self) -> Option<&'a [u8]> {
        let size = self.u32()?;
        self.bytes(size as usize)
    }
}

/// Whether a table's content (what follows its length) is well-formed.
pub fn check(content: &[u8]) -> Result<(), Fault> {
    // The container being read, and those around it: what is left of each, and whether it names its values.
    let mut around: [(Reader, bool); DEPTH_MAX] = [(Reader::new(&[]), false); DEPTH_MAX];
    let mut depth = 0;
    let mut reader = Reader::new(content);
    let mut named = true;
    let mut element_count = 0;
    loop {
        if reader.is_empty() {
            if depth == 0 {
                return Ok(());
            }
            depth -= 1;
            (reader, named) = around[depth];
            continue;
        }
        element_count += 1;
        if element_count > ELEMENT_COUNT_MAX {
            return Err("too many elements in a table");
        }
        if named {
            let name = reader.short_string().ok_or("field name too short")?;
            std::str::from_utf8(name).map_err(|_| "field name is not UTF-8")?;
        }
        let kind = reader.u8().ok_or("field without a type")?;
        let value = take_value(kind, &mut reader)?;
        if matches!(kind, b'F' | b'A') {
            if depth + 1 == DEPTH_MAX {
                return Err("tables nested too deep");
            }
            around[depth] = (reader, named);
            depth += 1;
            reader = Reader::new(value);
            named = kind == b'F';
        }
    }
}

/// The bytes of one value: of a string, table or array its content, of the others all.
pub fn take_value<'a>(kind: u8, reader: &mut Reader<'a>) -> Result<&'a [u8], Fault> {
    let value = match kind {
        b'V' => reader.bytes(0),
        b't' | b'b' | b'B' => reader.bytes(1),
        b's' | b'u' => reader.bytes(2),
        b'I' | b'i' | b'f' => reader.bytes(4),
        b'D' => reader.bytes(5),
        b'l' | b'd' | b'T' => reader.bytes(8),
        b'S' | b'x' | b'F' | b'A' => reader.long_string(),
        _ => return Err("unknown type of field value"),
    };
    value.ok_or("field value beyond its table")
}

/// One field of a table, or one element of an array (its name is empty).
#[derive(Clone, Copy)]
pub struct Field<'a> {
    pub name: &'a [u8],
    pub kind: u8,
    /// As [`take_value`] gives it.
    pub value: &'a [u8],
    /// All of it: name, type, value.
    pub wire: &'a [u8],
}

/// A well-formed table's fields; it ends early where one is not well-formed.
pub fn fields(content: &[u8]) -> impl Iterator<Item = Field<'_>> {
    walk(content, true)
}

/// A well-formed array's elements.
pub fn elements(content: &[u8]) -> impl Iterator<Item = Field<'_>> {
    walk(content, false)
}

fn walk(content: &[u8], named: bool) -> impl Iterator<Item = Field<'_>> {
    let mut reader = Reader::new(content);
    std::iter::from_fn(move || {
        let before = reader.rest;
        let name = if named { reader.short_string()? } else { &[] };
        let kind = reader.u8()?;
        let value = take_value(kind, &mut reader).ok()?;
        Some(Field {
            name,
            kind,
            value,
            wire: &before[..before.len() - reader.left()],
        })
    })
}

/// A table's field by its name and type.
pub fn get<'a>(content: &'a [u8], name: &[u8], kind: u8) -> Option<&'a [u8]> {
    fields(content)
        .find(|field| field.name == name && field.kind == kind)
        .map(|field| field.value)
}

/// Appends a field: a value of fixed size whole, else its content.
pub fn put_field(out: &mut Vec<u8>, name: &[u8], kind: u8, value: &[u8]) {
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    put_element(out, kind, value);
}

pub fn put_element(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    out.push(kind);
    if matches!(kind, b'S' | b'x' | b'F' | b'A') {
        out.extend_from_slice(&(value.len() as u32).to_be_bytes());
    }
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Vec<u8> {
        let mut content = Vec::new();
        for _ in 0..depth {
            let mut outer = b"\x01kF".to_vec();
            outer.extend_from_slice(&(content.len() as u32).to_be_bytes());
            outer.extend_from_slice(&content);
            content = outer;
        }
        content
    }

    #[test]
    fn depth_is_bounded() {
        assert_eq!(check(&nested(DEPTH_MAX - 1)), Ok(()));
        assert!(check(&nested(DEPTH_MAX)).is_err());
        assert!(check(&nested(2_000)).is_err());
    }

    #[test]
    fn elements_are_bounded() {
        let array = |count: usize| {
            let mut content = b"\x01kA".to_vec();
            content.extend_from_slice(&(count as u32).to_be_bytes());
            content.resize(content.len() + count, b'V');
            content
        };
        assert_eq!(check(&array(ELEMENT_COUNT_MAX - 1)), Ok(()));
        assert!(check(&array(ELEMENT_COUNT_MAX)).is_err());
    }

    #[test]
    fn a_table_cut_short_is_at_fault_unless_between_fields() {
        let content = b"\x01at\x01\x02bbS\x00\x00\x00\x03xyz\x01cF\x00\x00\x00\x03\x01dV\x01eD\x00\x00\x00\x00\x01";
        assert_eq!(check(content), Ok(()));
        let whole: Vec<usize> = (0..=content.len())
            .filter(|&size| check(&content[..size]).is_ok())
            .collect();
        assert_eq!(whole, [0, 4, 15, 25, 33]);
    }
}
