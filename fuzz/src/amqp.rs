//! Targets for the codec of AMQP 0-9-1. Not here: its session.

use std::collections::BTreeMap;

use baton_dialect_amqp091::content::write_content;
use baton_dialect_amqp091::frame::write_any_method;
use baton_dialect_amqp091::limits::HEAD_ROOM_BYTES;
use baton_dialect_amqp091::methods::Basic;
use baton_dialect_amqp091::methods::basic::{Consume, Publish};
use baton_dialect_amqp091::{
    Assembler, Command, Content, FieldTable, FrameDecoder, FrameType, Method, ProtocolHeader, TableRef,
    WireError,
};
use bytes::{Bytes, BytesMut};

/// Type, channel and payload of a frame, to be kept.
type Kept = (FrameType, u16, Bytes);

/// Splits the input in reads of the size in its first byte, and compares with splitting it whole.
pub fn frames(data: &[u8]) {
    let Some((&read_bytes, stream)) = data.split_first() else { return };
    let _ = ProtocolHeader::detect(stream);
    let (whole, whole_end, rest) = split_in_reads(stream, stream.len().max(1));
    let consumed: usize = whole.iter().map(|(_, _, payload)| payload.len() + 8).sum();
    assert_eq!(consumed + rest, stream.len(), "bytes were lost or read twice");
    assert!(whole.iter().all(|(_, _, payload)| payload.len() <= 8192));
    let (got, got_end, _) = split_in_reads(stream, usize::from(read_bytes).max(1));
    assert_eq!((got, got_end), (whole, whole_end));
}

/// The frames, the error that ended them, and how many bytes were left.
fn split_in_reads(stream: &[u8], read_bytes: usize) -> (Vec<Kept>, Option<WireError>, usize) {
    let decoder = FrameDecoder::default();
    let mut buffer = BytesMut::new();
    let mut got = Vec::new();
    for read in stream.chunks(read_bytes) {
        buffer.extend_from_slice(read);
        loop {
            match decoder.batch(&mut buffer) {
                Ok(Some(batch)) => {
                    got.extend(batch.iter().map(|f| (f.frame_type, f.channel, f.payload.to_shared())));
                }
                Ok(None) => break,
                Err(error) => return (got, Some(error), buffer.len()),
            }
        }
        let wanted = decoder.wanted_bytes(&buffer);
        assert!(wanted <= 8192 + 8, "a head made us want {wanted} bytes");
    }
    (got, None, buffer.len())
}

/// Reads the input as the payload of a method frame; what can be read must survive writing and reading again.
pub fn method_roundtrip(data: &[u8]) {
    let payload = Bytes::copy_from_slice(data);
    let Ok(method) = Method::decode(&payload) else { return };
    let mut out = BytesMut::new();
    write_any_method(&mut out, 3, &method);
    let batch = FrameDecoder::new(0).batch(&mut out).unwrap().unwrap();
    let frame = batch.iter().next().unwrap();
    assert_eq!(frame.payload.len(), payload.len(), "{}", method.name());
    // The same bytes, but for bits without meaning in an octet of flags.
    assert!(frame.payload.as_bytes().iter().zip(data).all(|(new, old)| new & old == *new));
    assert_eq!(Method::decode(frame.payload).unwrap(), method);
    if let Method::Basic(Basic::Consume(Consume { arguments, .. })) = &method {
        table(arguments.as_bytes());
    }
}

/// Reads the input as the entries of a table; checking and copying must agree, and the copy must be stable.
pub fn table(data: &[u8]) {
    let borrowed = TableRef::from_raw(data);
    let owned = FieldTable::from_ref(borrowed);
    assert_eq!(borrowed.check().err(), owned.as_ref().err().cloned());
    let Ok(owned) = owned else { return };
    let encoded = owned.encode();
    assert_eq!(encoded.as_bytes().len(), data.len(), "same widths, same length");
    // The same bytes, but for a truth value, which is written as 1 whatever it was read from.
    assert!(encoded.as_bytes().iter().zip(data).all(|(new, old)| new == old || (*new == 1 && *old > 1)));
    let again = FieldTable::from_ref(encoded.as_table()).unwrap();
    assert_eq!(again.encode(), encoded);
}

/// Feeds frames to assemblers; what comes out whole must survive being written and assembled again.
pub fn content(data: &[u8]) {
    let mut channels: BTreeMap<u16, Assembler> = BTreeMap::new();
    let Ok(Some(batch)) = FrameDecoder::new(1 << 16).batch(&mut BytesMut::from(data)) else { return };
    for frame in &batch {
        let assembler = channels.entry(frame.channel).or_insert_with(|| Assembler::new(4096));
        match assembler.push(frame) {
            Ok(Some(Command::Publish(publish, content))) => reassemble(&publish, &content),
            Ok(_) => {}
            Err(_) => return,
        }
        let room = HEAD_ROOM_BYTES + 8 * data.len();
        assert!(assembler.held_bytes() <= room, "more memory than was sent");
    }
}

fn reassemble(publish: &Publish, content: &Content) {
    assert!(content.body.len() <= 4096);
    let Ok(view) = content.properties.check() else { return };
    let properties = view.encode();
    assert_eq!(properties.view().unwrap(), view);
    // The smallest frames that hold the properties, so that the body takes several.
    let header_bytes = u32::try_from(properties.as_bytes().len()).unwrap() + 20;
    let mut out = BytesMut::new();
    write_content(&mut out, 9, header_bytes, publish, &properties, &content.body).unwrap();
    let batch = FrameDecoder::new(0).batch(&mut out).unwrap().unwrap();
    let mut assembler = Assembler::new(4096);
    let mut last = None;
    for frame in &batch {
        assert!(last.is_none(), "a frame after the last");
        last = assembler.push(frame).unwrap();
    }
    let body = content.body.clone();
    assert_eq!(last, Some(Command::Publish(publish.clone(), Content::new(properties, body))));
}
