//! A planted bug: a network that delivers what nodes forward twice.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

/// Bytes of a frame's header, and where in it the body's length, the kind and the role stand.
const HEADER: usize = 32;
const KIND: usize = 8;
const ROLE: usize = 9;
/// A request of the node itself.
const FORWARD: u8 = 8;

/// Writes every forwarded request twice.
pub struct Twice<W> {
    inner: W,
    /// Of the frame that is being written.
    frame: Vec<u8>,
    /// What goes out before anything else is taken.
    due: Vec<u8>,
}

impl<W> Twice<W> {
    /// Around a writer of frames.
    pub fn new(inner: W) -> Self {
        Self { inner, frame: Vec::new(), due: Vec::new() }
    }

    /// Takes bytes, and puts every whole frame among what is due.
    fn take(&mut self, bytes: &[u8]) {
        self.frame.extend_from_slice(bytes);
        while let Some(length) = whole(&self.frame) {
            let frame: Vec<u8> = self.frame.drain(..length).collect();
            self.due.extend_from_slice(&frame);
            if frame[KIND] == FORWARD && frame[ROLE] == 0 {
                self.due.extend_from_slice(&frame);
            }
        }
    }
}

/// The length of the first frame, if all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let body = bytes.first_chunk::<4>().map(|length| u32::from_le_bytes(*length))?;
    let length = HEADER + usize::try_from(body).ok()?;
    (bytes.len() >= length).then_some(length)
}

impl<W: AsyncWrite + Unpin> Twice<W> {
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.due.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.due))?;
            self.due.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Twice<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.drain(cx))?;
        self.take(bytes);
        // Not every writer flushes; what does not fit now goes out before the next bytes.
        if let Poll::Ready(Err(error)) = self.drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
