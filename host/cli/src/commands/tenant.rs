//! `hostel tenant`: make, change and list tenants, and show what they used.

use anyhow::Context as _;
use clap::Subcommand;
use hostel::{
    NewTenant, Platform, Tenant, TenantChange, TenantSlug, TenantStatus, TighterLimits, Usage,
    UsageOfDay, UsageQuery,
};

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
        /// The plan that it is on: a name in the configuration's `[plans]`.
        #[arg(long)]
        plan: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Change what a tenant may use. A platform that runs on the same data acts by it at once.
    Set {
        /// Which tenant.
        slug: TenantSlug,
        /// Put it on a plan of the configuration.
        #[arg(long, conflicts_with = "no_plan")]
        plan: Option<String>,
        /// Take it off its plan.
        #[arg(long)]
        no_plan: bool,
        /// Give it a limit of its own, by a key of `[limits]`: it can only be tighter.
        #[arg(long, value_name = "KEY=VALUE", value_parser = limit)]
        limit: Vec<(String, u64)>,
        /// Take its own limits away, before others are given.
        #[arg(long)]
        no_limits: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Show what tenants' modules were asked and used, by day (UTC). A platform that runs writes it
    /// down every ten seconds.
    Usage {
        /// One tenant only.
        slug: Option<TenantSlug>,
        /// From this day on.
        #[arg(long, value_name = "YYYY-MM-DD")]
        from: Option<String>,
        /// Until this day, included.
        #[arg(long, value_name = "YYYY-MM-DD")]
        to: Option<String>,
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
        Command::Create { slug, name, plan, json, options } => {
            let tenants = Platform::builder().config(options.load()?).tenants().await?;
            let tenant = tenants.create(NewTenant { slug, display_name: name, plan }).await?;
            if json {
                println!("{}", as_json(&tenant));
            } else {
                println!("made tenant {} ({})", tenant.slug, tenant.id);
            }
        }
        Command::Set { slug, plan, no_plan, limit, no_limits, options } => {
            let tenants = Platform::builder().config(options.load()?).tenants().await?;
            let mut change = TenantChange::default();
            if plan.is_some() || no_plan {
                change.plan = Some(plan);
            }
            if no_limits || !limit.is_empty() {
                let own = tenants.find(&slug).await?.filter(|_| !no_limits);
                let own = own.map_or_else(TighterLimits::default, |tenant| tenant.limits);
                let limits = limit.iter().try_fold(own, |own, (key, value)| own.with(key, *value));
                change.limits = Some(limits?);
            }
            let tenant = tenants.change(&slug, change).await?;
            println!("{}", as_json(&tenant));
        }
        Command::Usage { slug, from, to, json, options } => {
            let config = options.load()?;
            let tenants = Platform::builder().config(config.clone()).tenants().await?;
            if let Some(slug) = &slug
                && tenants.find(slug).await?.is_none()
            {
                anyhow::bail!("there is no tenant `{slug}`");
            }
            let usage = Platform::builder().config(config).usage().await?;
            let query = UsageQuery { tenant: slug, from, to, after: None, limit: PAGE };
            print_usage(&read_usage(&usage, query).await?, json)?;
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
                        tenant.plan.clone().unwrap_or_else(|| "-".to_owned()),
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

async fn read_usage(usage: &Usage, mut query: UsageQuery) -> hostel::Result<Vec<UsageOfDay>> {
    let mut all = Vec::new();
    loop {
        let page = usage.read(&query).await?;
        let Some(last) = page.last() else { return Ok(all) };
        query.after = Some((last.day.clone(), last.tenant.clone(), last.module.clone()));
        all.extend(page);
    }
}

fn print_usage(usage: &[UsageOfDay], json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(usage)?);
        return Ok(());
    }
    let titles =
        ["day", "tenant", "module", "requests", "failures", "cpu ms", "host calls", "bytes"];
    let mut rows = vec![titles.map(ToOwned::to_owned).to_vec()];
    rows.extend(usage.iter().map(|line| {
        vec![
            line.day.clone(),
            line.tenant.clone(),
            line.module.clone(),
            line.requests.to_string(),
            line.failures.to_string(),
            line.cpu_ms.to_string(),
            line.host_calls.to_string(),
            line.answer_bytes.to_string(),
        ]
    }));
    print_table(&rows);
    Ok(())
}

/// `KEY=VALUE`.
fn limit(text: &str) -> anyhow::Result<(String, u64)> {
    let (key, value) = text.split_once('=').context("expected a limit such as cpu_ms=500")?;
    let value = value.parse().with_context(|| format!("`{value}` is no whole number"))?;
    Ok((key.to_owned(), value))
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
        "plan": tenant.plan,
        "limits": tenant.limits,
    })
}
