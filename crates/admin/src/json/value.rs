//! Header values as JSON and back. What JSON has a type for is that type; the rest is an object with one `$…` field,
//! so that a value shown by `peek` can be sent again and keeps its type.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_model::limits::VALUE_DEPTH_MAX;
use baton_model::value::{Map, MapRef};
use baton_model::{Refusal, RefusalCode, Value, ValueRef};
use serde_json::{Map as JsonMap, Value as Json, json};

/// Headers as a JSON object. Of names that repeat, the first counts, as it does for header matching.
pub fn headers_to_json(headers: MapRef<'_>) -> JsonMap<String, Json> {
    map_to_json(headers, 0)
}

fn map_to_json(map: MapRef<'_>, depth: usize) -> JsonMap<String, Json> {
    let mut object = JsonMap::new();
    for (name, value) in map {
        let name = String::from_utf8_lossy(name).into_owned();
        object.entry(name).or_insert_with(|| value_to_json(value, depth + 1));
    }
    object
}

fn value_to_json(value: ValueRef<'_>, depth: usize) -> Json {
    if depth > VALUE_DEPTH_MAX {
        return Json::Null;
    }
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Bool(v) => v.into(),
        ValueRef::I8(v) => v.into(),
        ValueRef::U8(v) => v.into(),
        ValueRef::I16(v) => v.into(),
        ValueRef::U16(v) => v.into(),
        ValueRef::I32(v) => v.into(),
        ValueRef::U32(v) => v.into(),
        ValueRef::I64(v) => v.into(),
        ValueRef::U64(v) => v.into(),
        ValueRef::F32(v) => f64::from(v).into(),
        ValueRef::F64(v) => v.into(),
        ValueRef::Decimal { scale, value } => json!({ "$decimal": { "value": value, "scale": scale } }),
        ValueRef::Timestamp(ms) => json!({ "$timestamp_ms": ms }),
        ValueRef::Char(v) => json!({ "$char": v }),
        ValueRef::Uuid(bytes) => json!({ "$uuid": uuid_text(bytes) }),
        ValueRef::Str(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => json!({ "$base64": STANDARD.encode(bytes) }),
        },
        ValueRef::Bytes(bytes) => json!({ "$base64": STANDARD.encode(bytes) }),
        ValueRef::Symbol(bytes) => json!({ "$symbol": String::from_utf8_lossy(bytes) }),
        ValueRef::List(list) => list.map(|item| value_to_json(item, depth + 1)).collect(),
        ValueRef::Map(map) => map_to_json(map, depth).into(),
    }
}

/// A JSON object as headers. Whole numbers become 64-bit integers, other numbers 64-bit floats.
///
/// # Errors
/// `Invalid` when a `$…` object is malformed or values are nested too deep.
pub fn headers_from_json(object: &JsonMap<String, Json>) -> Result<Map, Refusal> {
    map_from_json(object, 0)
}

fn map_from_json(object: &JsonMap<String, Json>, depth: usize) -> Result<Map, Refusal> {
    object
        .iter()
        .map(|(name, value)| Ok((name.clone().into_bytes().into(), value_from_json(value, depth + 1)?)))
        .collect()
}

fn value_from_json(value: &Json, depth: usize) -> Result<Value, Refusal> {
    if depth > VALUE_DEPTH_MAX {
        return Err(invalid(format!("header values may be nested {VALUE_DEPTH_MAX} deep at most")));
    }
    Ok(match value {
        Json::Null => Value::Null,
        Json::Bool(v) => Value::Bool(*v),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(v), _) => Value::I64(v),
            (None, Some(v)) => Value::U64(v),
            (None, None) => Value::F64(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::str(text),
        Json::Array(items) => {
            Value::List(items.iter().map(|item| value_from_json(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        Json::Object(object) => match tagged(object)? {
            Some(value) => value,
            None => Value::Map(map_from_json(object, depth)?),
        },
    })
}

/// The value of an object with a single `$…` field; `None` for ordinary objects.
fn tagged(object: &JsonMap<String, Json>) -> Result<Option<Value>, Refusal> {
    let mut fields = object.iter();
    let (Some((name, value)), None) = (fields.next(), fields.next()) else { return Ok(None) };
    let Some(tag) = name.strip_prefix('$') else { return Ok(None) };
    let text = value.as_str();
    let value = match tag {
        "base64" => text.and_then(|text| STANDARD.decode(text).ok()).map(|bytes| Value::Bytes(bytes.into())),
        "symbol" => text.map(|text| Value::Symbol(text.as_bytes().to_vec().into())),
        "timestamp_ms" => value.as_i64().map(Value::Timestamp),
        "char" => value.as_u64().and_then(|v| u32::try_from(v).ok()).map(Value::Char),
        "uuid" => text.and_then(uuid_bytes).map(Value::Uuid),
        "decimal" => decimal(value),
        _ => None,
    };
    value.map(Some).ok_or_else(|| {
        invalid(format!(
            "the header value {name:?} is not one of $base64, $symbol, $timestamp_ms, $char, $uuid, $decimal, or not well-formed"
        ))
    })
}

fn decimal(value: &Json) -> Option<Value> {
    let scale = u8::try_from(value.get("scale")?.as_u64()?).ok()?;
    let value = i32::try_from(value.get("value")?.as_i64()?).ok()?;
    Some(Value::Decimal { scale, value })
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    let mut text = String::with_capacity(36);
    for (index, digit) in hex.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    if hex.len() != 32 || hex.starts_with('+') {
        return None;
    }
    u128::from_str_radix(&hex, 16).ok().map(u128::to_be_bytes)
}

fn invalid(text: String) -> Refusal {
    Refusal::new(RefusalCode::Invalid, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(json: &Json) -> Json {
        let map = headers_from_json(json.as_object().unwrap()).unwrap();
        let mut buf = Vec::new();
        baton_model::value::encode_map(&map, &mut buf);
        Json::Object(headers_to_json(MapRef(&buf)))
    }

    #[test]
    fn every_json_form_comes_back() {
        let json = json!({
            "text": "naïve", "int": -7, "big": u64::MAX, "float": 1.5, "yes": true, "nothing": null,
            "list": [1, "two", {"three": 3}],
            "bytes": {"$base64": "AP8="}, "at": {"$timestamp_ms": 1_700_000_000_000_i64},
            "id": {"$uuid": "00112233-4455-6677-8899-aabbccddeeff"},
            "price": {"$decimal": {"value": 1234, "scale": 2}},
            "symbol": {"$symbol": "ok"}, "letter": {"$char": 65}
        });
        assert_eq!(round_trip(&json), json);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [json!({"a": {"$uuid": "no"}}), json!({"a": {"$base64": "%"}}), json!({"a": {"$what": 1}})]
        {
            assert_eq!(headers_from_json(bad.as_object().unwrap()).unwrap_err().code, RefusalCode::Invalid);
        }
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!([deep]);
        }
        assert!(headers_from_json(json!({ "a": deep }).as_object().unwrap()).is_err());
    }
}
