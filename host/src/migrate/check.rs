//! Which statements of a migration hold up requests on PostgreSQL, and which break the version of the
//! module that is still served while it runs.
//!
//! Only what is written is looked at, not what is in the tables: a table with few rows is changed in
//! no time, whatever is said here. Tables that the script itself makes have none.

use std::collections::HashSet;

use sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, AlterTypeOperation, ColumnDef,
    ColumnOption, CreateIndex, DataType, FromTable, GeneratedAs, ObjectName, ObjectType,
    RenameTableNameKind, Statement, TableConstraint, TableFactor, TableWithJoins,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use crate::database::{Dialect, is_concurrent, migration_statements};

/// Characters of a statement that are repeated.
const STATEMENT_LENGTH_MAX: usize = 100;
/// Functions that give one value for all rows of a statement; others may give each row its own.
const STABLE: &[&str] = &[
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "current_timestamp",
    "current_date",
    "localtimestamp",
    "to_timestamp",
    "make_date",
    "date_trunc",
    "coalesce",
    "lower",
    "upper",
    "array",
    "row",
    "cast",
    "concat",
    "json_build_object",
    "jsonb_build_object",
    "jsonb_build_array",
    "json_build_array",
    "to_json",
    "to_jsonb",
    "numeric",
    "decimal",
    "varchar",
    "char",
    "timestamp",
    "timestamptz",
    "interval",
    "bit",
];

/// Something about a statement that whoever runs it should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrationWarning {
    /// What kind of thing it is.
    pub kind: WarningKind,
    /// How the statement begins.
    pub statement: String,
    /// What happens while it runs, or after.
    pub message: String,
    /// What to do instead.
    pub advice: &'static str,
}

/// What kind of thing is warned of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningKind {
    /// On PostgreSQL, requests wait for as long as it takes.
    Lock,
    /// Requests that the version before answers fail.
    Breaking,
    /// PostgreSQL, or the platform, does not take it.
    Refused,
}

impl WarningKind {
    /// A word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Breaking => "breaking",
            Self::Refused => "refused",
        }
    }
}

impl MigrationWarning {
    /// Whether it is about this database.
    pub(super) fn holds_on(&self, dialect: Dialect) -> bool {
        match self.kind {
            WarningKind::Breaking => true,
            WarningKind::Lock | WarningKind::Refused => dialect == Dialect::Postgres,
        }
    }
}

/// Looks at a migration's script, as PostgreSQL would run it.
///
/// ```
/// let script = "CREATE TABLE tags (name text); ALTER TABLE notes ADD COLUMN tag uuid DEFAULT gen_random_uuid()";
/// let warnings = hostel::check_migration(script);
/// assert_eq!(warnings.len(), 1);
/// assert!(warnings[0].message.contains("every row of `notes`"), "{warnings:?}");
/// ```
pub fn check_migration(script: &str) -> Vec<MigrationWarning> {
    let statements = is_concurrent(script).and_then(|_| migration_statements(script));
    let statements = match statements {
        Ok(statements) => statements,
        Err(error) => {
            return vec![MigrationWarning {
                kind: WarningKind::Refused,
                statement: String::new(),
                message: error.to_string(),
                advice: "docs/postgres.md says what migrations may use",
            }];
        }
    };
    let parsed = statements.iter().filter_map(|text| {
        // What the parser does not know is nothing to warn of.
        let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, text).ok()?;
        Some((*text, statements.pop()?))
    });
    let parsed: Vec<(&str, Statement)> = parsed.collect();
    let mut check =
        Check { warnings: Vec::new(), text: "", made: made(&parsed), pending: HashSet::new() };
    for (text, statement) in &parsed {
        check.text = text;
        check.statement(statement);
    }
    check.warnings
}

/// The tables that a script makes, under all names that they have in it.
fn made(statements: &[(&str, Statement)]) -> HashSet<String> {
    let mut made = HashSet::new();
    for (_, statement) in statements {
        match statement {
            Statement::CreateTable(table) => {
                made.insert(name(&table.name));
            }
            Statement::AlterTable(table) if made.contains(&name(&table.name)) => {
                for operation in &table.operations {
                    if let AlterTableOperation::RenameTable { table_name } = operation {
                        let (RenameTableNameKind::As(to) | RenameTableNameKind::To(to)) =
                            table_name;
                        made.insert(name(to));
                    }
                }
            }
            _ => {}
        }
    }
    made
}

/// The last part of a name, as the server compares it.
fn name(name: &ObjectName) -> String {
    let last = name.0.last().and_then(|part| part.as_ident());
    last.map_or_else(
        || name.to_string(),
        |ident| match ident.quote_style {
            Some(_) => ident.value.clone(),
            None => ident.value.to_lowercase(),
        },
    )
}

struct Check<'s> {
    warnings: Vec<MigrationWarning>,
    /// Of the statement that is looked at.
    text: &'s str,
    made: HashSet<String>,
    /// Constraints that the script adds without looking at rows.
    pending: HashSet<String>,
}

impl Check<'_> {
    fn warn(&mut self, kind: WarningKind, message: String, advice: &'static str) {
        let words: Vec<&str> = self.text.split_whitespace().collect();
        let statement = words.join(" ");
        let statement = match statement.char_indices().nth(STATEMENT_LENGTH_MAX) {
            Some((at, _)) => format!("{}…", &statement[..at]),
            None => statement,
        };
        self.warnings.push(MigrationWarning { kind, statement, message, advice });
    }

    fn lock(&mut self, message: String, advice: &'static str) {
        self.warn(WarningKind::Lock, message, advice);
    }

    fn breaking(&mut self, message: String, advice: &'static str) {
        self.warn(WarningKind::Breaking, message, advice);
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::AlterTable(table) if !self.made.contains(&name(&table.name)) => {
                self.alter_table(table);
            }
            Statement::CreateIndex(index) => self.create_index(index),
            Statement::Drop { object_type, names, .. } => self.drop(*object_type, names),
            Statement::AlterType(alter) => {
                if matches!(
                    alter.operation,
                    AlterTypeOperation::Rename(_) | AlterTypeOperation::RenameValue(_)
                ) {
                    self.renamed(&format!("type `{}`", name(&alter.name)));
                }
            }
            Statement::Truncate(truncate) => {
                for table in &truncate.table_names {
                    let table = name(&table.name);
                    if !self.made.contains(&table) {
                        self.lock(
                            format!("removes every row of `{table}`, and nobody can read it until the migration ends"),
                            "let the module delete rows in small portions",
                        );
                    }
                }
            }
            Statement::Update(update) if update.selection.is_none() => {
                self.all_rows(&update.table, "changes");
            }
            Statement::Delete(delete) if delete.selection.is_none() => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) =
                    &delete.from;
                from.iter().for_each(|table| self.all_rows(table, "deletes"));
            }
            Statement::RefreshMaterializedView(refresh) if !refresh.concurrently => {
                self.lock(
                    format!("computes `{}` anew, while nobody can read it", name(&refresh.name)),
                    "write REFRESH MATERIALIZED VIEW CONCURRENTLY; the view needs a unique index for that",
                );
            }
            _ => {}
        }
    }

    fn all_rows(&mut self, table: &TableWithJoins, what: &str) {
        let TableFactor::Table { name: table, .. } = &table.relation else { return };
        let table = name(table);
        if !self.made.contains(&table) {
            self.lock(
                format!(
                    "{what} every row of `{table}`, and keeps them locked until the migration ends"
                ),
                "let the module do it in small portions, after the migration",
            );
        }
    }

    fn create_index(&mut self, index: &CreateIndex) {
        let table = name(&index.table_name);
        if !index.concurrently && !self.made.contains(&table) {
            self.lock(
                format!("builds an index of `{table}`, while nobody can write to it"),
                "where a tenant has millions of rows, write CREATE INDEX CONCURRENTLY, in a migration that does nothing else",
            );
        }
    }

    fn drop(&mut self, kind: ObjectType, names: &[ObjectName]) {
        if kind == ObjectType::Index {
            return;
        }
        for gone in names.iter().map(name) {
            // Another one takes its place under the same name.
            if !self.made.contains(&gone) {
                let kind = kind.to_string().to_lowercase();
                self.gone(&format!("{kind} `{gone}`"));
            }
        }
    }

    fn gone(&mut self, what: &str) {
        self.breaking(
            format!("takes {what} away, which the version before may still use"),
            "first serve a version that does not use it to everybody, then take it away with a later version",
        );
    }

    fn renamed(&mut self, what: &str) {
        self.breaking(
            format!("gives {what} another name, under which the version before does not find it"),
            "add what is new beside the old, fill both, and take the old away with a later version",
        );
    }

    fn alter_table(&mut self, alter: &AlterTable) {
        let table = name(&alter.name);
        for operation in &alter.operations {
            match operation {
                AlterTableOperation::AddColumn { column_def, .. } => {
                    self.add_column(&table, column_def);
                }
                AlterTableOperation::AddConstraint { constraint, not_valid } => {
                    self.add_constraint(&table, constraint, *not_valid);
                }
                AlterTableOperation::ValidateConstraint { name }
                    if self.pending.contains(&name.value) =>
                {
                    self.lock(
                        format!("looks at every row of `{table}` in the transaction that added the constraint, whose lock is kept as long"),
                        "validate it in a later migration",
                    );
                }
                AlterTableOperation::AlterColumn { column_name, op } => {
                    self.alter_column(&table, &column_name.value, op);
                }
                AlterTableOperation::DropColumn { column_names, .. } => {
                    for column in column_names {
                        self.gone(&format!("column `{}` of `{table}`", column.value));
                    }
                }
                AlterTableOperation::RenameColumn { old_column_name, .. } => {
                    self.renamed(&format!("column `{}` of `{table}`", old_column_name.value));
                }
                AlterTableOperation::RenameTable { .. } => {
                    self.renamed(&format!("table `{table}`"));
                }
                AlterTableOperation::SetLogged | AlterTableOperation::SetUnlogged => {
                    self.rewrites(&table, "make the table so when it is made");
                }
                _ => {}
            }
        }
    }

    fn rewrites(&mut self, table: &str, advice: &'static str) {
        self.lock(
            format!("writes every row of `{table}` anew, while nobody can read or write it"),
            advice,
        );
    }

    fn builds_index(&mut self, table: &str) {
        self.lock(
            format!("builds an index of `{table}`, while nobody can read or write it"),
            "make the index first, with CREATE UNIQUE INDEX CONCURRENTLY in a migration that does nothing else, and add the constraint with USING INDEX",
        );
    }

    fn scans(&mut self, table: &str) {
        self.lock(
            format!("looks at every row of `{table}`, while nobody can write to it"),
            "add it with NOT VALID, which holds for new rows at once, and VALIDATE CONSTRAINT in a later migration",
        );
    }

    fn add_column(&mut self, table: &str, column: &ColumnDef) {
        let options: Vec<&ColumnOption> = column.options.iter().map(|it| &it.option).collect();
        let has_default = options.iter().any(|option| {
            matches!(option, ColumnOption::Default(_) | ColumnOption::Generated { .. })
        });
        let is_serial = is_serial(&column.data_type);
        if is_serial {
            self.numbers(table);
        }
        for option in options {
            match option {
                ColumnOption::Default(value) if may_differ(&value.to_string()) => {
                    self.rewrites(
                        table,
                        "add the column without a default, set the default in a statement of its own, and let the module fill what is there",
                    );
                }
                ColumnOption::Generated { generated_as, generation_expr, .. } => {
                    match generated_as {
                        GeneratedAs::ExpStored => self.stores(table),
                        GeneratedAs::Always | GeneratedAs::ByDefault
                            if generation_expr.is_none() =>
                        {
                            self.numbers(table);
                        }
                        // Computed when it is read.
                        GeneratedAs::Always | GeneratedAs::ByDefault => {}
                    }
                }
                ColumnOption::Unique(_) | ColumnOption::PrimaryKey(_) => self.builds_index(table),
                ColumnOption::ForeignKey(_) | ColumnOption::Check(_) => self.scans(table),
                ColumnOption::NotNull if !has_default && !is_serial => self.breaking(
                    format!(
                        "fails where `{table}` has rows, and the version before gives new ones no `{}`",
                        column.name.value
                    ),
                    "add it with a default, or without NOT NULL until every version gives it",
                ),
                _ => {}
            }
        }
    }

    fn stores(&mut self, table: &str) {
        self.rewrites(table, "add an ordinary column, and let the module fill it");
    }

    fn numbers(&mut self, table: &str) {
        self.rewrites(table, "add an ordinary column, and let the module number what is there");
    }

    fn add_constraint(&mut self, table: &str, constraint: &TableConstraint, not_valid: bool) {
        match constraint {
            TableConstraint::Unique(_) | TableConstraint::PrimaryKey(_) => self.builds_index(table),
            TableConstraint::ForeignKey(key) => match (not_valid, &key.name) {
                (false, _) => self.scans(table),
                (true, name) => self.pending.extend(name.iter().map(|name| name.value.clone())),
            },
            TableConstraint::Check(check) => match (not_valid, &check.name) {
                (false, _) => self.scans(table),
                (true, name) => self.pending.extend(name.iter().map(|name| name.value.clone())),
            },
            _ => {}
        }
    }

    fn alter_column(&mut self, table: &str, column: &str, operation: &AlterColumnOperation) {
        match operation {
            AlterColumnOperation::SetNotNull => self.lock(
                format!("looks at every row of `{table}`, while nobody can read or write it"),
                "add CHECK (… IS NOT NULL) NOT VALID, validate it in a later migration, and set NOT NULL after that: the check is proof enough",
            ),
            AlterColumnOperation::SetDataType { .. } => {
                self.lock(
                    format!("may write every row of `{table}` anew, and its indexes, while nobody can read or write it: nearly all changes of a type do, a longer varchar or text instead of one does not"),
                    "add another column, fill both, and take the old one away with a later version",
                );
                self.breaking(
                    format!("changes what `{column}` of `{table}` holds, which the version before may not expect"),
                    "add another column, fill both, and take the old one away with a later version",
                );
            }
            _ => {}
        }
    }
}

fn is_serial(kind: &DataType) -> bool {
    let kind = kind.to_string().to_lowercase();
    ["serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"].contains(&&*kind)
}

/// Whether each row may get a value of its own.
fn may_differ(default: &str) -> bool {
    // What stands in a text calls nothing.
    let default: String = default.split('\'').step_by(2).collect();
    let functions = default.match_indices('(').map(|(at, _)| {
        let before = default[..at].trim_end();
        let from = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        before[from..].to_lowercase()
    });
    let mut functions = functions.filter(|function| !function.is_empty());
    functions.any(|function| !STABLE.contains(&&*function))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds of what is warned of.
    fn kinds(script: &str) -> Vec<&'static str> {
        check_migration(script).iter().map(|warning| warning.kind.as_str()).collect()
    }

    #[test]
    fn what_holds_up_requests_is_told() {
        for script in [
            "CREATE INDEX i ON t (a)",
            "CREATE UNIQUE INDEX i ON t (a)",
            "ALTER TABLE t ADD COLUMN a uuid DEFAULT gen_random_uuid()",
            "ALTER TABLE t ADD a double precision DEFAULT random() * 2",
            "ALTER TABLE t ADD COLUMN a timestamptz NOT NULL DEFAULT clock_timestamp()",
            "ALTER TABLE t ADD COLUMN a bigserial",
            "ALTER TABLE t ADD COLUMN a bigint GENERATED BY DEFAULT AS IDENTITY",
            "ALTER TABLE t ADD COLUMN a int GENERATED ALWAYS AS (b + 1) STORED",
            "ALTER TABLE t ADD COLUMN a int UNIQUE",
            "ALTER TABLE t ADD COLUMN a int CHECK (a > 0)",
            "ALTER TABLE t ADD COLUMN a int REFERENCES u (id)",
            "ALTER TABLE t ALTER COLUMN a SET NOT NULL",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)",
            "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES u (id)",
            "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u",
            "ALTER TABLE t ADD CONSTRAINT c UNIQUE (a)",
            "ALTER TABLE t ADD PRIMARY KEY (a)",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT c",
            "ALTER TABLE ONLY t SET UNLOGGED",
            "UPDATE t SET a = 1",
            "DELETE FROM t",
            "TRUNCATE t",
            "REFRESH MATERIALIZED VIEW v",
            // In whatever spelling.
            "-- an index\ncreate  index\ni on \"T\" (a)",
        ] {
            assert_eq!(kinds(script), ["lock"], "{script}");
        }
    }

    #[test]
    fn what_breaks_the_version_before_is_told() {
        for script in [
            "ALTER TABLE t RENAME COLUMN a TO b",
            "ALTER TABLE t RENAME TO u",
            "ALTER TABLE t DROP COLUMN a",
            "DROP TABLE t",
            "DROP VIEW IF EXISTS v",
            "DROP TYPE mood",
            "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
            "ALTER TABLE t ADD COLUMN a int NOT NULL",
        ] {
            assert_eq!(kinds(script), ["breaking"], "{script}");
        }
        assert_eq!(kinds("ALTER TABLE t ALTER COLUMN a TYPE bigint"), ["lock", "breaking"]);
        assert_eq!(kinds("DROP TABLE t, u"), ["breaking", "breaking"]);
    }

    #[test]
    fn what_neither_waits_nor_breaks_is_let_pass() {
        for script in [
            "CREATE TABLE t (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), a int UNIQUE); CREATE INDEX i ON t (a); ALTER TABLE t ADD COLUMN b bigserial; UPDATE t SET a = 1",
            "CREATE TABLE \"T\" (a int); CREATE INDEX i ON \"T\" (a)",
            "ALTER TABLE t ADD COLUMN a text",
            "ALTER TABLE t ADD COLUMN a text NOT NULL DEFAULT ''",
            "ALTER TABLE t ADD COLUMN a numeric(12, 2) DEFAULT 0",
            "ALTER TABLE t ADD COLUMN a timestamptz NOT NULL DEFAULT now()",
            "ALTER TABLE t ADD COLUMN a timestamptz DEFAULT CURRENT_TIMESTAMP",
            "ALTER TABLE t ADD COLUMN a jsonb DEFAULT '{}'::jsonb",
            "ALTER TABLE t ADD COLUMN a int DEFAULT (1 + 2)",
            "ALTER TABLE t ADD COLUMN a int GENERATED ALWAYS AS (b + 1) VIRTUAL",
            "ALTER TABLE t ADD COLUMN a text DEFAULT 'it''s random()'",
            "CREATE INDEX CONCURRENTLY i ON t (a)",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID",
            "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES u NOT VALID",
            "ALTER TABLE t VALIDATE CONSTRAINT c",
            "ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX i",
            "ALTER TABLE t ALTER COLUMN a DROP NOT NULL, ALTER COLUMN a SET DEFAULT 1",
            "ALTER TABLE t DROP CONSTRAINT c",
            "DROP INDEX i",
            "ALTER TYPE mood ADD VALUE 'calm'",
            "INSERT INTO t (a) VALUES (1)",
            "UPDATE t SET a = 1 WHERE a IS NULL",
            // As SQLite's tables are changed.
            "CREATE TABLE u (a int); INSERT INTO u SELECT a FROM t; DROP TABLE t; ALTER TABLE u RENAME TO t",
            "",
        ] {
            assert_eq!(kinds(script), [""; 0], "{script}");
        }
    }

    #[test]
    fn what_no_migration_may_use_is_told() {
        for script in [
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE INDEX CONCURRENTLY i ON t (a); CREATE INDEX j ON t (b)",
            "CREATE TABLE t (a text DEFAULT 'open)",
        ] {
            assert_eq!(kinds(script), ["refused"], "{script}");
        }
    }
}
