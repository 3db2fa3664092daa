//! What a simulated disk holds: folders of names, and files with a history.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash as _, Hasher as _},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use xxhash_rust::xxh3::Xxh3;

use super::content::Content;

/// Everything on a disk at one moment: what is read, what is durable, and what
/// of the difference a loss of power may keep. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Image {
    pub(super) folders: BTreeMap<PathBuf, Folder>,
    pub(super) files: BTreeMap<u64, Arc<Content>>,
    next: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Folder {
    pub(super) now: BTreeMap<String, Entry>,
    pub(super) durable: BTreeMap<String, Entry>,
    /// In order; a loss of power keeps any of them.
    pub(super) unsynced: Vec<Change>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    File(u64),
    Folder,
}

/// A change of a folder's names.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Link { name: String, entry: Entry },
    Rename { from: String, to: String, entry: Entry },
    Unlink { name: String },
}

impl Change {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, Entry>) {
        match self {
            Self::Link { name, entry } => {
                names.insert(name.clone(), *entry);
            }
            Self::Rename { from, to, entry } => {
                names.remove(from);
                names.insert(to.clone(), *entry);
            }
            Self::Unlink { name } => {
                names.remove(name);
            }
        }
    }

    fn entry(&self) -> Option<Entry> {
        match self {
            Self::Link { entry, .. } | Self::Rename { entry, .. } => Some(*entry),
            Self::Unlink { .. } => None,
        }
    }
}

impl Default for Image {
    /// An empty disk, with a root.
    fn default() -> Self {
        let roots = ["/", ""].map(|root| (PathBuf::from(root), Folder::default()));
        Self { folders: roots.into(), files: BTreeMap::new(), next: 0 }
    }
}

impl Image {
    /// Every file and its bytes as they are read, by path.
    pub fn files(&self) -> impl Iterator<Item = (PathBuf, &[u8])> {
        self.folders.iter().flat_map(|(path, folder)| {
            folder.now.iter().filter_map(|(name, entry)| match entry {
                Entry::File(number) => Some((path.join(name), self.content(*number).bytes())),
                Entry::Folder => None,
            })
        })
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    pub fn read(&self, path: &Path) -> io::Result<&[u8]> {
        Ok(self.content(self.file_at(path)?).bytes())
    }

    /// Gives a file other bytes, durable at once: damage.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    pub fn replace(&mut self, path: &Path, bytes: Vec<u8>) -> io::Result<()> {
        let number = self.file_at(path)?;
        self.files.insert(number, Arc::new(Content::durable(bytes)));
        Ok(())
    }

    /// A hash of all names and bytes as they are read.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hasher = Xxh3::new();
        for (path, bytes) in self.files() {
            path.hash(&mut hasher);
            bytes.hash(&mut hasher);
        }
        hasher.finish()
    }

    pub(super) fn is_dir(&self, path: &Path) -> bool {
        self.folders.contains_key(named(path))
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        Ok(self.folder(path)?.now.keys().cloned().collect())
    }

    pub(super) fn file_at(&self, path: &Path) -> io::Result<u64> {
        let (parent, name) = split(path)?;
        match self.folder(parent)?.now.get(name) {
            Some(Entry::File(number)) => Ok(*number),
            Some(Entry::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<u64> {
        match self.file_at(path) {
            Ok(number) => {
                self.content_mut(number).empty();
                Ok(number)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (parent, name) = split(path)?;
                let number = self.next;
                let entry = Entry::File(number);
                self.folder_mut(parent)?.change(Change::Link { name: name.to_owned(), entry });
                self.files.insert(number, Arc::default());
                self.next += 1;
                Ok(number)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = split(path)?;
        let folder = self.folder_mut(parent)?;
        if folder.now.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        folder.change(Change::Link { name: name.to_owned(), entry: Entry::Folder });
        self.folders.insert(path.to_path_buf(), Folder::default());
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let folder = self.folder_mut(path)?;
        folder.durable = folder.now.clone();
        folder.unsynced.clear();
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let entry = Entry::File(self.file_at(from)?);
        let ((parent, from), (other, to)) = (split(from)?, split(to)?);
        assert_eq!(parent, other, "files are renamed within their folder");
        let (from, to) = (from.to_owned(), to.to_owned());
        self.folder_mut(parent)?.change(Change::Rename { from, to, entry });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.file_at(path)?;
        let (parent, name) = split(path)?;
        self.folder_mut(parent)?.change(Change::Unlink { name: name.to_owned() });
        Ok(())
    }

    pub(super) fn content(&self, number: u64) -> &Content {
        &self.files[&number]
    }

    pub(super) fn content_mut(&mut self, number: u64) -> &mut Content {
        Arc::make_mut(self.files.get_mut(&number).expect("a number names a file"))
    }

    /// Files that some state after a loss of power may name.
    pub(super) fn nameable(&self) -> BTreeSet<u64> {
        let changed = |folder: &Folder| folder.unsynced.iter().filter_map(Change::entry).collect::<Vec<_>>();
        self.folders
            .values()
            .flat_map(|folder| folder.durable.values().copied().chain(changed(folder)))
            .filter_map(|entry| match entry {
                Entry::File(number) => Some(number),
                Entry::Folder => None,
            })
            .collect()
    }

    /// An image in which all is durable, without what no name leads to.
    pub(super) fn settled(
        &self,
        names: BTreeMap<PathBuf, BTreeMap<String, Entry>>,
        mut content: impl FnMut(u64) -> Content,
    ) -> Self {
        let mut image = Self { next: self.next, ..Self::default() };
        let mut reached: Vec<PathBuf> = image.folders.keys().cloned().collect();
        while let Some(path) = reached.pop() {
            let now = names[&path].clone();
            for (name, entry) in &now {
                match entry {
                    Entry::Folder => reached.push(path.join(name)),
                    Entry::File(number) => {
                        image.files.entry(*number).or_insert_with(|| Arc::new(content(*number)));
                    }
                }
            }
            let folder = Folder { durable: now.clone(), now, unsynced: Vec::new() };
            image.folders.insert(path, folder);
        }
        image
    }

    fn folder(&self, path: &Path) -> io::Result<&Folder> {
        self.folders.get(named(path)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn folder_mut(&mut self, path: &Path) -> io::Result<&mut Folder> {
        self.folders.get_mut(named(path)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Folder {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.unsynced.push(change);
    }
}

fn named(path: &Path) -> &Path {
    if path == Path::new(".") { Path::new("") } else { path }
}

fn split(path: &Path) -> io::Result<(&Path, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    path.parent().zip(name).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
