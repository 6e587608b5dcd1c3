//! `hostel new`: renders the templates that the binary carries into a new folder.

mod names;

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use hostel::Error;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value, context};

use super::carried::{APP, MODULE, MODULE_SLIM, VERSIONS};
use super::sdk;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a module's crate in a new folder, with Hostel's SDK in it: it builds on every machine.
    Module {
        /// The module's name, and the folder's: it becomes `/api/NAME`.
        name: String,
        /// One file with one route, and nothing else.
        #[arg(long)]
        slim: bool,
    },
    /// Make a program with a platform in it, and a module of its own.
    App {
        /// The program's name, and the folder's.
        name: String,
        /// A clone of Hostel's repository, which the program builds against.
        #[arg(long, value_name = "PATH")]
        hostel: Option<PathBuf>,
    },
}

/// A template's files: paths, which end in `.j2`, and texts.
type Template = &'static [(&'static str, &'static str)];

/// Runs the command.
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Module { name, slim } => module(&name, slim),
        Command::App { name, hostel } => app(&name, hostel.as_deref()),
    }
}

fn module(name: &str, slim: bool) -> anyhow::Result<()> {
    names::check(name)?;
    let template = if slim { MODULE_SLIM } else { MODULE };
    let context = context! {
        name,
        // Several modules may share a database, and no name is a word of SQL's with this behind it.
        table => format!("{}_items", name.replace('-', "_")),
        versions => versions(),
        sdk_version => env!("CARGO_PKG_VERSION"),
    };
    in_new_folder(name, |folder| {
        render(template, &context, folder)?;
        sdk::unpack(&folder.join(sdk::FOLDER))
    })?;
    println!(
        "Made {name}/, with the SDK of Hostel {} in {name}/hostel/. Next:

  cd {name}
  hostel dev
  hostel test
",
        env!("CARGO_PKG_VERSION")
    );
    let path = if slim { "/you" } else { "" };
    println!("and elsewhere: curl http://127.0.0.1:8080/api/{name}{path}");
    Ok(())
}

fn app(name: &str, hostel: Option<&Path>) -> anyhow::Result<()> {
    names::check(name)?;
    let clone = hostel_clone(hostel)?;
    let quoted = |below: &str| format!("{:?}", format!("{clone}{below}"));
    let context = context! {
        name,
        versions => versions(),
        hostel => quoted(""),
        host => quoted("/host"),
        sdk => quoted("/guest-sdk"),
        builder => quoted("/host/cli/src/cargo_module.rs"),
    };
    in_new_folder(name, |folder| render(APP, &context, folder))?;
    println!(
        "Made {name}/, which builds against {clone}. Next (the first build takes some minutes):

  cd {name}
  cargo run

and elsewhere: curl http://127.0.0.1:8080/api/hello/you"
    );
    Ok(())
}

/// The path of the clone as the program's files may say it: as it was given, so that a relative one
/// goes on to work for everybody who keeps both folders in the same places.
fn hostel_clone(given: Option<&Path>) -> anyhow::Result<String> {
    let Some(given) = given else {
        return Err(Error::invalid("a program builds against Hostel's source, which is in no registry yet: say where it is")
            .hint("clone Hostel's repository and pass --hostel PATH")
            .into());
    };
    let has = |file: &str| given.join(file).is_file();
    if !has("host/Cargo.toml") || !has("host/cli/src/cargo_module.rs") {
        return Err(Error::invalid(format!("{} is no clone of Hostel", given.display()))
            .hint("--hostel takes the folder that holds `host/Cargo.toml`")
            .into());
    }
    let text = given.to_str().context("the path to Hostel is not UTF-8")?.replace('\\', "/");
    let is_relative =
        !matches!(given.components().next(), Some(Component::RootDir | Component::Prefix(_)));
    Ok(if is_relative { format!("../{text}") } else { text }.trim_end_matches('/').to_owned())
}

/// Fills a folder and puts it into its place when it is whole. What is there already is not touched.
fn in_new_folder(name: &str, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let target = Path::new(name);
    // A link that leads nowhere is something, too.
    if target.symlink_metadata().is_ok() {
        return Err(Error::invalid(format!("{name} is there already, and is left as it is"))
            .hint("choose another name, or another folder to make it in")
            .into());
    }
    let here = "the current folder cannot be written to";
    let beside = tempfile::Builder::new().prefix(".hostel-new-").tempdir_in(".").context(here)?;
    // The outer folder is its owner's alone; this one has the rights of any other new folder.
    let whole = beside.path().join(name);
    fs::create_dir(&whole)?;
    fill(&whole)?;
    fs::rename(&whole, target).with_context(|| name.to_owned())
}

fn render(template: Template, context: &Value, folder: &Path) -> anyhow::Result<()> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build()?);
    for (path, text) in template {
        let text = environment.render_named_str(path, text, context)?;
        write(&folder.join(path.trim_end_matches(".j2")), &text)?;
    }
    Ok(())
}

/// Writes a file, and makes the folders that it is in.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn versions() -> Value {
    Value::from_pairs(VERSIONS.iter().copied())
}
