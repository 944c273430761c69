//! SQS's older protocol, as a client writes and reads it: a form with dots and numbers in its names, and answers in XML, made
//! from and turned into the JSON that the client works with.

use serde_json::{Map, Value, json};

/// What the entries of an action's answer are called, in the order in which the actions are named here.
const RESULTS: [&str; 3] = [
    "SendMessageBatchResultEntry",
    "DeleteMessageBatchResultEntry",
    "ChangeMessageVisibilityBatchResultEntry",
];

/// The form for an action: its entries are numbered from 1.
pub(super) fn form(action: &str, input: &Value) -> String {
    let mut form = format!("Action={action}&Version=2012-11-05");
    let mut put = |name: &str, value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        form.push_str(&format!("&{name}={}", escaped(&text)));
    };
    for (name, value) in input.as_object().into_iter().flatten() {
        let Some(entries) = value.as_array() else {
            put(name, value);
            continue;
        };
        for (at, entry) in entries.iter().enumerate() {
            for (name, value) in entry.as_object().into_iter().flatten() {
                put(&format!("{action}RequestEntry.{}.{name}", at + 1), value);
            }
        }
    }
    form
}

fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// What an answer says, as the JSON protocol would have said it: messages, and which entries of a batch were successful.
///
/// # Panics
/// It is not XML of that shape.
pub(super) fn answer(xml: &str) -> Value {
    let mut answer = Map::new();
    let messages: Vec<Value> = elements(xml, "ReceiveMessageResult")
        .flat_map(|result| elements(result, "Message"))
        .map(|message| json!({ "Body": text(message, "Body"), "ReceiptHandle": text(message, "ReceiptHandle") }))
        .collect();
    if !messages.is_empty() {
        answer.insert("Messages".into(), messages.into());
    }
    let ids = |name: &str| -> Vec<Value> {
        elements(xml, name).map(|entry| json!({ "Id": text(entry, "Id") })).collect()
    };
    let successful: Vec<Value> = RESULTS.iter().flat_map(|name| ids(name)).collect();
    for (name, entries) in [("Successful", successful), ("Failed", ids("BatchResultErrorEntry"))] {
        if !entries.is_empty() {
            answer.insert(name.into(), entries.into());
        }
    }
    answer.into()
}

/// The insides of all elements of that name.
fn elements<'x>(xml: &'x str, name: &str) -> impl Iterator<Item = &'x str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, behind) = rest.split_once(&begin)?;
        let (inside, behind) = behind.split_once(&end).expect("elements have an end");
        rest = behind;
        Some(inside)
    })
}

fn text(xml: &str, name: &str) -> String {
    let escaped = elements(xml, name).next().expect("messages and entries are whole");
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    named.iter().fold(escaped.to_owned(), |text, (name, character)| text.replace(name, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_numbers_its_entries_and_an_answer_is_read_back() {
        let input =
            json!({ "QueueUrl": "http://h/q", "Entries": [{ "Id": "0", "DelaySeconds": 2 }, { "Id": "1" }] });
        assert_eq!(
            form("SendMessageBatch", &input),
            "Action=SendMessageBatch&Version=2012-11-05\
             &SendMessageBatchRequestEntry.1.DelaySeconds=2&SendMessageBatchRequestEntry.1.Id=0\
             &SendMessageBatchRequestEntry.2.Id=1&QueueUrl=http%3A%2F%2Fh%2Fq"
        );
        let xml = "<ReceiveMessageResult><Message><Body>a &lt; b</Body><ReceiptHandle>r</ReceiptHandle></Message>\
                   </ReceiveMessageResult><R><BatchResultErrorEntry><Id>2</Id><Message>no</Message></BatchResultErrorEntry>\
                   <DeleteMessageBatchResultEntry><Id>3</Id></DeleteMessageBatchResultEntry></R>";
        let expected = json!({ "Messages": [{ "Body": "a < b", "ReceiptHandle": "r" }], "Successful": [{ "Id": "3" }], "Failed": [{ "Id": "2" }] });
        assert_eq!(answer(xml), expected);
        assert_eq!(answer("<R><MessageId>x</MessageId></R>"), json!({}));
    }
}
