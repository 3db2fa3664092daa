use bytes::{Buf as _, Bytes, BytesMut};

use crate::ApiError;

/// Bytes before a payload: one of flags, four of length.
const HEAD_BYTES: usize = 5;

/// The frames of a client that sends several, as they come. It holds no more than one frame and what came with it.
#[derive(Debug)]
pub struct Envelopes {
    bytes: BytesMut,
    payload_bytes_max: usize,
}

impl Envelopes {
    /// None yet. No payload may have more bytes than these.
    #[must_use]
    pub fn new(payload_bytes_max: usize) -> Self {
        Self { bytes: BytesMut::new(), payload_bytes_max }
    }

    /// More of them has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The payload of the next frame, if it is there whole.
    ///
    /// # Errors
    /// `invalid_request` for flags that are not 0 and for a payload that is too long: what follows is not readable.
    pub fn payload(&mut self) -> Result<Option<Bytes>, ApiError> {
        let Some(head) = self.bytes.get(..HEAD_BYTES) else { return Ok(None) };
        if head[0] != 0 {
            return Err(ApiError::invalid("frame has flags that are not 0; compression is not served"));
        }
        let (length, max) =
            (u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize, self.payload_bytes_max);
        if length > max {
            return Err(ApiError::invalid(format!("frame is over the limit of {max} bytes")).with("max", max));
        }
        if self.bytes.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.bytes.advance(HEAD_BYTES);
        Ok(Some(self.bytes.split_to(length).freeze()))
    }

    /// Whether nothing has come of a next frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"\0\0\0\0\x02{}\0\0\0\0\0";

    #[test]
    fn frames_are_the_same_however_they_are_cut() {
        for cut in 0..=TWO.len() {
            let mut frames = Envelopes::new(2);
            let mut payloads = Vec::new();
            for part in [&TWO[..cut], &TWO[cut..]] {
                frames.push(part);
                while let Some(payload) = frames.payload().unwrap() {
                    payloads.push(payload);
                }
            }
            assert_eq!((payloads, frames.is_empty()), (vec![Bytes::from("{}"), Bytes::new()], true), "{cut}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_as_soon_as_it_is_seen() {
        for bad in [&[2, 0, 0, 0, 0][..], &[1, 0, 0, 0, 1], &[0, 0, 0, 0, 3], &[0, 255, 255, 255, 255]] {
            let mut frames = Envelopes::new(2);
            frames.push(bad);
            assert!(frames.payload().is_err(), "{bad:?}");
        }
        let mut cut = Envelopes::new(2);
        cut.push(&TWO[..4]);
        assert_eq!((cut.payload(), cut.is_empty()), (Ok(None), false));
    }
}
