//! Tests of `properties`: bytes by hand from section 4.2.6.1, all fourteen together and each alone, broken ones.

use super::*;
use crate::codes::ReplyCode;
use crate::table::FieldTable;

#[test]
fn known_bytes() {
    // content-type "text/plain", delivery-mode 2: flags 0x9000.
    let bytes = b"\x90\x00\x0atext/plain\x02";
    let raw = RawProperties::from_raw(Bytes::from_static(bytes));
    let view = raw.view().unwrap();
    let expected = Properties {
        content_type: Some(ShortRef::from_static("text/plain")),
        delivery_mode: Some(2),
        ..Properties::default()
    };
    assert_eq!(view, expected);
    assert_eq!(expected.encode(), raw);
    assert_eq!(Properties::default().encode(), RawProperties::EMPTY);
    assert_eq!(RawProperties::EMPTY.view().unwrap(), Properties::default());
}

fn all<'a>(headers: TableRef<'a>) -> Properties<'a> {
    let short = |text| Some(ShortRef::from_static(text));
    Properties {
        content_type: short("a"),
        content_encoding: short("bb"),
        headers: Some(headers),
        delivery_mode: Some(1),
        priority: Some(255),
        correlation_id: short("ccc"),
        reply_to: short(""),
        expiration: short("60000"),
        message_id: short("m"),
        timestamp: Some(u64::MAX),
        kind: short("t"),
        user_id: short("guest"),
        app_id: short("app"),
        cluster_id: short("cluster"),
    }
}

#[test]
fn every_property_survives_and_takes_its_flag() {
    let table = FieldTable::new().with("n", 1_i64).encode();
    let full = all(table.as_table());
    let raw = full.encode();
    assert_eq!(&raw.as_bytes()[..2], [0xff, 0xfc]);
    assert_eq!(raw.check().unwrap(), full);
    let none = Properties::default();
    let singles = [
        (15, Properties { content_type: full.content_type, ..none }),
        (14, Properties { content_encoding: full.content_encoding, ..none }),
        (13, Properties { headers: full.headers, ..none }),
        (12, Properties { delivery_mode: full.delivery_mode, ..none }),
        (11, Properties { priority: full.priority, ..none }),
        (10, Properties { correlation_id: full.correlation_id, ..none }),
        (9, Properties { reply_to: full.reply_to, ..none }),
        (8, Properties { expiration: full.expiration, ..none }),
        (7, Properties { message_id: full.message_id, ..none }),
        (6, Properties { timestamp: full.timestamp, ..none }),
        (5, Properties { kind: full.kind, ..none }),
        (4, Properties { user_id: full.user_id, ..none }),
        (3, Properties { app_id: full.app_id, ..none }),
        (2, Properties { cluster_id: full.cluster_id, ..none }),
    ];
    for (bit, single) in singles {
        let raw = single.encode();
        assert_eq!(raw.as_bytes()[..2], (1_u16 << bit).to_be_bytes());
        assert_eq!(raw.view().unwrap(), single);
    }
}

#[test]
fn every_cut_is_an_error_and_so_is_an_excess() {
    let table = FieldTable::new().with("n", 1_i64).encode();
    let whole = all(table.as_table()).encode();
    let bytes = whole.as_bytes();
    for len in 0..bytes.len() {
        let error = Properties::decode(&bytes[..len]).unwrap_err();
        assert_eq!(error.reply_code(), ReplyCode::SyntaxError, "{len}");
    }
    let excess = [bytes, &[0]].concat();
    assert_eq!(
        Properties::decode(&excess).unwrap_err(),
        WireError::TrailingBytes { what: "properties", excess_bytes: 1 }
    );
}

#[test]
fn flag_words_may_continue_but_not_name_what_basic_lacks() {
    // An empty second and third word are legal.
    let view = Properties::decode(&[0x10, 1, 0, 1, 0, 0, 2]).unwrap();
    assert_eq!(view, Properties { delivery_mode: Some(2), ..Properties::default() });
    assert_eq!(
        Properties::decode(&[0, 1, 0x80, 0]).unwrap_err(),
        WireError::UnknownProperty { flags: 0x8000 }
    );
    assert_eq!(Properties::decode(&[0, 2]).unwrap_err(), WireError::UnknownProperty { flags: 2 });
    assert!(Properties::decode(&[0, 1]).is_err(), "a promised word is missing");
}

#[test]
fn headers_are_checked_only_on_request() {
    let broken =
        Properties { headers: Some(TableRef::from_raw(b"\x01kZ")), ..Properties::default() }.encode();
    assert!(broken.view().is_ok());
    assert_eq!(broken.check().unwrap_err(), WireError::UnknownFieldType { tag: b'Z' });
}
