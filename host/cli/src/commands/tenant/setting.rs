//! `hostel tenant setting`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use hostel::{ModuleName, Platform, TenantSlug};
use serde_json::Value;

use super::super::{platform_with_bundled, print_table, spinner};
use super::One;
use crate::options::Options;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Give a tenant a value of its own for a module's setting. It holds within a second.
    Set {
        #[command(flatten)]
        which: Which,
        /// The value, as JSON; what is no JSON is taken for a text.
        value: String,
    },
    /// List a tenant's own values.
    List {
        #[command(flatten)]
        one: One,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a tenant's own value away.
    Unset {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Args)]
pub(crate) struct Which {
    /// Which tenant.
    slug: TenantSlug,
    /// The module's name.
    module: ModuleName,
    /// The setting's name.
    name: String,
    #[command(flatten)]
    options: Options,
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Set { which, value } => {
            let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
            change(&which, Some(value)).await
        }
        Command::Unset { which } => change(&which, None).await,
        Command::List { one, json } => {
            let settings = one.tenants().await?.settings(&one.slug).await?;
            if json {
                println!("{}", serde_json::to_string(&settings)?);
                return Ok(());
            }
            let rows = settings.iter().flat_map(|(module, values)| {
                values
                    .iter()
                    .map(|(name, value)| vec![module.clone(), name.clone(), value.to_string()])
            });
            print_table(&rows.collect::<Vec<_>>());
            Ok(())
        }
    }
}

async fn change(which: &Which, value: Option<Value>) -> anyhow::Result<()> {
    let platform = with_modules(&which.options).await?;
    let changes = BTreeMap::from([(which.name.clone(), value)]);
    platform.tenants().set_settings(&which.slug, &which.module, changes).await?;
    Ok(())
}

/// Only modules say what their settings may be.
pub(super) async fn with_modules(options: &Options) -> anyhow::Result<Platform> {
    let waiting = spinner();
    let tell = waiting.clone();
    let builder = platform_with_bundled(options.load()?);
    let platform = builder.progress(move |what| tell.set_message(what.to_owned())).build().await;
    waiting.finish_and_clear();
    Ok(platform?)
}
