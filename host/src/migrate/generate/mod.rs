//! Migrations that are written by comparing: what a module's entities declare, and the tables that there
//! are.
//!
//! `declared.rs` knows the one and the database the other; `target.rs` says where a migration leads,
//! `compare.rs` what is different there, and `write.rs` the SQL of the way there and back, for both
//! databases (`anew.rs` for tables that SQLite makes anew, `sql.rs` the words, `values.rs` the values).
//! What was written is tried before anybody sees it.

mod anew;
mod compare;
mod declared;
mod sql;
mod target;
#[cfg(test)]
mod tests;
mod values;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::{Duration, Instant};

use self::compare::{Change, compare};
use self::target::{Target, apply};
use self::write::Way;
use super::check::{MigrationWarning, check_migration};
use crate::database::{Dialect, Layout, Migrator, Precedence, SqlConfig, Unit, Units};
use crate::error::{Error, Result};
use crate::names::{ModuleName, TenantId, TenantSlug, UnitId};
use crate::runtime::migrations::{Trial, bring_scratch, rehearsed};
use crate::runtime::{Manifest, Script};

/// How long one script may be tried for.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(60);
/// How large a database may become in which scripts are tried.
const SCRATCH_MAX_BYTES: u64 = 1 << 30;

/// Which tables entities are compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TablesOf {
    /// A tenant's, as they are once the module's migrations were applied.
    Tenant(TenantSlug),
    /// The default tenant's, where there is a platform with one; else those that migrations make.
    #[default]
    DefaultTenant,
    /// Those that the module's migrations make on an empty SQLite database.
    Migrations,
}

impl TablesOf {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::DefaultTenant
    }
}

/// What whoever generates a migration has decided: what a comparison cannot know.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    /// What has another name now.
    pub renames: Vec<Rename>,
    /// What goes away though no entity ever had it, as far as anybody knows: `table`, or `table.name` of
    /// a constraint, an index or a computed column.
    pub drops: BTreeSet<String>,
    /// What rows that are there get in a column that may not be empty, in SQL; `now` for the time.
    pub fills: BTreeMap<(String, String), String>,
    /// Columns whose values may be lost when they change their type.
    pub replaced: BTreeSet<(String, String)>,
}

/// A new name: `old:new` of a table, `table.old:new` of a column, where the table has its new name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// The table.
    pub table: String,
    /// The column, where it is one that has another name.
    pub column: Option<String>,
    /// The new name.
    pub to: String,
}

impl FromStr for Rename {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("`{text}` is neither `table.old:new` nor `old:new`"));
        let (from, to) = text.split_once(':').ok_or_else(wrong)?;
        let (table, column) = match from.split_once('.') {
            Some((table, column)) => (table, Some(column)),
            None => (from, None),
        };
        if [table, to, column.unwrap_or("-")].iter().any(|name| name.is_empty()) {
            return Err(wrong());
        }
        Ok(Self { table: table.into(), column: column.map(str::to_owned), to: to.into() })
    }
}

/// Something that only a person knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// Whether what is not declared any more has this other name now.
    Renamed(Rename),
    /// What rows that are there get in a column that may not be empty.
    Fill {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        kind: String,
    },
}

/// A migration that was written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Generated {
    /// What it may be called: words with `_` between them.
    pub name: String,
    /// What it changes, for people.
    pub changes: Vec<String>,
    /// What leads forward.
    pub up: Script,
    /// What leads back.
    pub down: Script,
    /// What to know before it is applied.
    pub notes: Vec<String>,
    /// What may hold up requests on PostgreSQL, or break the version before.
    pub warnings: Vec<MigrationWarning>,
}

impl Generated {
    /// Whether both databases are told the same.
    pub fn is_portable(&self) -> bool {
        self.up.sqlite == self.up.postgres && self.down.sqlite == self.down.postgres
    }
}

/// A module's entities beside the tables that there are.
pub struct Generator {
    manifest: Manifest,
    /// Whose tables they are, where they are live.
    tenant: Option<TenantSlug>,
    versions: BTreeMap<String, String>,
    /// What the module's own migrations make on SQLite.
    scratch: Layout,
    sqlite: Side,
    postgres: Side,
    /// Where what was written for SQLite is tried.
    trial: Option<Unit>,
    _folder: tempfile::TempDir,
}

/// One database's part.
#[derive(Clone)]
struct Side {
    dialect: Dialect,
    before: Layout,
    /// With expressions as the database writes them.
    declared: Layout,
    /// Tables of others that refer to the module's, by the table that they refer to.
    outsiders: BTreeMap<String, String>,
}

impl Side {
    /// Tables of other modules are not looked at.
    fn new(dialect: Dialect, mut before: Layout, declared: Layout, scratch: &Layout) -> Self {
        let is_own =
            |name: &String| scratch.tables.contains_key(name) || declared.tables.contains_key(name);
        let outside = before.tables.iter().filter(|(name, _)| !is_own(name));
        let referring = outside.flat_map(|(name, table)| {
            table.references.values().map(|it| (it.to.clone(), name.clone()))
        });
        let outsiders = referring.collect();
        before.tables.retain(|name, _| is_own(name));
        Self { dialect, before, declared, outsiders }
    }
}

/// What leads forward and back on one database.
struct Ways {
    changes: Vec<Change>,
    up: String,
    down: String,
    notes: Vec<String>,
    target: Layout,
}

impl Generator {
    /// Compares with what the module's migrations make in a database of their own, or with the tables
    /// of a live `unit`, as they are once its pending migrations were applied: nothing is changed there.
    pub(crate) async fn new(manifest: Manifest, live: Option<(TenantSlug, &Unit)>) -> Result<Self> {
        if manifest.entities.is_empty() {
            return Err(Error::invalid(format!("module `{}` declares no entities", manifest.name))
                .hint("add `.entity::<Note>()` for each of them to the module"));
        }
        let folder = tempfile::tempdir()?;
        let units = Units::in_files(folder.path().to_owned(), SqlConfig::default());
        let unit = units.unit(&UnitId::shared(TenantId::new()), SCRATCH_MAX_BYTES).await?;
        let declared = declared::layout(&manifest.entities);
        bring_scratch(&manifest, &unit).await?;
        let scratch = layout_of(&unit).await?;
        let side = |dialect| Side::new(dialect, scratch.clone(), declared.clone(), &scratch);
        let (mut sqlite, mut postgres) = (side(Dialect::Sqlite), side(Dialect::Postgres));
        let (tenant, live) = live.unzip();
        if let Some(live) = live {
            let mut written = declared.clone();
            let look = async |migrator: &mut Migrator| {
                for (name, table) in &mut written.tables {
                    migrator.written_by_database(name, table).await?;
                }
                migrator.layout().await
            };
            let before = rehearsed(&manifest, live, look).await?;
            let dialect = live.dialect();
            let side = Side::new(dialect, before, written, &scratch);
            match dialect {
                Dialect::Sqlite => {
                    postgres.before.clone_from(&side.before);
                    sqlite = side;
                }
                Dialect::Postgres => postgres = side,
            }
        }
        // What is live may not be what migrations make.
        let trial = (sqlite.before == scratch).then_some(unit);
        let versions = declared::versions(&manifest.entities);
        Ok(Self { manifest, tenant, versions, scratch, sqlite, postgres, trial, _folder: folder })
    }

    /// The module's name.
    pub fn module(&self) -> &ModuleName {
        &self.manifest.name
    }

    /// The ids of the migrations that the module has.
    pub fn migrations(&self) -> impl Iterator<Item = &str> {
        self.manifest.migrations.iter().map(|step| step.id.as_str())
    }

    /// Whose tables were compared with, where they are not what migrations make.
    pub fn tenant(&self) -> Option<&TenantSlug> {
        self.tenant.as_ref()
    }

    /// What only a person knows, beside what was decided. Nobody has to answer whether something was
    /// renamed: then it was not.
    ///
    /// # Errors
    /// When something was decided that cannot be.
    pub fn questions(&self, decisions: &Decisions) -> Result<Vec<Question>> {
        let (renamed, target, changes, _) = self.changes(&self.sqlite, decisions)?;
        let target = target.layout;
        let mut questions = self.renamed_tables(&renamed, &changes);
        for change in &changes {
            let Change::DropColumn { table, column } = change else { continue };
            let kind = |layout: &Layout, column: &String| {
                Some(layout.tables.get(table)?.columns.get(column)?.kind.clone())
            };
            let added = changes.iter().filter_map(|change| match change {
                Change::AddColumn { table: of, column } if of == table => Some(column),
                _ => None,
            });
            let alike = added.filter(|new| kind(&target, new) == kind(&renamed, column));
            questions.extend(alike.map(|new| {
                let (table, column) = (table.clone(), Some(column.clone()));
                Question::Renamed(Rename { table, column, to: new.clone() })
            }));
        }
        questions.extend(self.unfilled(&renamed, &target, &changes, decisions));
        Ok(questions)
    }

    /// Tables of the module's that no entity has, and which may be those that are missing.
    fn renamed_tables(&self, renamed: &Layout, changes: &[Change]) -> Vec<Question> {
        let declared = &self.sqlite.declared.tables;
        let added = changes.iter().filter_map(|change| match change {
            Change::AddTable(name) => Some(name),
            _ => None,
        });
        let mut questions = Vec::new();
        for new in added {
            let Some(wanted) = declared.get(new) else { continue };
            for (old, table) in &renamed.tables {
                let is_own = self.scratch.tables.contains_key(old) && !declared.contains_key(old);
                let alike = table.columns.keys().filter(|it| wanted.columns.contains_key(*it));
                if is_own && 2 * alike.count() > table.columns.len().max(wanted.columns.len()) {
                    let (table, to) = (old.clone(), new.clone());
                    questions.push(Question::Renamed(Rename { table, column: None, to }));
                }
            }
        }
        questions
    }

    /// Columns that may not be empty, without a value for rows that are there.
    fn unfilled(
        &self,
        before: &Layout,
        target: &Layout,
        changes: &[Change],
        decisions: &Decisions,
    ) -> Vec<Question> {
        let mut questions = Vec::new();
        for change in changes {
            let Change::AddColumn { table, column } = change else { continue };
            let layout = target.tables.get(table).and_then(|it| it.columns.get(column));
            let Some(layout) = layout.filter(|it| !it.is_nullable && it.default.is_none()) else {
                continue;
            };
            let place = (table.clone(), column.clone());
            if before.tables.contains_key(table) && !decisions.fills.contains_key(&place) {
                let (table, column) = place;
                questions.push(Question::Fill { table, column, kind: layout.kind.clone() });
            }
        }
        questions
    }

    /// What is left alone: it is there, and no entity has it.
    ///
    /// # Errors
    /// As for [`generate`](Self::generate).
    pub fn left_alone(&self, decisions: &Decisions) -> Result<Vec<String>> {
        let side = if self.trial.is_some() { &self.postgres } else { &self.sqlite };
        let (_, target, ..) = self.changes(side, decisions)?;
        let declared = &self.sqlite.declared.tables;
        let tables = self.scratch.tables.keys();
        let tables = tables.filter(|name| {
            !declared.contains_key(*name) && target.layout.tables.contains_key(*name)
        });
        let tables = tables.map(|name| format!("table `{name}`"));
        Ok(target.left.into_iter().chain(tables).collect())
    }

    /// Writes the migration that is missing; none where nothing is.
    ///
    /// # Errors
    /// When something is missing that only a person knows, or cannot be written.
    pub async fn generate(&self, decisions: &Decisions) -> Result<Option<Generated>> {
        let open = self.questions(decisions)?;
        let unfilled = open.iter().find_map(|question| match question {
            Question::Fill { table, column, kind } => Some((table, column, kind)),
            Question::Renamed(_) => None,
        });
        if let Some((table, column, kind)) = unfilled {
            return Err(unfilled_error(table, column, kind));
        }
        self.check_decisions(decisions)?;
        let sqlite = self.ways(&self.sqlite, decisions)?;
        let postgres = self.ways(&self.postgres, decisions)?;
        let live = if postgres.changes.is_empty() { &sqlite } else { &postgres };
        if live.changes.is_empty() {
            return Ok(None);
        }
        self.try_out(&sqlite).await?;
        let both = sqlite.notes.iter().chain(&postgres.notes).cloned();
        let notes: BTreeSet<String> = both.collect();
        let mut notes: Vec<String> = notes.into_iter().collect();
        if self.trial.is_none() {
            notes.push("the tables are not what the module's migrations make on an empty database: what was written was not tried, read it with care".to_owned());
        }
        for question in &open {
            if let Question::Renamed(Rename { table, column, to }) = question {
                let from = column.as_ref().map(|it| format!("{table}.{it}"));
                let from = from.unwrap_or_else(|| table.clone());
                notes.push(format!("if `{from}` is called `{to}` now, say --rename {from}:{to}"));
            }
        }
        Ok(Some(Generated {
            name: compare::name(self.manifest.name.as_str(), &live.changes),
            changes: live.changes.iter().map(Change::told).collect(),
            warnings: check_migration(&postgres.up),
            notes,
            up: Script { sqlite: sqlite.up, postgres: postgres.up },
            down: Script { sqlite: sqlite.down, postgres: postgres.down },
        }))
    }

    /// Refuses decisions about what is not there.
    fn check_decisions(&self, decisions: &Decisions) -> Result<()> {
        let sides = [&self.sqlite, &self.postgres];
        for dropped in &decisions.drops {
            let is_there = sides.iter().any(|side| match dropped.split_once('.') {
                Some((table, name)) => side.before.tables.get(table).is_some_and(|table| {
                    table.has(name) || table.columns.get(name).is_some_and(|it| it.is_computed)
                }),
                None => side.before.tables.contains_key(dropped),
            });
            if !is_there {
                return Err(Error::invalid(format!("there is no `{dropped}` of the module's"))
                    .hint("name a table, or a constraint or an index as `table.name`"));
            }
            if let Some(table) = sides.iter().find_map(|side| side.outsiders.get(dropped)) {
                let message = format!("`{dropped}` cannot be removed: `{table}` refers to it");
                return Err(Error::invalid(message));
            }
        }
        for (table, column) in decisions.fills.keys().chain(&decisions.replaced) {
            let declared = self.sqlite.declared.tables.get(table);
            if declared.is_none_or(|table| !table.columns.contains_key(column)) {
                return Err(Error::invalid(format!("no entity has a column `{table}.{column}`")));
            }
        }
        Ok(())
    }

    /// The layout under its new names, where it leads, and all that is different.
    fn changes(
        &self,
        side: &Side,
        decisions: &Decisions,
    ) -> Result<(Layout, Target, Vec<Change>, Vec<Change>)> {
        let renames = target::renames(&side.before, &side.declared, decisions)?;
        let mut renamed = side.before.clone();
        renames.iter().for_each(|change| apply(&mut renamed, change));
        let target = target::target(&renamed, &side.declared, &self.versions, decisions)?;
        let changes = compare(&renamed, &target.layout)?;
        Ok((renamed, target, changes, renames))
    }

    fn ways(&self, side: &Side, decisions: &Decisions) -> Result<Ways> {
        let (_, target, changes, renames) = self.changes(side, decisions)?;
        let up = Way {
            dialect: side.dialect,
            from: &side.before,
            to: &target.layout,
            renames: &renames,
            changes: &changes,
            fills: &decisions.fills,
            replaced: &decisions.replaced,
            is_back: false,
        };
        let up = up.write()?;
        let renames_back: Vec<Change> =
            renames.iter().rev().filter_map(Change::renamed_back).collect();
        let mut target_renamed = target.layout.clone();
        renames_back.iter().for_each(|change| apply(&mut target_renamed, change));
        let back = compare(&target_renamed, &side.before)?;
        let down = Way {
            dialect: side.dialect,
            from: &target.layout,
            to: &side.before,
            renames: &renames_back,
            changes: &back,
            fills: &BTreeMap::new(),
            replaced: &BTreeSet::new(),
            is_back: true,
        };
        let down = down.write()?;
        let changes: Vec<Change> = renames.into_iter().chain(changes).collect();
        let (up_text, down_text) = (up.script(), down.script());
        let target = target.layout;
        Ok(Ways { changes, up: up_text, down: down_text, notes: up.notes, target })
    }

    /// Tries what was written for SQLite: it must lead where it is to lead, and back.
    async fn try_out(&self, ways: &Ways) -> Result<()> {
        let Some(unit) = &self.trial else { return Ok(()) };
        let mut trial = Trial::begin(unit).await?;
        let there = trial.run(&ways.up).await;
        let led_there = trial.layout().await;
        let outcome = match there.and(led_there) {
            Ok(there) if there != ways.target => Err(led_elsewhere("up")),
            Ok(_) => match trial.run(&ways.down).await.and(trial.layout().await) {
                Ok(back) if back != self.sqlite.before => Err(led_elsewhere("down")),
                other => other.map(|_| ()),
            },
            Err(error) => Err(error),
        };
        trial.end().await?;
        outcome
    }
}

fn led_elsewhere(direction: &str) -> Error {
    Error::internal(format!(
        "what was written for `{direction}` leads to other tables than it should"
    ))
    .hint("write this step by hand, `hostel migrate new`, and tell us of it")
}

fn unfilled_error(table: &str, column: &str, kind: &str) -> Error {
    Error::invalid(format!(
        "column `{column}` of `{table}` may not be empty, and has no default: what do rows get that are there?"
    ))
    .hint(format!(
        "say --fill '{table}.{column}=…' with a value of type {kind} in SQL, give the field a default (`#[entity(default = \"…\")]`), or make it an `Option`"
    ))
}

async fn layout_of(unit: &Unit) -> Result<Layout> {
    let mut migrator = unit.migrator(Precedence::Operator, Instant::now() + TRIAL_TIMEOUT).await?;
    migrator.layout().await
}
