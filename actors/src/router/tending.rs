//! What a router does by itself: it drops its actors when leadership goes, and
//! passivates those that are idle. Its timer runs only while there are actors.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use tokio::sync::Notify;
use weir_types::ports::Leadership;

use super::{Relaxed, Router, Weak, lock};

/// A stream is idle after this many sweeps without a use.
const SWEEPS: u32 = 4;

impl Router {
    pub(super) fn tend(self: &Arc<Self>) {
        let changes = self.leadership.changes();
        let task = tokio::spawn(tend(Arc::downgrade(self), changes));
        *lock(&self.tending) = Some(task.abort_handle());
    }

    fn pulse(&self) -> (Arc<Notify>, Duration, bool) {
        let pause = self.config.stream_idle_max / SWEEPS;
        (Arc::clone(&self.woken), pause, self.active.load(Relaxed) > 0)
    }

    fn follow(&self, leadership: Leadership) {
        if !leadership.decides {
            return self.retire_all();
        }
        for shard in &self.shards {
            self.begin(&mut lock(shard), leadership.term);
        }
    }

    fn sweep(&self, marks: &mut VecDeque<u64>) {
        if marks.len() as u32 == SWEEPS {
            let mark = marks.pop_front().expect("it is full");
            for shard in &self.shards {
                let idle = lock(shard).sweep(mark);
                self.passivate(idle);
            }
        }
        marks.push_back(self.uses.load(Relaxed));
    }
}

async fn tend(router: Weak<Router>, mut changes: BoxStream<'static, Leadership>) {
    let mut marks = VecDeque::new();
    loop {
        // Held only between waits, or the router would never be dropped.
        let Some((woken, pause, active)) = router.upgrade().map(|router| router.pulse()) else { return };
        if !active {
            marks.clear();
        }
        let mut change = None;
        tokio::select! {
            next = changes.next() => match next {
                Some(leadership) => change = Some(leadership),
                None => return,
            },
            () = woken.notified(), if !active => continue,
            () = tokio::time::sleep(pause), if active => {}
        }
        match (router.upgrade(), change) {
            (None, _) => return,
            (Some(router), Some(leadership)) => router.follow(leadership),
            (Some(router), None) => router.sweep(&mut marks),
        }
    }
}
