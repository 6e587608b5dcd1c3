//! The wall around guest SQL on SQLite: limits, an allow-list of actions and functions, and clocks
//! that interrupt.
//!
//! SQLite asks the authorizer while it prepares a statement, whoever wrote it. So the guard knows who
//! is speaking, and statements of the host are never kept in the statement cache, where a guest's
//! equal text would find them.

#![allow(unsafe_code, reason = "SQLite's limits and its authorizer have no safe interface in sqlx")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libsqlite3_sys as ffi;
use sqlx::SqliteConnection;

use super::moments::{LongLately, Moments};
use super::{STATEMENT_MAX, VALUE_MAX, functions, memory};
use crate::error::{Error, Result};
use crate::metering::locked;
use crate::processor::{self, CpuTime, LIGHT_MAX, SLICE, Stopwatch, micros};

/// Tables of the host inside a unit begin with this; no guest statement may name them.
pub(super) const HOST_TABLE_PREFIX: &str = "hostel_";

/// Virtual-machine steps between two looks at the clock: microseconds, or a few calls of a function
/// that needs milliseconds for its megabytes.
const STEPS_BETWEEN_CHECKS: i32 = 200;

/// Processor time of a statement that is told of before it ends: a migration's may last for minutes.
/// More than what makes it long.
const TOLD_AFTER: Duration = Duration::from_millis(50);

/// Whose statement is being prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Speaker {
    /// A module's request: reads and writes rows.
    Guest = 0,
    /// A module's migration: changes tables too.
    Migration = 1,
    /// The host itself: transactions and its own tables.
    Host = 2,
}

/// What a statement may use.
#[derive(Clone)]
pub(crate) struct Allowance {
    /// From begin to end.
    pub(crate) time: Duration,
    /// On a processor, together with what `cpu` shows already.
    pub(crate) cpu_max: Duration,
    /// Whose time it is.
    pub(crate) cpu: Arc<CpuTime>,
}

impl Allowance {
    /// For what the host does for itself.
    pub(crate) fn of_host(time: Duration) -> Self {
        Self { time, cpu_max: Duration::MAX, cpu: Arc::default() }
    }
}

/// Who speaks on a connection, and until when.
pub(super) struct Guard {
    speaker: AtomicU8,
    /// Microseconds after `start` at which SQLite is interrupted.
    deadline: AtomicU64,
    start: Instant,
    spending: Mutex<Spending>,
    /// Whether the connection's thread has lowered its priority, which it cannot raise again.
    gave_way: AtomicBool,
    /// Where long statements take turns.
    moments: Arc<Moments>,
    /// Its moment there; 0 for none.
    moment: AtomicU64,
    /// Whether the unit has long statements.
    lately: Arc<LongLately>,
}

/// The processor time of what runs on a connection.
#[derive(Default)]
struct Spending {
    cpu: Arc<CpuTime>,
    cpu_max: Duration,
    running: Option<Stopwatch>,
}

impl Guard {
    fn new(moments: &Arc<Moments>, lately: &Arc<LongLately>) -> Self {
        Self {
            speaker: AtomicU8::new(Speaker::Guest as u8),
            deadline: AtomicU64::new(u64::MAX),
            start: Instant::now(),
            spending: Mutex::default(),
            gave_way: AtomicBool::new(false),
            moments: Arc::clone(moments),
            moment: AtomicU64::new(0),
            lately: Arc::clone(lately),
        }
    }

    pub(super) fn speak(&self, speaker: Speaker) {
        self.speaker.store(speaker as u8, Ordering::Release);
    }

    pub(super) fn allow(&self, allowance: Allowance) {
        let deadline = self.start.elapsed().saturating_add(allowance.time);
        self.deadline.store(micros(deadline), Ordering::Release);
        let mut spending = locked(&self.spending);
        spending.cpu = allowance.cpu;
        spending.cpu_max = allowance.cpu_max;
    }

    /// Stops whatever runs, at the next look at the clock.
    pub(super) fn interrupt(&self) {
        self.deadline.store(0, Ordering::Release);
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.start.elapsed().as_micros() >= u128::from(self.deadline.load(Ordering::Acquire))
    }

    /// Whether the connection is slower than others from now on.
    pub(super) fn gave_way(&self) -> bool {
        self.gave_way.load(Ordering::Acquire)
    }

    /// Called on the connection's thread when a statement begins.
    fn begins(&self) {
        // A trigger's program announces itself, too.
        locked(&self.spending).running.get_or_insert_with(Stopwatch::start);
    }

    /// Called on the connection's thread when a statement has ended.
    fn ended(&self) {
        let mut spending = locked(&self.spending);
        if let Some(stopwatch) = spending.running.take() {
            spending.cpu.add(stopwatch.elapsed());
        }
        match self.moment.swap(0, Ordering::AcqRel) {
            0 => {}
            moment => self.moments.give(moment),
        }
    }

    /// Called on the connection's thread while a statement runs: lets it give way once it is long,
    /// and stops it when it has used up its processor time.
    fn look_at_cpu(&self) {
        let mut spending = locked(&self.spending);
        let Some(stopwatch) = spending.running else { return };
        let used = stopwatch.elapsed();
        let is_used_up = spending.cpu.total() + used > spending.cpu_max;
        if used >= TOLD_AFTER {
            spending.cpu.add(used);
            spending.running = Some(Stopwatch::start());
        }
        // Nobody is to wait for a thread that gives way.
        drop(spending);
        if is_used_up {
            self.interrupt();
        }
        // Each of many would else have as much before it gives way.
        let light_max = if self.lately.any() { SLICE } else { LIGHT_MAX };
        if used >= LIGHT_MAX {
            self.lately.note();
        }
        if used >= light_max && !self.gave_way.swap(true, Ordering::AcqRel) {
            processor::give_way();
        }
        if self.gave_way() {
            let moment = match self.moment.load(Ordering::Acquire) {
                0 => self.moments.take(),
                moment => self.moments.pass(moment),
            };
            self.moment.store(moment, Ordering::Release);
            std::thread::yield_now();
        }
    }

    fn is(&self, speaker: Speaker) -> bool {
        self.speaker.load(Ordering::Acquire) == speaker as u8
    }
}

/// Hardens a new connection, for good.
pub(super) async fn harden(
    connection: &mut SqliteConnection,
    moments: &Arc<Moments>,
    lately: &Arc<LongLately>,
) -> Result<Arc<Guard>> {
    let guard = Arc::new(Guard::new(moments, lately));
    let mut handle = connection.lock_handle().await?;
    let clock = Arc::clone(&guard);
    let mut cpu_checked = Instant::now();
    handle.set_progress_handler(STEPS_BETWEEN_CHECKS, move || {
        // The thread's own clock costs a system call each time.
        if cpu_checked.elapsed() >= SLICE {
            clock.look_at_cpu();
            cpu_checked = Instant::now();
        }
        !clock.is_overdue()
    });
    let database = handle.as_raw_handle().as_ptr();
    for (limit, value) in [
        (ffi::SQLITE_LIMIT_ATTACHED, 0),
        (ffi::SQLITE_LIMIT_LENGTH, VALUE_MAX as c_int),
        (ffi::SQLITE_LIMIT_SQL_LENGTH, STATEMENT_MAX as c_int),
        (ffi::SQLITE_LIMIT_EXPR_DEPTH, 50),
        (ffi::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50),
        (ffi::SQLITE_LIMIT_COMPOUND_SELECT, 20),
        (ffi::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
        (ffi::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        // SAFETY: `database` is open, and nobody else uses it while `handle` holds its lock.
        unsafe { ffi::sqlite3_limit(database, limit, value) };
    }
    for (option, value) in [
        (ffi::SQLITE_DBCONFIG_DEFENSIVE, 1),
        (ffi::SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
        (ffi::SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0),
        (ffi::SQLITE_DBCONFIG_DQS_DML, 0),
        (ffi::SQLITE_DBCONFIG_DQS_DDL, 0),
        // Where rows are asked for by ranges, SQLite would else plan a statement anew for each value.
        (ffi::SQLITE_DBCONFIG_ENABLE_QPSG, 1),
    ] {
        let mut now: c_int = -1;
        // SAFETY: as above; these options take an int and a pointer to an int, which lives on.
        let code =
            unsafe { ffi::sqlite3_db_config(database, option, value as c_int, &raw mut now) };
        if code != ffi::SQLITE_OK || now != value {
            return Err(Error::internal("SQLite refused a setting that protects tenants"));
        }
    }
    // SAFETY: as above. The guard outlives the authorizer: the progress handler's closure holds it,
    // and sqlx drops that closure when the connection closes, after the last statement.
    let code = unsafe {
        ffi::sqlite3_set_authorizer(
            database,
            Some(authorize),
            Arc::as_ptr(&guard).cast_mut().cast(),
        )
    };
    if code != ffi::SQLITE_OK {
        return Err(Error::internal("SQLite refused the authorizer that protects tenants"));
    }
    // SAFETY: as for the authorizer.
    let code = unsafe {
        ffi::sqlite3_trace_v2(
            database,
            ffi::SQLITE_TRACE_STMT | ffi::SQLITE_TRACE_ROW | ffi::SQLITE_TRACE_PROFILE,
            Some(trace),
            Arc::as_ptr(&guard).cast_mut().cast(),
        )
    };
    if code != ffi::SQLITE_OK {
        return Err(Error::internal("SQLite refused to tell when statements begin and end"));
    }
    functions::add(&mut handle)?;
    drop(handle);
    Ok(guard)
}

/// Lets rows be written without what triggers do then. Those of foreign keys are none.
pub(super) async fn turn_triggers_off(connection: &mut SqliteConnection) -> Result<()> {
    turn(connection, ffi::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).await
}

/// Has foreign keys hold, or not, for what is prepared from now on. Unlike the pragma, it works in a
/// transaction, too.
pub(super) async fn turn_foreign_keys(connection: &mut SqliteConnection, on: bool) -> Result<()> {
    turn(connection, ffi::SQLITE_DBCONFIG_ENABLE_FKEY, on).await
}

async fn turn(connection: &mut SqliteConnection, option: c_int, on: bool) -> Result<()> {
    let mut handle = connection.lock_handle().await?;
    let database = handle.as_raw_handle().as_ptr();
    let (wanted, mut now) = (c_int::from(on), -1);
    // SAFETY: `database` is open, and nobody else uses it while `handle` holds its lock; the options
    // that are turned here take an int and a pointer to an int, which lives on.
    let code = unsafe { ffi::sqlite3_db_config(database, option, wanted, &raw mut now) };
    if code != ffi::SQLITE_OK || now != wanted {
        return Err(Error::internal("SQLite does not change a setting of its connection"));
    }
    Ok(())
}

/// Whether a transaction is open: some errors make SQLite undo all of it.
pub(super) async fn is_in_transaction(connection: &mut SqliteConnection) -> Result<bool> {
    let mut handle = connection.lock_handle().await?;
    let database = handle.as_raw_handle().as_ptr();
    // SAFETY: `database` is open, and nobody else uses it while `handle` holds its lock.
    Ok(unsafe { ffi::sqlite3_get_autocommit(database) } == 0)
}

/// Called by SQLite when a statement begins, when it has made a row, and when it has ended.
unsafe extern "C" fn trace(
    event: c_uint,
    guard: *mut c_void,
    statement: *mut c_void,
    _detail: *mut c_void,
) -> c_int {
    // SAFETY: `harden` passes a guard that lives as long as the connection.
    let guard = unsafe { &*guard.cast::<Guard>() };
    match event {
        ffi::SQLITE_TRACE_STMT => guard.begins(),
        // SAFETY: SQLite passes the statement, on the thread that runs it.
        ffi::SQLITE_TRACE_ROW => unsafe {
            memory::answers(statement.cast(), || !guard.is_overdue());
        },
        _ => guard.ended(),
    }
    0
}

/// Called by SQLite for each action of a statement that is being prepared.
unsafe extern "C" fn authorize(
    guard: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    database: *const c_char,
    _trigger: *const c_char,
) -> c_int {
    // SAFETY: `harden` passes a guard that lives as long as the connection.
    let guard = unsafe { &*guard.cast::<Guard>() };
    // SAFETY: SQLite passes null or a string that lives during this call.
    let (first, second, database) = unsafe { (text(first), text(second), text(database)) };
    let migration = guard.is(Speaker::Migration);
    let allowed = match database {
        // Nothing temporary is ever made.
        Some("temp") => migration && is_looked_at_by_alter(action, first),
        Some(_) => is_allowed(action, first, second, migration),
        None => false,
    };
    if allowed || guard.is(Speaker::Host) { ffi::SQLITE_OK } else { ffi::SQLITE_DENY }
}

/// # Safety
/// `pointer` is null or a C string that outlives `'a`.
unsafe fn text<'a>(pointer: *const c_char) -> Option<&'a str> {
    if pointer.is_null() {
        return Some("");
    }
    // SAFETY: by this function's contract.
    unsafe { CStr::from_ptr(pointer) }.to_str().ok()
}

/// The allow-list. A name that is not UTF-8 (`None`) is never allowed.
fn is_allowed(action: c_int, first: Option<&str>, second: Option<&str>, migration: bool) -> bool {
    let (Some(first), Some(second)) = (first, second) else { return false };
    match action {
        ffi::SQLITE_SELECT | ffi::SQLITE_RECURSIVE => true,
        ffi::SQLITE_FUNCTION => {
            FUNCTIONS.binary_search(&second).is_ok() || (migration && ALTERING.contains(&second))
        }
        ffi::SQLITE_READ => {
            is_readable(first)
                || (migration && (is_schema_table(first) || first == "pragma_quick_check"))
        }
        // So `ALTER TABLE` makes sure that checks hold for a column that it adds.
        ffi::SQLITE_PRAGMA => migration && first == "quick_check",
        ffi::SQLITE_INSERT | ffi::SQLITE_UPDATE | ffi::SQLITE_DELETE => {
            // A migration's DDL writes the schema table; DEFENSIVE keeps plain statements off it.
            is_ordinary(first) || (migration && is_schema_table(first))
        }
        ffi::SQLITE_CREATE_TABLE
        | ffi::SQLITE_CREATE_VIEW
        | ffi::SQLITE_DROP_TABLE
        | ffi::SQLITE_DROP_VIEW
        | ffi::SQLITE_REINDEX
        | ffi::SQLITE_ANALYZE => migration && is_ordinary(first),
        // First the index or trigger, then its table.
        ffi::SQLITE_CREATE_INDEX
        | ffi::SQLITE_CREATE_TRIGGER
        | ffi::SQLITE_DROP_INDEX
        | ffi::SQLITE_DROP_TRIGGER => migration && is_index_name(first) && is_ordinary(second),
        // First the database, then the table.
        ffi::SQLITE_ALTER_TABLE => migration && first == "main" && is_ordinary(second),
        _ => false,
    }
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.as_bytes()
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// A table of the module's own.
fn is_ordinary(name: &str) -> bool {
    const RESERVED: [&str; 8] = [
        HOST_TABLE_PREFIX,
        "sqlite_",
        "pragma_",
        // Tables that SQLite makes up on the spot and that tell of the whole file.
        "dbstat",
        "bytecode",
        "tables_used",
        "completion",
        "generate_series",
    ];
    !RESERVED.iter().any(|prefix| starts_with(name, prefix))
}

/// Indexes that SQLite makes for `UNIQUE` and `PRIMARY KEY` bear names of its own.
fn is_index_name(name: &str) -> bool {
    is_ordinary(name) || starts_with(name, "sqlite_autoindex_")
}

/// `json_each` and `json_tree` read nothing but their arguments, and are ordinary names here.
fn is_readable(name: &str) -> bool {
    is_ordinary(name)
}

fn is_schema_table(name: &str) -> bool {
    ["sqlite_master", "sqlite_schema", "sqlite_sequence"]
        .iter()
        .any(|table| name.eq_ignore_ascii_case(table))
}

/// What renames and drops looks for views and triggers that are temporary, too; there are none.
fn is_looked_at_by_alter(action: c_int, table: Option<&str>) -> bool {
    matches!(action, ffi::SQLITE_READ | ffi::SQLITE_UPDATE)
        && table.is_some_and(|table| ["sqlite_temp_master", "sqlite_temp_schema"].contains(&table))
}

/// What `ALTER TABLE` says in statements of its own to rename and to drop. SQLite knows these
/// functions nowhere else: in whatever a migration says itself, there is no such function.
const ALTERING: [&str; 5] = [
    "sqlite_rename_table",
    "sqlite_rename_column",
    "sqlite_rename_quotefix",
    "sqlite_rename_test",
    "sqlite_drop_column",
];

/// SQLite's built-in functions that depend on their arguments, the rows and the time alone. Sorted.
///
/// SQLite is interrupted between two functions and never within one, so none may take much longer
/// than its arguments are long: `functions.rs` replaces some, and `json_patch` and `unhex` are
/// missing.
const FUNCTIONS: &[&str] = &[
    "->",
    "->>",
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "avg",
    "ceil",
    "ceiling",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "cos",
    "cosh",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "degrees",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "format",
    "glob",
    "group_concat",
    "hex",
    "hostel_search",
    "ifnull",
    "iif",
    "instr",
    "json",
    "json_array",
    "json_array_length",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_pretty",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_type",
    "json_valid",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "max",
    "min",
    "mod",
    "nth_value",
    "ntile",
    "nullif",
    "octet_length",
    "percent_rank",
    "pi",
    "pow",
    "power",
    "printf",
    "quote",
    "radians",
    "random",
    "randomblob",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "strftime",
    "string_agg",
    "substr",
    "substring",
    "subtype",
    "sum",
    "tan",
    "tanh",
    "time",
    "timediff",
    "total",
    "trim",
    "trunc",
    "typeof",
    "unicode",
    "unixepoch",
    "unlikely",
    "upper",
    "zeroblob",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_are_sorted_so_that_all_are_found() {
        assert!(FUNCTIONS.is_sorted());
    }

    #[test]
    fn no_spelling_reaches_the_hosts_tables() {
        for name in [
            "hostel_migrations",
            "HOSTEL_migrations",
            "sqlite_master",
            "pragma_table_info",
            "DBSTAT",
        ] {
            assert!(!is_ordinary(name), "{name}");
        }
        assert!(is_ordinary("notes"));
        assert!(is_ordinary("é"));
    }
}
