//! The commands that talk to a running broker over its HTTP API. `http` is the client; each command is a file.

pub(crate) mod explain;
pub(crate) mod http;
pub(crate) mod peek;
pub(crate) mod queue;
pub(crate) mod receive;
pub(crate) mod route;
pub(crate) mod send;

use serde_json::Value as Json;

/// A field as text for a table; nothing for one that is not there.
pub(crate) fn text(value: &Json, field: &str) -> String {
    match value.get(field) {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A field as a number; 0 for one that is not there.
pub(crate) fn number(value: &Json, field: &str) -> u64 {
    value.get(field).and_then(Json::as_u64).unwrap_or(0)
}

/// The items of a list field.
pub(crate) fn items<'a>(value: &'a Json, field: &str) -> &'a [Json] {
    value.get(field).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}
