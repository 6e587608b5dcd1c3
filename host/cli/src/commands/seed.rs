//! `hostel seed`: have a module make rows to try things with, or take them from files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use hostel::runtime::Seed;
use hostel::{Error, ModuleName, SeedRows, SeedWish, Seeds, TenantSlug};

use super::{platform_with_bundled, print_table, spinner};
use crate::options::Options;

/// `hostel dev` serves what no other command knows of.
const WRITTEN: &str =
    "one that is being written is named by its file, as `hostel build` makes it: --with FILE";

#[derive(Args)]
pub(crate) struct Arguments {
    /// The module. Without one, all seeds of all modules are listed.
    module: Option<ModuleName>,
    /// Its seed. Without one, the only one that it has.
    seed: Option<String>,
    /// The tenant that gets the rows [default: the default tenant].
    #[arg(long, value_name = "SLUG")]
    tenant: Option<TenantSlug>,
    /// Take rows from a file instead, whose name is their table's: `notes.csv`, with columns in the
    /// first line, or `notes.json`. May be given more than once; all of the rows go in, or none.
    #[arg(long, value_name = "FILE", requires = "module", conflicts_with_all = ["seed", "rows", "number"])]
    from: Vec<PathBuf>,
    /// How many rows there should be, of what the seed is about [default: as many as it finds usual].
    #[arg(long, value_name = "COUNT")]
    rows: Option<u32>,
    /// Another number makes other rows, the same one the same texts and figures.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    number: u64,
    /// Take a module from this file, instead of the one of its name that is served: what is being
    /// written, as `hostel build` has made it.
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { module, seed, tenant, from, rows, number, with, options } = arguments;
    let files = from.iter().map(|file| read(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let config = options.load()?;
    let default = config.tenancy.default_tenant.clone();
    let waiting = spinner();
    let tell = waiting.clone();
    let builder =
        platform_with_bundled(config).progress(move |what| tell.set_message(what.to_owned()));
    let seeds = builder.seeds(&with).await.inspect_err(|_| waiting.finish_and_clear())?;
    let Some(module) = module else {
        waiting.finish_and_clear();
        list(&seeds);
        return Ok(());
    };
    let known = seeds.of(&module).inspect_err(|_| waiting.finish_and_clear());
    let known = known.map_err(|error| error.hint(WRITTEN))?;
    let tenant = tenant.or(default).ok_or_else(|| {
        Error::invalid("there is no default tenant").hint("name one with --tenant")
    })?;
    if !files.is_empty() {
        let added = seeds.load(&tenant, &module, &files).await;
        waiting.finish_and_clear();
        println!("added {} to the tables of {module} for {tenant}", rows_of(added?));
        return Ok(());
    }
    let seed = match seed {
        Some(seed) => seed,
        None => only(&module, &known).inspect_err(|_| waiting.finish_and_clear())?,
    };
    waiting.set_message(format!("{module}: {seed}"));
    let began = Instant::now();
    let made = seeds.make(&tenant, &module, &seed, &SeedWish { rows, number }).await;
    waiting.finish_and_clear();
    made?;
    println!("made `{seed}` of {module} for {tenant} in {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

fn rows_of(count: u64) -> String {
    if count == 1 { "one row".to_owned() } else { format!("{count} rows") }
}

/// Rows for the table that the file is named after.
fn read(file: &Path) -> anyhow::Result<SeedRows> {
    let in_file = |error: String| Error::invalid(format!("{}: {error}", file.display()));
    let table = file.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let content = std::fs::read(file).map_err(|error| in_file(error.to_string()))?;
    let rows = match file.extension().and_then(OsStr::to_str) {
        Some("csv") => SeedRows::csv(table, &content),
        Some("json" | "jsonl") => SeedRows::json(table, &content),
        _ => {
            let error = in_file("this is neither `.csv` nor `.json`".to_owned());
            return Err(error.hint("a file is named after its table: `notes.csv`").into());
        }
    };
    Ok(rows.map_err(|error| in_file(error.to_string()))?)
}

/// The only seed of a module.
fn only(module: &ModuleName, seeds: &[Seed]) -> hostel::Result<String> {
    let names: Vec<&str> = seeds.iter().map(|seed| seed.name.as_str()).collect();
    match names.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(Error::invalid(format!("module `{module}` has no seeds"))
            .hint("`hostel seed` lists those that there are")),
        some => Err(Error::invalid(format!("module `{module}` has several seeds"))
            .hint(format!("say which: {}", some.join(", ")))),
    }
}

fn list(seeds: &Seeds) {
    let titles = ["module", "seed", "what there is then"].map(ToOwned::to_owned).to_vec();
    let rows = seeds
        .list()
        .into_iter()
        .map(|(module, seed)| vec![module.to_string(), seed.name, seed.summary]);
    print_table(&std::iter::once(titles).chain(rows).collect::<Vec<_>>());
}
