//! `hostel tenant create` and `hostel tenant list`.

use clap::Subcommand;
use hostel::{NewTenant, Platform, Tenant, TenantSlug, TenantStatus};

use super::print_table;
use crate::options::Options;

/// Tenants that are read at once.
const PAGE: u32 = 500;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a tenant. A platform that runs on the same data serves it at once.
    Create {
        /// Its name in URLs and headers: a DNS label.
        slug: TenantSlug,
        /// Its name for people.
        #[arg(long, default_value = "")]
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        options: Options,
    },
    /// List all tenants.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        options: Options,
    },
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create { slug, name, json, options } => {
            let tenants = Platform::builder().config(options.load()?).tenants().await?;
            let tenant = tenants.create(NewTenant { slug, display_name: name }).await?;
            if json {
                println!("{}", as_json(&tenant));
            } else {
                println!("made tenant {} ({})", tenant.slug, tenant.id);
            }
        }
        Command::List { json, options } => {
            let tenants = Platform::builder().config(options.load()?).tenants().await?;
            let mut all = Vec::new();
            loop {
                let page = tenants.list(all.last().map(|last: &Tenant| &last.slug), PAGE).await?;
                if page.is_empty() {
                    break;
                }
                all.extend(page);
            }
            if json {
                println!("{}", serde_json::Value::from_iter(all.iter().map(as_json)));
            } else {
                let row = |tenant: &Tenant| {
                    vec![
                        tenant.slug.to_string(),
                        status(tenant).to_owned(),
                        tenant.display_name.clone(),
                        tenant.id.to_string(),
                    ]
                };
                print_table(&all.iter().map(row).collect::<Vec<_>>());
            }
        }
    }
    Ok(())
}

fn status(tenant: &Tenant) -> &'static str {
    match tenant.status {
        TenantStatus::Active => "active",
        TenantStatus::Suspended => "suspended",
    }
}

fn as_json(tenant: &Tenant) -> serde_json::Value {
    serde_json::json!({
        "id": tenant.id.to_string(),
        "slug": tenant.slug.as_str(),
        "display_name": tenant.display_name,
        "status": status(tenant),
    })
}
