//! Header bindings: a binding's arguments compared with a message's headers, by `x-match` as RabbitMQ defines it.

use baton_model::Bytes;
use baton_model::ValueRef;
use baton_model::value::MapRef;

/// The rule of one header binding.
#[derive(Debug)]
pub(crate) struct HeaderMatch {
    arguments: Bytes,
    any: bool,
    /// Arguments whose names begin with `x-` count too.
    with_x: bool,
}

impl HeaderMatch {
    /// Reads the rule from a binding's arguments (encoded map items). Without `x-match`, all must match.
    pub(crate) fn new(arguments: &Bytes) -> Self {
        let mode = MapRef(arguments).find(b"x-match").and_then(|value| value.as_str());
        Self {
            arguments: arguments.clone(),
            any: matches!(mode, Some("any" | "any-with-x")),
            with_x: matches!(mode, Some("all-with-x" | "any-with-x")),
        }
    }

    pub(crate) fn matches(&self, headers: MapRef<'_>) -> bool {
        let mut rules = MapRef(&self.arguments)
            .filter(|(name, _)| *name != b"x-match" && (self.with_x || !name.starts_with(b"x-")))
            .map(|(name, wanted)| headers.find(name).is_some_and(|value| agree(wanted, value)));
        if self.any { rules.any(|agrees| agrees) } else { rules.all(|agrees| agrees) }
    }
}

/// Null in the binding asks only for the header to be there; numbers are equal whatever their width.
fn agree(wanted: ValueRef<'_>, value: ValueRef<'_>) -> bool {
    match (wanted.as_i64(), value.as_i64()) {
        (Some(wanted), Some(value)) => wanted == value,
        _ => wanted == ValueRef::Null || wanted == value,
    }
}

#[cfg(test)]
mod tests {
    use baton_model::Value;
    use baton_model::value::encode_map;

    use super::*;

    fn encoded(items: &[(&'static str, Value)]) -> Bytes {
        let mut buf = Vec::new();
        let map = items.iter().map(|(n, v)| (Bytes::from_static(n.as_bytes()), v.clone())).collect();
        encode_map(&map, &mut buf);
        buf.into()
    }

    fn matches(mode: &str, headers: &[(&'static str, Value)]) -> bool {
        let rule = [
            ("x-match", Value::str(mode)),
            ("a", Value::I32(1)),
            ("b", Value::Null),
            ("x-c", Value::str("c")),
        ];
        HeaderMatch::new(&encoded(&rule)).matches(MapRef(&encoded(headers)))
    }

    #[test]
    fn x_match_decides_how_many_and_whether_x_headers_count() {
        let a_and_b = [("a", Value::I64(1)), ("b", Value::str("whatever"))];
        assert!(matches("all", &a_and_b));
        assert!(!matches("all-with-x", &a_and_b));
        assert!(!matches("all", &a_and_b[..1]));
        assert!(matches("any", &a_and_b[..1]));
        assert!(!matches("any", &[("x-c", Value::str("c"))]));
        assert!(matches("any-with-x", &[("x-c", Value::str("c"))]));
        assert!(!matches("any", &[("a", Value::I32(2))]));
    }
}
