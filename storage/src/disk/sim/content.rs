//! The bytes of one file: what is read, what is durable, and what lies between.
//!
//! Invariant: a sector that reads otherwise than it is durable has a history
//! here, or a failed sync took it.

use std::{collections::BTreeMap, sync::Arc};

/// A disk writes so many bytes at once or not at all.
pub(super) const SECTOR: usize = 512;
/// A sector's older contents beyond so many are forgotten; writing one over and
/// over without a sync must not fill the memory.
const HISTORY_MAX: usize = 8;

type Sector = Arc<[u8; SECTOR]>;

#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// What each sector held since it was durable, oldest first.
    sectors: BTreeMap<usize, Vec<Sector>>,
    /// The lengths since the durable one.
    lengths: Vec<usize>,
}

impl Content {
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { now: bytes.clone(), durable: bytes, ..Self::default() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.now
    }

    pub(super) fn len(&self) -> u64 {
        self.now.len() as u64
    }

    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> usize {
        let start = usize::try_from(at).unwrap_or(usize::MAX).min(self.now.len());
        let len = buffer.len().min(self.now.len() - start);
        buffer[..len].copy_from_slice(&self.now[start..start + len]);
        len
    }

    pub(super) fn write(&mut self, bytes: &[u8], at: u64) {
        if bytes.is_empty() {
            return;
        }
        let start = usize::try_from(at).expect("simulated files are short");
        let end = start + bytes.len();
        if end > self.now.len() {
            self.now.resize(end, 0);
            self.lengths.push(end);
        }
        self.now[start..end].copy_from_slice(bytes);
        (start / SECTOR..end.div_ceil(SECTOR)).for_each(|sector| self.note(sector));
    }

    pub(super) fn empty(&mut self) {
        if self.now.is_empty() {
            return;
        }
        self.now.fill(0);
        (0..self.now.len().div_ceil(SECTOR)).for_each(|sector| self.note(sector));
        self.now.clear();
        self.lengths.push(0);
    }

    pub(super) fn sync(&mut self) {
        for (sector, history) in std::mem::take(&mut self.sectors) {
            let newest = history.last().expect("a history has an entry");
            put(&mut self.durable, sector, newest);
        }
        self.lengths.clear();
        self.durable.resize(self.now.len(), 0);
    }

    /// A sync that failed: what it should have written is clean and lost.
    pub(super) fn forget(&mut self) {
        self.sectors.clear();
        self.lengths.clear();
    }

    /// Sectors with a history, and the number of contents each may have.
    pub(super) fn undecided(&self) -> impl Iterator<Item = (usize, usize)> {
        self.sectors.iter().map(|(sector, history)| (*sector, history.len() + 1))
    }

    /// How many lengths it may have.
    pub(super) fn lengths(&self) -> usize {
        self.lengths.len() + 1
    }

    /// The file after a loss of power: the choice 0 is what is durable, the
    /// highest one is the newest.
    pub(super) fn crashed(&self, length: usize, sectors: impl Iterator<Item = (usize, usize)>) -> Self {
        let mut bytes = self.durable.clone();
        for (sector, choice) in sectors.filter(|(_, choice)| *choice > 0) {
            put(&mut bytes, sector, &self.sectors[&sector][choice - 1]);
        }
        let len = length.checked_sub(1).map_or(self.durable.len(), |at| self.lengths[at]);
        bytes.resize(len, 0);
        Self::durable(bytes)
    }

    fn note(&mut self, sector: usize) {
        let mut content = [0; SECTOR];
        let start = sector * SECTOR;
        let end = self.now.len().min(start + SECTOR);
        content[..end - start].copy_from_slice(&self.now[start..end]);
        let known = match self.sectors.get(&sector).and_then(|history| history.last()) {
            Some(last) => **last == content,
            None => self.is_durable(sector, &content),
        };
        if known {
            return;
        }
        let history = self.sectors.entry(sector).or_default();
        history.push(Arc::new(content));
        if history.len() > HISTORY_MAX {
            history.remove(0);
        }
    }

    fn is_durable(&self, sector: usize, content: &[u8; SECTOR]) -> bool {
        let start = (sector * SECTOR).min(self.durable.len());
        let durable = &self.durable[start..self.durable.len().min(start + SECTOR)];
        content.starts_with(durable) && content[durable.len()..].iter().all(|byte| *byte == 0)
    }
}

fn put(bytes: &mut Vec<u8>, sector: usize, content: &[u8; SECTOR]) {
    let start = sector * SECTOR;
    if bytes.len() < start + SECTOR {
        bytes.resize(start + SECTOR, 0);
    }
    bytes[start..start + SECTOR].copy_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_synced_survives_in_every_state() {
        let mut content = Content::default();
        content.write(&[1; 700], 0);
        content.sync();
        content.write(&[2; 100], 500);
        assert_eq!(content.undecided().collect::<Vec<_>>(), [(0, 2), (1, 2)]);
        let oldest = content.crashed(0, [(0, 0), (1, 0)].into_iter());
        assert_eq!(oldest.bytes(), [1; 700]);
        let torn = content.crashed(0, [(0, 1), (1, 0)].into_iter());
        assert_eq!(torn.bytes(), [&[1; 500][..], &[2; 12], &[1; 188]].concat());
        content.sync();
        assert_eq!(content.crashed(0, std::iter::empty()).bytes(), content.bytes());
    }

    #[test]
    fn a_longer_file_may_keep_its_length_without_its_bytes_and_the_other_way_round() {
        let mut content = Content::durable(vec![1; 10]);
        content.write(&[2; 10], 10);
        assert_eq!(content.lengths(), 2);
        let long = content.crashed(1, [(0, 0)].into_iter());
        assert_eq!(long.bytes(), [[1; 10], [0; 10]].concat());
        let short = content.crashed(0, [(0, 1)].into_iter());
        assert_eq!(short.bytes(), [1; 10]);
    }

    #[test]
    fn after_a_failed_sync_the_bytes_are_read_and_never_become_durable() {
        let mut content = Content::durable(vec![1; 10]);
        content.write(&[2; 10], 0);
        content.forget();
        content.sync();
        assert_eq!(content.bytes(), [2; 10]);
        assert_eq!(content.crashed(0, std::iter::empty()).bytes(), [1; 10]);
        content.write(&[2; 10], 0);
        content.sync();
        assert_eq!(content.crashed(0, std::iter::empty()).bytes(), [2; 10]);
    }
}
