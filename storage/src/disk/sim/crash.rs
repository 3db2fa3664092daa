//! What a loss of power may leave of a disk.
//!
//! Between what is durable and what is read lie choices, each made by itself:
//! every change of a name is kept or lost, every sector holds what was durable
//! or anything that was written to it since, and a file has any of its lengths
//! since. Real file systems keep more order than that; a store that survives
//! this survives them.

use std::collections::BTreeMap;

use super::image::Image;

/// Something that a loss of power decides.
#[derive(Debug, Clone)]
enum Choice {
    Name { folder: std::path::PathBuf, change: usize },
    Length { file: u64 },
    Sector { file: u64, sector: usize },
}

/// What a loss of power would decide, and how many outcomes each decision has.
#[derive(Debug, Clone)]
pub struct Undecided(Vec<(Choice, usize)>);

impl Undecided {
    /// How many states there are, up to what fits.
    #[must_use]
    pub fn states(&self) -> u64 {
        self.0.iter().fold(1, |states: u64, (_, options)| states.saturating_mul(*options as u64))
    }

    /// How many decisions there are.
    #[must_use]
    pub fn decisions(&self) -> usize {
        self.0.len()
    }
}

/// States of a disk after a loss of power: all of them when there are few,
/// otherwise the two extremes, single deviations from them, and random ones.
#[derive(Debug)]
pub struct CrashStates {
    image: Image,
    undecided: Undecided,
    all: bool,
    count: u64,
    at: u64,
    seed: u64,
}

impl Image {
    /// What a loss of power would decide now.
    #[must_use]
    pub fn undecided(&self) -> Undecided {
        let mut choices = Vec::new();
        for (path, folder) in &self.folders {
            let changes = 0..folder.unsynced.len();
            choices.extend(changes.map(|change| (Choice::Name { folder: path.clone(), change }, 2)));
        }
        for file in self.nameable() {
            let content = self.content(file);
            if content.lengths() > 1 {
                choices.push((Choice::Length { file }, content.lengths()));
            }
            let sectors = content.undecided();
            choices.extend(sectors.map(|(sector, options)| (Choice::Sector { file, sector }, options)));
        }
        Undecided(choices)
    }

    /// The disk after a loss of power. `choose` is asked for each decision with
    /// the number of outcomes: 0 is what was durable, the highest the newest.
    #[must_use]
    pub fn crashed(&self, mut choose: impl FnMut(usize) -> usize) -> Self {
        let undecided = self.undecided();
        let chosen: Vec<usize> = undecided.0.iter().map(|(_, options)| choose(*options)).collect();
        self.decided(&undecided, &chosen)
    }

    /// States that a loss of power may leave: all if they are at most `most`,
    /// else `most` of them, chosen by the seed.
    #[must_use]
    pub fn crash_states(&self, most: u64, seed: u64) -> CrashStates {
        let undecided = self.undecided();
        let all = undecided.states() <= most;
        let count = undecided.states().min(most);
        CrashStates { image: self.clone(), undecided, all, count, at: 0, seed }
    }

    fn decided(&self, undecided: &Undecided, chosen: &[usize]) -> Self {
        let mut names: BTreeMap<_, _> =
            self.folders.iter().map(|(path, folder)| (path.clone(), folder.durable.clone())).collect();
        let mut lengths = BTreeMap::new();
        let mut sectors: BTreeMap<u64, Vec<(usize, usize)>> = BTreeMap::new();
        for ((choice, options), chosen) in undecided.0.iter().zip(chosen) {
            assert!(chosen < options, "a choice is one of its options");
            match choice {
                Choice::Name { folder, change } if *chosen == 1 => {
                    let names = names.get_mut(folder).expect("every folder has names");
                    self.folders[folder].unsynced[*change].apply(names);
                }
                Choice::Name { .. } => {}
                Choice::Length { file } => {
                    lengths.insert(*file, *chosen);
                }
                Choice::Sector { file, sector } => {
                    sectors.entry(*file).or_default().push((*sector, *chosen));
                }
            }
        }
        self.settled(names, |file| {
            let sectors = sectors.get(&file).map_or(&[][..], Vec::as_slice);
            let length = lengths.get(&file).copied().unwrap_or(0);
            self.content(file).crashed(length, sectors.iter().copied())
        })
    }
}

impl CrashStates {
    /// Whether these are all states that there are.
    #[must_use]
    pub fn is_exhaustive(&self) -> bool {
        self.all
    }

    fn choices(&mut self, number: u64) -> Vec<usize> {
        let options = self.undecided.0.iter().map(|(_, options)| *options);
        let decisions = self.undecided.0.len() as u64;
        if self.all {
            let mut left = number;
            let digit = |options: usize| {
                let digit = left % options as u64;
                left /= options as u64;
                digit as usize
            };
            return options.map(digit).collect();
        }
        let (even, deviant) = (number.is_multiple_of(2), number / 2);
        if deviant <= decisions.min(self.count / 4) {
            // The first pair has no deviant.
            let newest = |at: u64| (at + 1 == deviant) == even;
            return options.enumerate().map(|(at, n)| if newest(at as u64) { n - 1 } else { 0 }).collect();
        }
        let seed = &mut self.seed;
        let bias = random(seed) % 4;
        options
            .map(|options| match random(seed) % 4 {
                roll if roll < bias => options - 1,
                3 => random(seed) as usize % options,
                _ => 0,
            })
            .collect()
    }
}

impl Iterator for CrashStates {
    type Item = Image;

    fn next(&mut self) -> Option<Image> {
        if self.at == self.count {
            return None;
        }
        let choices = self.choices(self.at);
        self.at += 1;
        Some(self.image.decided(&self.undecided, &choices))
    }
}

/// The next number of a seeded series (splitmix64).
pub(super) fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use crate::disk::sim::{SimDisk, SimFile};

    const FILE: &str = "/a";

    fn written(disk: &SimDisk, bytes: &[u8]) -> SimFile {
        let file = disk.create(Path::new(FILE)).unwrap();
        file.write_at(bytes, 0).unwrap();
        file
    }

    fn states(disk: &SimDisk) -> BTreeSet<Option<Vec<u8>>> {
        let states = disk.image().crash_states(1000, 1);
        assert!(states.is_exhaustive());
        states.map(|state| state.read(Path::new(FILE)).ok().map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn a_name_and_the_bytes_survive_apart() {
        let disk = SimDisk::default();
        let file = written(&disk, b"bytes");
        let bytes = |bytes: &[u8]| Some(bytes.to_vec());
        assert_eq!(states(&disk), [None, bytes(b""), bytes(&[0; 5]), bytes(b"bytes")].into());
        file.sync().unwrap();
        assert_eq!(states(&disk), [None, bytes(b"bytes")].into());
        disk.sync_dir(Path::new("/")).unwrap();
        assert_eq!(states(&disk), [bytes(b"bytes")].into());
        disk.remove(Path::new(FILE)).unwrap();
        assert_eq!(states(&disk), [None, bytes(b"bytes")].into());
    }

    #[test]
    fn a_rename_replaces_all_or_nothing() {
        let disk = SimDisk::default();
        written(&disk, b"old").sync().unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let new = disk.create(Path::new("/b")).unwrap();
        new.write_at(b"new", 0).unwrap();
        new.sync().unwrap();
        disk.rename(Path::new("/b"), Path::new(FILE)).unwrap();
        assert_eq!(states(&disk), [Some(b"old".to_vec()), Some(b"new".to_vec())].into());
    }

    #[test]
    fn samples_hold_both_extremes_and_are_the_same_for_the_same_seed() {
        let disk = SimDisk::default();
        let file = written(&disk, &[1; 512 * 20]);
        file.sync().unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        file.write_at(&[2; 512 * 20], 0).unwrap();
        let sample = |seed| {
            let states = disk.image().crash_states(100, seed);
            assert!(!states.is_exhaustive());
            states.map(|state| state.read(Path::new(FILE)).unwrap().to_vec()).collect::<Vec<_>>()
        };
        let found = sample(7);
        assert_eq!(found.len(), 100);
        assert!(found.contains(&vec![1; 512 * 20]) && found.contains(&vec![2; 512 * 20]));
        assert_eq!(found, sample(7));
        assert_ne!(found, sample(8));
    }

    #[test]
    fn after_the_cut_nothing_works() {
        let disk = SimDisk::default();
        let file = written(&disk, b"bytes");
        let image = disk.cut();
        assert!(file.sync().is_err() && disk.list(Path::new("/")).is_err());
        let after = SimDisk::new(image.crashed(|options| options - 1), 1);
        assert_eq!(after.read(Path::new(FILE)).unwrap(), b"bytes");
    }
}
