//! Server-sent events out of bytes as they come.

/// Bytes of one event, with room for what JSON adds to the largest of the log.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: String,
}

/// Bytes that make no event yet.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    bytes: Vec<u8>,
    /// Up to here there is no end of an event.
    searched: usize,
}

/// The server says more than one event may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Reader {
    /// Takes bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > EVENT_BYTES_MAX { Err(TooLong) } else { Ok(()) }
    }

    /// The next whole event.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let begin = self.searched.saturating_sub(1);
        let end = self.bytes[begin..].windows(2).position(|pair| pair == b"\n\n");
        let Some(end) = end.map(|at| begin + at) else {
            self.searched = self.bytes.len();
            return None;
        };
        let message = read(&String::from_utf8_lossy(&self.bytes[..end]));
        self.bytes.drain(..end + 2);
        self.searched = 0;
        Some(message)
    }
}

fn read(text: &str) -> Message {
    let mut message = Message::default();
    let mut lines = Vec::new();
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut message.name),
            "id" => value.clone_into(&mut message.id),
            "data" => lines.push(value),
            _ => {}
        }
    }
    message.data = lines.join("\n");
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_pieces_they_come_in() {
        let text = ": hello\n\nid: 1\ndata: {\"a\":\ndata:  1}\n\nevent: end\nid: 2\ndata: x\n\nid: 3\n";
        for size in 1..text.len() {
            let (mut reader, mut read) = (Reader::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                reader.push(piece).unwrap();
                read.extend(std::iter::from_fn(|| reader.next()));
            }
            let of = |name: &str, id: &str, data: &str| Message {
                name: name.into(),
                id: id.into(),
                data: data.into(),
            };
            assert_eq!(
                read,
                [Message::default(), of("", "1", "{\"a\":\n 1}"), of("end", "2", "x")],
                "{size}"
            );
        }
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut reader = Reader::default();
        assert_eq!(reader.push(&vec![b'x'; EVENT_BYTES_MAX]), Ok(()));
        assert_eq!(reader.push(b"x"), Err(TooLong));
    }
}
