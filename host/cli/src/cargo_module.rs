//! Builds a module's crate into one WebAssembly component, with a cargo of its own.
//!
//! Only `std`: `hostel build`, the launcher and the build scripts of crates that carry modules
//! include this file by its path. How a module is compiled is said here and nowhere else.

#![allow(dead_code, reason = "each crate that includes this file uses a part of it")]

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// The target of every module: `std` over WASI preview 2, linked straight to a component.
pub(crate) const TARGET: &str = "wasm32-wasip2";

const PROFILE: &str = "module";

/// Small, quick to compile for the host, and with names left for backtraces. It is handed over on
/// the command line so that a crate in anybody's workspace is built in the same way.
const PROFILE_SETTINGS: &[&str] = &[
    r#"profile.module.inherits="release""#,
    r#"profile.module.opt-level="s""#,
    r#"profile.module.codegen-units=1"#,
    r#"profile.module.debug=false"#,
    r#"profile.module.lto=true"#,
    r#"profile.module.panic="abort""#,
    r#"profile.module.strip="debuginfo""#,
];

/// With vectors of 128 bits, as the host runs them: a module that looks at all that it is sent takes
/// 5 % less time (benchmark `upload`), and is no larger.
const FLAGS: &str = "-Ctarget-feature=+simd128";

const DEVELOPMENT_PROFILE: &str = "module-development";

/// Compiled again within a second; larger, and slower to run.
const DEVELOPMENT_PROFILE_SETTINGS: &[&str] = &[
    r#"profile.module-development.inherits="dev""#,
    r#"profile.module-development.opt-level=1"#,
    r#"profile.module-development.debug=false"#,
    r#"profile.module-development.panic="abort""#,
    r#"profile.module-development.strip="debuginfo""#,
];

/// What an outer cargo or clippy leaves in the environment of its children, and what would change
/// the inner build or its results: build scripts of dependencies believe `CARGO_CFG_UNIX`, and
/// clippy's driver writes no code.
const SCRUBBED: &[&str] = &[
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_MANIFEST_PATH",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_TARGET_DIR",
    "DEBUG",
    "HOST",
    "NUM_JOBS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "TARGET",
];
const SCRUBBED_PREFIXES: &[&str] =
    &["CARGO_BIN_", "CARGO_CFG_", "CARGO_FEATURE_", "CARGO_PKG_", "DEP_"];

/// One build of one module.
pub(crate) struct ModuleBuild {
    /// The crate's `Cargo.toml`.
    pub(crate) manifest: PathBuf,
    /// Where cargo works. Never the directory of a cargo that waits for this build: that one
    /// holds its lock.
    pub(crate) target_dir: PathBuf,
    /// Whether cargo keeps silent about its progress; warnings and errors are always shown.
    pub(crate) quiet: bool,
    /// Whether it is to be built again soon, because somebody writes it.
    pub(crate) in_development: bool,
}

impl ModuleBuild {
    /// Builds, and says where the component is.
    pub(crate) fn run(&self) -> Result<PathBuf, BuildError> {
        let manifest = std::path::absolute(&self.manifest).map_err(BuildError::Start)?;
        let target_dir = std::path::absolute(&self.target_dir).map_err(BuildError::Start)?;
        let Some(directory) = manifest.parent().filter(|_| manifest.is_file()) else {
            return Err(BuildError::NoManifest(manifest));
        };
        if !target_is_installed(directory)? {
            return Err(BuildError::TargetMissing);
        }
        let mut build = cargo(directory, &target_dir);
        let (profile, settings) = match self.in_development {
            true => (DEVELOPMENT_PROFILE, DEVELOPMENT_PROFILE_SETTINGS),
            false => (PROFILE, PROFILE_SETTINGS),
        };
        build.args(["build", "--target", TARGET, "--profile", profile]);
        build.arg("--manifest-path").arg(&manifest);
        build.arg("--target-dir").arg(&target_dir);
        for setting in settings {
            build.args(["--config", setting]);
        }
        if self.quiet {
            build.arg("--quiet");
        }
        // Standard output belongs to the caller: a build script's is read by cargo.
        let status = build.stdout(Stdio::null()).status();
        let status = status.map_err(BuildError::Start)?;
        if !status.success() {
            return Err(BuildError::Failed { manifest, status });
        }
        let package = package_name(&manifest, directory, &target_dir)?;
        let artefact = artefact_path(&target_dir, profile, &package);
        if !artefact.is_file() {
            return Err(BuildError::NoComponent { manifest, artefact });
        }
        Ok(artefact)
    }
}

/// For build scripts: builds the crate at `manifest` beneath the outer build's target directory,
/// leaves a copy in `OUT_DIR`, and has the script run again when any of `sources` changes.
///
/// The copy is what the outer crate may include: the inner directory is shared by all profiles
/// and by all build scripts.
#[allow(clippy::print_stdout, reason = "what a build script prints is read by cargo")]
pub(crate) fn build_in_script(manifest: &Path, sources: &[PathBuf]) -> Result<PathBuf, BuildError> {
    // A path that does not exist would make the script run each time.
    for source in sources.iter().filter(|source| source.exists()) {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    let out_dir = out_dir()?;
    let module = ModuleBuild {
        manifest: manifest.to_path_buf(),
        target_dir: modules_dir(&out_dir).ok_or(BuildError::NoOutDir)?,
        quiet: false,
        in_development: false,
    };
    let built = module.run()?;
    let name = built.file_name().ok_or(BuildError::NoOutDir)?;
    let copy = out_dir.join(name);
    fs::copy(&built, &copy).map_err(BuildError::Copy)?;
    Ok(copy)
}

/// Where a build script may write.
pub(crate) fn out_dir() -> Result<PathBuf, BuildError> {
    variable("OUT_DIR").map(PathBuf::from).ok_or(BuildError::NoOutDir)
}

/// Whether the toolchain in use in `directory` has the standard library for modules.
pub(crate) fn target_is_installed(directory: &Path) -> Result<bool, BuildError> {
    let rustc = variable("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(directory)
        .stderr(Stdio::null())
        .output()
        .map_err(BuildError::Start)?;
    // A compiler that is too old to know the target fails.
    let libraries = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success() && Path::new(libraries.trim()).is_dir())
}

/// A cargo whose environment says nothing of the one that may have started us.
///
/// The jobserver's variables stay, so that both builds share the machine's cores; so does the
/// user's `RUSTC_WRAPPER`, which may be a compiler cache.
fn cargo(directory: &Path, target_dir: &Path) -> Command {
    let mut cargo = Command::new(variable("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(directory);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_scrubbed) {
            cargo.env_remove(name);
        }
    }
    // Set, it wins over every flag of the environment and of cargo's configuration: those are meant
    // for the host's own target.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", FLAGS);
    // A build directory from the user's configuration is locked by the outer cargo, too.
    cargo.env("CARGO_BUILD_BUILD_DIR", target_dir);
    cargo
}

fn is_scrubbed(name: &str) -> bool {
    SCRUBBED.contains(&name) || SCRUBBED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The name of the package at `manifest`, from its package id.
fn package_name(
    manifest: &Path,
    directory: &Path,
    target_dir: &Path,
) -> Result<String, BuildError> {
    let output = cargo(directory, target_dir)
        .args(["pkgid", "--manifest-path"])
        .arg(manifest)
        .stderr(Stdio::inherit())
        .output()
        .map_err(BuildError::Start)?;
    let id = String::from_utf8_lossy(&output.stdout);
    match name_in_package_id(id.trim()) {
        Some(name) if output.status.success() => Ok(name.to_owned()),
        _ => Err(BuildError::Failed { manifest: manifest.to_path_buf(), status: output.status }),
    }
}

/// `path+file:///src/notes#hostel-notes@0.1.0`, or `path+file:///src/hostel-notes#0.1.0` where
/// the folder has the package's name.
fn name_in_package_id(id: &str) -> Option<&str> {
    let (url, fragment) = id.rsplit_once('#')?;
    match fragment.split_once('@') {
        Some((name, _version)) => Some(name),
        None => url.rsplit('/').next(),
    }
}

fn artefact_path(target_dir: &Path, profile: &str, package: &str) -> PathBuf {
    let library = package.replace('-', "_");
    target_dir.join(TARGET).join(profile).join(library).with_extension("wasm")
}

/// `<target>/modules` for an `OUT_DIR` of `<target>/<profile>/build/<package>/out`, with the
/// triple between when the outer build names one.
fn modules_dir(out_dir: &Path) -> Option<PathBuf> {
    let build = out_dir
        .ancestors()
        .find(|ancestor| ancestor.file_name().is_some_and(|name| name == "build"))?;
    let profiles = build.parent()?.parent()?;
    let triple = variable("TARGET");
    let target_dir = match profiles.file_name() {
        Some(name) if triple.is_some_and(|triple| triple == name) => profiles.parent()?,
        _ => profiles,
    };
    Some(target_dir.join("modules"))
}

#[allow(
    clippy::disallowed_methods,
    reason = "cargo speaks to its children by variables; this is no configuration of Hostel's"
)]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// Why there is no component.
#[derive(Debug)]
pub(crate) enum BuildError {
    /// There is no crate to build.
    NoManifest(PathBuf),
    /// The toolchain cannot compile to the modules' target.
    TargetMissing,
    /// cargo or rustc could not be started.
    Start(io::Error),
    /// cargo said no, and has printed why.
    Failed { manifest: PathBuf, status: ExitStatus },
    /// cargo built something, but no component by the package's name.
    NoComponent { manifest: PathBuf, artefact: PathBuf },
    /// The component could not be copied to `OUT_DIR`.
    Copy(io::Error),
    /// `OUT_DIR` is absent or looks like nothing that cargo makes.
    NoOutDir,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoManifest(path) => write!(f, "there is no {}", path.display()),
            Self::TargetMissing => write!(
                f,
                "this Rust toolchain has no {TARGET} target: run `rustup target add {TARGET}`"
            ),
            Self::Start(error) => write!(f, "cargo or rustc could not be started: {error}"),
            Self::Failed { manifest, status } => {
                write!(f, "building {} failed: {status}", manifest.display())
            }
            Self::NoComponent { manifest, artefact } => write!(
                f,
                "{} made no {}: its [lib] needs crate-type = [\"cdylib\"] and no name of its own",
                manifest.display(),
                artefact.display(),
            ),
            Self::Copy(error) => write!(f, "the component could not be copied: {error}"),
            Self::NoOutDir => write!(f, "OUT_DIR is not one that cargo gives to a build script"),
        }
    }
}

impl std::error::Error for BuildError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_ids_name_the_package_in_both_forms() {
        let named = "path+file:///src/notes#hostel-notes@0.1.0";
        assert_eq!(name_in_package_id(named), Some("hostel-notes"));
        let folder = "path+file:///src/hostel-notes#0.1.0";
        assert_eq!(name_in_package_id(folder), Some("hostel-notes"));
        assert_eq!(name_in_package_id("no id"), None);
    }

    #[test]
    fn the_artefact_is_named_after_the_library() {
        let path = artefact_path(Path::new("t"), PROFILE, "hostel-notes");
        assert_eq!(path, Path::new("t/wasm32-wasip2/module/hostel_notes.wasm"));
    }

    #[test]
    fn profiles_share_one_directory_for_modules() {
        for out_dir in ["/t/debug/build/a-1/out", "/t/release/build/a/1/out"] {
            let shared = modules_dir(Path::new(out_dir));
            assert_eq!(shared.as_deref(), Some(Path::new("/t/modules")));
        }
        assert_eq!(modules_dir(Path::new("/elsewhere/out")), None);
    }

    #[test]
    fn the_inner_build_hears_nothing_of_the_outer_one() {
        for name in ["CARGO_CFG_UNIX", "CARGO_FEATURE_STD", "RUSTFLAGS", "OUT_DIR"] {
            assert!(is_scrubbed(name), "{name} must go");
        }
        for name in ["CARGO_HOME", "CARGO_MAKEFLAGS", "RUSTC_WRAPPER", "RUSTUP_TOOLCHAIN", "PATH"] {
            assert!(!is_scrubbed(name), "{name} must stay");
        }
    }
}
