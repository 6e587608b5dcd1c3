//! The file of an archive. Compressing and hashing are done on threads of their own, with a few
//! pieces in between: a table of any size is never in memory.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::manifest::{ArchiveManifest, ArchivedTable};
use crate::database::{Batch, Cell};
use crate::error::{Error, ErrorKind, Result};

const MANIFEST: &str = "manifest.json";
const MANIFEST_MAX_BYTES: u64 = 16 << 20;
/// A row: some values of the size that modules may write at most.
const LINE_MAX_BYTES: u64 = 64 << 20;
/// Rows that are read at once.
const BATCH_ROWS: usize = 500;
const BATCH_BYTES: usize = 256 << 10;
/// Pieces between two threads.
const PIECES: usize = 4;

/// What an entry came to.
pub(super) struct EntryDigest {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

struct NewEntry {
    name: String,
    pieces: mpsc::Receiver<Vec<u8>>,
    digest: oneshot::Sender<EntryDigest>,
}

/// Writes an archive, under another name until it is whole.
pub(super) struct Writer {
    entries: mpsc::Sender<NewEntry>,
    writing: JoinHandle<io::Result<NamedTempFile>>,
    path: PathBuf,
}

/// An entry that is being written: it ends with the last of its pieces.
pub(super) struct EntryWriter {
    pub(super) pieces: mpsc::Sender<Vec<u8>>,
    digest: oneshot::Receiver<EntryDigest>,
}

impl EntryWriter {
    pub(super) async fn end(self) -> Result<EntryDigest> {
        drop(self.pieces);
        self.digest.await.map_err(|_| not_written())
    }
}

impl Writer {
    /// # Errors
    /// When the file exists, or its folder cannot be written.
    pub(super) async fn create(path: &Path) -> Result<Self> {
        if path.exists() {
            return Err(exists(path));
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let (entries, received) = mpsc::channel(1);
        // Readable by its owner only, as these are made.
        let file = tempfile::Builder::new()
            .prefix(".hostel-export-")
            .tempfile_in(&folder)
            .map_err(|error| unwritable(path, error))?;
        let writing = spawn_blocking(move || write(file, received));
        Ok(Self { entries, writing, path: path.to_owned() })
    }

    pub(super) async fn entry(&self, name: &str) -> Result<EntryWriter> {
        let (pieces, received) = mpsc::channel(PIECES);
        let (told, digest) = oneshot::channel();
        let entry = NewEntry { name: name.to_owned(), pieces: received, digest: told };
        self.entries.send(entry).await.map_err(|_| not_written())?;
        Ok(EntryWriter { pieces, digest })
    }

    /// Why it cannot be written, after something failed.
    pub(super) async fn explain(self, error: Error) -> Error {
        drop(self.entries);
        match self.writing.await {
            Ok(Err(cause)) => unwritable(&self.path, cause),
            _ => error,
        }
    }

    /// Gives the archive its name.
    pub(super) async fn finish(self, manifest: &ArchiveManifest) -> Result<()> {
        let text = serde_json::to_vec_pretty(manifest)
            .map_err(|error| Error::internal("the manifest cannot be written").because(error))?;
        let entry = self.entry(MANIFEST).await?;
        entry.pieces.send(text).await.map_err(|_| not_written())?;
        entry.end().await?;
        let Self { entries, writing, path } = self;
        drop(entries);
        let written = writing.await.map_err(|error| not_written().because(error))?;
        let written = written.map_err(|error| unwritable(&path, error))?;
        written.persist_noclobber(&path).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => exists(&path),
            _ => unwritable(&path, error.error),
        })?;
        Ok(())
    }
}

fn write(
    mut file: NamedTempFile,
    mut entries: mpsc::Receiver<NewEntry>,
) -> io::Result<NamedTempFile> {
    let mut zip = ZipWriter::new(BufWriter::new(file.as_file_mut()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(0o600)
        .large_file(true);
    while let Some(mut entry) = entries.blocking_recv() {
        zip.start_file(&entry.name, options)?;
        let mut hash = Sha256::new();
        let mut bytes = 0;
        while let Some(piece) = entry.pieces.blocking_recv() {
            hash.update(&piece);
            bytes += piece.len() as u64;
            zip.write_all(&piece)?;
        }
        // Whoever does not wait for it has given up.
        let _ = entry.digest.send(EntryDigest { bytes, sha256: HEXLOWER.encode(&hash.finalize()) });
    }
    zip.finish()?.flush()?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn exists(path: &Path) -> Error {
    Error::new(ErrorKind::Conflict, "file-exists", format!("{} exists already", path.display()))
        .hint("choose another name with --output")
}

fn unwritable(path: &Path, error: io::Error) -> Error {
    Error::invalid(format!("{} cannot be written: {error}", path.display())).because(error)
}

fn not_written() -> Error {
    Error::internal("the archive is not written")
}

/// An archive that is read.
pub(super) struct Reader {
    zip: ZipArchive<BufReader<File>>,
}

impl Reader {
    /// Opens an archive, and checks that it is one.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) async fn open(path: &Path) -> Result<(Self, ArchiveManifest)> {
        let path = path.to_owned();
        let opening = spawn_blocking(move || {
            let file = File::open(&path)
                .map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?;
            let zip = ZipArchive::new(BufReader::new(file)).map_err(|error| {
                Error::invalid(format!(
                    "{} is no archive of a tenant, or not all of one: {error}",
                    path.display()
                ))
            })?;
            let mut reader = Self { zip };
            let manifest = reader.manifest()?;
            reader.check_entries(&manifest)?;
            Ok((reader, manifest))
        });
        opening.await.map_err(|error| Error::internal("the archive is not read").because(error))?
    }

    fn manifest(&mut self) -> Result<ArchiveManifest> {
        let unreadable = |why: String| Error::invalid(format!("{MANIFEST} cannot be read: {why}"));
        let entry = self.zip.by_name(MANIFEST).map_err(|error| unreadable(error.to_string()))?;
        let mut text = Vec::new();
        let mut entry = entry.take(MANIFEST_MAX_BYTES + 1);
        entry.read_to_end(&mut text).map_err(|error| unreadable(error.to_string()))?;
        if text.len() as u64 > MANIFEST_MAX_BYTES {
            return Err(unreadable(format!("it has more than {MANIFEST_MAX_BYTES} bytes")));
        }
        ArchiveManifest::parse(&text)
    }

    fn check_entries(&self, manifest: &ArchiveManifest) -> Result<()> {
        let is_known = |name: &str| {
            name == MANIFEST || manifest.tables.iter().any(|table| table.entry == name)
        };
        // As many as the manifest names first: comparing costs the product of both.
        let one_too_many = self.zip.file_names().take(manifest.tables.len() + 2);
        for name in one_too_many {
            let name = name.map_err(|error| Error::invalid(format!("an entry: {error}")))?;
            if !is_known(&name) {
                return Err(Error::invalid(format!(
                    "{MANIFEST} names no entry {name:?}, which the archive has"
                )));
            }
        }
        Ok(())
    }

    /// Sends a table's rows; the last that is sent may be an error.
    pub(super) async fn read(
        mut self,
        table: &ArchivedTable,
        to: mpsc::Sender<Result<Batch>>,
    ) -> Result<Self> {
        let expected = Expected {
            entry: table.entry.clone(),
            bytes: table.bytes,
            rows: table.rows,
            sha256: table.sha256.clone(),
        };
        let reading = spawn_blocking(move || {
            if let Err(error) = self.read_all(&expected, &to) {
                let place = expected.entry;
                let message = format!("{place}{error}");
                // Who takes none any more knows why.
                let _ = to.blocking_send(Err(error.saying(message)));
            }
            self
        });
        reading.await.map_err(|error| Error::internal("the archive is not read").because(error))
    }

    fn read_all(&mut self, expected: &Expected, to: &mpsc::Sender<Result<Batch>>) -> Result<()> {
        let damaged = |why: String| Error::invalid(format!(": {why}"));
        let entry =
            self.zip.by_name(&expected.entry).map_err(|error| damaged(error.to_string()))?;
        let mut lines = BufReader::new(Hashing { inner: entry, hash: Sha256::new(), bytes: 0 });
        let mut batch = Batch { first_line: 1, rows: Vec::new() };
        let (mut line, mut count, mut batch_bytes) = (Vec::new(), 0, 0);
        loop {
            line.clear();
            let end = (&mut lines).take(LINE_MAX_BYTES).read_until(b'\n', &mut line);
            let at_line = |why: String| Error::invalid(format!(", line {}: {why}", count + 1));
            end.map_err(|error| at_line(error.to_string()))?;
            if lines.get_ref().bytes > expected.bytes {
                return Err(damaged(format!(
                    "it has more than the {} bytes that {MANIFEST} says",
                    expected.bytes
                )));
            }
            if line.is_empty() {
                break;
            }
            if line.pop() != Some(b'\n') {
                return Err(at_line("the line has no end".to_owned()));
            }
            batch.rows.push(Cell::of_line(&line).map_err(at_line)?);
            count += 1;
            batch_bytes += line.len();
            if batch.rows.len() >= BATCH_ROWS || batch_bytes >= BATCH_BYTES {
                batch_bytes = 0;
                let next = Batch { first_line: count + 1, rows: Vec::new() };
                if to.blocking_send(Ok(std::mem::replace(&mut batch, next))).is_err() {
                    return Ok(());
                }
            }
        }
        if count != expected.rows {
            return Err(damaged(format!(
                "it has {count} rows, and {MANIFEST} says {}",
                expected.rows
            )));
        }
        let sha256 = HEXLOWER.encode(&lines.into_inner().hash.finalize());
        if sha256 != expected.sha256 {
            return Err(damaged(format!("its checksum is not that of {MANIFEST}: it was changed")));
        }
        // The last ones wait until it is known that all is well.
        let _ = to.blocking_send(Ok(batch));
        Ok(())
    }
}

struct Expected {
    entry: String,
    bytes: u64,
    rows: u64,
    sha256: String,
}

struct Hashing<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
