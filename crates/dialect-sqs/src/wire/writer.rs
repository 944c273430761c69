//! Writes answers in either protocol by one description: the members of a structure in order, with the names that lists and
//! maps have in XML, where they stand flat among the members.

use super::Protocol;
use crate::error::Shown;

const NAMESPACE: &str = "http://queue.amazonaws.com/doc/2012-11-05/";

/// One answer being written.
#[derive(Debug)]
pub struct Writer {
    protocol: Protocol,
    action: &'static str,
    buf: Vec<u8>,
    /// JSON: something stands before at this level.
    comma: bool,
    has_result: bool,
}

/// A structure being written: the answer's own, or one of a list.
pub type Record = Writer;

impl Writer {
    /// Begins the answer of an action. `capacity`: bytes that it will have, roughly.
    #[must_use]
    pub fn new(protocol: Protocol, action: &'static str, capacity: usize) -> Self {
        let mut buf = Vec::with_capacity(capacity + 64);
        match protocol {
            Protocol::Query => {
                let open = format!(
                    "<?xml version=\"1.0\"?><{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>"
                );
                buf.extend_from_slice(open.as_bytes());
            }
            _ => buf.push(b'{'),
        }
        Self { protocol, action, buf, comma: false, has_result: true }
    }

    /// The answer of an action that has nothing to say: in JSON no body at all.
    #[must_use]
    pub fn nothing(protocol: Protocol, action: &'static str) -> Self {
        let mut buf = Vec::new();
        if protocol == Protocol::Query {
            let open = format!("<?xml version=\"1.0\"?><{action}Response xmlns=\"{NAMESPACE}\">");
            buf.extend_from_slice(open.as_bytes());
        }
        Self { protocol, action, buf, comma: false, has_result: false }
    }

    /// Ends the answer.
    #[must_use]
    pub fn finish(mut self, request_id: &str) -> Vec<u8> {
        let action = self.action;
        match (self.protocol, self.has_result) {
            (Protocol::Query, has_result) => {
                let result = if has_result { format!("</{action}Result>") } else { String::new() };
                let end = format!(
                    "{result}<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
                );
                self.buf.extend_from_slice(end.as_bytes());
            }
            (_, true) => self.buf.push(b'}'),
            (_, false) => {}
        }
        self.buf
    }

    /// A member that is text.
    pub fn text(&mut self, name: &str, value: &str) {
        self.open(name);
        self.value(value);
        self.close(name);
    }

    /// A member that is a number.
    pub fn number(&mut self, name: &str, value: u64) {
        self.open(name);
        self.buf.extend_from_slice(value.to_string().as_bytes());
        self.close(name);
    }

    /// A member that is true or false.
    pub fn bool(&mut self, name: &str, value: bool) {
        self.open(name);
        self.buf.extend_from_slice(if value { b"true" } else { b"false" });
        self.close(name);
    }

    /// A list of structures; nothing if it is empty.
    pub fn structures<T>(
        &mut self,
        name: &str,
        xml: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Record, T),
    ) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            return;
        }
        if self.protocol == Protocol::Query {
            for item in items {
                self.open(xml);
                write(self, item);
                self.close(xml);
            }
            return;
        }
        self.open(name);
        for (index, item) in items.enumerate() {
            self.buf.extend_from_slice(if index == 0 { b"[{" } else { b",{" });
            self.comma = false;
            write(self, item);
            self.buf.push(b'}');
        }
        self.buf.push(b']');
        self.comma = true;
    }

    /// A list of text. `always`: also when it is empty, in JSON.
    pub fn texts<'t>(
        &mut self,
        name: &str,
        xml: &str,
        items: impl IntoIterator<Item = &'t str>,
        always: bool,
    ) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() && !always {
            return;
        }
        if self.protocol == Protocol::Query {
            items.for_each(|item| self.text(xml, item));
            return;
        }
        self.open(name);
        self.buf.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.buf.push(b',');
            }
            self.value(item);
        }
        self.buf.push(b']');
        self.comma = true;
    }

    /// A map from text to text; nothing if it is empty. `key`: what XML calls the names, `Name` or `Key`.
    pub fn map<'t>(
        &mut self,
        name: &str,
        xml: &str,
        key: &str,
        pairs: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) {
        self.entries(name, xml, key, pairs, |writer, value| writer.value(value));
    }

    /// A map from text to structures; nothing if it is empty.
    pub fn map_structures<'t, T>(
        &mut self,
        name: &str,
        xml: &str,
        pairs: impl IntoIterator<Item = (&'t str, T)>,
        mut write: impl FnMut(&mut Record, T),
    ) {
        self.entries(name, xml, "Name", pairs, |writer, value| {
            let json = writer.protocol != Protocol::Query;
            if json {
                writer.buf.push(b'{');
                writer.comma = false;
            }
            write(writer, value);
            if json {
                writer.buf.push(b'}');
            }
        });
    }

    fn entries<'t, T>(
        &mut self,
        name: &str,
        xml: &str,
        key: &str,
        pairs: impl IntoIterator<Item = (&'t str, T)>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        let mut pairs = pairs.into_iter().peekable();
        if pairs.peek().is_none() {
            return;
        }
        if self.protocol == Protocol::Query {
            for (name, value) in pairs {
                self.open(xml);
                self.text(key, name);
                self.open("Value");
                write(self, value);
                self.close("Value");
                self.close(xml);
            }
            return;
        }
        self.open(name);
        self.buf.push(b'{');
        for (index, (name, value)) in pairs.enumerate() {
            if index > 0 {
                self.buf.push(b',');
            }
            self.value(name);
            self.buf.push(b':');
            write(self, value);
        }
        self.buf.push(b'}');
        self.comma = true;
    }

    fn open(&mut self, name: &str) {
        if self.protocol == Protocol::Query {
            self.buf.push(b'<');
            self.buf.extend_from_slice(name.as_bytes());
            self.buf.push(b'>');
            return;
        }
        self.buf.extend_from_slice(if self.comma { b",\"" } else { b"\"" });
        self.buf.extend_from_slice(name.as_bytes());
        self.buf.extend_from_slice(b"\":");
        self.comma = true;
    }

    fn close(&mut self, name: &str) {
        if self.protocol == Protocol::Query {
            self.buf.extend_from_slice(b"</");
            self.buf.extend_from_slice(name.as_bytes());
            self.buf.push(b'>');
        }
    }

    fn value(&mut self, text: &str) {
        if self.protocol == Protocol::Query {
            escape(&mut self.buf, text, |byte| match byte {
                b'&' => Some("&amp;"),
                b'<' => Some("&lt;"),
                b'>' => Some("&gt;"),
                b'"' => Some("&quot;"),
                // A parser would turn a bare one into a line feed.
                b'\r' => Some("&#xD;"),
                _ => None,
            });
            return;
        }
        self.buf.push(b'"');
        escape(&mut self.buf, text, |byte| match byte {
            b'"' => Some("\\\""),
            b'\\' => Some("\\\\"),
            b'\n' => Some("\\n"),
            b'\r' => Some("\\r"),
            b'\t' => Some("\\t"),
            0..=0x1f => Some(CONTROLS.get(usize::from(byte)).copied().unwrap_or("")),
            _ => None,
        });
        self.buf.push(b'"');
    }
}

/// JSON escapes of the control characters.
const CONTROLS: [&str; 32] = [
    "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007", "\\b", "\\t",
    "\\n", "\\u000b", "\\f", "\\r", "\\u000e", "\\u000f", "\\u0010", "\\u0011", "\\u0012", "\\u0013",
    "\\u0014", "\\u0015", "\\u0016", "\\u0017", "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c",
    "\\u001d", "\\u001e", "\\u001f",
];

/// Copies text, runs without escapes at once. Looks at many bytes at a time as long as none of them can need an escape.
fn escape(buf: &mut Vec<u8>, text: &str, escaped: impl Fn(u8) -> Option<&'static str>) {
    let mut rest = text.as_bytes();
    loop {
        let pieces = plain_pieces(rest);
        let plain = pieces + plain_prefix(rest.get(pieces..).unwrap_or_default());
        let found = rest.iter().enumerate().skip(plain).find_map(|(at, byte)| Some((at, escaped(*byte)?)));
        let Some((at, replacement)) = found else { break };
        let (plain, tail) = rest.split_at(at);
        buf.extend_from_slice(plain);
        buf.extend_from_slice(replacement.as_bytes());
        rest = tail.get(1..).unwrap_or_default();
    }
    buf.extend_from_slice(rest);
}

/// How many bytes at the front are surely neither control characters nor `"`, `\\`, `&`, `<` or `>`, in whole words.
fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // The highest bit of a byte that is equal, or that is less: <https://graphics.stanford.edu/~seander/bithacks.html>.
    let equal = |word: u64, byte: u8| {
        let differs = word ^ (ONES * u64::from(byte));
        differs.wrapping_sub(ONES) & !differs & HIGHS
    };
    let less = |word: u64, byte: u8| word.wrapping_sub(ONES * u64::from(byte)) & !word & HIGHS;
    let (words, _) = bytes.as_chunks::<8>();
    let plain = |word: &&[u8; 8]| {
        let word = u64::from_le_bytes(**word);
        // `<` and `>` differ in one bit.
        let special =
            equal(word, b'"') | equal(word, b'\\') | equal(word, b'&') | equal(word | (ONES * 2), b'>');
        less(word, 0x20) | special == 0
    };
    8 * words.iter().take_while(plain).count()
}

/// As [`plain_prefix`], in whole pieces of a size that the compiler makes vectors of.
fn plain_pieces(bytes: &[u8]) -> usize {
    const PIECE: usize = 32;
    let special =
        |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte == b'&') | (byte | 2 == b'>');
    let (pieces, _) = bytes.as_chunks::<PIECE>();
    let plain = |piece: &&[u8; PIECE]| piece.iter().fold(0, |any, byte| any | u8::from(special(*byte))) == 0;
    PIECE * pieces.iter().take_while(plain).count()
}

/// The body of an error.
pub(super) fn error(protocol: Protocol, shown: &Shown, fault: &str, text: &str, request_id: &str) -> Vec<u8> {
    let mut writer = Writer {
        protocol,
        action: "",
        buf: Vec::with_capacity(256 + text.len()),
        comma: false,
        has_result: true,
    };
    if protocol == Protocol::Query {
        let open = format!("<?xml version=\"1.0\"?><ErrorResponse xmlns=\"{NAMESPACE}\"><Error>");
        writer.buf.extend_from_slice(open.as_bytes());
        writer.text("Type", fault);
        writer.text("Code", shown.query);
        writer.text("Message", text);
        writer.buf.extend_from_slice(b"<Detail/></Error>");
        writer.text("RequestId", request_id);
        writer.buf.extend_from_slice(b"</ErrorResponse>");
    } else {
        writer.buf.push(b'{');
        writer.text("__type", shown.json);
        writer.text("message", text);
        writer.buf.push(b'}');
    }
    writer.buf
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(write: impl Fn(&mut Writer)) -> (String, String) {
        let one = |protocol| {
            let mut writer = Writer::new(protocol, "Act", 0);
            write(&mut writer);
            String::from_utf8(writer.finish("id")).unwrap()
        };
        (one(Protocol::Json), one(Protocol::Query))
    }

    #[test]
    fn escapes_are_found_wherever_they_stand() {
        for special in ['"', '\\', '&', '<', '>', '\n', '\r', '\u{1f}', '\u{0}'] {
            for at in 0..80 {
                let mut text = "ä=b'c~ !d/e%f?gh".repeat(6);
                let at = text.char_indices().nth(at).unwrap().0;
                text.insert(at, special);
                let (json, xml) = both(|writer| writer.text("T", &text));
                let read: serde_json::Value = serde_json::from_str(&json).unwrap();
                assert_eq!(read["T"], *text, "{special:?} at {at}");
                if matches!(special, '&' | '<' | '>' | '"' | '\r') {
                    assert!(
                        !xml.contains(&text) && xml.contains(if special == '\r' { "&#xD;" } else { ";" }),
                        "{xml}"
                    );
                }
            }
        }
    }

    #[test]
    fn one_description_makes_both_forms() {
        let (json, xml) = both(|writer| {
            writer.text("Text", "a\"<\n\r\u{1}ä");
            writer.structures("Items", "Item", [1, 2], |item, n| {
                item.number("N", n);
                item.map("Attributes", "Attribute", "Name", [("k", "v"), ("l", "w")]);
            });
            writer.texts("Urls", "Url", ["u"], false);
            writer.texts("None", "None", [], false);
            writer.map_structures("Typed", "T", [("x", true)], |value, flag| value.bool("Flag", flag));
        });
        assert_eq!(
            json,
            "{\"Text\":\"a\\\"<\\n\\r\\u0001ä\",\"Items\":[{\"N\":1,\"Attributes\":{\"k\":\"v\",\"l\":\"w\"}},\
             {\"N\":2,\"Attributes\":{\"k\":\"v\",\"l\":\"w\"}}],\"Urls\":[\"u\"],\"Typed\":{\"x\":{\"Flag\":true}}}"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        assert!(xml.contains("<ActResult><Text>a&quot;&lt;\n&#xD;\u{1}ä</Text><Item><N>1</N><Attribute><Name>k</Name><Value>v</Value></Attribute>"), "{xml}");
        assert!(xml.ends_with("<Url>u</Url><T><Name>x</Name><Value><Flag>true</Flag></Value></T></ActResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></ActResponse>"), "{xml}");
    }
}
