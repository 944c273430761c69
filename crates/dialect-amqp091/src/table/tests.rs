//! Tests of `table`: every type tag by hand, nesting limits, broken tables, changes to owned ones.

use bytes::Bytes;

use super::*;
use crate::codes::ReplyCode;

/// One entry per tag RabbitMQ knows, key `k` each.
fn all_tags() -> Vec<(&'static [u8], FieldValue)> {
    vec![
        (b"t\x01", FieldValue::Bool(true)),
        (b"b\xff", FieldValue::I8(-1)),
        (b"B\xff", FieldValue::U8(255)),
        (b"s\xff\xfe", FieldValue::I16(-2)),
        (b"u\xff\xfe", FieldValue::U16(65534)),
        (b"I\xff\xff\xff\xfd", FieldValue::I32(-3)),
        (b"i\xff\xff\xff\xfd", FieldValue::U32(u32::MAX - 2)),
        (b"l\xff\xff\xff\xff\xff\xff\xff\xfc", FieldValue::I64(-4)),
        (b"L\xff\xff\xff\xff\xff\xff\xff\xfc", FieldValue::I64Upper(-4)),
        (b"f\x3f\x80\x00\x00", FieldValue::F32(1.0)),
        (b"d\x3f\xf0\x00\x00\x00\x00\x00\x00", FieldValue::F64(1.0)),
        (b"D\x02\x00\x00\x01\x3a", FieldValue::Decimal { scale: 2, value: 314 }),
        (b"S\x00\x00\x00\x02hi", FieldValue::from("hi")),
        (b"x\x00\x00\x00\x01\xff", FieldValue::Binary(Bytes::from_static(b"\xff"))),
        (b"T\x00\x00\x00\x00\x65\x00\x00\x00", FieldValue::Timestamp(0x6500_0000)),
        (b"A\x00\x00\x00\x03Vt\x00", FieldValue::Array(vec![FieldValue::Void, FieldValue::Bool(false)])),
        (b"F\x00\x00\x00\x03\x01nV", FieldValue::Table(FieldTable::new().with("n", FieldValue::Void))),
        (b"V", FieldValue::Void),
    ]
}

#[test]
fn every_tag_reads_and_writes_as_rabbitmq_does() {
    for (bytes, value) in all_tags() {
        let entry = [b"\x01k", bytes].concat();
        let table = TableRef::from_raw(&entry);
        table.check().unwrap();
        let read = table.get("k").unwrap().unwrap();
        assert_eq!(FieldValue::from_ref(read).unwrap(), value);
        assert_eq!(FieldTable::new().with("k", value).encode().as_bytes(), entry);
    }
    // 18 tags; `known are` in the error message lists the same.
    assert_eq!(all_tags().len(), 18);
}

#[test]
fn broken_tables_are_typed_and_end_the_iteration() {
    for (bytes, _) in all_tags().iter().filter(|(bytes, _)| bytes.len() > 1) {
        let entry = [b"\x01k", &bytes[..bytes.len() - 1]].concat();
        let error = TableRef::from_raw(&entry).check().unwrap_err();
        assert_eq!(error.reply_code(), ReplyCode::SyntaxError);
    }
    let unknown = TableRef::from_raw(b"\x01kU\x00\x00");
    assert_eq!(unknown.check().unwrap_err(), WireError::UnknownFieldType { tag: b'U' });
    assert_eq!(unknown.iter().count(), 1, "one error, then nothing");
    let good_then_bad = TableRef::from_raw(b"\x01aV\x09");
    assert_eq!(good_then_bad.get("a"), Ok(Some(ValueRef::Void)), "found before the break");
    assert!(good_then_bad.get("b").is_err());
}

fn nested(levels: u32, tag: u8) -> Vec<u8> {
    (0..levels).fold(Vec::new(), |inner, _| {
        let mut outer = if tag == b'F' { vec![1, b'k', tag] } else { vec![tag] };
        outer.extend(u32::try_from(inner.len()).unwrap().to_be_bytes());
        outer.extend(inner);
        outer
    })
}

#[test]
fn nesting_has_a_limit_for_reading_and_for_copying() {
    let deepest = nested(TABLE_DEPTH_MAX, b'F');
    let table = TableRef::from_raw(&deepest);
    assert_eq!(table.check(), Ok(()));
    assert_eq!(FieldTable::from_ref(table).unwrap().encode().as_bytes(), deepest);
    let too_deep = WireError::TableTooDeep { depth_max: TABLE_DEPTH_MAX };
    for bytes in [nested(TABLE_DEPTH_MAX + 1, b'F'), nested(100_000, b'F')] {
        let table = TableRef::from_raw(&bytes);
        assert_eq!(table.check().unwrap_err(), too_deep);
        assert_eq!(FieldTable::from_ref(table).unwrap_err(), too_deep);
    }
    let arrays = [b"\x01k".to_vec(), nested(TABLE_DEPTH_MAX + 1, b'A')].concat();
    assert_eq!(TableRef::from_raw(&arrays).check().unwrap_err(), too_deep);
}

#[test]
fn owned_tables_change_in_place() {
    let mut table = FieldTable::new().with("a", 1_i32).with("b", true).with("a", 2_i32);
    assert_eq!(table.len(), 2);
    assert_eq!(table.get("a"), Some(&FieldValue::I32(2)));
    assert_eq!(table.remove("a"), Some(FieldValue::I32(2)));
    assert_eq!(table.remove("a"), None);
    assert_eq!(table.iter().next(), Some((&b"b"[..], &FieldValue::Bool(true))));
    assert!(!table.is_empty());
    // A foreign table may repeat a key; removing means all of them.
    let mut twice = FieldTable::from_ref(TableRef::from_raw(b"\x01aV\x01at\x01")).unwrap();
    assert_eq!((twice.remove("a"), twice.len()), (Some(FieldValue::Void), 0));
}

#[test]
fn accessors_by_meaning() {
    assert_eq!(ValueRef::U8(200).as_i64(), Some(200));
    assert_eq!(ValueRef::I64Upper(-1).as_i64(), Some(-1));
    assert_eq!(ValueRef::Timestamp(1).as_i64(), None);
    assert_eq!(ValueRef::LongStr(b"x").as_str(), Some("x"));
    assert_eq!(ValueRef::LongStr(b"\xff").as_str(), None);
    assert_eq!(ValueRef::Bool(true).as_bool(), Some(true));
    let table = TableRef::from_raw(b"\x01kV");
    assert_eq!(ValueRef::Table(table).as_table(), Some(table));
    assert_eq!(ValueRef::Void.as_array(), None);
}
