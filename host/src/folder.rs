//! The operator's folder of modules: read when a platform is built, followed while it runs.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::call::Trust;
use crate::database::{ChangeBus, PlatformDatabase, newest_revision, next_revision};
use crate::error::{Error, Result};
use crate::names::ModuleName;
use crate::runtime::{ModuleSource, ModuleVersion, Registry};
use crate::watch::Changes;

/// Under which changes of modules are counted.
const REVISION: &str = "modules";

/// The number of the newest change of modules that a host has told of.
pub(crate) async fn newest_change(database: &PlatformDatabase) -> Result<i64> {
    newest_revision(database, REVISION).await
}

/// Other hosts, with which the folder may be shared: no system tells of what another machine does to
/// its files.
pub(crate) struct OtherHosts {
    database: PlatformDatabase,
    bus: ChangeBus,
    /// The newest change that one of them has told of.
    newest: watch::Receiver<i64>,
}

impl OtherHosts {
    pub(crate) fn new(
        database: PlatformDatabase,
        bus: ChangeBus,
        newest: watch::Receiver<i64>,
    ) -> Self {
        Self { database, bus, newest }
    }

    /// Waits until somebody says that the folder changed.
    async fn next(&mut self) {
        if self.newest.changed().await.is_err() {
            // Nobody listens any more: the platform is dropped.
            std::future::pending::<()>().await;
        }
    }

    async fn tell(&self) {
        let telling = async {
            let mut transaction = self.database.begin().await?;
            next_revision(&mut transaction, REVISION).await?;
            self.bus.commit(transaction).await
        };
        if let Err(error) = telling.await {
            tracing::warn!(cause = error.causes(), "other hosts cannot be told of modules");
        }
    }
}

/// A folder of `.wasm` files, and what became of each.
pub(crate) struct Folder {
    path: PathBuf,
    /// By the origin of their sources.
    files: HashMap<String, File>,
}

struct File {
    /// What it held when it was last tried, whether that is served or not.
    tried: [u8; 32],
    /// Whether that was refused.
    refused: bool,
    /// The module that is served from it, in this version or an earlier one.
    module: Option<ModuleName>,
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, files: HashMap::new() }
    }

    /// Its modules, in the order of their files' names.
    pub(crate) async fn read(&self) -> Result<Vec<ModuleSource>> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || read(&path))
            .await
            .map_err(|error| Error::internal("a background task failed").because(error))?
    }

    /// Remembers that a file is served.
    pub(crate) fn serves(&mut self, source: &ModuleSource, module: ModuleName) {
        let file = File { tried: digest(source), refused: false, module: Some(module) };
        self.files.insert(source.origin.clone(), file);
    }

    /// Serves what is put there, and no longer what is taken away, for ever.
    pub(crate) async fn follow(
        mut self,
        registry: &Registry,
        mut changes: Changes,
        mut others: OtherHosts,
    ) {
        // What changed between the reading and the watching.
        self.sync(registry).await;
        loop {
            tokio::select! {
                () = changes.next() => {
                    if self.sync(registry).await {
                        others.tell().await;
                    }
                }
                () = others.next() => {
                    self.sync(registry).await;
                }
            }
        }
    }

    /// Watches it.
    pub(crate) fn changes(&self) -> Result<Changes> {
        let mut changes = Changes::new(is_module)?;
        changes.watch(&self.path, false)?;
        Ok(changes)
    }

    /// Serves what is there now, and says whether anything had changed.
    async fn sync(&mut self, registry: &Registry) -> bool {
        let sources = match self.read().await {
            Ok(sources) => sources,
            Err(error) => {
                tracing::error!("{error}: modules are served as before");
                return false;
            }
        };
        let present: HashSet<&str> = sources.iter().map(|source| source.origin.as_str()).collect();
        let before = self.modules();
        let known = self.files.len();
        self.files.retain(|origin, _| present.contains(origin.as_str()));
        let mut has_changed = self.files.len() < known;
        // What stood in the way of a file may have gone.
        if has_changed {
            self.files.retain(|_, file| !file.refused || file.module.is_some());
        }
        for source in &sources {
            has_changed |= self.offer(source, &before, registry).await;
        }
        let now = self.modules();
        for name in before.difference(&now) {
            match registry.remove(name.as_str(), is_operators).await {
                Ok(module) => tracing::info!(
                    module = name.as_str(),
                    "{name} {} is removed: it is served no longer, its tables stay",
                    module.manifest.version
                ),
                Err(error) => tracing::error!(module = name.as_str(), "{error}"),
            }
        }
        has_changed
    }

    /// Serves a file that was not tried yet, and says whether it was one. One may replace what this
    /// folder served `before`, unless another file still serves that.
    async fn offer(
        &mut self,
        source: &ModuleSource,
        before: &HashSet<ModuleName>,
        registry: &Registry,
    ) -> bool {
        let tried = digest(source);
        let known = self.files.get(&source.origin);
        if known.is_some_and(|file| file.tried == tried) {
            return false;
        }
        let others: HashSet<_> = self
            .files
            .iter()
            .filter(|(origin, _)| **origin != source.origin)
            .filter_map(|(_, file)| file.module.clone())
            .collect();
        let module = known.and_then(|file| file.module.clone());
        let installing = registry.install(source, |old| {
            let name = &old.manifest.name;
            is_operators(old) && before.contains(name) && !others.contains(name)
        });
        let (refused, module) = match installing.await {
            Ok(installed) => {
                let (module, version) = (installed.name.as_str(), &installed.version);
                tracing::info!(module, %version, "{installed}");
                (false, Some(installed.name))
            }
            Err(error) => {
                let kept = match &module {
                    Some(name) => format!("{name} is served as before"),
                    None => "it is not served".to_owned(),
                };
                let cause = error.causes().unwrap_or_default();
                tracing::error!(cause, "{error}; {kept}");
                (true, module)
            }
        };
        self.files.insert(source.origin.clone(), File { tried, refused, module });
        true
    }

    /// What is served from here.
    fn modules(&self) -> HashSet<ModuleName> {
        self.files.values().filter_map(|file| file.module.clone()).collect()
    }
}

fn read(folder: &Path) -> Result<Vec<ModuleSource>> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| Error::invalid(format!("{}: {error}", folder.display())))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if is_module(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(ModuleSource::file).collect()
}

fn is_module(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wasm")
}

/// Whether it may be here because of a file, and go with it.
fn is_operators(module: &ModuleVersion) -> bool {
    module.identity.trust == Trust::Operator
}

fn digest(source: &ModuleSource) -> [u8; 32] {
    Sha256::digest(&source.wasm).into()
}
