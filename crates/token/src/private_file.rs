//! Files that only their owner may read, written whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use bekci_core::{Entropy, TokenId};
use zeroize::Zeroizing;

use crate::{entropy::random, error::KeyStoreError};

/// No file of ours comes near; a larger one is not read into memory.
const MAX_BYTES: u64 = 64 * 1024;

/// Reads a file that is closed to everyone but its owner.
///
/// Permissions are asked of the open file, so that it cannot be exchanged between the question and the reading.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyStoreError> {
    let file = File::open(path).map_err(KeyStoreError::io("open", path))?;
    let metadata = file.metadata().map_err(KeyStoreError::io("read", path))?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(KeyStoreError::bad_key(path, "not a file of a few kilobytes"));
    }
    check_mode(path, &metadata)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(
        usize::try_from(metadata.len()).unwrap_or_default() + 1,
    ));
    file.take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(KeyStoreError::io("read", path))?;
    Ok(bytes)
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyStoreError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(KeyStoreError::Exposed {
        path: path.to_owned(),
        mode,
    })
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &fs::Metadata) -> Result<(), KeyStoreError> {
    Ok(())
}

/// Makes a directory and those above it, for the owner alone; one that is there stays as it is.
pub(crate) fn make_directory(path: &Path) -> Result<(), KeyStoreError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(KeyStoreError::io("make the directory", path))
}

/// Writes a new file, for the owner alone, that appears under its name only when all of it is on the disk. `false`: a file of that name is
/// there already, and it is left as it is.
pub(crate) fn write_new(path: &Path, bytes: &[u8], entropy: &dyn Entropy) -> Result<bool, KeyStoreError> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    make_directory(directory)?;
    let temporary = directory.join(format!(".{}.tmp", TokenId(*random(entropy)?)));
    let written = write_synced(&temporary, bytes)
        .map_err(KeyStoreError::io("write", &temporary))
        .and_then(|()| publish(&temporary, path).map_err(KeyStoreError::io("write", path)));
    // After a rename there is nothing to remove; after a failure the failure is what matters.
    let _ = fs::remove_file(&temporary);
    let fresh = written?;
    sync_directory(directory).map_err(KeyStoreError::io("write", directory))?;
    Ok(fresh)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A link fails where the name is taken, which a rename does not: of two processes that start at once, one wins and both agree.
fn publish(temporary: &Path, path: &Path) -> io::Result<bool> {
    match fs::hard_link(temporary, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(_) if fs::symlink_metadata(path).is_ok() => Ok(false),
        // Some file systems have no links.
        Err(_) => fs::rename(temporary, path).map(|()| true),
    }
}

/// Moves a file, so that the move outlasts a crash.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), KeyStoreError> {
    if let Some(directory) = to.parent() {
        make_directory(directory)?;
    }
    fs::rename(from, to).map_err(KeyStoreError::io("move", from))?;
    for directory in [from.parent(), to.parent()].into_iter().flatten() {
        sync_directory(directory).map_err(KeyStoreError::io("write", directory))?;
    }
    Ok(())
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
