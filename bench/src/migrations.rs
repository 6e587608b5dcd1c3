//! How long migrations of many tenants take: as `hostel migrate` does them, in a process that has just
//! started, with the whole machine to themselves.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use hostel::runtime::Until;
use hostel::{MigrationGoal, MigrationScope, Migrations, NewTenant, Platform, PlatformBuilder};

use crate::postgres::Postgres;
use crate::report::say;
use crate::works::one_of_many;

/// A column and an index for each tenant's table, added and taken back.
pub(crate) fn of_many_tenants(
    tenants: u32,
    workers: u16,
    database: Option<&Postgres>,
    rounds: u32,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let data = tempfile::tempdir()?;
    let url = match database {
        Some(postgres) => Some(runtime.block_on(postgres.prepare_database("migrations"))?),
        None => None,
    };
    let measure = Measure { tenants, workers, data: data.path(), url: url.as_deref() };
    runtime.block_on(measure.run(rounds))
}

struct Measure<'a> {
    tenants: u32,
    workers: u16,
    data: &'a Path,
    url: Option<&'a str>,
}

impl Measure<'_> {
    fn builder(&self) -> anyhow::Result<PlatformBuilder> {
        let config = match self.url {
            Some(url) => format!("[database]\nurl = \"{url}\"\n"),
            None => String::new(),
        };
        let builder = Platform::builder().config_toml(&config)?.data_dir(self.data);
        Ok(builder.module_file(env!("BENCH_GUEST_STEPS")))
    }

    async fn run(&self, rounds: u32) -> anyhow::Result<()> {
        let began = Instant::now();
        let list = self.builder()?.tenants().await?;
        for index in 0..self.tenants {
            let slug = one_of_many(index).parse()?;
            list.create(NewTenant { slug, display_name: String::new(), plan: None }).await?;
        }
        say(&format!("made {} tenants in {:.1} s", self.tenants, began.elapsed().as_secs_f64()))?;
        let first = MigrationGoal::up(Until::Step("0001_items".to_owned()));
        self.step("their tables", &first).await?;
        for _ in 0..rounds {
            self.step("a column and an index", &MigrationGoal::UP).await?;
            self.look().await?;
            let back = MigrationGoal::down(Until::Step("0001_items".to_owned()));
            self.step("back again", &back).await?;
        }
        Ok(())
    }

    /// As a command: everything is opened anew.
    async fn open(&self) -> anyhow::Result<(Migrations, Duration)> {
        let began = Instant::now();
        let migrations = self.builder()?.migrations(&[]).await?;
        Ok((migrations, began.elapsed()))
    }

    fn scope() -> anyhow::Result<MigrationScope> {
        Ok(MigrationScope { modules: vec!["steps".parse()?], ..MigrationScope::default() })
    }

    async fn step(&self, what: &str, goal: &MigrationGoal) -> anyhow::Result<()> {
        let (migrations, opened) = self.open().await?;
        let workers = usize::from(self.workers);
        let report = migrations.run(&Self::scope()?, goal, workers, &|_| {}).await?;
        ensure!(report.failures.is_empty(), "{:?}", report.failures.first());
        let seconds = report.time.as_secs_f64();
        say(&format!(
            "{what:<24} {:>5} tenants in {seconds:>6.2} s, {:>6.2} ms each, after {:.2} s to open",
            report.changed,
            seconds * 1e3 / f64::from(self.tenants),
            opened.as_secs_f64()
        ))
    }

    async fn look(&self) -> anyhow::Result<()> {
        let (migrations, _) = self.open().await?;
        let (began, mut seen) = (Instant::now(), 0);
        migrations.status(&Self::scope()?, |_| seen += 1).await?;
        let seconds = began.elapsed().as_secs_f64();
        say(&format!("{:<24} {seen:>5} tenants in {seconds:>6.2} s", "looked at"))
    }
}
