//! Moving what a folder holds aside, so that its node can begin anew.

use std::path::{Path, PathBuf};

use super::{DataFolder, FolderError, IDENTITY, lock};
use crate::{directory, disk::Disk};

/// The identity goes first: without it nothing is opened any more, so that a
/// crash on the way never leaves an empty log under an old identity.
const PARTS: [&str; 4] = [IDENTITY, "log", "index", "state"];
/// Folders aside that are kept for inspection.
const ASIDE_MAX: u32 = 1_000;

impl DataFolder {
    /// Moves all that a folder holds to `aside-<n>` in it, which is returned. Nothing is deleted. What is
    /// opened then is a fresh folder. The folder must not be open.
    ///
    /// # Errors
    /// [`FolderError::Locked`] when it is open, [`FolderError::Io`]. Done again, it goes on where it stopped.
    pub fn set_aside(path: impl AsRef<Path>) -> Result<PathBuf, FolderError> {
        let (disk, path) = (Disk::Real, path.as_ref());
        let _lock = lock(&disk, path)?;
        let aside = free(&disk, path)?;
        directory::create(&disk, &aside).map_err(FolderError::io("create", &aside))?;
        for part in PARTS {
            let from = path.join(part);
            if disk.exists(&from).map_err(FolderError::io("read", &from))? {
                disk.rename(&from, &aside.join(part)).map_err(FolderError::io("move", &from))?;
                disk.sync_dir(&aside).map_err(FolderError::io("sync", &aside))?;
                disk.sync_dir(path).map_err(FolderError::io("sync", path))?;
            }
        }
        Ok(aside)
    }
}

fn free(disk: &Disk, path: &Path) -> Result<PathBuf, FolderError> {
    for number in 1..=ASIDE_MAX {
        let aside = path.join(format!("aside-{number}"));
        if !disk.exists(&aside).map_err(FolderError::io("read", &aside))? {
            return Ok(aside);
        }
    }
    Err(FolderError::io("make room in", path)(std::io::Error::other("too many folders are set aside in it")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use weir_types::{ClusterId, NodeId};

    use super::*;
    use crate::folder::Identity;

    fn identity() -> Identity {
        Identity { cluster: ClusterId(uuid::Uuid::from_u128(7)), node: NodeId(3) }
    }

    #[test]
    fn what_is_set_aside_is_kept_and_the_folder_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let old = DataFolder::open(dir.path(), identity()).unwrap();
        let incarnation = old.incarnation();
        assert!(old.is_fresh().unwrap());
        fs::create_dir(dir.path().join("log")).unwrap();
        fs::write(dir.path().join("log/vote"), "bad").unwrap();
        assert!(!old.is_fresh().unwrap());
        assert!(matches!(DataFolder::set_aside(dir.path()), Err(FolderError::Locked { .. })));
        drop(old);
        let aside = DataFolder::set_aside(dir.path()).unwrap();
        assert_eq!(aside, dir.path().join("aside-1"));
        assert_eq!(fs::read_to_string(aside.join("log/vote")).unwrap(), "bad");
        let fresh = DataFolder::open(dir.path(), identity()).unwrap();
        assert!(fresh.is_fresh().unwrap() && fresh.incarnation() != incarnation);
        // The cluster gives it another id; it is opened by the configured one all the same.
        let given = NodeId(57_000_003);
        let incarnation = fresh.incarnation();
        let seated = fresh.seated(given).unwrap();
        assert_eq!((seated.identity().node, seated.incarnation()), (given, incarnation));
        drop(seated);
        let again = DataFolder::open(dir.path(), identity()).unwrap();
        assert_eq!((again.identity().node, again.incarnation()), (given, incarnation));
        drop(again);
        let other = Identity { node: NodeId(4), ..identity() };
        assert!(matches!(DataFolder::open(dir.path(), other), Err(FolderError::OtherNode { .. })));
        assert_eq!(DataFolder::set_aside(dir.path()).unwrap(), dir.path().join("aside-2"));
    }

    #[test]
    fn moving_aside_goes_on_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataFolder::open(dir.path(), identity()).unwrap());
        fs::create_dir(dir.path().join("log")).unwrap();
        fs::create_dir(dir.path().join("aside-1")).unwrap();
        fs::rename(dir.path().join(IDENTITY), dir.path().join("aside-1").join(IDENTITY)).unwrap();
        let stopped = DataFolder::open(dir.path(), identity()).unwrap_err();
        assert!(matches!(stopped, FolderError::Damaged { .. }), "{stopped}");
        DataFolder::set_aside(dir.path()).unwrap();
        assert!(DataFolder::open(dir.path(), identity()).unwrap().is_fresh().unwrap());
    }
}
