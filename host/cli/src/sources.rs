//! Sources of modules that are being written: which crates they are, what they are made of, and what
//! follows when that changes.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use hostel::watch::Changes;
use hostel::{ModuleSource, Platform};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::cargo_module::ModuleBuild;
use crate::commands::build::target_dir;

/// What makes a crate a module's.
const SDK: &str = "hostel-sdk";

/// The sources of one module.
pub(crate) struct Sources {
    /// As people call the crate's folder.
    name: String,
    crate_folder: PathBuf,
    /// Its own, and those of what it is made of and that may change, too.
    folders: Vec<PathBuf>,
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

/// Builds the modules, and again whenever their sources change, and has them served. Ends when what
/// is returned is dropped.
pub(crate) fn follow(crates: Vec<Sources>, platform: &Platform) -> JoinSet<()> {
    // Cargo lets one build after the other use a folder anyway, and says so each time.
    let building = Arc::new(Mutex::new(()));
    let mut following = JoinSet::new();
    for sources in crates {
        following.spawn(sources.follow(platform.clone(), Arc::clone(&building)));
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
            _ => crate_folder.display().to_string(),
        };
        Sources { name, crate_folder, folders }
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

    async fn follow(self, platform: Platform, building: Arc<Mutex<()>>) {
        let mut changes = match self.changes() {
            Ok(changes) => changes,
            Err(error) => {
                tracing::warn!("{error}: changes of {} are not served", self.name);
                return;
            }
        };
        tracing::info!("watching {}", self.name);
        let mut served = Vec::new();
        loop {
            self.watch(&mut changes);
            {
                let _one_at_a_time = building.lock().await;
                if let Err(error) = self.serve(&platform, &mut served).await {
                    tracing::error!("{error:#}; {} is served as before, if it was", self.name);
                }
            }
            changes.next().await;
        }
    }

    /// Builds the module and has it served, unless it is what was `served` before.
    async fn serve(&self, platform: &Platform, served: &mut Vec<u8>) -> anyhow::Result<()> {
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
            return Ok(());
        }
        let source = ModuleSource::system(self.name.clone(), wasm.clone());
        let installed = platform.install(source).await?;
        tracing::info!("{} built in {took_ms} ms; {installed}", self.name);
        *served = wasm;
        Ok(())
    }

    fn changes(&self) -> hostel::Result<Changes> {
        let folders = self.folders.clone();
        Changes::new(move |path| {
            let below = folders.iter().find_map(|folder| path.strip_prefix(folder).ok());
            below.is_some_and(|below| below.iter().all(is_source))
        })
    }

    /// Watches everything, folders that are new included.
    fn watch(&self, changes: &mut Changes) {
        for folder in &self.folders {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let inner = entries.filter(|entry| {
                is_source(&entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_dir())
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

/// What builds make, editors leave and git keeps is none.
fn is_source(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name != "target" && !name.starts_with('.') && !name.ends_with('~')
}
