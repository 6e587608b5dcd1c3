//! One file per command.

pub(crate) mod build;
pub(crate) mod config;
pub(crate) mod db;
pub(crate) mod key;
pub(crate) mod lookup;
pub(crate) mod migrate;
pub(crate) mod module;
pub(crate) mod new;
pub(crate) mod openapi;
pub(crate) mod sdk;
pub(crate) mod seed;
pub(crate) mod serve;
pub(crate) mod tenant;
pub(crate) mod test;

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use hostel::{Config, PlatformBuilder};
use indicatif::{ProgressBar, ProgressStyle};

/// The modules that this binary carries, by name.
pub(crate) mod bundled {
    include!(concat!(env!("OUT_DIR"), "/bundled.rs"));
}

/// What `hostel new` writes.
mod carried {
    include!(concat!(env!("OUT_DIR"), "/carried.rs"));
}

/// The module that shows how modules are written.
const EXAMPLE: &str = "notes";

/// A platform with the modules that this binary carries.
fn platform_with_bundled(config: Config) -> PlatformBuilder {
    platform_with(config, |_| true)
}

/// A platform with those of the modules that this binary carries which are wanted.
fn platform_with(config: Config, is_wanted: impl Fn(&str) -> bool) -> PlatformBuilder {
    bundled::BUNDLED
        .iter()
        .filter(|(name, _)| is_wanted(name))
        .fold(PlatformBuilder::default().config(config), |builder, (name, wasm)| {
            builder.system_module(name, *wasm)
        })
}

/// Asks before something is done that cannot be undone, unless `--yes` was given.
fn confirm(what: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(hostel::Error::invalid(format!("{what}: nobody is there to be asked"))
            .hint("say so beforehand with --yes")
            .into());
    }
    print!("{what}. Go on? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => anyhow::bail!("nothing was changed"),
    }
}

/// Says what is going on while somebody waits; nothing where nobody looks.
fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Rows with aligned columns.
fn print_table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
