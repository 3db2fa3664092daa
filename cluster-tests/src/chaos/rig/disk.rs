//! A node's own disk: a file system in a file, which can be full, and can lose
//! power without anything else losing it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::place::tool;
use crate::{PATIENCE, binary::workspace, eventually};

/// Its size. The file is sparse: it takes what is written.
const BYTES: u64 = 6 * 1024 * 1024 * 1024;

/// Where images are while a run lasts, if the machine has it. What is not synced is above the image and is lost
/// with power wherever the image is; but a flush of a file system in a file on a disk takes twenty times as long as
/// a flush of that disk, and clients would wait for it all the time. Slow disks are a fault of their own.
const MEMORY: &str = "/dev/shm";
/// Bytes that must be free there: containers often have a few megabytes, and a full one looks like a failing disk.
const MEMORY_FREE_MIN: u64 = 4 * 1024 * 1024 * 1024;
/// Images in memory begin so; their run's process id follows.
const PREFIX: &str = "weir-chaos-";

/// A mounted image; unmounted when dropped, and then in its run's folder.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    mount: PathBuf,
    /// Where it is kept after the run.
    kept: PathBuf,
}

impl Disk {
    /// Makes one and mounts it at `mount`; the image is at `kept` when it is dropped.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub fn make(kept: &Path, mount: &Path) -> Result<Self> {
        let image = place(kept);
        File::create(&image)?.set_len(BYTES)?;
        tool("mkfs.ext4", &["-q", "-m", "0", &image.to_string_lossy()])?;
        fs::create_dir_all(mount)?;
        let disk = Self { image, mount: mount.to_owned(), kept: kept.to_owned() };
        disk.mount()?;
        Ok(disk)
    }

    /// Cuts the power: from now on nothing reaches the disk, and what was not synced is lost.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn cut_power(&self) -> Result<()> {
        let script = workspace().join("cluster-tests/scripts/cut_power.py");
        tool("python3", &[&script.to_string_lossy(), &self.mount.to_string_lossy()]).map(drop)
    }

    /// Takes the file system down and up again, as a boot does. Nothing may have it open.
    ///
    /// # Errors
    /// When something has, or the file system is beyond repair.
    pub async fn boot(&self) -> Result<()> {
        eventually("the disk is unmounted", PATIENCE, || async { self.unmount() }).await?;
        self.mount()
    }

    /// Takes space until less than `left` bytes are free; how many bytes that took.
    ///
    /// # Errors
    /// When the free space cannot be told.
    pub fn fill(&self, left: u64) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.mount).context("cannot ask for the free space")?;
        let fill = (stat.f_bavail * stat.f_frsize).saturating_sub(left);
        let filling = self.mount.join("filling");
        // A node that writes meanwhile may have taken what was free: then it is full as well.
        let _ = tool("fallocate", &["-l", &fill.max(1).to_string(), &filling.to_string_lossy()]);
        Ok(fill)
    }

    /// Frees what [`Disk::fill`] took.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn free(&self) -> Result<()> {
        match fs::remove_file(self.mount.join("filling")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn mount(&self) -> Result<()> {
        let (image, mount) = (self.image.to_string_lossy(), self.mount.to_string_lossy());
        // Without the zeroing of tables in the background: it would fill the image for nothing.
        tool("mount", &["-o", "loop,noatime,noinit_itable", &image, &mount]).map(drop)
    }

    fn unmount(&self) -> Result<()> {
        let status = Command::new("umount").arg(&self.mount).status().context("cannot start umount")?;
        if !status.success() {
            bail!("{} is in use", self.mount.display());
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that still has it open must not keep the harness from ending.
        let _ = tool("umount", &["-l", &self.mount.to_string_lossy()]);
        if self.image != self.kept {
            // Whoever looks at a run that failed misses it then, which is no reason to leave it in memory.
            let _ =
                tool("cp", &["--sparse=always", &self.image.to_string_lossy(), &self.kept.to_string_lossy()]);
            let _ = fs::remove_file(&self.image);
        }
    }
}

/// In memory if there is room for it, else where it is kept.
fn place(kept: &Path) -> PathBuf {
    let name = kept.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let memory = Path::new(MEMORY);
    let has_room = |stat: rustix::fs::StatVfs| stat.f_bavail * stat.f_frsize >= MEMORY_FREE_MIN;
    match rustix::fs::statvfs(memory).is_ok_and(has_room) {
        true => memory.join(format!("{PREFIX}{}-{name}", std::process::id())),
        false => kept.to_owned(),
    }
}

/// Unmounts what crashed runs left under `folder`, and removes their images from memory.
///
/// # Errors
/// When the mounts, or the images, cannot be listed.
pub fn remove_stale(folder: &Path) -> Result<()> {
    for line in fs::read_to_string("/proc/mounts").context("cannot list the mounts")?.lines() {
        let Some(mount) = line.split_whitespace().nth(1) else { continue };
        let owner = Path::new(mount).strip_prefix(folder).ok().and_then(|inside| {
            let run = inside.components().next()?.as_os_str().to_str()?;
            run.rsplit('-').next()?.parse::<u32>().ok()
        });
        if owner.is_some_and(is_dead) {
            let _ = tool("umount", &["-l", mount]);
        }
    }
    for entry in fs::read_dir(MEMORY).into_iter().flatten() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let run = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        if run.is_some_and(is_dead) {
            fs::remove_file(path).context("cannot remove the image of a dead run")?;
        }
    }
    Ok(())
}

fn is_dead(process: u32) -> bool {
    !Path::new(&format!("/proc/{process}")).exists()
}
