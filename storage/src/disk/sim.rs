//! A disk in memory that is driven by one thread and can lose power.
//!
//! Every operation can be watched and refused, so a test or a simulation sees
//! each one, makes any of them fail, and cuts the power between any two.

mod content;
mod crash;
mod image;
mod op;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use uuid::Uuid;

use self::crash::random;
pub use self::{
    crash::{CrashStates, Undecided},
    image::Image,
    op::{OpKind, SimOp, Verdict},
};

/// Asked before every operation, with the disk locked: it must not use the
/// disk. It may take its time, which is how a slow disk is simulated.
pub type Judge = Box<dyn FnMut(&SimOp) -> Verdict + Send>;
/// Told after every operation that changed something, with what the disk holds
/// now. The disk is locked: it must not be used.
pub type Witness = Box<dyn FnMut(&SimOp, &Image) + Send>;

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    image: Image,
    off: bool,
    locked: BTreeSet<PathBuf>,
    operations: u64,
    seed: u64,
    judge: Option<Judge>,
    witness: Option<Witness>,
}

/// An open file of a simulated disk.
#[derive(Debug)]
pub(crate) struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    number: u64,
}

/// A locked file of a simulated disk.
#[derive(Debug)]
pub(crate) struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl SimDisk {
    /// A disk that holds what the image holds, with nothing open. Unique ids
    /// come from the seed, so two disks of a simulation have different ones.
    #[must_use]
    pub fn new(image: Image, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inside { image, seed, ..Inside::default() })))
    }

    /// Asks `judge` before every operation from now on.
    pub fn judge(&self, judge: Judge) {
        self.inside().judge = Some(judge);
    }

    /// Tells `witness` of every change from now on.
    pub fn watch(&self, witness: Witness) {
        self.inside().witness = Some(witness);
    }

    /// What it holds now, synced or not: a process that was killed finds this
    /// when it comes back.
    #[must_use]
    pub fn image(&self) -> Image {
        self.inside().image.clone()
    }

    /// Gives a file other bytes under whoever has it open: damage.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    pub fn replace(&self, path: &Path, bytes: Vec<u8>) -> io::Result<()> {
        self.inside().image.replace(path, bytes)
    }

    /// Operations so far, refused ones too.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.inside().operations
    }

    /// Cuts the power: every later operation fails. What a machine finds when
    /// it comes back is one of [`Image::crash_states`] of what is returned, or
    /// [`Image::crashed`] of it.
    pub fn cut(&self) -> Image {
        let mut inside = self.inside();
        inside.off = true;
        inside.image.clone()
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().expect("no judge and no witness panics")
    }

    fn change<T>(&self, op: SimOp, work: impl FnOnce(&mut Image) -> io::Result<T>) -> io::Result<T> {
        let mut inside = self.inside();
        if !inside.allow(&op)? {
            // Whatever it would have returned, without its effect.
            return work(&mut inside.image.clone());
        }
        let done = work(&mut inside.image)?;
        inside.tell(&op);
        Ok(done)
    }

    fn look<T>(
        &self,
        kind: OpKind,
        path: &Path,
        work: impl FnOnce(&Image) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut inside = self.inside();
        inside.allow(&SimOp::new(kind, path))?;
        work(&inside.image)
    }

    pub(super) fn unique(&self) -> Uuid {
        let mut inside = self.inside();
        let (high, low) = (random(&mut inside.seed), random(&mut inside.seed));
        Uuid::from_u64_pair(high, low)
    }

    pub(super) fn is_dir(&self, path: &Path) -> io::Result<bool> {
        self.look(OpKind::Look, path, |image| Ok(image.is_dir(path)))
    }

    pub(super) fn exists(&self, path: &Path) -> io::Result<bool> {
        self.look(OpKind::Look, path, |image| Ok(image.is_dir(path) || image.file_at(path).is_ok()))
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.look(OpKind::List, path, |image| image.list(path))
    }

    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.look(OpKind::Read, path, |image| image.read(path).map(<[u8]>::to_vec))
    }

    pub(super) fn open(&self, path: &Path) -> io::Result<SimFile> {
        let number = self.look(OpKind::Open, path, |image| image.file_at(path))?;
        Ok(self.file(path, number))
    }

    pub(super) fn create(&self, path: &Path) -> io::Result<SimFile> {
        let number = self.change(SimOp::new(OpKind::Create, path), |image| image.create(path))?;
        Ok(self.file(path, number))
    }

    fn file(&self, path: &Path, number: u64) -> SimFile {
        SimFile { disk: self.clone(), path: path.to_path_buf(), number }
    }

    pub(super) fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.change(SimOp::new(OpKind::CreateDir, path), |image| image.create_dir(path))
    }

    pub(super) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.change(SimOp::new(OpKind::SyncDir, path), |image| image.sync_dir(path))
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(SimOp::new(OpKind::Rename, to), |image| image.rename(from, to))
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(SimOp::new(OpKind::Remove, path), |image| image.remove(path))
    }

    pub(super) fn lock(&self, path: &Path) -> io::Result<Option<SimLock>> {
        let mut inside = self.inside();
        if inside.off {
            return Err(power_is_off());
        }
        let free = inside.locked.insert(path.to_path_buf());
        Ok(free.then(|| SimLock { disk: self.clone(), path: path.to_path_buf() }))
    }
}

impl SimFile {
    pub(super) fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let op = SimOp { at, bytes: buffer.len() as u64, ..SimOp::new(OpKind::Read, &self.path) };
        let mut inside = self.disk.inside();
        inside.allow(&op)?;
        Ok(inside.image.content(self.number).read(buffer, at))
    }

    pub(super) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let op = SimOp { at, bytes: bytes.len() as u64, ..SimOp::new(OpKind::Write, &self.path) };
        let mut inside = self.disk.inside();
        match inside.allow(&op) {
            Ok(true) => inside.image.content_mut(self.number).write(bytes, at),
            Ok(false) => return Ok(()),
            Err(error) => {
                // A write that fails may have written its first half, unless nothing works.
                if !inside.off {
                    inside.image.content_mut(self.number).write(&bytes[..bytes.len() / 2], at);
                }
                return Err(error);
            }
        }
        inside.tell(&op);
        Ok(())
    }

    /// A failed sync leaves the bytes to be read and marks them clean: they are
    /// not durable, and no later sync writes them, as on Linux.
    pub(super) fn sync(&self) -> io::Result<()> {
        let op = SimOp::new(OpKind::Sync, &self.path);
        let mut inside = self.disk.inside();
        match inside.allow(&op) {
            Ok(true) => inside.image.content_mut(self.number).sync(),
            Ok(false) => return Ok(()),
            Err(error) => {
                if !inside.off {
                    inside.image.content_mut(self.number).forget();
                }
                return Err(error);
            }
        }
        inside.tell(&op);
        Ok(())
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        self.disk.look(OpKind::Look, &self.path, |image| Ok(image.content(self.number).len()))
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.inside().locked.remove(&self.path);
    }
}

impl Inside {
    /// Whether to carry it out; otherwise only to say so.
    fn allow(&mut self, op: &SimOp) -> io::Result<bool> {
        self.operations += 1;
        if self.off {
            return Err(power_is_off());
        }
        match self.judge.as_mut().map(|judge| judge(op)) {
            None | Some(Verdict::Go) => Ok(true),
            Some(Verdict::Lie) => Ok(false),
            Some(Verdict::Fail(error)) => Err(error),
        }
    }

    fn tell(&mut self, op: &SimOp) {
        if let Some(witness) = &mut self.witness {
            witness(op, &self.image);
        }
    }
}

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimDisk").field("operations", &self.operations).field("off", &self.off).finish()
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}
