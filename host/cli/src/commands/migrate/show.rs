//! Migrations as people and programs read them.

use std::collections::{BTreeMap, BTreeSet};

use hostel::{
    MigrationFailure, MigrationPlan, MigrationReport, MigrationWarning, Migrations, ModuleName,
    ModuleTables, OwnMigration, Quarantine, TablesState, TenantMigrated,
};
use serde_json::{Value, json};

use super::own;
use crate::commands::{print_table, tenant};

/// Lines about tenants that people are shown, where nobody asked for all.
const LINES_MAX: usize = 50;
/// Tenants that a report names for each thing that was done.
const NAMES_MAX: usize = 3;

/// What `hostel migrate status` shows, as it is read.
pub(super) struct Status {
    own: Vec<OwnMigration>,
    all: bool,
    json: bool,
    modules: BTreeMap<ModuleName, Counts>,
    pending: BTreeSet<(ModuleName, String)>,
    lines: Vec<Vec<String>>,
    /// Lines that are not shown.
    left_out: usize,
    is_first: bool,
}

/// How many tenants' tables are how far.
#[derive(Default)]
struct Counts {
    version: String,
    up_to_date: u64,
    pending: u64,
    unused: u64,
    quarantined: u64,
    unclear: u64,
}

impl Status {
    pub(super) fn new(own: &[OwnMigration], all: bool, json: bool) -> Self {
        if json {
            print!("{{\"platform\":{},\"tables\":[", own::as_json(own));
        }
        Self {
            own: own.to_vec(),
            all,
            json,
            modules: BTreeMap::new(),
            pending: BTreeSet::new(),
            lines: Vec::new(),
            left_out: 0,
            is_first: true,
        }
    }

    pub(super) fn add(&mut self, tables: &ModuleTables) {
        let state = tables.state();
        let counts = self.modules.entry(tables.module.clone()).or_default();
        counts.version = tables.version.to_string();
        match state {
            TablesState::UpToDate => counts.up_to_date += 1,
            TablesState::Pending => counts.pending += 1,
            TablesState::Unused => counts.unused += 1,
            TablesState::Quarantined => counts.quarantined += 1,
            _ => counts.unclear += 1,
        }
        if state != TablesState::Unused {
            let pending = tables.pending.iter().map(|id| (tables.module.clone(), id.clone()));
            self.pending.extend(pending);
        }
        if self.json {
            let comma = if std::mem::replace(&mut self.is_first, false) { "" } else { "," };
            print!("{comma}{}", tables_as_json(tables));
        } else if self.all || !matches!(state, TablesState::UpToDate | TablesState::Unused) {
            match self.all || self.lines.len() < LINES_MAX {
                true => self.lines.push(line(tables)),
                false => self.left_out += 1,
            }
        }
    }

    /// Shows the rest, and says how many are not up to date.
    pub(super) fn finish(self, migrations: &Migrations) -> anyhow::Result<u64> {
        let warned: Vec<(&ModuleName, &str, Vec<MigrationWarning>)> = self
            .pending
            .iter()
            .map(|(module, id)| (module, id.as_str(), migrations.warnings(module, id)))
            .filter(|(_, _, warnings)| !warnings.is_empty())
            .collect();
        if self.json {
            let warned = warned.iter().flat_map(|(module, id, warnings)| {
                warnings.iter().map(move |warning| warning_as_json(module, id, warning))
            });
            println!("],\"warnings\":{}}}", Value::from_iter(warned));
        } else {
            self.print(&warned);
        }
        let counts = self.modules.values();
        Ok(counts.map(|it| it.pending + it.quarantined + it.unclear).sum())
    }

    fn print(&self, warned: &[(&ModuleName, &str, Vec<MigrationWarning>)]) {
        println!("{}\n", own::line(&self.own));
        let titles =
            ["module", "version", "up to date", "pending", "unused", "quarantined", "unclear"];
        let row = |(name, counts): (&ModuleName, &Counts)| {
            let figures = [
                counts.up_to_date,
                counts.pending,
                counts.unused,
                counts.quarantined,
                counts.unclear,
            ];
            let own = [name.to_string(), counts.version.clone()];
            own.into_iter().chain(figures.map(|figure| figure.to_string())).collect()
        };
        let titles = titles.map(ToOwned::to_owned).to_vec();
        print_table(
            &std::iter::once(titles).chain(self.modules.iter().map(row)).collect::<Vec<_>>(),
        );
        if !self.lines.is_empty() {
            println!();
            let titles = ["tenant", "module", "state", "applied", "pending", ""];
            let titles = titles.map(ToOwned::to_owned).to_vec();
            print_table(&std::iter::once(titles).chain(self.lines.clone()).collect::<Vec<_>>());
        }
        if self.left_out > 0 {
            println!("… and {} more: --all shows them, --json too", self.left_out);
        }
        for (module, id, warnings) in warned {
            for warning in warnings {
                println!("\n{}", warning_for_people(&format!("{module} {id}"), warning));
            }
        }
    }
}

fn line(tables: &ModuleTables) -> Vec<String> {
    let last = tables.applied.last().map_or("-", |step| &step.id);
    let pending = match tables.pending.as_slice() {
        [] => "-".to_owned(),
        [only] => only.clone(),
        [first, .., last] => format!("{first} … {last} ({})", tables.pending.len()),
    };
    vec![
        tables.tenant.to_string(),
        tables.module.to_string(),
        tables.state().as_str().to_owned(),
        last.to_owned(),
        pending,
        remark(tables),
    ]
}

/// What is to be said of tables beyond how far they are.
fn remark(tables: &ModuleTables) -> String {
    if let Some(why) = &tables.unreadable {
        return one_line(why);
    }
    if let Some(quarantine) = &tables.quarantine {
        let Quarantine { reason, cause, attempts, retry_at, .. } = quarantine;
        let again = retry_at.map(|at| format!(", again from {}", tenant::time(at)));
        let tried = match (attempts, again) {
            (0, _) => String::new(),
            (1, again) => format!(" (tried once{})", again.unwrap_or_default()),
            (attempts, again) => format!(" (tried {attempts} times{})", again.unwrap_or_default()),
        };
        return format!("{}: {}{tried}", reason.code(), one_line(cause));
    }
    if !tables.changed.is_empty() {
        return format!("changed since they were applied: {}", tables.changed.join(", "));
    }
    if !tables.unknown.is_empty() {
        return format!("of another version: {}", tables.unknown.join(", "));
    }
    String::new()
}

/// A database may repeat a script.
fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn tables_as_json(tables: &ModuleTables) -> Value {
    let applied = tables
        .applied
        .iter()
        .map(|step| json!({ "migration": step.id, "at": tenant::time(step.at) }));
    json!({
        "tenant": tables.tenant.as_str(),
        "module": tables.module.as_str(),
        "version": tables.version.to_string(),
        "state": tables.state().as_str(),
        "applied": Value::from_iter(applied),
        "pending": tables.pending,
        "changed": tables.changed,
        "unknown": tables.unknown,
        "quarantine": tables.quarantine.as_ref().map(quarantine_as_json),
        "unreadable": tables.unreadable,
    })
}

fn quarantine_as_json(quarantine: &Quarantine) -> Value {
    json!({
        "code": quarantine.reason.code(),
        "migration": quarantine.migration,
        "cause": quarantine.cause,
        "attempts": quarantine.attempts,
        "since": tenant::time(quarantine.since),
        "tried_at": tenant::time(quarantine.tried_at),
        "retry_at": quarantine.retry_at.map(tenant::time),
    })
}

/// How many tenants.
pub(super) fn tenants(count: u64) -> String {
    if count == 1 { "1 tenant".to_owned() } else { format!("{count} tenants") }
}

/// A script that ends with its last statement.
pub(super) fn script(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(';') || text.is_empty() { format!("{text}\n") } else { format!("{text};\n") }
}

/// What would be done.
pub(super) fn plan(plan: &MigrationPlan, json: bool) -> anyhow::Result<()> {
    if json {
        let steps = plan.steps.iter().map(|step| {
            let warnings = step.warnings.iter();
            let warnings =
                warnings.map(|warning| warning_as_json(&step.module, &step.migration, warning));
            json!({
                "module": step.module.as_str(),
                "version": step.version.to_string(),
                "migration": step.migration,
                "tenants": step.tenants,
                "sql": step.sql,
                "warnings": Value::from_iter(warnings),
            })
        });
        let failures = plan.failures.iter().map(failure_as_json);
        println!(
            "{}",
            json!({ "steps": Value::from_iter(steps), "failures": Value::from_iter(failures) })
        );
        return Ok(());
    }
    if plan.steps.is_empty() && plan.failures.is_empty() {
        println!("-- nothing is to be done");
    }
    for step in &plan.steps {
        let mut names: Vec<&str> = step.examples.iter().map(|slug| slug.as_str()).collect();
        if step.tenants > names.len() as u64 {
            names.push("…");
        }
        println!(
            "-- {} {}, migration {}, for {} ({})",
            step.module,
            step.version,
            step.migration,
            tenants(step.tenants),
            names.join(", ")
        );
        for warning in &step.warnings {
            for line in warning_for_people("", warning).lines() {
                println!("-- {line}");
            }
        }
        println!("{}", script(&step.sql));
    }
    for failure in &plan.failures {
        println!("-- not for {}", failure_for_people(failure));
    }
    Ok(())
}

/// What was done. `how` is a word for that.
pub(super) fn report(
    report: &MigrationReport,
    done: &[TenantMigrated],
    own: &[String],
    how: &str,
    json: bool,
) -> anyhow::Result<()> {
    if json {
        let steps = done.iter().flat_map(|done| {
            done.steps.iter().map(|step| {
                json!({
                    "tenant": done.tenant.as_str(),
                    "module": step.module.as_str(),
                    "migration": step.migration,
                })
            })
        });
        let told = json!({
            "platform": own,
            "tenants": report.tenants,
            "changed": report.changed,
            "steps": Value::from_iter(steps),
            "failures": Value::from_iter(report.failures.iter().map(failure_as_json)),
            "seconds": report.time.as_secs_f64(),
        });
        println!("{told}");
        return Ok(());
    }
    if !own.is_empty() {
        println!("the platform's own tables: {how} {}", own.join(", "));
    }
    let mut by_step = BTreeMap::<(&ModuleName, &str), Vec<&str>>::new();
    for tenant in done {
        for step in &tenant.steps {
            let of_step = by_step.entry((&step.module, &step.migration)).or_default();
            of_step.push(tenant.tenant.as_str());
        }
    }
    for ((module, migration), slugs) in &by_step {
        let mut names = slugs.iter().copied().take(NAMES_MAX).collect::<Vec<_>>();
        if slugs.len() > NAMES_MAX {
            names.push("…");
        }
        let tenants = tenants(slugs.len() as u64);
        println!("{module} {migration}: {how} for {tenants} ({})", names.join(", "));
    }
    for failure in &report.failures {
        println!("failed for {}", failure_for_people(failure));
    }
    println!(
        "{} of {} changed in {:.1} s",
        report.changed,
        tenants(report.tenants),
        report.time.as_secs_f64()
    );
    Ok(())
}

fn failure_for_people(failure: &MigrationFailure) -> String {
    let MigrationFailure { tenant, module, code, cause, .. } = failure;
    let module = module.as_ref().map(|module| format!(" {module}")).unwrap_or_default();
    format!("{tenant}{module}: {code}: {}", one_line(cause))
}

fn failure_as_json(failure: &MigrationFailure) -> Value {
    json!({
        "tenant": failure.tenant.as_str(),
        "module": failure.module.as_ref().map(ModuleName::as_str),
        "migration": failure.migration,
        "code": failure.code,
        "cause": failure.cause,
    })
}

/// `place` is where the statement is, where that is not clear.
pub(super) fn warning_for_people(place: &str, warning: &MigrationWarning) -> String {
    let MigrationWarning { kind, statement, message, advice, .. } = warning;
    let place = if place.is_empty() { String::new() } else { format!(" {place}:") };
    let statement = if statement.is_empty() { String::new() } else { format!("\n  {statement}") };
    format!("warning ({}):{place} {message}{statement}\n  hint: {advice}", kind.as_str())
}

pub(super) fn warning_as_json(
    module: &ModuleName,
    migration: &str,
    warning: &MigrationWarning,
) -> Value {
    json!({
        "module": module.as_str(),
        "migration": migration,
        "kind": warning.kind.as_str(),
        "statement": warning.statement,
        "message": warning.message,
        "advice": warning.advice,
    })
}
