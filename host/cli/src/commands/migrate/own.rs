//! The platform's own tables. A platform that starts brings them up to date; here they are only looked
//! at, or taken back for an older version.

use hostel::{Error, OwnMigration, OwnTables, Platform};
use serde_json::json;

use super::How;
use super::show::script;
use crate::commands::confirm;
use crate::options::Options;
use crate::running;

async fn tables(options: &Options) -> anyhow::Result<OwnTables> {
    Ok(Platform::builder().config(options.load()?).own_tables().await?)
}

/// All of them.
pub(super) async fn migrations(options: &Options) -> anyhow::Result<Vec<OwnMigration>> {
    Ok(tables(options).await?.migrations().await?)
}

/// One line for all of them.
pub(super) fn line(own: &[OwnMigration]) -> String {
    let is_pending = |step: &&OwnMigration| !step.is_applied;
    let pending: Vec<&str> = own.iter().filter(is_pending).map(|step| step.id.as_str()).collect();
    let all = own.len();
    match pending.as_slice() {
        [] => format!("the platform's own tables: {all} migrations, all applied"),
        pending => format!(
            "the platform's own tables: {} of {all} migrations applied; pending until the next start, or `hostel migrate up`: {}",
            all - pending.len(),
            pending.join(", ")
        ),
    }
}

pub(super) fn as_json(own: &[OwnMigration]) -> serde_json::Value {
    own.iter()
        .map(|step| json!({ "migration": step.id, "applied": step.is_applied, "changed": step.is_changed }))
        .collect()
}

pub(super) fn show(own: &[OwnMigration], json: bool) {
    if json {
        println!("{}", json!({ "platform": as_json(own), "tables": [], "warnings": [] }));
    } else {
        println!("{}", line(own));
    }
}

/// Prints what would be said to the platform's database.
pub(super) fn print_up(pending: &[OwnMigration]) {
    for step in pending {
        println!(
            "-- the platform's own tables: {}\n{}",
            step.id,
            script(step.up.unwrap_or_default())
        );
    }
    if !pending.is_empty() {
        println!("-- what modules' tables need is told once these are applied");
    }
}

/// Takes migrations back: to one, or so many, or all.
pub(super) async fn down(
    options: &Options,
    how: &How,
    to: Option<&str>,
    steps: Option<u32>,
    yes: bool,
) -> anyhow::Result<()> {
    let own = tables(options).await?;
    let migrations = own.migrations().await?;
    let applied: Vec<&OwnMigration> = migrations.iter().filter(|step| step.is_applied).collect();
    let last = match (to, steps) {
        (Some(id), _) => {
            let step = applied.iter().find(|step| step.id == id).ok_or_else(|| {
                Error::invalid(format!("`{id}` is no migration of the platform that was applied"))
                    .hint("`hostel migrate status --json` lists them")
            })?;
            step.number
        }
        (None, Some(steps)) => {
            let kept = applied.len().saturating_sub(steps as usize);
            kept.checked_sub(1).and_then(|last| applied.get(last)).map_or(0, |step| step.number)
        }
        (None, None) => 0,
    };
    let back = applied.iter().rev().filter(|step| step.number > last);
    if how.dry_run {
        for step in back {
            let down = script(step.down.unwrap_or_default());
            println!("-- the platform's own tables: back from {}\n{down}", step.id);
        }
        return Ok(());
    }
    let served = running::processes(&options.load()?.data.0)?;
    if !served.is_empty() {
        return Err(Error::invalid("a platform is running on this data")
            .hint("stop it first: it cannot work without what is taken away")
            .into());
    }
    let names: Vec<&str> = back.map(|step| step.id.as_str()).collect();
    if names.is_empty() {
        println!("nothing is to be taken back");
        return Ok(());
    }
    let what = format!(
        "takes back {} of the platform's own tables; what is only there is lost, and the next start of this version applies it again",
        names.join(", ")
    );
    confirm(&what, yes)?;
    let done = own.take_back(last).await?;
    if how.json {
        println!("{}", json!({ "platform": done }));
    } else {
        println!("taken back: {}", done.join(", "));
    }
    Ok(())
}
