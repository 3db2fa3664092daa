//! An operator's slip: the JetStream stream is deleted or purged.
//!
//! A stream that is gone is made and filled again without anybody's doing. One
//! that was purged looks as if it were trimmed on purpose: the operator has it rebuilt.
//! What NATS was asked for and did not answer may have been done: it counts as begun,
//! and a purge has the stream rebuilt. NATS is not put back to a time between the two, for which the operator would have
//! to be called once more.

use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;
use weir_api::v1::paths;

use super::{Fault, Healed, Hit, Kind, Need, Scene, nats_rewind::STORED};
use crate::nats::STREAM;

/// Both.
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "stream-delete", need: Need::Nats, lasts: 1..2, make: || Slip::of(false) },
        Kind { name: "stream-purge", need: Need::Nats, lasts: 1..2, make: || Slip::of(true) },
    ]
}

/// How long NATS may take.
const TIMEOUT: Duration = Duration::from_secs(4);

struct Slip {
    purges: bool,
    /// Whether NATS may have been asked.
    asked: bool,
    done: u64,
}

impl Slip {
    fn of(purges: bool) -> Box<dyn Fault> {
        Box::new(Self { purges, asked: false, done: 0 })
    }

    async fn slip(&mut self, scene: &Scene<'_>) -> Result<()> {
        let jetstream = scene.rig.jetstream().await?;
        if self.purges {
            let stream = jetstream.get_stream(STREAM).await?;
            self.asked = true;
            stream.purge().await?;
        } else {
            self.asked = true;
            jetstream.delete_stream(STREAM).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Fault for Slip {
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>> {
        if self.purges && !scene.rig.atlas.reserve(0, STORED, scene.id) {
            return Ok(None);
        }
        // Other faults may keep NATS from doing it.
        match tokio::time::timeout(TIMEOUT, self.slip(scene)).await {
            Ok(Ok(())) => {
                self.done = 1;
                Ok(Some(Hit::default()))
            }
            _ if self.asked => Ok(Some(Hit { detail: json!({ "answered": false }), ..Hit::default() })),
            _ => {
                scene.rig.atlas.release(0, STORED, scene.id);
                Ok(None)
            }
        }
    }

    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed> {
        if !self.purges {
            return Ok(Healed::Done(self.done));
        }
        let nothing = json!({});
        for (_, edge) in scene.rig.directory.all() {
            let asked = edge.post(paths::OUTBOX_REBUILD, &nothing);
            if matches!(tokio::time::timeout(TIMEOUT, asked).await, Ok(Ok(_))) {
                scene.rig.atlas.release(0, STORED, scene.id);
                return Ok(Healed::Done(self.done));
            }
        }
        // Other faults may keep it from being done; it is asked for again.
        Ok(Healed::NotYet)
    }
}
