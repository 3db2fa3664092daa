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

/// A mounted image; unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// Makes one and mounts it at `mount`.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub fn make(image: &Path, mount: &Path) -> Result<Self> {
        File::create(image)?.set_len(BYTES)?;
        tool("mkfs.ext4", &["-q", "-m", "0", &image.to_string_lossy()])?;
        fs::create_dir_all(mount)?;
        let disk = Self { image: image.to_owned(), mount: mount.to_owned() };
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
        tool("mount", &["-o", "loop,noatime", &image, &mount]).map(drop)
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
    }
}

/// Unmounts what crashed runs left under `folder`.
///
/// # Errors
/// When the mounts cannot be listed.
pub fn remove_stale(folder: &Path) -> Result<()> {
    for line in fs::read_to_string("/proc/mounts").context("cannot list the mounts")?.lines() {
        let Some(mount) = line.split_whitespace().nth(1) else { continue };
        let owner = Path::new(mount).strip_prefix(folder).ok().and_then(|inside| {
            let run = inside.components().next()?.as_os_str().to_str()?;
            run.rsplit('-').next()?.parse::<u32>().ok()
        });
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            let _ = tool("umount", &["-l", mount]);
        }
    }
    Ok(())
}
