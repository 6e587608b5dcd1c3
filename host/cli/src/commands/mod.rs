//! One file per command.

pub(crate) mod build;
pub(crate) mod config;
pub(crate) mod db;
pub(crate) mod key;
pub(crate) mod module;
pub(crate) mod new;
pub(crate) mod sdk;
pub(crate) mod serve;
pub(crate) mod tenant;
pub(crate) mod test;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The modules that this binary carries, by name.
pub(crate) mod bundled {
    include!(concat!(env!("OUT_DIR"), "/bundled.rs"));
}

/// What `hostel new` writes.
mod carried {
    include!(concat!(env!("OUT_DIR"), "/carried.rs"));
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
