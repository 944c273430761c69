//! Parameters of the Query protocol: a flat list of names with dots and numbers in them, turned into the tree that the JSON
//! protocol has, so that both are read by the same shapes.
//!
//! ```text
//! Attribute.1.Name=DelaySeconds & Attribute.1.Value=5      { "Attributes": { "DelaySeconds": "5" } }
//! SendMessageBatchRequestEntry.2.Id=b                      { "Entries": [ …, { "Id": "b" } ] }
//! ```

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{Kind, SqsError};
use crate::limits::{PARAMETER_DEPTH_MAX, PARAMETERS_MAX};

/// How a parameter of the Query protocol is shaped. Lists and maps are called by one of their members; some clients call them
/// as the JSON protocol does.
enum Shape {
    /// Text.
    Plain,
    /// A whole number.
    Number,
    /// `Name.1`, `Name.2`, … of text, under another name.
    List(&'static str),
    /// `Name.1.Id`, … of structures, under another name.
    Structures(&'static str),
    /// `Name.1.key` and `Name.1.value`, under another name.
    Map(&'static str, &'static str, &'static str),
}

fn shape(name: &str) -> Shape {
    match name {
        "DelaySeconds"
        | "VisibilityTimeout"
        | "MaxNumberOfMessages"
        | "WaitTimeSeconds"
        | "MaxResults"
        | "MaxNumberOfMessagesPerSecond" => Shape::Number,
        "AttributeName" | "AttributeNames" => Shape::List("AttributeNames"),
        "MessageSystemAttributeName" | "MessageSystemAttributeNames" => {
            Shape::List("MessageSystemAttributeNames")
        }
        "MessageAttributeName" | "MessageAttributeNames" => Shape::List("MessageAttributeNames"),
        "TagKey" | "TagKeys" => Shape::List("TagKeys"),
        "AWSAccountId" | "AWSAccountIds" => Shape::List("AWSAccountIds"),
        "ActionName" | "Actions" => Shape::List("Actions"),
        "StringListValue" => Shape::List("StringListValues"),
        "BinaryListValue" => Shape::List("BinaryListValues"),
        "Entries"
        | "SendMessageBatchRequestEntry"
        | "DeleteMessageBatchRequestEntry"
        | "ChangeMessageVisibilityBatchRequestEntry" => Shape::Structures("Entries"),
        "Attribute" | "Attributes" => Shape::Map("Attributes", "Name", "Value"),
        "MessageAttribute" | "MessageAttributes" => Shape::Map("MessageAttributes", "Name", "Value"),
        "MessageSystemAttribute" | "MessageSystemAttributes" => {
            Shape::Map("MessageSystemAttributes", "Name", "Value")
        }
        "Tag" | "Tags" => Shape::Map("Tags", "Key", "Value"),
        _ => Shape::Plain,
    }
}

/// What the parameters are before it is known what they mean.
#[derive(Default)]
struct Node {
    value: Option<String>,
    children: BTreeMap<String, Self>,
}

/// The action, and the parameters as a tree, from a URL's query and a form in the body. Those in the body win.
///
/// # Errors
/// Too many parameters, names with too many parts, or escapes that are no text.
pub fn parameters(query: &[u8], body: &[u8]) -> Result<(Option<String>, Value), SqsError> {
    let mut root = Node::default();
    let mut count = 0;
    for pair in [query, body].into_iter().flat_map(|text| text.split(|byte| *byte == b'&')) {
        if pair.is_empty() {
            continue;
        }
        count += 1;
        if count > PARAMETERS_MAX {
            return Err(malformed(&format!("more than {PARAMETERS_MAX} parameters")));
        }
        let split = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at(split);
        let name = unescape(name)?;
        let mut node = &mut root;
        for (depth, part) in name.split('.').enumerate() {
            if depth >= PARAMETER_DEPTH_MAX {
                return Err(malformed(&format!("the parameter {name} has too many parts")));
            }
            node = node.children.entry(part.to_owned()).or_default();
        }
        node.value = Some(unescape(value.get(1..).unwrap_or_default())?);
    }
    let action = root.children.remove("Action").and_then(|node| node.value);
    Ok((action, structure(root)?))
}

fn structure(node: Node) -> Result<Value, SqsError> {
    let mut map = Map::new();
    for (name, node) in node.children {
        match shape(&name) {
            Shape::Plain if node.children.is_empty() => {
                map.insert(name, node.value.map_or(Value::Null, Value::String));
            }
            Shape::Plain => drop(map.insert(name, structure(node)?)),
            Shape::Number => drop(map.insert(name.clone(), number(&name, node.value)?)),
            Shape::List(member) => {
                let items = numbered(node).map(|node| Ok(Value::String(node.value.unwrap_or_default())));
                map.insert(member.to_owned(), items.collect::<Result<_, SqsError>>()?);
            }
            Shape::Structures(member) => {
                map.insert(member.to_owned(), numbered(node).map(structure).collect::<Result<_, _>>()?);
            }
            Shape::Map(member, key, value) => {
                let mut pairs = Map::new();
                for mut node in numbered(node) {
                    let name = node.children.remove(key).and_then(|node| node.value);
                    let name = name.ok_or_else(|| SqsError::missing(key))?;
                    let value = node.children.remove(value).unwrap_or_default();
                    let value = match value.children.is_empty() {
                        true => Value::String(value.value.unwrap_or_default()),
                        false => structure(value)?,
                    };
                    pairs.insert(name, value);
                }
                map.insert(member.to_owned(), Value::Object(pairs));
            }
        }
    }
    Ok(Value::Object(map))
}

/// The members of a list, in the order of their numbers.
fn numbered(node: Node) -> impl Iterator<Item = Node> {
    let mut members: Vec<(u64, Node)> =
        node.children.into_iter().filter_map(|(number, node)| Some((number.parse().ok()?, node))).collect();
    members.sort_by_key(|(number, _)| *number);
    members.into_iter().map(|(_, node)| node)
}

fn number(name: &str, value: Option<String>) -> Result<Value, SqsError> {
    let text = value.unwrap_or_default();
    match text.trim().parse::<i64>() {
        Ok(number) => Ok(number.into()),
        Err(_) => Err(SqsError::value(&text, name, "Must be a whole number.")),
    }
}

fn unescape(text: &[u8]) -> Result<String, SqsError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(*digit).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err(malformed("a % without two hexadecimal digits"));
                };
                u8::try_from(high * 16 + low).unwrap_or_default()
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).map_err(|_| malformed("a parameter that is not UTF-8"))
}

fn malformed(what: &str) -> SqsError {
    SqsError::new(Kind::MalformedInput, format!("The request cannot be read: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> (Option<String>, Value) {
        parameters(b"", text.as_bytes()).unwrap()
    }

    #[test]
    fn flat_names_become_the_tree_of_the_json_protocol() {
        let (action, value) = read(
            "Action=SendMessageBatch&SendMessageBatchRequestEntry.10.Id=z&SendMessageBatchRequestEntry.2.Id=a\
             &SendMessageBatchRequestEntry.2.DelaySeconds=3&SendMessageBatchRequestEntry.2.MessageBody=a+b%26%C3%A4\
             &SendMessageBatchRequestEntry.2.MessageAttribute.1.Name=n.x\
             &SendMessageBatchRequestEntry.2.MessageAttribute.1.Value.DataType=String\
             &SendMessageBatchRequestEntry.2.MessageAttribute.1.Value.StringValue=v",
        );
        assert_eq!(action.as_deref(), Some("SendMessageBatch"));
        let attributes = json!({ "n.x": { "DataType": "String", "StringValue": "v" } });
        let first =
            json!({ "Id": "a", "DelaySeconds": 3, "MessageBody": "a b&ä", "MessageAttributes": attributes });
        assert_eq!(value, json!({ "Entries": [first, { "Id": "z" }] }));
        let (_, value) =
            read("Attribute.1.Name=DelaySeconds&Attribute.1.Value=5&Tag.1.Key=k&Tag.1.Value=&TagKey.1=x");
        assert_eq!(
            value,
            json!({ "Attributes": { "DelaySeconds": "5" }, "Tags": { "k": "" }, "TagKeys": ["x"] })
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let refused = |text: &str| parameters(text.as_bytes(), b"").unwrap_err().kind;
        assert_eq!(refused("a=%4"), Kind::MalformedInput);
        assert_eq!(refused("a=%FF"), Kind::MalformedInput);
        assert_eq!(refused("a.b.c.d.e.f.g.h.i=1"), Kind::MalformedInput);
        assert_eq!(refused(&"a=1&".repeat(PARAMETERS_MAX + 1)), Kind::MalformedInput);
        assert_eq!(refused("DelaySeconds=x"), Kind::InvalidParameterValue);
        assert_eq!(refused("Attribute.1.Value=x"), Kind::MissingParameter);
    }
}
