//! `hostel tenant`: make, change, list and remove tenants, and show what they used.

pub(crate) mod secret;
pub(crate) mod setting;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use hostel::{
    Archives, Config, NewTenant, Platform, Tenant, TenantChange, TenantQuery, TenantSlug,
    TenantStatus, Tenants, TighterLimits, Usage, UsageOfDay, UsageQuery,
};

use super::{confirm, platform_with_bundled, print_table, spinner};
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
    /// List tenants by slug.
    List {
        /// Those with this status only.
        #[arg(long)]
        status: Option<TenantStatus>,
        /// Those on this plan only.
        #[arg(long)]
        plan: Option<String>,
        /// Those whose slug or display name has this part.
        #[arg(long, value_name = "PART")]
        name: Option<String>,
        /// Those after this slug only.
        #[arg(long, value_name = "SLUG")]
        after: Option<TenantSlug>,
        /// At most so many.
        #[arg(long)]
        limit: Option<u32>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Show one tenant.
    Show {
        #[command(flatten)]
        one: One,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give a tenant another name in URLs and headers, or another name for people. Requests that
    /// use the old slug find no tenant, within a second.
    Rename {
        #[command(flatten)]
        one: One,
        /// Its new name in URLs and headers: a DNS label.
        new: Option<TenantSlug>,
        /// Its new name for people.
        #[arg(long, required_unless_present = "new")]
        name: Option<String>,
    },
    /// Refuse a tenant's requests, within a second. Nothing is lost.
    Suspend {
        #[command(flatten)]
        one: One,
    },
    /// Answer a suspended tenant's requests again.
    Resume {
        #[command(flatten)]
        one: One,
    },
    /// Delete a tenant. It is refused like one that never was, and can be taken back until the time
    /// of `[tenancy] delete_grace_ms` is over; then everything of it is removed.
    Delete {
        #[command(flatten)]
        one: One,
        /// Remove everything at once. There is no way back.
        #[arg(long)]
        now: bool,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Take a deleted tenant back.
    Undelete {
        #[command(flatten)]
        one: One,
    },
    /// Remove everything of a deleted tenant now. There is no way back.
    Purge {
        #[command(flatten)]
        one: One,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Write a tenant to a file: its rows as they are at one moment, its settings, plan and limits,
    /// while it is served or not. Secrets are left out.
    Export {
        #[command(flatten)]
        one: One,
        /// The file to be made, a zip that only its owner may read.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Make a tenant of such a file, also of one from another platform or from the other database.
    /// It is there as a whole in the end, or not at all.
    Import {
        /// The file.
        file: PathBuf,
        /// Its name in URLs and headers, instead of the one that it had.
        #[arg(long = "as", value_name = "SLUG")]
        slug: Option<TenantSlug>,
        #[command(flatten)]
        options: Options,
    },
    /// Values of modules' settings that hold for one tenant.
    #[command(subcommand)]
    Setting(setting::Command),
    /// Secrets of a tenant, which its modules read by name.
    #[command(subcommand)]
    Secret(secret::Command),
}

/// One tenant.
#[derive(Args)]
pub(crate) struct One {
    /// Which tenant.
    slug: TenantSlug,
    #[command(flatten)]
    options: Options,
}

impl One {
    async fn tenants(&self) -> anyhow::Result<Tenants> {
        tenants(self.options.load()?).await
    }
}

async fn tenants(config: Config) -> anyhow::Result<Tenants> {
    Ok(Platform::builder().config(config).tenants().await?)
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create { slug, name, plan, json, options } => {
            let tenants = tenants(options.load()?).await?;
            let tenant = tenants.create(NewTenant { slug, display_name: name, plan }).await?;
            if json {
                println!("{}", as_json(&tenant));
            } else {
                println!("made tenant {} ({})", tenant.slug, tenant.id);
            }
        }
        Command::Set { slug, plan, no_plan, limit, no_limits, options } => {
            let tenants = tenants(options.load()?).await?;
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
            show(&tenants.change(&slug, change).await?, false);
        }
        Command::Usage { slug, from, to, json, options } => {
            let config = options.load()?;
            let tenants = tenants(config.clone()).await?;
            if let Some(slug) = &slug {
                tenants.get(slug).await?;
            }
            let usage = Platform::builder().config(config).usage().await?;
            let query = UsageQuery { tenant: slug, from, to, after: None, limit: PAGE };
            print_usage(&read_usage(&usage, query).await?, json)?;
        }
        Command::List { status, plan, name, after, limit, json, options } => {
            let tenants = tenants(options.load()?).await?;
            let query = TenantQuery { status, plan, name, after, limit: limit.unwrap_or(PAGE) };
            print_tenants(&read_tenants(&tenants, query, limit.is_some()).await?, json);
        }
        Command::Export { one, output } => {
            export(&archives(one.options.load()?).await?, &one.slug, &output).await?;
        }
        Command::Import { file, slug, options } => {
            import(&archives(options.load()?).await?, &file, slug).await?;
        }
        Command::Setting(command) => setting::run(command).await?,
        Command::Secret(command) => secret::run(command).await?,
        other => run_on_one(other).await?,
    }
    Ok(())
}

/// Shows or changes one tenant that there is.
async fn run_on_one(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Show { one, json } => show(&one.tenants().await?.get(&one.slug).await?, json),
        Command::Rename { one, new, name } => {
            let change = TenantChange { slug: new, display_name: name, ..TenantChange::default() };
            let tenant = one.tenants().await?.change(&one.slug, change).await?;
            println!("{} is {} ({})", one.slug, tenant.slug, tenant.display_name);
        }
        Command::Suspend { one } => {
            println!("{} is {}", one.slug, one.tenants().await?.suspend(&one.slug).await?.status);
        }
        Command::Resume { one } => {
            println!("{} is {}", one.slug, one.tenants().await?.resume(&one.slug).await?.status);
        }
        Command::Delete { one, now, yes } => {
            let tenants = one.tenants().await?;
            let tenant = tenants.get(&one.slug).await?;
            let how = if now { "at once, for good" } else { "with a time to take it back" };
            confirm(&format!("deletes {} ({}) {how}", tenant.slug, tenant.display_name), yes)?;
            if now {
                // Whatever it is by now: also what was cut short is gone on with.
                tenants.delete_now(&one.slug).await?;
                println!("removed {}", one.slug);
            } else {
                let until = tenants.delete(&one.slug).await?.purge_at.map(time).unwrap_or_default();
                println!("deleted {}; `hostel tenant undelete` until {until}", one.slug);
            }
        }
        Command::Undelete { one } => {
            println!("{} is {}", one.slug, one.tenants().await?.undelete(&one.slug).await?.status);
        }
        Command::Purge { one, yes } => {
            let tenants = one.tenants().await?;
            confirm(&format!("removes everything of {}", one.slug), yes)?;
            tenants.purge(&one.slug).await?;
            println!("removed {}", one.slug);
        }
        _ => unreachable!("`run` answers the others"),
    }
    Ok(())
}

async fn archives(config: Config) -> anyhow::Result<Archives> {
    let waiting = spinner();
    let tell = waiting.clone();
    let builder =
        platform_with_bundled(config).progress(move |what| tell.set_message(what.to_owned()));
    let archives = builder.archives().await;
    waiting.finish_and_clear();
    Ok(archives?)
}

async fn export(archives: &Archives, slug: &TenantSlug, file: &Path) -> anyhow::Result<()> {
    let exported = archives.export(slug, file).await?;
    let (rows, tables) = (exported.rows, exported.tables);
    println!("exported {slug} to {}: {rows} rows of {tables} tables", file.display());
    if !exported.secrets.is_empty() {
        println!("left out: the secrets {}", exported.secrets.join(", "));
    }
    Ok(())
}

async fn import(archives: &Archives, file: &Path, slug: Option<TenantSlug>) -> anyhow::Result<()> {
    let imported = archives.import(file, slug).await?;
    let (tenant, rows, tables) = (imported.tenant, imported.rows, imported.tables);
    println!("made tenant {} ({}): {rows} rows of {tables} tables", tenant.slug, tenant.id);
    for name in imported.secrets {
        println!("to be set again: hostel tenant secret set {} {name}", tenant.slug);
    }
    Ok(())
}

/// One page, or all.
async fn read_tenants(
    tenants: &Tenants,
    mut query: TenantQuery,
    one_page: bool,
) -> hostel::Result<Vec<Tenant>> {
    let mut all = Vec::new();
    loop {
        let page = tenants.list(&query).await?;
        let last = page.last().map(|last| last.slug.clone());
        all.extend(page);
        if one_page || last.is_none() {
            return Ok(all);
        }
        query.after = last;
    }
}

fn print_tenants(all: &[Tenant], json: bool) {
    if json {
        println!("{}", serde_json::Value::from_iter(all.iter().map(as_json)));
        return;
    }
    let row = |tenant: &Tenant| {
        vec![
            tenant.slug.to_string(),
            tenant.status.to_string(),
            tenant.plan.clone().unwrap_or_else(|| "-".to_owned()),
            tenant.display_name.clone(),
            tenant.id.to_string(),
        ]
    };
    let titles = ["slug", "status", "plan", "name", "id"].map(ToOwned::to_owned).to_vec();
    print_table(&std::iter::once(titles).chain(all.iter().map(row)).collect::<Vec<_>>());
}

fn show(tenant: &Tenant, json: bool) {
    if json {
        println!("{}", as_json(tenant));
        return;
    }
    let limits = serde_json::to_string(&tenant.limits).unwrap_or_default();
    let mut rows = vec![
        ("slug", tenant.slug.to_string()),
        ("name", tenant.display_name.clone()),
        ("id", tenant.id.to_string()),
        ("status", tenant.status.to_string()),
        ("plan", tenant.plan.clone().unwrap_or_else(|| "-".to_owned())),
        ("limits", limits),
        ("made", time(tenant.created_at)),
    ];
    rows.extend(tenant.purge_at.map(|at| ("removed from", time(at))));
    let rows: Vec<_> = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
    print_table(&rows);
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

/// As RFC 3339 writes it.
pub(super) fn time(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map(|time| time.to_string()).unwrap_or_default()
}

fn as_json(tenant: &Tenant) -> serde_json::Value {
    serde_json::json!({
        "id": tenant.id.to_string(),
        "slug": tenant.slug.as_str(),
        "display_name": tenant.display_name,
        "status": tenant.status,
        "plan": tenant.plan,
        "limits": tenant.limits,
        "created_at": time(tenant.created_at),
        "purge_at": tenant.purge_at.map(time),
    })
}
