use std::sync::Arc;

use tokio::sync::Mutex;

use crate::postgres::Postgres;

/// What the nodes call the PostgreSQL.
pub const SINK: &str = "chaos";

/// A PostgreSQL that nodes fold into and a workload kills. Clones share it.
#[derive(Debug, Clone)]
pub struct Outside {
    /// Its URL, which stays.
    pub url: String,
    /// The server: whoever has it kills it and starts it again.
    pub server: Arc<Mutex<Postgres>>,
}

impl Outside {
    /// Shares it.
    #[must_use]
    pub fn new(postgres: Postgres) -> Self {
        Self { url: postgres.url(), server: Arc::new(Mutex::new(postgres)) }
    }

    /// What makes it known to a node, in its environment.
    #[must_use]
    pub fn as_variable(&self) -> (&'static str, String) {
        ("WEIR_SINKS", format!("{SINK}={}", self.url))
    }
}
