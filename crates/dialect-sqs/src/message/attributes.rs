//! Message attributes: AWS's rules for them, their digest, and their size.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_model::Name;
use md5::{Digest, Md5};

use super::Digest16;
use crate::error::{Kind, SqsError};
use crate::input::{AttributeMap, AttributeValue};
use crate::limits::{ATTRIBUTE_NAME_MAX, ATTRIBUTES_MAX};

/// One attribute, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) name: &'a str,
    /// `String`, `Number` or `Binary`, perhaps with a word of the application's behind a dot.
    pub(crate) data_type: &'a str,
    /// Its bytes; for `Binary` decoded.
    pub(crate) value: Cow<'a, [u8]>,
}

/// Attributes in the order of their names.
pub(crate) type Attributes<'a> = Vec<Attribute<'a>>;

impl Attribute<'_> {
    pub(crate) fn is_binary(&self) -> bool {
        self.data_type.starts_with("Binary")
    }

    /// What it counts with against the size of its message, bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.name.len() + self.data_type.len() + self.value.len()
    }
}

/// Checks the attributes of a message that is sent.
///
/// # Errors
/// The first rule that is broken, in AWS's words.
pub(crate) fn check<'a>(map: Option<&'a AttributeMap<'a>>) -> Result<Attributes<'a>, SqsError> {
    let Some(map) = map else { return Ok(Vec::new()) };
    if map.len() > ATTRIBUTES_MAX {
        return Err(invalid(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{ATTRIBUTES_MAX}].",
            map.len()
        )));
    }
    map.iter().map(|(name, value)| attribute(name, value)).collect()
}

fn attribute<'a>(name: &'a str, value: &'a AttributeValue<'a>) -> Result<Attribute<'a>, SqsError> {
    check_name(name)?;
    let data_type = value.data_type.as_deref().unwrap_or_default();
    if data_type.is_empty() {
        return Err(invalid(format!(
            "The message attribute '{name}' must contain a non-empty message attribute type."
        )));
    }
    let base = data_type.split('.').next().unwrap_or_default();
    if !matches!(base, "String" | "Number" | "Binary") || data_type.len() > ATTRIBUTE_NAME_MAX {
        return Err(invalid(format!(
            "The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."
        )));
    }
    if value.string_list_values.is_some() || value.binary_list_values.is_some() {
        return Err(SqsError::new(
            Kind::UnsupportedOperation,
            "Message attribute list values in SendMessage operation are not supported.",
        ));
    }
    let value = match (base, &value.string_value, &value.binary_value) {
        ("Binary", None, Some(encoded)) => Cow::Owned(STANDARD.decode(encoded.as_bytes()).map_err(|_| {
            SqsError::new(
                Kind::MalformedInput,
                format!("The binary value of the message attribute '{name}' is not base64."),
            )
        })?),
        ("String" | "Number", Some(text), None) => Cow::Borrowed(text.as_bytes()),
        (_, None, None) => Cow::Borrowed(&[][..]),
        _ => {
            let field = if base == "Binary" { "Binary" } else { "String" };
            return Err(invalid(format!(
                "The message attribute '{name}' with type '{data_type}' must use field '{field}'."
            )));
        }
    };
    if value.is_empty() {
        return Err(invalid(format!(
            "Message (user) attribute '{name}' must contain a non-empty value of type '{base}'."
        )));
    }
    if base == "Number" && !is_number(&value) {
        return Err(invalid(format!(
            "Can't cast the value of message (user) attribute '{name}' to a number."
        )));
    }
    if base == "String" && !is_allowed(&value) {
        return Err(invalid(format!(
            "Invalid characters found in the value of the message attribute '{name}'."
        )));
    }
    Ok(Attribute { name, data_type, value })
}

fn check_name(name: &str) -> Result<(), SqsError> {
    let lower = name.to_ascii_lowercase();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let reason = if name.is_empty() || name.len() > ATTRIBUTE_NAME_MAX {
        format!("Message (user) attribute name must be between 1 and {ATTRIBUTE_NAME_MAX} characters long.")
    } else if !name.bytes().all(allowed) {
        format!(
            "Invalid non-alphanumeric character found in the message attribute name '{name}'. Can only include alphanumeric characters, hyphens, underscores, or dots."
        )
    } else if name.starts_with('.') || name.ends_with('.') {
        format!("You can't start or end the message attribute name '{name}' with a dot (.).")
    } else if name.contains("..") {
        format!("Message attribute name '{name}' can not have successive '.' characters.")
    } else if lower.starts_with("aws.") || lower.starts_with("amazon.") {
        format!(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.' these strings are reserved for internal use: '{name}'."
        )
    } else {
        return Ok(());
    };
    Err(invalid(reason))
}

/// A decimal number of up to 38 digits, between -10^128 and 10^126 as AWS says; read as a float, which is how wide that is.
fn is_number(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let only = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    text.bytes().all(only) && text.parse::<f64>().is_ok_and(|number| number.abs() <= 1e128)
}

/// Characters that XML 1.0 can carry: what AWS allows in bodies and texts.
pub(crate) fn is_allowed(text: &[u8]) -> bool {
    // Only control characters and U+FFFE, U+FFFF (EF BF BE, EF BF BF) are excluded; UTF-8 has no surrogates. First the quick
    // look that most texts pass: folding without a branch lets the compiler take many bytes at once.
    let suspicious = text.iter().fold(false, |found, byte| found | (*byte < 0x20) | (*byte == 0xef));
    if !suspicious {
        return true;
    }
    let control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
    let beyond = |window: &[u8]| matches!(window, [0xef, 0xbf, 0xbe | 0xbf]);
    !(text.iter().any(control) || text.windows(3).any(beyond))
}

/// The trace header among the system attributes, and the digest of those.
///
/// # Errors
/// An attribute of another name or type.
pub(crate) fn trace_header<'a>(
    map: Option<&'a AttributeMap<'a>>,
) -> Result<Option<(Name, Digest16)>, SqsError> {
    let Some(map) = map.filter(|map| !map.is_empty()) else { return Ok(None) };
    for name in map.keys() {
        if &**name != "AWSTraceHeader" {
            return Err(invalid(format!(
                "Message system attribute name '{}' is invalid. Valid names are AWSTraceHeader.",
                &**name
            )));
        }
    }
    let attributes = check(Some(map))?;
    match attributes.first() {
        Some(trace) if trace.data_type == "String" => {
            let text = std::str::from_utf8(&trace.value).unwrap_or_default();
            Ok(Some((Name::new(text), digest(&attributes))))
        }
        _ => Err(invalid("The system attribute 'AWSTraceHeader' must be of type String.".to_owned())),
    }
}

/// The digest of attributes, which must be in the order of their names: lengths (four bytes, big endian) and bytes of name and
/// type, a byte that says text (1) or binary (2), length and bytes of the value.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
pub(crate) fn digest(attributes: &[Attribute<'_>]) -> Digest16 {
    let mut md5 = Md5::new();
    let mut put = |bytes: &[u8], kind: Option<u8>| {
        if let Some(kind) = kind {
            md5.update([kind]);
        }
        md5.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        md5.update(bytes);
    };
    for attribute in attributes {
        put(attribute.name.as_bytes(), None);
        put(attribute.data_type.as_bytes(), None);
        put(&attribute.value, Some(if attribute.is_binary() { 2 } else { 1 }));
    }
    md5.finalize().into()
}

fn invalid(text: String) -> SqsError {
    SqsError::new(Kind::InvalidParameterValue, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<Vec<(String, String, Vec<u8>)>, String> {
        let map: AttributeMap<'_> = serde_json::from_str(json).unwrap();
        let own = |a: Attribute<'_>| (a.name.to_owned(), a.data_type.to_owned(), a.value.to_vec());
        check(Some(&map))
            .map(|all| all.into_iter().map(own).collect())
            .map_err(|error| error.text.into_owned())
    }

    #[test]
    fn good_attributes_pass_in_order() {
        let all = checked(
            r#"{"b":{"DataType":"Binary.gif","BinaryValue":"AAEC"},"a":{"DataType":"Number","StringValue":"-1.5e3"}}"#,
        )
        .unwrap();
        assert_eq!(all[0], ("a".into(), "Number".into(), b"-1.5e3".to_vec()));
        assert_eq!(all[1], ("b".into(), "Binary.gif".into(), vec![0, 1, 2]));
    }

    #[test]
    fn each_rule_has_its_sentence() {
        for (json, part) in [
            (r#"{"a":{"StringValue":"x"}}"#, "non-empty message attribute type"),
            (r#"{"a":{"DataType":"Text","StringValue":"x"}}"#, "invalid message attribute type"),
            (r#"{"a":{"DataType":"String"}}"#, "non-empty value"),
            (r#"{"a":{"DataType":"String","StringValue":""}}"#, "non-empty value"),
            (r#"{"a":{"DataType":"String","BinaryValue":"AA=="}}"#, "must use field 'String'"),
            (r#"{"a":{"DataType":"Binary","StringValue":"x"}}"#, "must use field 'Binary'"),
            (r#"{"a":{"DataType":"Number","StringValue":"x"}}"#, "to a number"),
            (r#"{"a":{"DataType":"Number","StringValue":"inf"}}"#, "to a number"),
            (r#"{"a":{"DataType":"String","StringValue":"\u0001"}}"#, "Invalid characters"),
            (r#"{"a":{"DataType":"String","StringListValues":["x"]}}"#, "not supported"),
            (r#"{".a":{"DataType":"String","StringValue":"x"}}"#, "start or end"),
            (r#"{"a..b":{"DataType":"String","StringValue":"x"}}"#, "successive"),
            (r#"{"aws.b":{"DataType":"String","StringValue":"x"}}"#, "reserved"),
            (r#"{"a b":{"DataType":"String","StringValue":"x"}}"#, "non-alphanumeric"),
        ] {
            let error = checked(json).unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
    }

    #[test]
    fn the_digest_is_the_documented_one() {
        // Computed by hand from the documented layout.
        let attributes = [Attribute { name: "a", data_type: "String", value: Cow::Borrowed(b"x") }];
        let layout = [0, 0, 0, 1, b'a', 0, 0, 0, 6, b'S', b't', b'r', b'i', b'n', b'g', 1, 0, 0, 0, 1, b'x'];
        assert_eq!(digest(&attributes), super::super::md5(&layout));
    }
}
