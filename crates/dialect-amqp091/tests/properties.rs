//! Generated inputs: every method of the definition, every table type, whole contents in random pieces, and byte soup.
//! The encoder for methods here reads the definition at run time, so it checks the generated code and not itself.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use baton_dialect_amqp091::content::write_content;
use baton_dialect_amqp091::frame::write_any_method;
use baton_dialect_amqp091::methods::basic;
use baton_dialect_amqp091::{
    Assembler, Command, FieldTable, FieldValue, FrameDecoder, Method, Properties, RawProperties, ShortRef,
    ShortStr, Table, TableRef,
};
use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

fn spec() -> Value {
    serde_json::from_str(include_str!("../spec/amqp-rabbitmq-0.9.1.json")).unwrap()
}

/// Payload of a method frame with fields drawn from `entropy`, encoded straight from the definition.
fn payload(spec: &Value, class: &Value, method: &Value, entropy: &mut dyn FnMut() -> u64) -> Vec<u8> {
    let id = |v: &Value| u16::try_from(v["id"].as_u64().unwrap()).unwrap().to_be_bytes();
    let mut out = [id(class), id(method)].concat();
    let mut bit = 8;
    for argument in method["arguments"].as_array().unwrap() {
        let kind = argument["type"].as_str().unwrap_or_else(|| {
            let domains = spec["domains"].as_array().unwrap();
            domains.iter().find(|d| d[0] == argument["domain"]).unwrap()[1].as_str().unwrap()
        });
        let random = entropy().to_be_bytes();
        if kind == "bit" {
            if bit == 8 {
                out.push(0);
                bit = 0;
            }
            *out.last_mut().unwrap() |= (random[0] & 1) << bit;
            bit += 1;
            continue;
        }
        bit = 8;
        let text: String = random.iter().take(usize::from(random[0] % 9)).map(|b| char::from(*b)).collect();
        match kind {
            "octet" => out.extend(&random[..1]),
            "short" => out.extend(&random[..2]),
            "long" => out.extend(&random[..4]),
            "longlong" => out.extend(&random),
            "shortstr" => {
                out.push(u8::try_from(text.len()).unwrap());
                out.extend(text.bytes());
            }
            "longstr" => {
                out.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                out.extend(text.bytes());
            }
            "table" => {
                let table = FieldTable::new().with("k", FieldValue::U32(7)).encode();
                out.extend(u32::try_from(table.as_bytes().len()).unwrap().to_be_bytes());
                out.extend(table.as_bytes());
            }
            other => panic!("type {other}"),
        }
    }
    out
}

/// The payload of the one frame that was written.
fn payload_of(mut written: BytesMut) -> (u16, Bytes) {
    let batch = FrameDecoder::new(0).batch(&mut written).unwrap().unwrap();
    assert!(written.is_empty());
    let frame = batch.iter().next().unwrap();
    (frame.channel, frame.payload.to_shared())
}

fn for_each_method(mut check: impl FnMut(&Value, &Value, &Value)) {
    let spec = spec();
    for class in spec["classes"].as_array().unwrap() {
        for method in class["methods"].as_array().unwrap() {
            check(&spec, class, method);
        }
    }
}

proptest! {
    #[test]
    fn every_method_of_the_definition_reads_and_writes_alike(seed in any::<u64>()) {
        let mut state = seed;
        let mut entropy = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.rotate_left(17) ^ state
        };
        let mut count = 0;
        for_each_method(|spec, class, method| {
            let payload = Bytes::from(payload(spec, class, method, &mut entropy));
            let decoded = Method::decode(&payload).unwrap();
            let name = format!("{}.{}", class["name"].as_str().unwrap(), method["name"].as_str().unwrap());
            assert_eq!(decoded.name(), name);
            assert_eq!(decoded.has_content(), method["content"].as_bool().unwrap_or(false));
            assert_eq!(decoded.is_synchronous(), method["synchronous"].as_bool().unwrap_or(false));
            let mut out = BytesMut::new();
            write_any_method(&mut out, 5, &decoded);
            assert_eq!(payload_of(out), (5, payload.clone()), "{name}");
            for len in 0..payload.len() {
                assert!(Method::decode(&payload.slice(..len)).is_err(), "{name} cut to {len}");
            }
            count += 1;
        });
        assert_eq!(count, 66);
    }

    #[test]
    fn tables_survive(table in field_table()) {
        let encoded = table.encode();
        prop_assert!(encoded.as_table().check().is_ok());
        let back = FieldTable::from_ref(encoded.as_table()).unwrap();
        // Compared as bytes: NaN is not equal to itself, and its bits have to survive too.
        prop_assert_eq!(back.encode(), encoded);
    }

    #[test]
    fn properties_survive(parts in property_parts()) {
        let (texts, table, octets, time, present) = parts;
        let encoded = table.encode();
        let short = |at: usize| (present & (1 << at) != 0).then(|| ShortRef::new(&texts[at]).unwrap());
        let properties = Properties {
            content_type: short(0),
            content_encoding: short(1),
            headers: (present & (1 << 10) != 0).then(|| encoded.as_table()),
            delivery_mode: (present & (1 << 11) != 0).then_some(octets.0),
            priority: (present & (1 << 12) != 0).then_some(octets.1),
            correlation_id: short(2),
            reply_to: short(3),
            expiration: short(4),
            message_id: short(5),
            timestamp: (present & (1 << 13) != 0).then_some(time),
            kind: short(6),
            user_id: short(7),
            app_id: short(8),
            cluster_id: short(9),
        };
        let raw = properties.encode();
        prop_assert_eq!(raw.check().unwrap(), properties);
    }

    #[test]
    fn contents_survive_any_frame_size_and_any_read_size(
        body in vec(any::<u8>(), 0..600),
        frame_bytes_max in 30_u32..200,
        read_bytes in 1_usize..64,
        key in "[a-z.#é]{0,40}",
    ) {
        let method = basic::Publish { routing_key: ShortStr::new(&key).unwrap(), ..Default::default() };
        let mut stream = BytesMut::new();
        write_content(&mut stream, 2, frame_bytes_max, &method, &RawProperties::EMPTY, &body).unwrap();
        let (mut buffer, mut assembler, mut got) = (BytesMut::new(), Assembler::new(1 << 20), Vec::new());
        for read in stream.chunks(read_bytes) {
            buffer.extend_from_slice(read);
            if let Some(batch) = FrameDecoder::new(0).batch(&mut buffer).unwrap() {
                for frame in &batch {
                    got.extend(assembler.push(frame).unwrap());
                }
            }
        }
        let Some(Command::Publish(got_method, content)) = got.pop() else { panic!("no content") };
        prop_assert_eq!(got_method, method);
        prop_assert_eq!(content.body, body);
    }

    #[test]
    fn byte_soup_never_panics(soup in vec(any::<u8>(), 0..300)) {
        soup_into_everything(&soup);
    }

    #[test]
    fn almost_right_bytes_never_panic(seed in any::<u64>(), at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut state = seed;
        let mut entropy = || { state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); state };
        for_each_method(|spec, class, method| {
            let mut payload = payload(spec, class, method, &mut entropy);
            let at = at.index(payload.len());
            payload[at] = value;
            if let Ok(method) = Method::decode(&Bytes::from(payload.clone())) {
                let mut out = BytesMut::new();
                write_any_method(&mut out, 1, &method);
                assert_eq!(Method::decode(&payload_of(out).1).unwrap(), method);
            }
            soup_into_everything(&payload);
        });
    }
}

fn soup_into_everything(soup: &[u8]) {
    let bytes = Bytes::copy_from_slice(soup);
    let _ = Method::decode(&bytes);
    let _ = RawProperties::from_raw(bytes.clone()).check();
    let table = TableRef::from_raw(soup);
    assert_eq!(table.check().is_ok(), FieldTable::from_ref(table).is_ok());
    let _ = Table::from_raw(bytes).as_table().iter().count();
    let mut buffer = BytesMut::from(soup);
    let mut assembler = Assembler::new(1 << 20);
    while let Ok(Some(batch)) = FrameDecoder::default().batch(&mut buffer) {
        for frame in &batch {
            let _ = assembler.push(frame);
        }
    }
}

fn field_value() -> impl Strategy<Value = FieldValue> {
    let bytes = || vec(any::<u8>(), 0..12).prop_map(Bytes::from);
    let leaf = prop_oneof![
        any::<bool>().prop_map(FieldValue::Bool),
        any::<i8>().prop_map(FieldValue::I8),
        any::<u8>().prop_map(FieldValue::U8),
        any::<i16>().prop_map(FieldValue::I16),
        any::<u16>().prop_map(FieldValue::U16),
        any::<i32>().prop_map(FieldValue::I32),
        any::<u32>().prop_map(FieldValue::U32),
        any::<i64>().prop_map(FieldValue::I64),
        any::<i64>().prop_map(FieldValue::I64Upper),
        any::<u32>().prop_map(|bits| FieldValue::F32(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| FieldValue::F64(f64::from_bits(bits))),
        any::<(u8, u32)>().prop_map(|(scale, value)| FieldValue::Decimal { scale, value }),
        bytes().prop_map(FieldValue::LongStr),
        bytes().prop_map(FieldValue::Binary),
        any::<u64>().prop_map(FieldValue::Timestamp),
        Just(FieldValue::Void),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(FieldValue::Array),
            entries(inner).prop_map(FieldValue::Table),
        ]
    })
}

fn entries(value: impl Strategy<Value = FieldValue>) -> impl Strategy<Value = FieldTable> {
    vec((vec(any::<u8>(), 0..10), value), 0..6).prop_map(|entries| {
        let mut table = FieldTable::new();
        for (key, value) in entries {
            table.insert(ShortRef::from_bytes(&key).unwrap(), value);
        }
        table
    })
}

fn field_table() -> impl Strategy<Value = FieldTable> {
    entries(field_value())
}

fn property_parts() -> impl Strategy<Value = (Vec<String>, FieldTable, (u8, u8), u64, u16)> {
    (vec("[ -~]{0,30}", 10), field_table(), any::<(u8, u8)>(), any::<u64>(), any::<u16>())
}
