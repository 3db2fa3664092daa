use std::time::Duration;

/// How a client waits and repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientOptions {
    /// How long one call may take, all its tries together.
    pub deadline: Duration,
    /// How long one try may take before another node is asked.
    pub attempt: Duration,
    /// How long a TCP connection may take.
    pub connect: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            attempt: Duration::from_secs(5),
            connect: Duration::from_secs(1),
        }
    }
}
