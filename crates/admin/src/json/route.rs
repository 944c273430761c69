//! Exchanges and bindings as JSON.

use std::collections::BTreeMap;

use baton_model::route::{Binding, Destination, ExchangeKind, ExchangePolicy};
use baton_model::value::{MapRef, encode_map};
use baton_model::{Bytes, Name, Refusal, RefusalCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map as JsonMap, Value as Json};

use super::value::{headers_from_json, headers_to_json};
use super::words;

words!(exchange_kind for ExchangeKind {
    ExchangeKind::Direct = "direct", ExchangeKind::Fanout = "fanout",
    ExchangeKind::Topic = "topic", ExchangeKind::Headers = "headers",
    ExchangeKind::Pattern = "pattern",
});

/// [`ExchangePolicy`] as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExchangeJson {
    #[serde(with = "exchange_kind")]
    kind: ExchangeKind,
    #[serde(default = "yes")]
    durable: bool,
    #[serde(default)]
    auto_delete: bool,
    #[serde(default)]
    internal: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alternate: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

impl From<&ExchangePolicy> for ExchangeJson {
    fn from(policy: &ExchangePolicy) -> Self {
        Self {
            kind: policy.kind,
            durable: policy.durable,
            auto_delete: policy.auto_delete,
            internal: policy.internal,
            alternate: policy.alternate.as_ref().map(ToString::to_string),
            labels: policy.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        }
    }
}

impl From<ExchangeJson> for ExchangePolicy {
    fn from(json: ExchangeJson) -> Self {
        Self {
            kind: json.kind,
            durable: json.durable,
            auto_delete: json.auto_delete,
            internal: json.internal,
            alternate: json.alternate.map(Name::from),
            labels: json.labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }
}

/// [`Binding`] as JSON: exactly one of `queue` and `exchange` is the destination.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindingJson {
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exchange: Option<String>,
    #[serde(default)]
    key: String,
    #[serde(default, skip_serializing_if = "JsonMap::is_empty")]
    arguments: JsonMap<String, Json>,
}

impl From<&Binding> for BindingJson {
    fn from(binding: &Binding) -> Self {
        let (queue, exchange) = match &binding.destination {
            Destination::Queue(name) => (Some(name.to_string()), None),
            Destination::Exchange(name) => (None, Some(name.to_string())),
        };
        Self {
            source: binding.source.to_string(),
            queue,
            exchange,
            key: binding.key.to_string(),
            arguments: headers_to_json(MapRef(&binding.arguments)),
        }
    }
}

impl BindingJson {
    /// The binding.
    ///
    /// # Errors
    /// `Invalid` when there is not exactly one destination, or when an argument cannot be read.
    pub fn into_binding(self) -> Result<Binding, Refusal> {
        let destination = match (self.queue, self.exchange) {
            (Some(name), None) => Destination::Queue(name.into()),
            (None, Some(name)) => Destination::Exchange(name.into()),
            _ => {
                let text = "a binding has exactly one destination: give either \"queue\" or \"exchange\"";
                return Err(Refusal::new(RefusalCode::Invalid, text));
            }
        };
        let mut arguments = Vec::new();
        encode_map(&headers_from_json(&self.arguments)?, &mut arguments);
        Ok(Binding {
            source: self.source.into(),
            destination,
            key: self.key.into(),
            arguments: Bytes::from(arguments),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_come_back() {
        let text = r#"{"source":"events","queue":"audit","key":"order.*","arguments":{"x-match":"any"}}"#;
        let binding = serde_json::from_str::<BindingJson>(text).unwrap().into_binding().unwrap();
        assert_eq!(binding.destination, Destination::Queue("audit".into()));
        assert_eq!(serde_json::to_string(&BindingJson::from(&binding)).unwrap(), text);
        for text in [r#"{"source":"e"}"#, r#"{"source":"e","queue":"q","exchange":"x"}"#] {
            let binding = serde_json::from_str::<BindingJson>(text).unwrap();
            assert!(binding.into_binding().unwrap_err().text.contains("exactly one"));
        }
    }

    #[test]
    fn an_exchange_needs_a_kind() {
        let error = serde_json::from_str::<ExchangeJson>("{}").unwrap_err().to_string();
        assert!(error.contains("kind"), "{error}");
        let exchange: ExchangeJson = serde_json::from_str(r#"{"kind":"topic"}"#).unwrap();
        assert!(ExchangePolicy::from(exchange).durable);
    }
}
