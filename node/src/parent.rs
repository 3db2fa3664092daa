//! A process that ends when its parent does.
//!
//! The parent keeps the write end of the child's stdin and never writes. When
//! the parent is gone, however it went, the kernel closes that end: no polling,
//! no signal that could be missed. A parent that stops all its children closes
//! it by hand.

use tokio::io::AsyncReadExt as _;

/// Resolves when stdin ends.
pub async fn gone() {
    let mut stdin = tokio::io::stdin();
    let mut sink = [0_u8; 64];
    // Any error ends the pipe as surely as its end does.
    while matches!(stdin.read(&mut sink).await, Ok(read) if read > 0) {}
}
