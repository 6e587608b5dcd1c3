//! `hostel lookup`: load, list, show and remove tables that all tenants share.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hostel::{Error, Lookup, LookupName, LookupPage, Lookups, Platform};
use serde_json::{Map, Value, json};

use super::{confirm, print_table, tenant};
use crate::options::Options;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Load a look-up from CSV in UTF-8, instead of the one of that name. A platform that runs on
    /// the same data serves the new version within a second.
    Load {
        #[command(flatten)]
        one: One,
        /// A file whose first line names the columns.
        file: PathBuf,
        /// The column by which rows are found; the first one when not given.
        #[arg(long, value_name = "COLUMN")]
        key: Option<String>,
    },
    /// List look-ups by name.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Show a look-up's rows, in the order of their keys.
    Show {
        #[command(flatten)]
        one: One,
        /// Those after this key only.
        #[arg(long, value_name = "KEY")]
        after: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a look-up. Modules that ask for it find none, within a second.
    Remove {
        #[command(flatten)]
        one: One,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// One look-up.
#[derive(Args)]
pub(crate) struct One {
    /// Which look-up.
    name: LookupName,
    #[command(flatten)]
    options: Options,
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Load { one, file, key } => {
            let csv = read(&file)?;
            let loaded = lookups(&one.options).await?.load(&one.name, &csv, key.as_deref()).await;
            let Lookup { name, version, row_count, key_column, .. } = loaded.map_err(|error| {
                let told = format!("{}: {error}", file.display());
                anyhow::Error::from(error).context(told)
            })?;
            println!("loaded {name}: {row_count} rows by `{key_column}`, version {version}");
        }
        Command::List { json, options } => {
            let all = lookups(&options).await?.list().await?;
            if json {
                println!("{}", Value::from_iter(all.iter().map(as_json)));
            } else {
                print_list(&all);
            }
        }
        Command::Show { one, after, limit, json } => {
            let page =
                lookups(&one.options).await?.rows(&one.name, after.as_deref(), limit).await?;
            show(&page, json)?;
        }
        Command::Remove { one, yes } => {
            let lookups = lookups(&one.options).await?;
            let Lookup { name, row_count, .. } = lookups.get(&one.name).await?;
            confirm(&format!("removes {name} ({row_count} rows)"), yes)?;
            lookups.remove(&one.name).await?;
            println!("removed {}", one.name);
        }
    }
    Ok(())
}

async fn lookups(options: &Options) -> anyhow::Result<Lookups> {
    Ok(Platform::builder().config(options.load()?).lookups().await?)
}

/// What is longer than any look-up is refused, and not read to its end.
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut csv = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(Lookups::CSV_MAX_BYTES + 1).read_to_end(&mut csv))
        .map_err(|error| Error::invalid(format!("{}: {error}", file.display())))?;
    Ok(csv)
}

fn print_list(all: &[Lookup]) {
    let titles = ["name", "rows", "key", "columns", "version", "loaded"].map(ToOwned::to_owned);
    let rows = all.iter().map(|lookup| {
        vec![
            lookup.name.to_string(),
            lookup.row_count.to_string(),
            lookup.key_column.clone(),
            lookup.columns.join(","),
            lookup.version.to_string(),
            tenant::time(lookup.loaded_at),
        ]
    });
    print_table(&std::iter::once(titles.to_vec()).chain(rows).collect::<Vec<_>>());
}

fn show(page: &LookupPage, json: bool) -> anyhow::Result<()> {
    let LookupPage { lookup, rows, more } = page;
    let objects: Vec<Map<String, Value>> =
        rows.iter().map(|row| serde_json::from_str(&row.object)).collect::<Result<_, _>>()?;
    if json {
        let mut told = as_json(lookup);
        told["rows"] = json!(objects);
        println!("{told}");
        return Ok(());
    }
    let lines = objects.iter().map(|object| {
        let cells = lookup.columns.iter().map(|column| object[column].as_str().unwrap_or_default());
        cells.map(one_line).collect()
    });
    print_table(&std::iter::once(lookup.columns.clone()).chain(lines).collect::<Vec<_>>());
    if let (true, Some(last)) = (more, rows.last()) {
        println!("… of {} rows; `--after '{}'` shows more", lookup.row_count, last.key);
    }
    Ok(())
}

/// A cell may hold anything, and a terminal acts on control characters.
fn one_line(cell: &str) -> String {
    cell.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

fn as_json(lookup: &Lookup) -> Value {
    json!({
        "name": lookup.name.as_str(),
        "version": lookup.version,
        "columns": lookup.columns,
        "key": lookup.key_column,
        "row_count": lookup.row_count,
        "loaded_at": tenant::time(lookup.loaded_at),
    })
}
