//! `hostel migrate generate`: the migration that a module's entities lack.

use std::collections::HashSet;
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use hostel::{
    Decisions, Error, Generated, Generator, ModuleName, Question, Rename, TablesOf, TenantSlug,
};
use serde_json::{Value, json};

use super::files::{
    FOLDER, add_to_source, check_crate, entry, ids, list, next_id, words, write_new,
};
use super::show::{warning_as_json, warning_for_people};
use crate::cargo_module::ModuleBuild;
use crate::commands::build::target_dir;
use crate::commands::{platform_with_bundled, spinner};
use crate::options::Options;
use crate::sources::crate_of;

#[derive(Args)]
pub(crate) struct Arguments {
    /// What the migration does, in a few words [default: what it changes].
    name: Option<String>,
    /// The module; its crate is in this folder, or in one of this name in the same workspace.
    #[arg(long, value_name = "NAME")]
    module: Option<ModuleName>,
    /// The folder of the module's crate.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    crate_folder: PathBuf,
    /// Take the module from this file, instead of building its crate.
    #[arg(long, value_name = "FILE")]
    wasm: Option<PathBuf>,
    /// Compare with this tenant's tables, as they are once the module's migrations were applied.
    #[arg(long, value_name = "SLUG", conflicts_with = "scratch")]
    tenant: Option<TenantSlug>,
    /// Compare with what the module's own migrations make on an empty SQLite database.
    #[arg(long)]
    scratch: bool,
    #[command(flatten)]
    decided: Decided,
    /// Fail where a migration is missing, and write nothing.
    #[arg(long)]
    check: bool,
    /// Only print what would be written.
    #[arg(long, conflicts_with = "check")]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

/// What a comparison cannot know.
#[derive(Args)]
struct Decided {
    /// What has another name now: `table.old:new`, or `old:new` of a table; may be given more than once.
    #[arg(long = "rename", value_name = "OLD:NEW")]
    renames: Vec<Rename>,
    /// Remove a table that no entity has any more, or `table.name` of a constraint or an index; may be
    /// given more than once.
    #[arg(long = "drop", value_name = "NAME")]
    drops: Vec<String>,
    /// What rows that are there get in a column that may not be empty, in SQL, or `now`; may be given
    /// more than once.
    #[arg(long = "fill", value_name = "TABLE.COLUMN=SQL", value_parser = fill)]
    fills: Vec<((String, String), String)>,
    /// A column whose values may be lost when it changes its type; may be given more than once.
    #[arg(long = "replace", value_name = "TABLE.COLUMN", value_parser = place)]
    replaced: Vec<(String, String)>,
}

fn place(text: &str) -> Result<(String, String), Error> {
    let (table, column) = text
        .split_once('.')
        .ok_or_else(|| Error::invalid(format!("`{text}` is no column, such as `notes.title`")))?;
    Ok((table.to_owned(), column.to_owned()))
}

fn fill(text: &str) -> Result<((String, String), String), Error> {
    let (column, value) = text.split_once('=').ok_or_else(|| {
        Error::invalid(format!("`{text}` gives no column a value, such as `notes.stars=0`"))
    })?;
    if value.trim().is_empty() {
        return Err(Error::invalid(format!("`{text}`: the value is missing")));
    }
    Ok((place(column)?, value.trim().to_owned()))
}

/// Runs the command.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let folder = crate_folder(&arguments)?;
    let (generator, file) = generator(&arguments, &folder).await?;
    if let Some(named) = arguments.module.as_ref().filter(|named| *named != generator.module()) {
        let message = format!("{} is module `{}`", folder.display(), generator.module());
        return Err(Error::invalid(format!("{message}, and not `{named}`")).into());
    }
    let mut decisions = Decisions {
        renames: arguments.decided.renames.clone(),
        drops: arguments.decided.drops.iter().cloned().collect(),
        fills: arguments.decided.fills.iter().cloned().collect(),
        replaced: arguments.decided.replaced.iter().cloned().collect(),
    };
    let somebody_is_there = std::io::stdin().is_terminal() && !arguments.json && !arguments.check;
    if somebody_is_there {
        ask(&generator, &mut decisions)?;
    }
    let Some(generated) = generator.generate(&decisions).await? else {
        let left = generator.left_alone(&decisions)?;
        if arguments.json {
            let told = json!({ "changed": false, "left_alone": left });
            println!("{}", with_place(&generator, &file, told));
        } else {
            println!(
                "nothing changed: the entities of {} are {}",
                generator.module(),
                compared_with(&generator)
            );
            print_left(&left);
        }
        return Ok(());
    };
    if arguments.check {
        let changes = generated.changes.join("; ");
        return Err(Error::invalid(format!(
            "a migration of {} is missing: {changes}",
            generator.module()
        ))
        .hint("`hostel migrate generate` writes it")
        .into());
    }
    let written = Written::new(&arguments, &folder, &generator, generated)?;
    let source = if arguments.dry_run { None } else { written.write()? };
    let left = generator.left_alone(&decisions)?;
    if arguments.json {
        println!("{}", with_place(&generator, &file, written.as_json(source.as_deref(), &left)));
        return Ok(());
    }
    written.print();
    match arguments.dry_run {
        true => written.print_files(),
        false => written.print_made(source.as_deref()),
    }
    print_left(&left);
    Ok(())
}

fn crate_folder(arguments: &Arguments) -> anyhow::Result<PathBuf> {
    let folder = &arguments.crate_folder;
    check_crate(folder)?;
    let folder = match &arguments.module {
        Some(module) if arguments.wasm.is_none() => crate_of(folder, module.as_str())?,
        _ => folder.clone(),
    };
    // Without a dot, or all that is known already, before each path that is shown.
    let here = std::env::current_dir().unwrap_or_default();
    let folder = folder.strip_prefix(&here).map(Path::to_owned).unwrap_or(folder);
    Ok(folder.strip_prefix(".").map(Path::to_owned).unwrap_or(folder))
}

/// The comparison, and the file of the module.
async fn generator(arguments: &Arguments, folder: &Path) -> anyhow::Result<(Generator, PathBuf)> {
    let module = match &arguments.wasm {
        Some(file) => file.clone(),
        None => {
            let folder = if folder == Path::new("") { Path::new(".") } else { folder };
            let build = ModuleBuild {
                manifest: folder.join("Cargo.toml"),
                target_dir: target_dir(folder)?,
                quiet: arguments.json || !std::io::stderr().is_terminal(),
                // Only what it says of itself is of interest.
                in_development: true,
            };
            tokio::task::spawn_blocking(move || build.run()).await??
        }
    };
    let of = match (&arguments.tenant, arguments.scratch) {
        (Some(slug), _) => TablesOf::Tenant(slug.clone()),
        (None, true) => TablesOf::Migrations,
        (None, false) => TablesOf::DefaultTenant,
    };
    let waiting = spinner();
    waiting.set_message("comparing");
    let generator = platform_with_bundled(arguments.options.load()?).generator(&module, &of).await;
    waiting.finish_and_clear();
    Ok((generator?, module))
}

/// Asks what only a person knows, until nothing is left to be asked.
fn ask(generator: &Generator, decisions: &mut Decisions) -> anyhow::Result<()> {
    let mut answered = HashSet::new();
    loop {
        let questions = generator.questions(decisions)?;
        let Some(question) = questions.into_iter().find(|it| !answered.contains(&said(it))) else {
            return Ok(());
        };
        let said = said(&question);
        let answer = answer(&said)?;
        match question {
            Question::Renamed(rename) if ["y", "yes"].contains(&&*answer.to_lowercase()) => {
                decisions.renames.push(rename);
            }
            Question::Fill { table, column, .. } if !answer.is_empty() => {
                decisions.fills.insert((table, column), answer);
            }
            // Nobody knows: it is told what else can be done.
            _ => {}
        }
        answered.insert(said);
    }
}

fn said(question: &Question) -> String {
    match question {
        Question::Renamed(Rename { table, column: Some(column), to }) => {
            format!("Is column `{column}` of `{table}` called `{to}` now? [y/N]")
        }
        Question::Renamed(Rename { table, to, .. }) => {
            format!("Is table `{table}` called `{to}` now? [y/N]")
        }
        Question::Fill { table, column, kind } => format!(
            "What do rows that are there get in the new column `{column}` of `{table}` ({kind}, in SQL)?"
        ),
        other => format!("{other:?}"),
    }
}

fn answer(question: &str) -> anyhow::Result<String> {
    print!("{question} ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

fn compared_with(generator: &Generator) -> String {
    match generator.tenant() {
        Some(tenant) => format!("the tables of tenant {tenant}"),
        None => "what its migrations make".to_owned(),
    }
}

fn with_place(generator: &Generator, file: &Path, mut told: Value) -> Value {
    told["file"] = file.display().to_string().into();
    told["module"] = generator.module().as_str().into();
    told["tenant"] = generator.tenant().map(TenantSlug::as_str).into();
    told
}

fn print_left(left: &[String]) {
    if !left.is_empty() {
        println!("left alone, as no entity has it (--drop removes it): {}", left.join(", "));
    }
}

/// A migration, and where it goes.
struct Written<'a> {
    generated: Generated,
    module: &'a ModuleName,
    compared_with: String,
    id: String,
    known: Vec<String>,
    folder: &'a Path,
    /// Its files and what is in them.
    files: Vec<(PathBuf, String)>,
}

impl<'a> Written<'a> {
    fn new(
        arguments: &Arguments,
        folder: &'a Path,
        generator: &'a Generator,
        generated: Generated,
    ) -> anyhow::Result<Self> {
        let migrations = folder.join(FOLDER);
        let known = ids(&migrations)?;
        let name = match &arguments.name {
            Some(name) => words(name)?,
            None => words(&generated.name.chars().take(64).collect::<String>())?,
        };
        // A module may have some that are in no file.
        let all: Vec<String> =
            known.iter().cloned().chain(generator.migrations().map(str::to_owned)).collect();
        let id = next_id(&all, &name);
        let path = |end: &str| migrations.join(format!("{id}{end}.sql"));
        let (up, down) = (&generated.up, &generated.down);
        let files = match generated.is_portable() {
            true => vec![(path(".up"), up.sqlite.clone()), (path(".down"), down.sqlite.clone())],
            false => vec![
                (path(".sqlite.up"), up.sqlite.clone()),
                (path(".sqlite.down"), down.sqlite.clone()),
                (path(".postgres.up"), up.postgres.clone()),
                (path(".postgres.down"), down.postgres.clone()),
            ],
        };
        let (module, compared_with) = (generator.module(), compared_with(generator));
        Ok(Self { generated, module, compared_with, id, known, folder, files })
    }

    fn entry(&self) -> String {
        entry(&self.id, !self.generated.is_portable())
    }

    /// Makes the files, and adds the migration to the list in the source where that can be told from
    /// everything else; says which file that is in.
    fn write(&self) -> anyhow::Result<Option<PathBuf>> {
        let migrations = self.folder.join(FOLDER);
        fs::create_dir_all(&migrations).with_context(|| migrations.display().to_string())?;
        self.files.iter().try_for_each(|(path, text)| write_new(path, text))?;
        add_to_source(self.folder, &self.entry())
    }

    fn as_json(&self, source: Option<&Path>, left: &[String]) -> Value {
        let Generated { changes, notes, warnings, up, down, .. } = &self.generated;
        let files = self.files.iter().map(|(path, _)| path.display().to_string());
        let warnings = warnings.iter().map(|it| warning_as_json(self.module, &self.id, it));
        json!({
            "changed": true,
            "migration": self.id,
            "entry": self.entry(),
            "source": source.map(|path| path.display().to_string()),
            "changes": changes,
            "files": files.collect::<Vec<_>>(),
            "up": up,
            "down": down,
            "notes": notes,
            "warnings": warnings.collect::<Vec<_>>(),
            "left_alone": left,
        })
    }

    fn print(&self) {
        let Generated { changes, notes, warnings, .. } = &self.generated;
        println!("{}, beside {}:", self.module, self.compared_with);
        changes.iter().for_each(|change| println!("  {change}"));
        notes.iter().for_each(|note| println!("note: {note}"));
        warnings.iter().for_each(|it| println!("{}", warning_for_people(&self.id, it)));
    }

    fn print_files(&self) {
        for (path, text) in &self.files {
            println!("-- {}\n{}", path.display(), text.trim_end());
        }
    }

    fn print_made(&self, source: Option<&Path>) {
        let files: Vec<_> = self.files.iter().map(|(path, _)| path.display().to_string()).collect();
        println!("made {}", files.join(", "));
        let entry = self.entry();
        match source {
            Some(source) => println!("added {entry} to `migrations!` in {}", source.display()),
            None => println!(
                "add it to the module: .migrations(migrations!({}))",
                list(&self.known, &entry)
            ),
        }
    }
}
