//! The body of a message on the bus, which anybody with its credentials may have written.

use weir_actors::jetstream::envelope::{Data, Decoded, decode, encode};

use super::PARSER;
use crate::Target;

pub(super) const ENVELOPE: Target = Target {
    name: "bus-envelope",
    about: "a message's body: what is read is written as what is read as the same",
    run: envelope,
    memory: PARSER,
    seeds: &[],
    slow_ms: 0,
};

fn envelope(data: &[u8]) {
    let Ok(Decoded::Event(event)) = decode(data) else { return };
    let again = decode(&encode(&event, Data::Whole)).expect("what was written is read");
    assert_eq!(again, Decoded::Event(event));
}
