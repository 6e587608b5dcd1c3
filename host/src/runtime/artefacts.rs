//! Compiled modules: made once per file and engine, kept on disk, and mapped only when their MAC says
//! that this platform made them.

use std::hash::{Hash as _, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use wasmtime::component::Component;

use crate::error::{Error, Result};

/// Compilations at once; each uses all processors.
const COMPILATIONS_MAX: usize = 1;

/// The compiled modules of one engine.
pub(crate) struct Artefacts {
    folder: PathBuf,
    key: [u8; 32],
    engine: wasmtime::Engine,
    /// Tells engines apart whose machine code does not fit each other.
    compatibility: [u8; 8],
    compilations: Arc<Semaphore>,
}

impl Artefacts {
    pub(super) fn new(folder: PathBuf, key: [u8; 32], engine: &wasmtime::Engine) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            folder,
            key,
            engine: engine.clone(),
            compatibility: hasher.finish().to_le_bytes(),
            compilations: Arc::new(Semaphore::new(COMPILATIONS_MAX)),
        })
    }

    /// The compiled form of `wasm`, compiled now if nobody did before.
    ///
    /// # Errors
    /// When it cannot be compiled.
    pub(super) async fn load(&self, wasm: &bytes::Bytes) -> Result<Component> {
        let path = self.path_of(wasm);
        if let Some(component) = self.map(path.clone()).await? {
            return Ok(component);
        }
        let turn = Arc::clone(&self.compilations).acquire_owned().await;
        // Somebody may have compiled it while this call waited.
        if let Some(component) = self.map(path.clone()).await? {
            return Ok(component);
        }
        let (engine, key, wasm) = (self.engine.clone(), self.key, wasm.clone());
        let to = path.clone();
        blocking(move || {
            let _turn = turn;
            let artefact = engine.precompile_component(&wasm).map_err(|error| {
                Error::invalid(format!("the component cannot be compiled: {error:#}"))
            })?;
            write(&mac_path(&to), &mac(&key, &artefact))?;
            write(&to, &artefact)
        })
        .await?;
        self.map(path)
            .await?
            .ok_or_else(|| Error::internal("a compiled module vanished while it was being loaded"))
    }

    /// The digest of a module's file together with the engine's own.
    fn path_of(&self, wasm: &[u8]) -> PathBuf {
        let digest = Sha256::new().chain_update(self.compatibility).chain_update(wasm).finalize();
        self.folder.join(format!("{}.cwasm", HEXLOWER.encode(&digest)))
    }

    /// Maps an artefact; none when there is no file, or not one that this platform made.
    async fn map(&self, path: PathBuf) -> Result<Option<Component>> {
        let (engine, key) = (self.engine.clone(), self.key);
        blocking(move || {
            let (Ok(artefact), Ok(expected)) = (std::fs::read(&path), std::fs::read(mac_path(&path)))
            else {
                return Ok(None);
            };
            let genuine = Hmac::<Sha256>::new_from_slice(&key)
                .map(|mac| mac.chain_update(&artefact).verify_slice(&expected).is_ok());
            if !genuine.unwrap_or(false) {
                tracing::warn!(path = %path.display(), "a compiled module is not ours: it is compiled again");
                return Ok(None);
            }
            drop(artefact);
            #[allow(unsafe_code, reason = "mapping machine code is what this file is for")]
            // SAFETY: the file is what `precompile_component` of this engine gave, as its MAC says
            // under a key that never leaves this platform. Files are replaced by renaming, never
            // written in place, so the mapping keeps what was checked.
            let mapped = unsafe { Component::deserialize_file(&engine, &path) };
            match mapped {
                Ok(component) => Ok(Some(component)),
                // The pool has looked at it too: memories, tables, instances.
                Err(error) => Err(Error::invalid(format!(
                    "it needs what instances do not get here: {error:#}"
                ))),
            }
        })
        .await
    }
}

fn mac(key: &[u8; 32], artefact: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key)
        .expect("HMAC takes keys of any length")
        .chain_update(artefact)
        .finalize()
        .into_bytes()
        .to_vec()
}

fn mac_path(artefact: &Path) -> PathBuf {
    artefact.with_extension("mac")
}

/// Whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|refused| refused.error)?;
    Ok(())
}

/// Work that would hold up a worker of the async runtime.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("a background task failed").because(error))?
}

/// `Hash` fed into SHA-256: the standard hasher may change between builds, and names of files must
/// not.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}
