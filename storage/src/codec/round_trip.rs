//! Any value is read back as it was, and no bytes are ever trusted.

use bytes::Bytes;
use proptest::prelude::*;
use weir_types::Position;

use super::{
    CodecError,
    command::{Command, CommandWrite, encode_appends, encode_writes, event_count},
    event,
    forward::ForwardRequest,
    samples,
};

proptest! {
    #[test]
    fn any_batch_reads_back(appends in proptest::collection::vec(samples::any_append(), 0..6)) {
        let payload = encode_appends(&appends);
        let Command::Writes(decoded) = Command::decode(&payload).unwrap() else { panic!("an append batch") };
        prop_assert_eq!(decoded.len(), appends.len());
        prop_assert_eq!(event_count(&payload), appends.iter().map(|a| a.events.len() as u64).sum::<u64>());
        for (decoded, append) in decoded.iter().flat_map(CommandWrite::appends).zip(&appends) {
            prop_assert_eq!(&decoded.meta.entity_id, &append.entity_id);
            prop_assert_eq!(&decoded.meta.idempotency, &append.idempotency);
            prop_assert_eq!(decoded.frames.len(), append.events.len());
            for (number, (frame, wanted)) in (1..).zip(decoded.frames.iter().zip(&append.events)) {
                let range = frame.offset as usize..(frame.offset + frame.len) as usize;
                let read = event::decode_frame(&payload.slice(range), Position(number)).unwrap();
                prop_assert_eq!(read.id, wanted.id);
                prop_assert_eq!(&read.name, &wanted.name);
                prop_assert_eq!(read.schema_version, wanted.schema_version);
                prop_assert_eq!(&read.content_type, &wanted.content_type);
                prop_assert_eq!(&read.data, &wanted.data);
                prop_assert_eq!(&read.metadata, &wanted.metadata);
                prop_assert_eq!(read.occurred_at, wanted.occurred_at);
                prop_assert_eq!(read.source, wanted.source);
                prop_assert_eq!(&read.tags, &wanted.tags);
                prop_assert_eq!(read.version, append.base.plus(number));
                prop_assert_eq!(read.recorded_at, append.recorded_at);
            }
        }
    }

    #[test]
    fn any_forwarded_append_reads_back(
        append in samples::any_append(),
        events in proptest::collection::vec(samples::any_new_event(), 0..4),
    ) {
        let request = ForwardRequest::Append(samples::request_of(&append, events));
        prop_assert_eq!(ForwardRequest::decode(&request.encode()).unwrap(), request);
    }

    #[test]
    fn no_prefix_of_a_batch_is_a_batch(appends in proptest::collection::vec(samples::any_append(), 1..3)) {
        let payload = encode_appends(&appends);
        for len in 0..payload.len() {
            prop_assert!(Command::decode(&payload.slice(..len)).is_err(), "{} of {}", len, payload.len());
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0_u8..5) {
        let mut payload = vec![1, kind];
        payload.extend_from_slice(&bytes);
        let payload = Bytes::from(payload);
        let _ = Command::decode(&payload);
        let _ = ForwardRequest::decode(&payload);
        let _ = event::decode(&payload, Position(1));
        let _ = event::decode_frame(&payload, Position(1));
        let _ = super::peer::decode::<(String, Vec<u64>)>(&payload);
    }
}

#[test]
fn no_prefix_of_a_mixed_batch_is_a_batch() {
    let payload = encode_writes(&samples::writes().0);
    for len in 0..payload.len() {
        assert!(Command::decode(&payload.slice(..len)).is_err(), "{len} of {}", payload.len());
    }
}

#[test]
fn every_flipped_bit_of_a_frame_is_found() {
    let append = &samples::appends()[0];
    let mut frame = Vec::new();
    event::encode_frame(append, &append.events[1], append.base.next(), &mut frame);
    for bit in 0..frame.len() * 8 {
        let mut bad = frame.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(event::decode_frame(&Bytes::from(bad), Position(1)).is_err(), "bit {bit}");
    }
}

#[test]
fn another_version_is_named() {
    let mut payload = encode_appends(&samples::appends()).to_vec();
    payload[0] = 2;
    let error = Command::decode(&Bytes::from(payload)).unwrap_err();
    assert_eq!(error, CodecError::Version { what: "command", found: 2 });
    assert_eq!(error.to_string(), "command has format version 2, this binary knows 1");
}
