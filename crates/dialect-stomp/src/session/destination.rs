//! Destinations: what the names in front of the slashes mean, as RabbitMQ's plugin has them, with bare names and the URI
//! forms of ActiveMQ; and how an address is shown to consumers. Not here: making queues (`queue`).

use baton_model::Name;
use baton_model::limits::NAME_BYTES_MAX;
use bytes::{BufMut, BytesMut};

use super::failure::Failure;

/// The exchange behind `/topic/`.
pub(super) const TOPIC_EXCHANGE: &str = "amq.topic";

/// What a destination names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Destination {
    /// A queue that is made when it is first used.
    Queue(Name),
    /// A queue that must be there.
    ExistingQueue(Name),
    /// A key of the topic exchange.
    Topic(Name),
    /// An exchange, and a key if there is one.
    Exchange(Name, Option<Name>),
    /// A queue of this connection alone, by the client's own name for it.
    TempQueue(Name),
    /// Where a request said that replies go: a queue by its real name, whoever owns it.
    ReplyQueue(Name),
}

impl Destination {
    /// Reads a destination, unescaped.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Failure> {
        let invalid = |why: &str| {
            let shown = String::from_utf8_lossy(text);
            Failure::new("invalid destination", format!("'{shown}' is not a valid destination: {why}"))
        };
        let text_str = std::str::from_utf8(text).map_err(|_| invalid("it must be UTF-8"))?;
        let name = |raw: &str| -> Result<Name, Failure> {
            let name = decoded(raw).ok_or_else(|| invalid("it must be UTF-8 behind its % escapes"))?;
            match name.len() {
                0 => Err(invalid("a name is missing behind its prefix")),
                1..=NAME_BYTES_MAX => Ok(name),
                _ => Err(invalid("names have at most 255 bytes")),
            }
        };
        if text_str.is_empty() {
            return Err(invalid("it is empty; write /queue/NAME or /topic/NAME"));
        }
        if let Some(rest) = prefixed(text_str, &["/queue/", "queue://"]) {
            return name(rest).map(Self::Queue);
        }
        if let Some(rest) = prefixed(text_str, &["/topic/", "topic://"]) {
            return name(rest).map(Self::Topic);
        }
        if let Some(rest) = prefixed(text_str, &["/amq/queue/"]) {
            return name(rest).map(Self::ExistingQueue);
        }
        if let Some(rest) = prefixed(text_str, &["/temp-queue/", "temp-queue://"]) {
            return name(rest).map(Self::TempQueue);
        }
        if let Some(rest) = prefixed(text_str, &["/reply-queue/"]) {
            return name(rest).map(Self::ReplyQueue);
        }
        if let Some(rest) = prefixed(text_str, &["/exchange/"]) {
            return match rest.split_once('/') {
                None => Ok(Self::Exchange(name(rest)?, None)),
                Some((exchange, "")) => Ok(Self::Exchange(name(exchange)?, Some(Name::default()))),
                Some((exchange, key)) => Ok(Self::Exchange(name(exchange)?, Some(name(key)?))),
            };
        }
        if text_str.starts_with("/temp-topic/") || text_str.starts_with("/dsub/") {
            return Err(invalid(
                "it is not offered; for durable subscriptions see the headers id and durable",
            ));
        }
        if text_str.starts_with('/') {
            return Err(Failure::new(
                "unknown destination",
                format!(
                    "'{text_str}' is not a valid destination; they begin with /queue/, /topic/, /exchange/, /amq/queue/, /temp-queue/ or /reply-queue/, or are the bare name of a queue"
                ),
            ));
        }
        name(text_str).map(Self::Queue)
    }
}

fn prefixed<'a>(text: &'a str, prefixes: &[&str]) -> Option<&'a str> {
    prefixes.iter().find_map(|prefix| text.strip_prefix(prefix))
}

/// Takes off `%XX` escapes; what is no such escape stays as it is. `None`: not UTF-8.
fn decoded(raw: &str) -> Option<Name> {
    if !raw.contains('%') {
        return Some(Name::from(raw));
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let escaped = match (byte, behind) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match escaped {
            Some(escaped) => {
                bytes.push(escaped);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).ok().map(Name::from)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Appends the destination that an exchange and a key are, as RabbitMQ shows them. Nothing in it needs a header's escapes
/// but a colon, which is written as an escape of the destination's own.
pub(super) fn put_address(out: &mut BytesMut, exchange: &[u8], key: &[u8]) {
    match exchange {
        b"" => {
            out.put_slice(b"/queue/");
            put_part(out, key);
        }
        _ if exchange == TOPIC_EXCHANGE.as_bytes() => {
            out.put_slice(b"/topic/");
            put_part(out, key);
        }
        _ => {
            out.put_slice(b"/exchange/");
            put_part(out, exchange);
            if !key.is_empty() {
                out.put_u8(b'/');
                put_part(out, key);
            }
        }
    }
}

/// Appends one part, with `%XX` for what separates parts or headers and for what is not printable ASCII.
pub(super) fn put_part(out: &mut BytesMut, part: &[u8]) {
    for byte in part {
        match byte {
            b'/' | b'%' | b'\\' | b':' | 0..=0x20 | 0x7f.. => {
                let digit =
                    |nibble: u8| b"0123456789ABCDEF".get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.put_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
            byte => out.put_u8(*byte),
        }
    }
}

/// A subscription's pattern of topics: ActiveMQ's `>` is `#` here; `*` means the same in both.
pub(super) fn pattern(key: &Name) -> Name {
    if !key.contains('>') {
        return key.clone();
    }
    let words: Vec<&str> = key.split('.').map(|word| if word == ">" { "#" } else { word }).collect();
    Name::from(words.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Destination {
        Destination::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn every_form_is_known() {
        let name = Name::from;
        for text in ["/queue/a", "a", "queue://a"] {
            assert_eq!(parsed(text), Destination::Queue(name("a")), "{text}");
        }
        assert_eq!(parsed("/queue/a/b.c"), Destination::Queue(name("a/b.c")));
        assert_eq!(parsed("/queue/a%2Fb%zz%"), Destination::Queue(name("a/b%zz%")));
        assert_eq!(parsed("/topic/a.*"), Destination::Topic(name("a.*")));
        assert_eq!(parsed("/amq/queue/a"), Destination::ExistingQueue(name("a")));
        assert_eq!(parsed("/temp-queue/a"), Destination::TempQueue(name("a")));
        assert_eq!(parsed("/reply-queue/amq.gen-1"), Destination::ReplyQueue(name("amq.gen-1")));
        assert_eq!(parsed("/exchange/e"), Destination::Exchange(name("e"), None));
        assert_eq!(parsed("/exchange/e/k/l"), Destination::Exchange(name("e"), Some(name("k/l"))));
    }

    #[test]
    fn what_is_none_is_refused_with_a_reason() {
        for text in
            ["", "/queue/", "/exchange/", "/exchange//k", "/nonsense/a", "/temp-topic/a", "/queue/%FF"]
        {
            assert!(Destination::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Destination::parse(&[b'a'; 256]).is_err());
        assert!(Destination::parse(&[b'a'; 255]).is_ok());
        assert!(Destination::parse(b"\xff").is_err());
    }

    #[test]
    fn what_is_shown_can_be_sent_to() {
        for (exchange, key, shown) in [
            ("", "orders", "/queue/orders"),
            ("", "a/b:c ä", "/queue/a%2Fb%3Ac%20%C3%A4"),
            ("amq.topic", "a.b", "/topic/a.b"),
            ("logs", "", "/exchange/logs"),
            ("logs", "k/1", "/exchange/logs/k%2F1"),
        ] {
            let mut out = BytesMut::new();
            put_address(&mut out, exchange.as_bytes(), key.as_bytes());
            assert_eq!(&out[..], shown.as_bytes());
            assert!(Destination::parse(&out).is_ok());
        }
        assert_eq!(parsed("/queue/a%2Fb%3Ac%20%C3%A4"), Destination::Queue(Name::from("a/b:c ä")));
    }

    #[test]
    fn patterns_of_activemq_are_translated() {
        assert_eq!(pattern(&Name::from("a.>")), "a.#");
        assert_eq!(pattern(&Name::from("a.*.c>")), "a.*.c>");
    }
}
