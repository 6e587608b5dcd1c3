//! `hostel module inspect`.

use std::path::PathBuf;

use clap::Subcommand;
use hostel::Platform;
use hostel::runtime::{Access, Inspection};

use super::{print_table, spinner};
use crate::options::Options;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Say what a module's file asks for and what it offers, without serving it.
    Inspect {
        /// The module.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        options: Options,
    },
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    let Command::Inspect { file, json, options } = command;
    let waiting = spinner();
    waiting.set_message("compiling");
    let inspected = Platform::builder().config(options.load()?).inspect(&file).await;
    waiting.finish_and_clear();
    let inspection = inspected?;
    if json {
        println!("{}", serde_json::to_string_pretty(&inspection)?);
    } else {
        print(&inspection);
    }
    Ok(())
}

fn print(inspection: &Inspection) {
    let manifest = &inspection.manifest;
    println!("{} {}: {}", manifest.name, manifest.version, manifest.summary);
    println!(
        "{} KiB, compiled in {} ms",
        inspection.size_bytes.div_ceil(1024),
        inspection.compile_time.as_millis()
    );
    section(
        "It asks to",
        inspection.imports.iter().filter_map(|import| {
            let capability = import.capability?;
            Some(vec![import.meaning.clone(), format!("({capability}: {})", import.interface)])
        }),
    );
    section(
        "Routes",
        manifest.routes.iter().map(|route| {
            let access = match &route.access {
                Access::Public => "public".to_owned(),
                Access::Permission(name) => name.to_string(),
            };
            let path = format!("/api/{}{}", manifest.name, route.path.trim_end_matches('/'));
            vec![route.method.to_string(), path, access, route.summary.clone()]
        }),
    );
    section(
        "Permissions",
        manifest
            .permissions
            .iter()
            .map(|permission| vec![permission.name.to_string(), permission.summary.clone()]),
    );
    section("Migrations", manifest.migrations.iter().map(|step| vec![step.id.clone()]));
    section(
        "Entities",
        manifest
            .entities
            .iter()
            .map(|entity| vec![entity.table.clone(), format!("{} columns", entity.columns.len())]),
    );
    section(
        "Settings",
        manifest.settings.iter().map(|setting| {
            vec![setting.name.clone(), setting.default.to_string(), setting.summary.clone()]
        }),
    );
    let seeds = manifest.seeds.iter();
    section("Seeds", seeds.map(|seed| vec![seed.name.clone(), seed.summary.clone()]));
    let hosts = manifest.outbound_hosts.iter();
    section("Calls", hosts.map(|calls| vec![calls.host.to_string(), calls.reason.clone()]));
}

fn section(title: &str, rows: impl Iterator<Item = Vec<String>>) {
    let mut rows: Vec<Vec<String>> = rows.collect();
    println!("\n{title}");
    if rows.is_empty() {
        rows.push(vec!["nothing".to_owned()]);
    }
    for row in &mut rows {
        row.insert(0, String::new());
    }
    print_table(&rows);
}
