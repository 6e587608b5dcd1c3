//! `hostel tenant secret`. Values come from standard input alone: a command line is seen by others.

use std::io::{IsTerminal as _, Read as _};

use clap::{Args, Subcommand};
use hostel::{Platform, Secret, Secrets, TenantSlug};

use super::super::print_table;
use super::{One, time};
use crate::options::Options;

/// A secret is at most 64 KiB; what is longer is refused, and not read to its end.
const INPUT_MAX_BYTES: u64 = 100_000;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Keep a secret, read from standard input. One line break at its end is left out.
    Set {
        #[command(flatten)]
        which: Which,
    },
    /// List the names of a tenant's secrets. Nobody can list their values.
    List {
        #[command(flatten)]
        one: One,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a secret.
    Remove {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Args)]
pub(crate) struct Which {
    /// Which tenant.
    slug: TenantSlug,
    /// The secret's name, by which modules ask for it.
    name: String,
    #[command(flatten)]
    options: Options,
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Set { which } => {
            let secrets = secrets(&which.options).await?;
            let value = read_value()?;
            secrets.set(&which.slug, &which.name, &value).await?;
            println!("kept {}", which.name);
        }
        Command::List { one, json } => {
            let names = secrets(&one.options).await?.names(&one.slug).await?;
            let names = names.into_iter().map(|(name, changed_at)| (name, time(changed_at)));
            if json {
                let all = names.map(|(name, changed_at)| {
                    serde_json::json!({ "name": name, "changed_at": changed_at })
                });
                println!("{}", serde_json::Value::from_iter(all));
            } else {
                let rows = names.map(|(name, changed_at)| vec![name, changed_at]);
                print_table(&rows.collect::<Vec<_>>());
            }
        }
        Command::Remove { which } => {
            secrets(&which.options).await?.remove(&which.slug, &which.name).await?;
            println!("removed {}", which.name);
        }
    }
    Ok(())
}

async fn secrets(options: &Options) -> anyhow::Result<Secrets> {
    Ok(Platform::builder().config(options.load()?).secrets().await?)
}

fn read_value() -> anyhow::Result<Secret> {
    if std::io::stdin().is_terminal() {
        eprintln!("The secret, and then Ctrl-D:");
    }
    let mut value = String::new();
    std::io::stdin()
        .take(INPUT_MAX_BYTES)
        .read_to_string(&mut value)
        .map_err(|_| hostel::Error::invalid("a secret is a text in UTF-8"))?;
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    Ok(Secret::new(value))
}
