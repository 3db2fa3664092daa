//! Drains a queue of frames into a socket: one flush for all that waits.

use std::io;

use tokio::{
    io::{AsyncWriteExt, BufWriter},
    sync::mpsc,
};

use crate::network::{frame::Outgoing, socket::PeerWriter};

const BUFFER_BYTES: usize = 64 * 1024;
const FRAMES_PER_FLUSH_MAX: usize = 64;

/// Writes frames until the queue is closed.
///
/// # Errors
/// Whatever the socket says; frames that were queued are lost then.
pub(crate) async fn write_frames(mut queue: mpsc::Receiver<Outgoing>, socket: PeerWriter) -> io::Result<()> {
    let mut socket = BufWriter::with_capacity(BUFFER_BYTES, socket);
    let mut frames = Vec::with_capacity(FRAMES_PER_FLUSH_MAX);
    while queue.recv_many(&mut frames, FRAMES_PER_FLUSH_MAX).await > 0 {
        for frame in frames.drain(..) {
            frame.write(&mut socket).await?;
        }
        socket.flush().await?;
    }
    Ok(())
}
