//! Sources of modules that are being written: which crates they are, what they are made of, and what
//! follows when that changes.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::Context as _;
use hostel::watch::Changes;
use hostel::{Installed, ModuleSource, Platform};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use walkdir::WalkDir;

use crate::cargo_module::ModuleBuild;
use crate::commands::build::target_dir;
use crate::commands::bundled::BUNDLED;
use crate::commands::serve::Front;

/// What makes a crate a module's.
const SDK: &str = "hostel-sdk";

/// The sources of one module.
pub(crate) struct Sources {
    /// As people call the crate's folder.
    name: String,
    crate_folder: PathBuf,
    /// Its own, and those of what it is made of and that may change, too.
    folders: Vec<PathBuf>,
    /// Where the platform keeps its data, which may be below.
    data: Option<PathBuf>,
}

/// What the sources looked like: while that is the same, there is nothing to build.
#[derive(PartialEq, Eq)]
struct Look {
    files: Vec<(PathBuf, SystemTime, u64)>,
    /// Apart from the others, because cargo writes it.
    lock: Option<SystemTime>,
}

/// How far a module has come.
#[derive(Default)]
struct Progress {
    /// What is served.
    wasm: Vec<u8>,
    /// The last attempt failed.
    is_broken: bool,
}

/// What `cargo metadata` tells, as far as it matters.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    targets: Vec<Target>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// None when it comes from a registry.
    path: Option<PathBuf>,
}

/// The modules that somebody who is in `folder` works on: its own crate when that is a module's, or
/// else those of its workspace below `modules`.
pub(crate) fn around(folder: &Path) -> Vec<Sources> {
    if !folder.join("Cargo.toml").is_file() {
        return Vec::new();
    }
    // A folder with something else in it is fine: nobody asked for its modules.
    let Ok(metadata) = Metadata::of(folder) else { return Vec::new() };
    let modules = folder.join("modules");
    let own = metadata.packages.iter().find(|package| package.folder() == folder);
    match own {
        Some(own) if own.is_module() => vec![metadata.sources(own)],
        _ => metadata
            .packages
            .iter()
            .filter(|package| package.is_module() && package.folder().starts_with(&modules))
            .map(|package| metadata.sources(package))
            .collect(),
    }
}

/// The folder of a module's crate, by the name of that folder: `folder` itself, or one of its workspace.
pub(crate) fn crate_of(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
    let metadata = Metadata::of(&folder)?;
    let modules = || metadata.packages.iter().filter(|package| package.is_module());
    let own = modules().find(|package| package.folder() == folder);
    let named = || modules().find(|package| package.folder().ends_with(name));
    own.or_else(named).map(|package| package.folder().to_owned()).ok_or_else(|| {
        let there_are: Vec<_> = modules()
            .filter_map(|package| package.folder().file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        hostel::Error::invalid(format!("there is no crate of a module in a folder `{name}` here"))
            .hint(format!(
                "name its folder with --crate-folder; there are: {}",
                there_are.join(", ")
            ))
            .into()
    })
}

/// Builds the modules, and again whenever their sources change, and has them served. Ends when what
/// is returned is dropped.
pub(crate) fn follow(crates: Vec<Sources>, platform: &Platform, front: &Front) -> JoinSet<()> {
    // Cargo lets one build after the other use a folder anyway, and says so each time.
    let building = Arc::new(Mutex::new(()));
    let mut following = JoinSet::new();
    let data = platform.config().data.0.canonicalize().ok();
    for sources in crates {
        let sources = Sources { data: data.clone(), ..sources };
        following.spawn(sources.follow(platform.clone(), front.clone(), Arc::clone(&building)));
    }
    following
}

impl Metadata {
    fn of(folder: &Path) -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "cargo's own variable, as cargo reads it")]
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(folder)
            .output()
            .context("cargo cannot be started: install Rust with rustup")?;
        if !output.status.success() {
            anyhow::bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("cargo tells of its packages in another way")
    }

    fn sources(&self, package: &Package) -> Sources {
        let crate_folder = package.folder().to_owned();
        let mut folders = vec![crate_folder.clone()];
        let mut seen = HashSet::from([crate_folder.clone()]);
        let mut next = 0;
        while let Some(folder) = folders.get(next) {
            let known = self.packages.iter().find(|package| package.folder() == folder);
            let paths = known.into_iter().flat_map(|package| &package.dependencies);
            let paths: Vec<_> = paths.filter_map(|dependency| dependency.path.clone()).collect();
            folders.extend(paths.into_iter().filter(|path| seen.insert(path.clone())));
            next += 1;
        }
        let here = std::env::current_dir().unwrap_or_default();
        let name = match crate_folder.strip_prefix(&here) {
            Ok(below) if below != Path::new("") => below.display().to_string(),
            // One is in it, and knows where that is.
            Ok(_) => crate_folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Err(_) => crate_folder.display().to_string(),
        };
        Sources { name, crate_folder, folders, data: None }
    }
}

impl Package {
    fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }

    fn is_module(&self) -> bool {
        let is_library = self
            .targets
            .iter()
            .any(|target| target.crate_types.iter().any(|crate_type| crate_type == "cdylib"));
        is_library && self.dependencies.iter().any(|dependency| dependency.name == SDK)
    }
}

impl Sources {
    /// The sources of the module whose crate is in that folder.
    pub(crate) fn of_module(folder: &Path) -> anyhow::Result<Self> {
        let absolute = folder
            .canonicalize()
            .map_err(|error| hostel::Error::invalid(format!("{}: {error}", folder.display())))?;
        let no_module = |why: &str| {
            hostel::Error::invalid(format!("{}: {why}", folder.display())).hint(
                "name the folder of a crate that makes a `cdylib` and depends on `hostel-sdk`",
            )
        };
        if !absolute.join("Cargo.toml").is_file() {
            return Err(no_module("there is no Cargo.toml").into());
        }
        let metadata = Metadata::of(&absolute).with_context(|| folder.display().to_string())?;
        let own = metadata.packages.iter().find(|package| package.folder() == absolute);
        match own {
            Some(own) if own.is_module() => Ok(metadata.sources(own)),
            _ => Err(no_module("it is no crate of a module").into()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether this binary carries the module.
    pub(crate) fn is_bundled(&self) -> bool {
        let modules = Path::new("modules");
        BUNDLED.iter().any(|(name, _)| self.crate_folder.ends_with(modules.join(name)))
    }

    async fn follow(self, platform: Platform, front: Front, building: Arc<Mutex<()>>) {
        let mut changes = match self.changes() {
            Ok(changes) => changes,
            Err(error) => {
                tracing::warn!("{error}: changes of {} are not served", self.name);
                return;
            }
        };
        tracing::info!("watching {}", self.name);
        let (mut built, mut progress) = (None, Progress::default());
        loop {
            self.watch(&mut changes);
            {
                let _one_at_a_time = building.lock().await;
                let mut look = self.look();
                if built.as_ref() != Some(&look) {
                    self.attempt(&platform, &front, &mut progress).await;
                    look.lock = self.lock();
                    built = Some(look);
                }
            }
            changes.next().await;
        }
    }

    /// Builds the module, has it served, and says what became of that.
    async fn attempt(&self, platform: &Platform, front: &Front, progress: &mut Progress) {
        let name = &self.name;
        let is_first = progress.wasm.is_empty();
        let was_broken = std::mem::take(&mut progress.is_broken);
        match self.serve(platform, &mut progress.wasm).await {
            Ok(Some(installed)) => {
                let modules = platform.registry().modules();
                let module = modules.iter().find(|module| module.manifest.name == installed.name);
                if let Some(module) = module.filter(|_| is_first && !self.is_bundled()) {
                    front.show(&module.manifest);
                }
            }
            Ok(None) if was_broken => {
                tracing::info!("{name} builds again; what is served is the same");
            }
            Ok(None) => {}
            Err(error) => {
                let kept = match is_first && !self.is_bundled() {
                    true => "is not served yet",
                    false => "is served as before",
                };
                let hint = error.downcast_ref().and_then(hostel::Error::hint_text);
                tracing::error!(hint, "{error:#}; {name} {kept}");
                progress.is_broken = true;
            }
        }
    }

    /// Builds the module and has it served, unless it is what was `served` before.
    async fn serve(
        &self,
        platform: &Platform,
        served: &mut Vec<u8>,
    ) -> anyhow::Result<Option<Installed>> {
        let build = ModuleBuild {
            manifest: self.crate_folder.join("Cargo.toml"),
            target_dir: target_dir(&self.crate_folder)?,
            // The first build takes long, and somebody waits.
            quiet: !served.is_empty(),
            in_development: true,
        };
        let began = Instant::now();
        let wasm = tokio::task::spawn_blocking(move || anyhow::Ok(std::fs::read(build.run()?)?));
        let wasm = wasm.await??;
        let took_ms = began.elapsed().as_millis();
        if wasm == *served {
            return Ok(None);
        }
        let source = ModuleSource::system(self.name.clone(), wasm.clone());
        let installing = platform.install(source).await;
        let installed = installing.map_err(|error| way_out(error, &platform.config().data.0))?;
        tracing::info!("{} built in {took_ms} ms; {installed}", self.name);
        *served = wasm;
        Ok(Some(installed))
    }

    fn look(&self) -> Look {
        let lock = self.lock_file();
        let entries = self.folders.iter().flat_map(|folder| {
            let entries = WalkDir::new(folder).follow_links(true).sort_by_file_name();
            entries.into_iter().filter_entry(|entry| {
                entry.depth() == 0 || is_source(entry.file_name()) && !self.is_data(entry.path())
            })
        });
        let files = entries.flatten().filter(|entry| entry.file_type().is_file());
        let files = files.filter(|entry| entry.path() != lock).filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some((entry.into_path(), metadata.modified().ok()?, metadata.len()))
        });
        Look { files: files.collect(), lock: self.lock() }
    }

    fn lock_file(&self) -> PathBuf {
        self.crate_folder.join("Cargo.lock")
    }

    fn lock(&self) -> Option<SystemTime> {
        std::fs::metadata(self.lock_file()).and_then(|metadata| metadata.modified()).ok()
    }

    /// What modules write is no source of theirs.
    fn is_data(&self, path: &Path) -> bool {
        is_below(self.data.as_deref(), path)
    }

    fn changes(&self) -> hostel::Result<Changes> {
        let (folders, data) = (self.folders.clone(), self.data.clone());
        Changes::new(move |path| {
            let below = folders.iter().find_map(|folder| path.strip_prefix(folder).ok());
            !is_below(data.as_deref(), path)
                && below.is_some_and(|below| below.iter().all(is_source))
        })
    }

    /// Watches everything, folders that are new included.
    fn watch(&self, changes: &mut Changes) {
        for folder in &self.folders {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let inner = entries.filter(|entry| {
                is_source(&entry.file_name())
                    && !self.is_data(&entry.path())
                    && entry.file_type().is_ok_and(|kind| kind.is_dir())
            });
            let inner = inner.map(|entry| (entry.path(), true));
            for (folder, deep) in inner.chain([(folder.clone(), false)]) {
                if let Err(error) = changes.watch(&folder, deep) {
                    tracing::warn!("{error}");
                }
            }
        }
    }
}

fn is_below(folder: Option<&Path>, path: &Path) -> bool {
    folder.is_some_and(|folder| path.starts_with(folder))
}

/// Who writes a module and changes a migration that was applied may have tables that nobody misses.
fn way_out(error: hostel::Error, data: &Path) -> hostel::Error {
    if error.code() != "migration-changed" {
        return error;
    }
    error.hint(format!(
        "or, if nothing in {} is needed: stop, delete that folder, and start again",
        data.display()
    ))
}

/// What builds make, editors leave and git keeps is none.
fn is_source(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name != "target" && !name.starts_with('.') && !name.ends_with('~')
}
