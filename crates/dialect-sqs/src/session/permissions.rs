//! `AddPermission` and `RemovePermission`: statements of the queue's policy document. Baton keeps the document and gives it back;
//! what a client may do is decided by the user that its access key belongs to.

use baton_model::QueuePolicy;
use baton_model::event::QueueInfo;
use serde_json::{Value, json};

use crate::attributes;
use crate::error::{Kind, SqsError};
use crate::input::{AddPermission, RemovePermission};
use crate::limits::{BATCH_ID_MAX, PERMISSIONS_MAX};
use crate::names;
use crate::options::SqsOptions;
use crate::wire::Text;

/// Actions that others can be allowed.
const ACTIONS: [&str; 9] = [
    "*",
    "SendMessage",
    "ReceiveMessage",
    "DeleteMessage",
    "ChangeMessageVisibility",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
];

/// Adds a statement.
pub(super) fn add(
    info: &QueueInfo,
    policy: &mut QueuePolicy,
    input: &AddPermission<'_>,
    options: &SqsOptions,
) -> Result<(), SqsError> {
    let label = label(input.label.as_ref())?;
    let accounts = input.aws_account_ids.as_deref().unwrap_or_default();
    let actions = input.actions.as_deref().unwrap_or_default();
    if accounts.is_empty() {
        return Err(SqsError::missing("AWSAccountIds"));
    }
    if actions.is_empty() {
        return Err(SqsError::missing("Actions"));
    }
    let is_account = |id: &Text<'_>| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(bad) = accounts.iter().find(|id| !is_account(id)) {
        let reason = "Unable to verify.";
        return Err(SqsError::value(bad, "PrincipalId", reason));
    }
    if let Some(bad) = actions.iter().find(|action| !ACTIONS.contains(&&***action)) {
        let reason = "Only the queue owner is allowed to invoke this action.";
        return Err(SqsError::value(bad, "ActionName", reason));
    }
    if actions.len() > PERMISSIONS_MAX {
        let text = format!("{} Actions were found, maximum allowed is {PERMISSIONS_MAX}.", actions.len());
        return Err(SqsError::new(Kind::OverLimit, text));
    }
    let arn = names::arn(options, &info.name);
    let mut document = document(policy).unwrap_or_else(
        || json!({ "Version": "2008-10-17", "Id": format!("{arn}/SQSDefaultPolicy"), "Statement": [] }),
    );
    let statements = statements(&mut document);
    if statements.iter().any(|statement| sid(statement) == Some(label)) {
        return Err(SqsError::value(label, "Label", "Already exists."));
    }
    if statements.len() >= PERMISSIONS_MAX {
        let text =
            format!("{} Statements were found, maximum allowed is {PERMISSIONS_MAX}.", statements.len() + 1);
        return Err(SqsError::new(Kind::OverLimit, text));
    }
    let principals = accounts.iter().map(|id| format!("arn:aws:iam::{}:root", &**id));
    let actions = actions.iter().map(|action| format!("SQS:{}", &**action));
    statements.push(json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": { "AWS": one_or_all(principals) },
        "Action": one_or_all(actions),
        "Resource": arn,
    }));
    attributes::set_label(policy, attributes::POLICY, &document.to_string());
    Ok(())
}

/// Removes a statement, and the document with the last of them.
pub(super) fn remove(policy: &mut QueuePolicy, input: &RemovePermission<'_>) -> Result<(), SqsError> {
    let label = label(input.label.as_ref())?;
    let mut document = document(policy).unwrap_or_default();
    let statements = statements(&mut document);
    let before = statements.len();
    statements.retain(|statement| sid(statement) != Some(label));
    if statements.len() == before {
        return Err(SqsError::value(label, "Label", "can't find label."));
    }
    let text = if statements.is_empty() { String::new() } else { document.to_string() };
    attributes::set_label(policy, attributes::POLICY, &text);
    Ok(())
}

fn label<'a>(label: Option<&'a Text<'_>>) -> Result<&'a str, SqsError> {
    let label = label.ok_or_else(|| SqsError::missing("Label"))?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=BATCH_ID_MAX).contains(&label.len()) && label.bytes().all(allowed) {
        return Ok(label);
    }
    let reason = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.";
    Err(SqsError::value(label, "Label", reason))
}

fn document(policy: &QueuePolicy) -> Option<Value> {
    let document: Value = serde_json::from_str(attributes::label(policy, attributes::POLICY)?).ok()?;
    document.is_object().then_some(document)
}

/// The statements of a document, which are made if there are none. One that stands alone without brackets is put into a list.
fn statements(document: &mut Value) -> &mut Vec<Value> {
    if !document.is_object() {
        *document = json!({});
    }
    let statement =
        document.as_object_mut().expect("it was just made one").entry("Statement").or_insert(json!([]));
    if !statement.is_array() {
        *statement = json!([statement.take()]);
    }
    statement.as_array_mut().expect("it was just made one")
}

fn sid(statement: &Value) -> Option<&str> {
    statement.get("Sid")?.as_str()
}

fn one_or_all(items: impl Iterator<Item = String>) -> Value {
    let mut items: Vec<String> = items.collect();
    if items.len() == 1 { items.remove(0).into() } else { items.into() }
}
