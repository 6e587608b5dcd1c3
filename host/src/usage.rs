//! Usage: what tenants' modules were asked and used, added up by day and kept in the platform's
//! database.
//!
//! Meters count in memory; every few seconds what is new goes to the database, so that a process
//! that is killed loses no more than that.

use std::collections::HashMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::Row as _;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::database::PlatformDatabase;
use crate::error::{Error, Result};
use crate::metering::{Meters, Totals};
use crate::names::{ModuleName, TenantId, TenantSlug};

/// How often what is new is written.
pub(crate) const FLUSH_INTERVAL: Duration = Duration::from_secs(10);

/// Reads and writes what was used.
pub struct Usage {
    database: PlatformDatabase,
    clock: Clock,
    /// What has been written of each meter.
    written: Mutex<HashMap<(TenantId, ModuleName), Totals>>,
}

/// What one module did for one tenant on one day (UTC).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UsageOfDay {
    /// `2026-01-31`.
    pub day: String,
    /// The tenant's slug.
    pub tenant: String,
    /// The module's name.
    pub module: String,
    /// Requests that were answered, whatever the answer.
    pub requests: u64,
    /// Answers of status 500 and above.
    pub failures: u64,
    /// Milliseconds of processor time.
    pub cpu_ms: u64,
    /// Calls of host functions.
    pub host_calls: u64,
    /// Bytes of answers' bodies.
    pub answer_bytes: u64,
}

/// Which part of the usage is asked for.
#[derive(Clone, Debug, Default)]
pub struct UsageQuery {
    /// One tenant's only.
    pub tenant: Option<TenantSlug>,
    /// From this day on, as `2026-01-31`; from the first when none.
    pub from: Option<String>,
    /// Until this day, included; until the last when none.
    pub to: Option<String>,
    /// After this line of an earlier answer: its day, tenant and module.
    pub after: Option<(String, String, String)>,
    /// At most so many lines.
    pub limit: u32,
}

impl Usage {
    pub(crate) fn new(database: PlatformDatabase, clock: Clock) -> Self {
        Self { database, clock, written: Mutex::default() }
    }

    /// Writes what is new since the last time. Meters of tenants that are no longer at hand are let
    /// go of.
    ///
    /// # Errors
    /// When the database does not answer: the next time writes it all.
    pub(crate) async fn flush(&self, meters: &Meters) -> Result<()> {
        let mut written = self.written.lock().await;
        let day = self.today()?;
        let mut news = Vec::new();
        let mut transaction = self.database.begin().await?;
        for (tenant, meter) in meters.all() {
            let Some(labels) = &meter.labels else { continue };
            let key = (tenant, labels.module.clone());
            let before = written.get(&key).copied().unwrap_or_default();
            let now = meter.totals();
            if now != before {
                let statement = sqlx::query(
                    "INSERT INTO usage (tenant_id, module, day, requests, failures, cpu_us, host_calls, answer_bytes)
                     SELECT $1, $2, $3, $4, $5, $6, $7, $8
                     -- Nothing is kept of a tenant that is gone.
                     WHERE EXISTS (SELECT 1 FROM tenants WHERE id = $1)
                     ON CONFLICT (tenant_id, module, day) DO UPDATE SET
                         requests = usage.requests + excluded.requests,
                         failures = usage.failures + excluded.failures,
                         cpu_us = usage.cpu_us + excluded.cpu_us,
                         host_calls = usage.host_calls + excluded.host_calls,
                         answer_bytes = usage.answer_bytes + excluded.answer_bytes",
                );
                statement
                    .bind(tenant.to_string())
                    .bind(labels.module.as_str())
                    .bind(&day)
                    .bind(stored(now.requests - before.requests))
                    .bind(stored(now.failures - before.failures))
                    .bind(stored(now.cpu_us - before.cpu_us))
                    .bind(stored(now.host_calls - before.host_calls))
                    .bind(stored(now.answer_bytes - before.answer_bytes))
                    .execute(&mut *transaction)
                    .await?;
            }
            news.push((key, meter, now));
        }
        transaction.commit().await?;
        written.clear();
        for (key, meter, now) in news {
            // One that comes back begins at nothing.
            if !meters.let_go(key.0, meter, now) {
                written.insert(key, now);
            }
        }
        Ok(())
    }

    /// What was used, by day, tenant and module.
    ///
    /// # Errors
    /// When the database does not answer, or a day is none.
    pub async fn read(&self, query: &UsageQuery) -> Result<Vec<UsageOfDay>> {
        for day in [&query.from, &query.to].into_iter().flatten() {
            day.parse::<jiff::civil::Date>()
                .map_err(|_| Error::invalid(format!("`{day}` is no day, such as 2026-01-31")))?;
        }
        let (day, tenant, module) = query.after.clone().unwrap_or_default();
        let rows = sqlx::query(
            "SELECT day, slug, module, requests, failures, cpu_us, host_calls, answer_bytes
             FROM usage JOIN tenants ON tenants.id = usage.tenant_id
             WHERE ($1 IS NULL OR slug = $1) AND ($2 IS NULL OR day >= $2) AND ($3 IS NULL OR day <= $3)
               AND (day, slug, module) > ($4, $5, $6)
             ORDER BY day, slug, module LIMIT $7",
        )
        .bind(query.tenant.as_ref().map(TenantSlug::as_str))
        .bind(&query.from)
        .bind(&query.to)
        .bind(day)
        .bind(tenant)
        .bind(module)
        .bind(i64::from(query.limit))
        .fetch_all(&self.database)
        .await?;
        let figure = |row: &sqlx::any::AnyRow, column: usize| {
            row.try_get::<i64, _>(column).map(i64::unsigned_abs)
        };
        rows.iter()
            .map(|row| {
                Ok(UsageOfDay {
                    day: row.try_get(0)?,
                    tenant: row.try_get(1)?,
                    module: row.try_get(2)?,
                    requests: figure(row, 3)?,
                    failures: figure(row, 4)?,
                    cpu_ms: figure(row, 5)? / 1000,
                    host_calls: figure(row, 6)?,
                    answer_bytes: figure(row, 7)?,
                })
            })
            .collect()
    }

    fn today(&self) -> Result<String> {
        let now = jiff::Timestamp::from_microsecond(self.clock.now_micros())
            .map_err(|error| Error::internal("the clock shows no time").because(error))?;
        Ok(now.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
    }
}

/// SQLite's integers have a sign.
fn stored(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}
