//! Where a destination leads (RabbitMQ's grammar), and what a message's exchange and routing key are called.
//!
//! In a name `/`, `%` and what is not ASCII are written `%2F`; raw UTF-8 is taken as well. A name is what AMQP allows: at
//! most 255 bytes of UTF-8 without control characters.

use std::borrow::Cow;

use crate::conversion::destination::{name_of, of, AMQ_QUEUE, QUEUE, REPLY_QUEUE, TOPIC};
use crate::stomp::frame;

pub const TOPIC_EXCHANGE: &[u8] = b"amq.topic";
const EXCHANGE: &[u8] = b"/exchange/";
const NAME_SIZE_MAX: usize = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Queue = 0,
    Topic = 1,
    Exchange = 2,
    AmqQueue = 3,
    ReplyQueue = 4,
    /// In `reply-to` only.
    TempQueue = 5,
}

const PREFIXES: [(&[u8], Kind); 6] = [
    (QUEUE, Kind::Queue),
    (TOPIC, Kind::Topic),
    (EXCHANGE, Kind::Exchange),
    (AMQ_QUEUE, Kind::AmqQueue),
    (REPLY_QUEUE, Kind::ReplyQueue),
    (b"/temp-queue/", Kind::TempQueue),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination<'a> {
    pub kind: Kind,
    pub exchange: Cow<'a, [u8]>,
    /// Of the default exchange: the queue's name.
    pub routing_key: Cow<'a, [u8]>,
}

/// # Errors
/// `message: detail` for the client.
pub fn parse(text: &[u8]) -> Result<Destination<'_>, String> {
    let found = PREFIXES
        .iter()
        .find_map(|(prefix, kind)| Some((*kind, text.strip_prefix(*prefix)?)));
    let Some((kind, rest)) = found else {
        let prefixes = PREFIXES.map(|(prefix, _)| String::from_utf8_lossy(prefix).into_owned());
        let prefixes = prefixes[..5].join(", ");
        return Err(format!(
            "Unknown destination: {} begins with none of {prefixes}",
            frame::shown(text)
        ));
    };
    let name = |part| name(part).map_err(|why| invalid(text, why));
    let empty: Cow<[u8]> = Cow::Borrowed(b"");
    let (exchange, routing_key) = match kind {
        Kind::Topic => (Cow::Borrowed(TOPIC_EXCHANGE), name(rest)?),
        Kind::Exchange => {
            let cut = rest.iter().position(|byte| *byte == b'/');
            let (exchange, key) = cut.map_or((rest, &b""[..]), |at| (&rest[..at], &rest[at + 1..]));
            (
                name(exchange)?,
                if key.is_empty() { empty } else { name(key)? },
            )
        }
        // What a reply-to said, with its slashes.
        Kind::ReplyQueue => {
            check(rest).map_err(|why| invalid(text, why))?;
            (empty, Cow::Borrowed(rest))
        }
        Kind::Queue | Kind::AmqQueue | Kind::TempQueue => (empty, name(rest)?),
    };
    Ok(Destination {
        kind,
        exchange,
        routing_key,
    })
}

fn invalid(text: &[u8], why: &str) -> String {
    format!("Invalid destination: {} {why}", frame::shown(text))
}

/// One name with its percent escapes undone.
fn name(text: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
    if text.contains(&b'/') {
        return Err("has a slash too many, which is %2F in a name");
    }
    let name = name_of(text).ok_or("has a percent sign without two hexadecimal digits")?;
    check(&name)?;
    Ok(name)
}

fn check(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("has an empty name");
    }
    if name.len() > NAME_SIZE_MAX {
        return Err("has a name of more than 255 bytes");
    }
    match std::str::from_utf8(name) {
        Ok(name) if !name.chars().any(char::is_control) => Ok(()),
        Ok(_) => Err("has a control character in its name"),
        Err(_) => Err("has a name that is not UTF-8"),
    }
}

/// The destination of what was published so; with an empty routing key `amq.topic` has no `/topic/`.
pub fn shown(exchange: &[u8], routing_key: &[u8]) -> Vec<u8> {
    match exchange {
        b"" => of(QUEUE, routing_key),
        TOPIC_EXCHANGE if !routing_key.is_empty() => of(TOPIC, routing_key),
        _ => {
            let mut destination = of(EXCHANGE, exchange);
            if !routing_key.is_empty() {
                destination.append(&mut of(b"/", routing_key));
            }
            destination
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(Kind, String, String), String> {
        let text_of = |name: Cow<[u8]>| String::from_utf8(name.into_owned()).unwrap();
        parse(text.as_bytes()).map(|it| (it.kind, text_of(it.exchange), text_of(it.routing_key)))
    }

    #[test]
    fn where_destinations_lead() {
        for (text, kind, exchange, key) in [
            ("/queue/a", Kind::Queue, "", "a"),
            ("/queue/a%2Fb%25%2f", Kind::Queue, "", "a/b%/"),
            ("/queue/gr%C3%BCn", Kind::Queue, "", "grün"),
            ("/queue/grün", Kind::Queue, "", "grün"),
            ("/topic/a.*.#", Kind::Topic, "amq.topic", "a.*.#"),
            ("/exchange/x", Kind::Exchange, "x", ""),
            ("/exchange/x/", Kind::Exchange, "x", ""),
            ("/exchange/x%2F/a.b", Kind::Exchange, "x/", "a.b"),
            ("/amq/queue/a", Kind::AmqQueue, "", "a"),
            ("/reply-queue/a/b%2F", Kind::ReplyQueue, "", "a/b%2F"),
            ("/temp-queue/a", Kind::TempQueue, "", "a"),
        ] {
            let expected = (kind, exchange.to_owned(), key.to_owned());
            assert_eq!(parsed(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_destination() {
        for text in ["", "a", "queue/a", "/queue", "/Queue/a", "/amq/topic/a"] {
            let told = parsed(text).unwrap_err();
            assert!(told.starts_with("Unknown destination: "), "{told}");
        }
        let long = format!("/queue/{}", "a".repeat(256));
        for text in [
            "/queue/",
            "/topic/",
            "/exchange/",
            "/exchange//k",
            "/amq/queue/",
            "/reply-queue/",
            "/temp-queue/",
            "/queue/a/b",
            "/topic/a/b",
            "/exchange/x/a/b",
            "/queue/a%",
            "/queue/%2",
            "/queue/%2G",
            "/queue/%+2",
            "/queue/%0A",
            "/queue/a\u{85}",
            "/queue/%FF",
            &long,
        ] {
            let told = parsed(text).unwrap_err();
            assert!(told.starts_with("Invalid destination: "), "{told}");
        }
        assert!(parse(b"/queue/\xff").is_err());
    }

    #[test]
    fn what_is_written_leads_back() {
        for (exchange, key) in [
            ("", "a"),
            ("", "a/b%ü:"),
            ("amq.topic", "a.b"),
            ("amq.topic", ""),
            ("x", ""),
            ("x/", "a"),
        ] {
            let text = shown(exchange.as_bytes(), key.as_bytes());
            assert!(text.is_ascii());
            let back = parse(&text).unwrap();
            assert_eq!(
                (&*back.exchange, &*back.routing_key),
                (exchange.as_bytes(), key.as_bytes())
            );
        }
        assert_eq!(shown(b"a\r\n", b"\0"), b"/exchange/a%0D%0A/%00");
    }
}
