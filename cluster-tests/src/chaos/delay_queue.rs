//! The program behind [`Action::Queue`](super::rig::firewall::Action): holds
//! every packet for a while, and so lets later ones overtake.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    convert::Infallible,
    io, thread,
    time::{Duration, Instant},
};

use nfq::{Message, Queue, Verdict};
use weir_check::rng::Rng;

use super::rig::firewall::QUEUE;

/// The word that makes `chaos` this program; base and jitter in milliseconds follow.
pub const COMMAND: &str = "delay-queue";
/// Between two looks at the queue when it is empty.
const IDLE: Duration = Duration::from_micros(500);
/// Packets that wait at most; the kernel drops more.
const LENGTH_MAX: u32 = 8_192;

/// A packet and when it may go on.
struct Held {
    due: Instant,
    arrival: u64,
    packet: Message,
}

/// Serves the queue until it fails.
#[must_use]
pub fn serve(base_ms: u64, jitter_ms: u64) -> io::Error {
    match hold(base_ms, jitter_ms) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn hold(base_ms: u64, jitter_ms: u64) -> io::Result<Infallible> {
    let mut queue = Queue::open()?;
    queue.bind(QUEUE)?;
    queue.set_queue_max_len(QUEUE, LENGTH_MAX)?;
    queue.set_nonblocking(true);
    let (mut held, mut rng, mut arrival) = (BinaryHeap::new(), Rng::new(u64::from(std::process::id())), 0);
    loop {
        let mut idle = true;
        match queue.recv() {
            Ok(packet) => {
                let due = Instant::now() + Duration::from_millis(base_ms + rng.within(0..jitter_ms + 1));
                arrival += 1;
                held.push(Reverse(Held { due, arrival, packet }));
                idle = false;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        while held.peek().is_some_and(|Reverse(first)| first.due <= Instant::now()) {
            let Some(Reverse(mut first)) = held.pop() else { break };
            first.packet.set_verdict(Verdict::Accept);
            queue.verdict(first.packet)?;
        }
        if idle {
            // The queue tells nobody when a packet comes.
            thread::park_timeout(IDLE);
        }
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.arrival).cmp(&(other.due, other.arrival))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Held {}
