//! `hostel migrate`: bring tenants' tables forward and back, show how far they are, and begin
//! migrations.

mod files;
mod generate;
mod new;
mod own;
mod show;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Mutex;

use clap::{Args, Subcommand};
use hostel::runtime::{Direction, Until};
use hostel::{
    Error, MigrationGoal, MigrationProgress, MigrationReport, MigrationScope, Migrations,
    ModuleName, TenantMigrated, TenantSlug,
};
use indicatif::{ProgressBar, ProgressStyle};

use super::{confirm, platform_with_bundled, spinner};
use crate::options::Options;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show how far tenants' tables are, and what is in quarantine.
    Status {
        #[command(flatten)]
        scope: Scope,
        /// Show all of them, not only some of those that are not up to date.
        #[arg(long)]
        all: bool,
        /// Fail unless everything is up to date. What a tenant has not used yet may be missing.
        #[arg(long)]
        check: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Apply what is pending, for each tenant by itself. Tenants are served meanwhile; those for whom
    /// it fails are in quarantine, and the others go on. What was cut short is just begun again.
    Up {
        #[command(flatten)]
        scope: Scope,
        #[command(flatten)]
        how: How,
        /// Only until this migration is applied.
        #[arg(long, value_name = "MIGRATION", conflicts_with = "steps")]
        to: Option<String>,
        /// Only so many migrations of a module, of those that any of these tenants lacks.
        #[arg(long, value_name = "COUNT")]
        steps: Option<NonZeroU32>,
    },
    /// Take migrations of a module back, the last one first. It is not served to these tenants until
    /// they are applied again, or a version is served that has others.
    Down {
        #[command(flatten)]
        scope: Scope,
        #[command(flatten)]
        how: How,
        /// Until this migration is the last one that is applied.
        #[arg(long, value_name = "MIGRATION", conflicts_with_all = ["steps", "all"])]
        to: Option<String>,
        /// So many of them, of those that any of these tenants has [default: 1].
        #[arg(long, value_name = "COUNT", conflicts_with = "all")]
        steps: Option<NonZeroU32>,
        /// All of them.
        #[arg(long)]
        all: bool,
        /// Take migrations of the platform's own tables back, for an older version of the platform,
        /// instead of a module's.
        #[arg(long, conflicts_with_all = ["tenants", "modules", "used", "with"])]
        platform: bool,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Begin a migration in a module's crate: files for the way there and back.
    New(new::Arguments),
    /// Write the migration that is missing: compares a module's entities with the tables that there are,
    /// the default tenant's where there is a platform.
    Generate(generate::Arguments),
    /// Look for statements that hold up requests on PostgreSQL, or break the version before, in the
    /// migrations of a module's crate.
    Check(new::CheckArguments),
}

/// Whose tables, of which modules.
#[derive(Args)]
pub(crate) struct Scope {
    /// This tenant; may be given more than once [default: all].
    #[arg(long = "tenant", value_name = "SLUG")]
    tenants: Vec<TenantSlug>,
    /// This module; may be given more than once [default: all].
    #[arg(long = "module", value_name = "NAME")]
    modules: Vec<ModuleName>,
    /// Leave out modules that a tenant has not used yet: their tables are made with the first call.
    #[arg(long)]
    used: bool,
    /// Take a module from this file, instead of the one of its name that is served: the migrations of
    /// a version that is to come.
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// How it is done.
#[derive(Args)]
pub(crate) struct How {
    /// Tenants at once.
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Only print what would be said to the databases.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How far it goes.
enum Far {
    End,
    To(String),
    Steps(u32),
}

impl Far {
    async fn goal(
        self,
        direction: Direction,
        migrations: &Migrations,
        scope: &Scope,
    ) -> hostel::Result<MigrationGoal> {
        let until = match self {
            Self::End => Until::End,
            Self::To(id) => Until::Step(id),
            Self::Steps(count) => {
                return migrations.goal_after(&scope.meant(), direction, count).await;
            }
        };
        Ok(MigrationGoal { direction, until })
    }
}

impl Scope {
    fn meant(&self) -> MigrationScope {
        MigrationScope {
            tenants: self.tenants.clone(),
            modules: self.modules.clone(),
            used_only: self.used,
        }
    }

    async fn migrations(&self) -> anyhow::Result<Migrations> {
        let waiting = spinner();
        let tell = waiting.clone();
        let builder = platform_with_bundled(self.options.load()?)
            .progress(move |what| tell.set_message(what.to_owned()));
        let migrations = builder.migrations(&self.with).await;
        waiting.finish_and_clear();
        Ok(migrations?)
    }
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Status { scope, all, check, json } => status(&scope, all, check, json).await,
        Command::Up { scope, how, to, steps } => {
            let far = match (to, steps) {
                (Some(id), _) => Far::To(id),
                (None, Some(count)) => Far::Steps(count.get()),
                (None, None) => Far::End,
            };
            up(&scope, &how, far).await
        }
        Command::Down { scope, how, to, steps, all, platform, yes } => {
            let steps = steps.map_or(1, NonZeroU32::get);
            if platform {
                return own::down(
                    &scope.options,
                    &how,
                    to.as_deref(),
                    (!all).then_some(steps),
                    yes,
                )
                .await;
            }
            let far = match to {
                Some(id) => Far::To(id),
                None if all => Far::End,
                None => Far::Steps(steps),
            };
            down(&scope, &how, far, yes).await
        }
        Command::New(arguments) => new::run(&arguments),
        Command::Generate(arguments) => generate::run(arguments).await,
        Command::Check(arguments) => new::check(&arguments),
    }
}

async fn status(scope: &Scope, all: bool, check: bool, json: bool) -> anyhow::Result<()> {
    let own = own::migrations(&scope.options).await?;
    if own.iter().any(|step| !step.is_applied) {
        // Whoever looks changes nothing: tenants are told of once the platform's own tables are there.
        own::show(&own, json);
        return match check {
            true => {
                Err(Error::invalid("migrations of the platform's own tables are pending").into())
            }
            false => Ok(()),
        };
    }
    let migrations = scope.migrations().await?;
    let mut shown = show::Status::new(&own, all || !scope.tenants.is_empty(), json);
    migrations.status(&scope.meant(), |tables| shown.add(&tables)).await?;
    let lag = shown.finish(&migrations)?;
    match lag {
        0 => Ok(()),
        _ if !check => Ok(()),
        _ => Err(Error::invalid("not everything is up to date")
            .hint("`hostel migrate up` applies what is pending")
            .into()),
    }
}

async fn up(scope: &Scope, how: &How, far: Far) -> anyhow::Result<()> {
    let own = own::migrations(&scope.options).await?;
    let own: Vec<_> = own.into_iter().filter(|step| !step.is_applied).collect();
    if how.dry_run {
        own::print_up(&own);
        if own.is_empty() {
            let migrations = scope.migrations().await?;
            let goal = far.goal(Direction::Up, &migrations, scope).await?;
            let plan = migrations.plan(&scope.meant(), &goal).await?;
            show::plan(&plan, how.json)?;
        }
        return Ok(());
    }
    let migrations = scope.migrations().await?;
    let goal = far.goal(Direction::Up, &migrations, scope).await?;
    let (report, done) = run_with_progress(&migrations, scope, how, &goal).await?;
    let own: Vec<String> = own.into_iter().map(|step| step.id).collect();
    show::report(&report, &done, &own, "applied", how.json)?;
    failures(&report)
}

async fn down(scope: &Scope, how: &How, far: Far, yes: bool) -> anyhow::Result<()> {
    let migrations = scope.migrations().await?;
    let goal = far.goal(Direction::Down, &migrations, scope).await?;
    let plan = migrations.plan(&scope.meant(), &goal).await?;
    if how.dry_run {
        return show::plan(&plan, how.json);
    }
    if !plan.steps.is_empty() {
        let steps: Vec<String> = plan
            .steps
            .iter()
            .map(|step| {
                format!("{} of {} for {}", step.migration, step.module, show::tenants(step.tenants))
            })
            .collect();
        confirm(&format!("takes back {}; what is only there is lost", steps.join(", ")), yes)?;
    }
    let (report, done) = run_with_progress(&migrations, scope, how, &goal).await?;
    show::report(&report, &done, &[], "taken back", how.json)?;
    failures(&report)
}

/// Does it, and shows how far it has come where somebody looks.
async fn run_with_progress(
    migrations: &Migrations,
    scope: &Scope,
    how: &How,
    goal: &MigrationGoal,
) -> hostel::Result<(MigrationReport, Vec<TenantMigrated>)> {
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {pos} of {len} tenants, {msg} ({elapsed})")
    {
        bar.set_style(style);
    }
    let done = Mutex::new((0, Vec::new()));
    let tell = |progress: &MigrationProgress<'_>| {
        let Ok(mut done) = done.lock() else { return };
        done.0 += progress.last.failures.len();
        bar.set_length(progress.total);
        bar.set_message(format!("{} failed", done.0));
        bar.set_position(progress.done);
        if !progress.last.steps.is_empty() {
            done.1.push(progress.last.clone());
        }
    };
    let ran = migrations.run(&scope.meant(), goal, how.workers.into(), &tell).await;
    bar.finish_and_clear();
    let (_, mut done) = done.into_inner().unwrap_or_default();
    // They came to their ends in no order.
    done.sort_unstable_by(|one: &TenantMigrated, other| one.tenant.cmp(&other.tenant));
    let mut report = ran?;
    report.failures.sort_by(|one, other| one.tenant.cmp(&other.tenant));
    Ok((report, done))
}

fn failures(report: &MigrationReport) -> anyhow::Result<()> {
    match report.failures.len() {
        0 => Ok(()),
        1 => Err(Error::invalid("it failed for 1 module of a tenant").into()),
        failures => {
            Err(Error::invalid(format!("it failed for {failures} modules of tenants")).into())
        }
    }
}
