//! What a unit is in a PostgreSQL cluster: a schema of the platform's, a role that changes its tables
//! when a module is migrated, and a role that works with its rows.
//!
//! Roles log in with passwords derived from the platform key, so that nothing has to be kept. Names
//! are made of ids, and of a module's name where it has a unit of its own: whoever reads the catalogue
//! learns nothing else of a tenant.

use std::borrow::Cow;
use std::collections::HashMap;

use data_encoding::HEXLOWER;
use sqlx::{AssertSqlSafe, Row as _};
use tokio::sync::OnceCell;

use super::connection::direct_objects;
use crate::database::ledger::{AppliedMigration, LedgerRow};
use crate::database::{PlatformDatabase, SqlConfig, quoted};
use crate::error::{Error, ErrorKind, Result};
use crate::key::PlatformKey;
use crate::names::{TenantId, UnitId};

/// Hosts that may use a unit at once, each with as many connections as it may have, and some more: of
/// those that were ended, the server may see some for a moment longer. More hosts wait for each other.
const HOSTS_MAX: u64 = 16;
const CONNECTIONS_SPARE: u64 = 4;

/// How the role that all units' roles are members of is called, after its database.
const GUESTS_SUFFIX: &str = "_guests";

/// How often something is tried at which others may be at the same time.
const ATTEMPTS_MAX: u32 = 5;
/// Tables and the like that are removed in one transaction.
const REMOVED_AT_ONCE: i64 = 50;
/// What removes some of a schema's tables, views, sequences and types. Those made last come first, as
/// what depends on others, and parts before what they are parts of; sequences come after the tables
/// that own them.
const SOME_OBJECTS: &str =
    "SELECT format('DROP %s IF EXISTS %I.%I CASCADE', o.kind, n.nspname, o.name)
     FROM pg_catalog.pg_namespace n
     CROSS JOIN LATERAL (
         SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END
                    AS kind, c.relname AS name, c.oid, 1 AS turn
         FROM pg_catalog.pg_class c
         WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm')
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid)
         UNION ALL
         SELECT 'SEQUENCE', c.relname, c.oid, 2
         FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'S'
         UNION ALL
         SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, t.typname, t.oid, 3
         FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
         WHERE t.typnamespace = n.oid AND (t.typtype IN ('d', 'e', 'r') OR c.relkind = 'c')
     ) o
     WHERE n.nspname = $1 ORDER BY o.turn, o.oid DESC LIMIT $2";

/// How long measuring a unit waits for a lock of its tenant's.
const SIZE_LOCK_TIMEOUT_MS: u64 = 50;
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What may be done with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Reads and writes rows.
    Runtime,
    /// Changes tables, while a module is migrated.
    Owner,
}

/// The names of one unit.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// `<tenant>` or `<tenant>_<module>`: nothing in it needs quotes.
    id: String,
}

impl Names {
    pub(super) fn of(unit: &UnitId) -> Self {
        let tenant = unit.tenant.to_string().replace('-', "");
        let id = match &unit.module {
            None => tenant,
            // Names of modules have no `_`, so that no two of them become one.
            Some(module) => format!("{tenant}_{}", module.as_str().replace('-', "_")),
        };
        Self { id }
    }

    /// The unit of a tenant's whose schema, or role, has this name; none where it is no unit's.
    fn unit(tenant: TenantId, name: &str) -> Option<UnitId> {
        let own = Self::of(&UnitId::shared(tenant)).id;
        match name.get(2..)?.strip_prefix(&own)? {
            "" => Some(UnitId::shared(tenant)),
            module => {
                let module = module.strip_prefix('_')?.replace('_', "-").parse().ok()?;
                Some(UnitId::own(tenant, module))
            }
        }
    }

    /// The schema; no quoting is needed.
    pub(super) fn schema(&self) -> String {
        format!("t_{}", self.id)
    }

    pub(super) fn role(&self, role: Role) -> String {
        match role {
            Role::Runtime => format!("t_{}", self.id),
            Role::Owner => format!("o_{}", self.id),
        }
    }
}

/// What there is of a unit.
#[derive(PartialEq, Eq)]
enum State {
    Absent,
    Partial(Missing),
    Whole,
}

/// What a unit lacks that an earlier version made, or another configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Missing {
    outbox: bool,
    /// That its owner may take migrations out of the ledger.
    undoing: bool,
    /// What bounds its roles.
    settings: bool,
}

/// Makes units, and the passwords of their roles.
pub(super) struct Roles {
    pub(super) platform: PlatformDatabase,
    pub(super) key: PlatformKey,
    connections_max: u64,
    temp_file_limit_kib: u64,
    lock_timeout_ms: u64,
    /// Whether the platform may bound what a role keeps in temporary files.
    may_limit_files: OnceCell<bool>,
}

impl Roles {
    pub(super) fn new(platform: PlatformDatabase, key: PlatformKey, config: &SqlConfig) -> Self {
        Self {
            platform,
            key,
            connections_max: HOSTS_MAX * config.connections_per_unit_max.get() + CONNECTIONS_SPARE,
            temp_file_limit_kib: config.temp_file_max_bytes.get() / 1024,
            lock_timeout_ms: config.wait_timeout_ms.get(),
            may_limit_files: OnceCell::new(),
        }
    }

    /// The password of a role. It never travels: the server keeps what SCRAM needs to check it
    /// (RFC 5802), and only that is sent there.
    pub(super) fn password(&self, role: &str) -> String {
        HEXLOWER.encode(&self.key.derive(&format!("postgres-role:{role}")))
    }

    fn verifier(&self, role: &str) -> String {
        postgres_protocol::password::scram_sha_256(self.password(role).as_bytes())
    }

    /// Makes sure that the unit is there.
    ///
    /// # Errors
    /// When the server does not allow it.
    pub(super) async fn ensure(&self, names: &Names) -> Result<()> {
        let making = match self.state(names).await? {
            State::Whole => return Ok(()),
            State::Partial(missing) => self.complete(names, missing).await,
            State::Absent => self.create(names).await,
        };
        match making {
            Ok(()) => Ok(()),
            // Another process may have been quicker.
            Err(_) if self.state(names).await? == State::Whole => Ok(()),
            Err(error) => Err(Error::new(
                ErrorKind::Unavailable,
                "database",
                "the tenant's database cannot be made",
            )
            .hint("`hostel db prepare` says what the server must allow")
            .because(error)),
        }
    }

    async fn state(&self, names: &Names) -> Result<State> {
        let found = sqlx::query(
            "SELECT (SELECT count(*) FROM pg_catalog.pg_class c
                     WHERE c.relnamespace = n.oid AND c.relname = 'hostel_outbox'),
                    (SELECT count(*) FROM pg_catalog.pg_class c, pg_catalog.pg_roles r
                     WHERE c.relnamespace = n.oid AND c.relname = 'hostel_migrations'
                       AND r.rolname = $2
                       AND pg_catalog.has_table_privilege(r.oid, c.oid, 'DELETE')),
                    (SELECT count(*) FROM pg_catalog.pg_roles r
                     WHERE r.rolname IN ($2, $3) AND r.rolconnlimit = $4
                       AND r.rolconfig @> string_to_array($5, ','))
             FROM pg_catalog.pg_namespace n WHERE n.nspname = $1",
        );
        let settings = self.settings(names).await?.into_iter();
        let settings: Vec<String> =
            settings.map(|(name, value)| format!("{name}={value}")).collect();
        let found = found
            .bind(names.schema())
            .bind(names.role(Role::Owner))
            .bind(names.role(Role::Runtime))
            .bind(self.connections_max.cast_signed())
            .bind(settings.join(","))
            .fetch_optional(&self.platform)
            .await?;
        let Some(row) = found else { return Ok(State::Absent) };
        let missing = Missing {
            outbox: row.try_get::<i64, _>(0)? == 0,
            undoing: row.try_get::<i64, _>(1)? == 0,
            settings: row.try_get::<i64, _>(2)? < 2,
        };
        let whole = Missing { outbox: false, undoing: false, settings: false };
        Ok(if missing == whole { State::Whole } else { State::Partial(missing) })
    }

    /// Adds what is missing; all of it in one message, and so in one transaction.
    async fn complete(&self, names: &Names, missing: Missing) -> Result<(), sqlx::Error> {
        let mut script = String::new();
        if missing.outbox {
            script.push_str(&super::outbox::script(names));
        }
        if missing.undoing {
            let (schema, owner) = (names.schema(), names.role(Role::Owner));
            script.push_str(&format!("GRANT DELETE ON {schema}.hostel_migrations TO {owner};"));
        }
        if missing.settings {
            script.push_str(&self.bounds(names).await?);
        }
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&self.platform).await?;
        Ok(())
    }

    /// What holds for every session of a unit's roles, as the catalogue has it.
    async fn settings(&self, names: &Names) -> Result<Vec<(&'static str, String)>, sqlx::Error> {
        let mut settings = vec![
            ("search_path", names.schema()),
            ("default_transaction_isolation", "serializable".to_owned()),
            ("lock_timeout", format!("{}ms", self.lock_timeout_ms)),
            // One processor for a statement: its parallel workers would be nobody's, and who only waits
            // for them seems to compute nothing.
            ("max_parallel_workers_per_gather", "0".to_owned()),
            ("max_parallel_maintenance_workers", "0".to_owned()),
            ("client_connection_check_interval", "2s".to_owned()),
            ("idle_in_transaction_session_timeout", "10min".to_owned()),
            ("statement_timeout", "10min".to_owned()),
        ];
        let may_limit = self.may_limit_files.get_or_try_init(|| {
            let may = "SELECT pg_catalog.has_parameter_privilege('temp_file_limit', 'SET')";
            sqlx::query_scalar::<_, bool>(may).fetch_one(&self.platform)
        });
        if *may_limit.await? {
            settings.push(("temp_file_limit", self.temp_file_limit_kib.to_string()));
        }
        Ok(settings)
    }

    /// What sets the bounds of a unit's roles.
    async fn bounds(&self, names: &Names) -> Result<String, sqlx::Error> {
        let (settings, limit) = (self.settings(names).await?, self.connections_max);
        let of_role = |role: Role| {
            let role = names.role(role);
            let each = settings
                .iter()
                .map(|(name, value)| format!("ALTER ROLE {role} SET {name} = '{value}';"));
            format!("ALTER ROLE {role} CONNECTION LIMIT {limit};{}", each.collect::<String>())
        };
        Ok(of_role(Role::Runtime) + &of_role(Role::Owner))
    }

    /// The units that these tenants have, or have something of.
    pub(super) async fn of_tenants(&self, tenants: &[TenantId]) -> Result<Vec<UnitId>> {
        let ids: Vec<_> = tenants.iter().map(|id| Names::of(&UnitId::shared(*id)).id).collect();
        // As ranges, so that the server looks into an index; after `_` comes a backquote.
        let found: Vec<(String, String)> = sqlx::query_as(
            "SELECT t.id, s.name
             FROM unnest(string_to_array($1, ',')) t(id),
             LATERAL (
                 SELECT n.nspname::text FROM pg_catalog.pg_namespace n
                 WHERE n.nspname >= ('t_' || t.id)::name AND n.nspname < ('t_' || t.id || '`')::name
                 UNION
                 SELECT r.rolname::text FROM pg_catalog.pg_roles r
                 WHERE r.rolname >= ('t_' || t.id)::name AND r.rolname < ('t_' || t.id || '`')::name
             ) s(name)
             ORDER BY 1, 2",
        )
        .bind(ids.join(","))
        .fetch_all(&self.platform)
        .await?;
        let unit = |(id, name): &(String, String)| Names::unit(id.parse().ok()?, name);
        Ok(found.iter().filter_map(unit).collect())
    }

    /// What the ledgers of these units say, by schema; none of those that are not there. A ledger is
    /// the platform's own table, and no guest can put another in its place.
    pub(super) async fn ledgers(&self, units: &[Names]) -> Result<HashMap<String, Vec<LedgerRow>>> {
        // One of them may be removed after it has been found.
        Ok(retried("reading ledgers", is_refusal, || self.try_ledgers(units)).await?)
    }

    async fn try_ledgers(
        &self,
        units: &[Names],
    ) -> Result<HashMap<String, Vec<LedgerRow>>, sqlx::Error> {
        let schemas: Vec<String> = units.iter().map(Names::schema).collect();
        let there: Vec<String> = sqlx::query_scalar(
            "SELECT n.nspname::text FROM pg_catalog.pg_namespace n
             JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = 'hostel_migrations'
             WHERE n.nspname = ANY (string_to_array($1, ','))",
        )
        .bind(schemas.join(","))
        .fetch_all(&self.platform)
        .await?;
        let mut ledgers: HashMap<_, _> =
            there.into_iter().map(|schema| (schema, Vec::new())).collect();
        let each = ledgers.keys().map(|schema| {
            format!(
                "SELECT '{schema}' AS unit, module, id, encode(checksum, 'hex') AS checksum,
                        (extract(epoch FROM applied_at) * 1000000)::bigint AS applied_at
                 FROM {schema}.hostel_migrations"
            )
        });
        let statement = each.collect::<Vec<_>>().join(" UNION ALL ");
        if statement.is_empty() {
            return Ok(ledgers);
        }
        for row in sqlx::raw_sql(AssertSqlSafe(statement)).fetch_all(&self.platform).await? {
            let (unit, checksum): (String, String) = (row.try_get(0)?, row.try_get(3)?);
            let checksum = HEXLOWER.decode(checksum.as_bytes());
            let checksum = checksum.map_err(|error| sqlx::Error::Decode(error.into()))?;
            let migration = AppliedMigration { id: row.try_get(2)?, checksum };
            let row = LedgerRow { module: row.try_get(1)?, migration, applied_at: row.try_get(4)? };
            ledgers.entry(unit).or_default().push(row);
        }
        Ok(ledgers)
    }

    /// One message, and so one transaction: a unit is there whole or not at all.
    async fn create(&self, names: &Names) -> Result<(), sqlx::Error> {
        let (schema, runtime, owner) =
            (names.schema(), names.role(Role::Runtime), names.role(Role::Owner));
        let guests = ensure_guests(&self.platform).await?;
        let (runtime_secret, owner_secret) = (self.verifier(&runtime), self.verifier(&owner));
        let attributes = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS";
        let script = format!(
            "CREATE ROLE {runtime} {attributes} PASSWORD '{runtime_secret}' IN ROLE {guests};
             CREATE ROLE {owner} {attributes} PASSWORD '{owner_secret}' IN ROLE {guests};
             CREATE SCHEMA {schema};
             GRANT USAGE ON SCHEMA {schema} TO {runtime};
             GRANT USAGE, CREATE ON SCHEMA {schema} TO {owner};
             CREATE TABLE {schema}.hostel_migrations (
                 module     text COLLATE \"C\" NOT NULL,
                 id         text COLLATE \"C\" NOT NULL,
                 checksum   bytea NOT NULL,
                 applied_at timestamptz NOT NULL DEFAULT now(),
                 PRIMARY KEY (module, id)
             );
             GRANT SELECT, INSERT, DELETE ON {schema}.hostel_migrations TO {owner};
             CREATE TABLE {schema}.hostel_turn ();
             GRANT UPDATE ON {schema}.hostel_turn TO {runtime};
             {}{}",
            super::outbox::script(names),
            self.bounds(names).await?
        );
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&self.platform).await?;
        Ok(())
    }

    /// Bytes that the unit's tables take on the server's disk, with their indexes; none while one of
    /// them is locked by who changes it: that may last, and the platform has few connections.
    pub(super) async fn size(&self, names: &Names) -> Result<Option<u64>> {
        // One message, and so one transaction, in which the setting holds.
        let statement = format!(
            "SET LOCAL lock_timeout = '{SIZE_LOCK_TIMEOUT_MS}ms';
             SELECT coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint
             FROM ({}) d JOIN pg_catalog.pg_class c ON c.oid = d.objid
             WHERE d.classid = 'pg_catalog.pg_class'::regclass AND c.relkind IN ('r', 'm')",
            direct_objects(&names.schema())
        );
        // The first statement gives no row, after which asking for one would end.
        match sqlx::raw_sql(AssertSqlSafe(statement)).fetch_all(&self.platform).await {
            Ok(rows) => {
                let size: i64 = rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
                Ok(Some(size.unsigned_abs()))
            }
            Err(error) if code_of(&error).as_deref() == Some(LOCK_NOT_AVAILABLE) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a unit: its schema, whatever is in it, and its roles.
    pub(super) async fn remove(&self, names: &Names) -> Result<()> {
        // Another process may remove the same: each waits for the other, and fails.
        Ok(retried("removing a unit", |_| true, || self.try_remove(names)).await?)
    }

    async fn try_remove(&self, names: &Names) -> Result<(), sqlx::Error> {
        let (schema, runtime, owner) =
            (names.schema(), names.role(Role::Runtime), names.role(Role::Owner));
        sqlx::query(
            "SELECT pg_catalog.pg_terminate_backend(pid) AS ended
             FROM pg_catalog.pg_stat_activity WHERE usename IN ($1, $2)",
        )
        .bind(&runtime)
        .bind(&owner)
        .execute(&self.platform)
        .await?;
        // A transaction has a lock for each of them, and the server has only so many.
        loop {
            let some: Vec<String> = sqlx::query_scalar(SOME_OBJECTS)
                .bind(&schema)
                .bind(REMOVED_AT_ONCE)
                .fetch_all(&self.platform)
                .await?;
            if some.is_empty() {
                break;
            }
            // One message, and so one transaction. The server itself has quoted the names.
            sqlx::raw_sql(AssertSqlSafe(some.join("; "))).execute(&self.platform).await?;
        }
        let script = format!(
            "DROP SCHEMA IF EXISTS {schema} CASCADE; DROP ROLE IF EXISTS {runtime}, {owner}"
        );
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&self.platform).await?;
        Ok(())
    }

    /// Lets roles connect to this database again, where it took the place of another: what is restored from
    /// a dump has all its schemas, and knows of no grant on the database before it.
    pub(super) async fn let_guests_in(&self) -> Result<()> {
        ensure_guests(&self.platform).await?;
        Ok(())
    }

    /// Gives a role its own password again, after somebody changed it.
    pub(super) async fn reset_password(&self, role: &str) -> Result<()> {
        let statement = format!("ALTER ROLE {role} PASSWORD '{}'", self.verifier(role));
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&self.platform).await?;
        Ok(())
    }
}

/// The role that all units' roles are members of, quoted, and made when it is not there: it may connect
/// to this database, and that is all.
async fn ensure_guests(platform: &PlatformDatabase) -> Result<String, sqlx::Error> {
    // Others may do the same: who comes second is refused.
    retried("letting guests in", is_refusal, || try_ensure_guests(platform)).await
}

async fn try_ensure_guests(platform: &PlatformDatabase) -> Result<String, sqlx::Error> {
    let (database, state) = guests_state(platform).await?;
    let (guests, database) = (quoted(&guests_of(&database)), quoted(&database));
    let let_in = format!("GRANT CONNECT ON DATABASE {database} TO {guests}");
    let script = match state {
        Guests::MayConnect => return Ok(guests),
        // One of another database that had this name: what holds for a database goes with it.
        Guests::ShutOut => let_in,
        // One message, and so one transaction.
        Guests::Absent => format!("CREATE ROLE {guests} NOLOGIN; {let_in}"),
    };
    sqlx::raw_sql(AssertSqlSafe(script)).execute(platform).await?;
    Ok(guests)
}

/// The role that all units' roles are members of.
enum Guests {
    Absent,
    ShutOut,
    MayConnect,
}

/// The database that this is, and what its guests may.
async fn guests_state(platform: &PlatformDatabase) -> Result<(String, Guests), sqlx::Error> {
    let row = sqlx::query(
        "SELECT current_database()::text,
                pg_catalog.has_database_privilege(r.oid, current_database(), 'CONNECT')
         FROM (VALUES (current_database() || $1)) AS wanted (name)
         LEFT JOIN pg_catalog.pg_roles r ON r.rolname = wanted.name",
    );
    let row = row.bind(GUESTS_SUFFIX).fetch_one(platform).await?;
    let state = match row.try_get(1)? {
        None => Guests::Absent,
        Some(false) => Guests::ShutOut,
        Some(true) => Guests::MayConnect,
    };
    Ok((row.try_get(0)?, state))
}

/// The name of the role that all units' roles in `database` are members of.
pub(super) fn guests_of(database: &str) -> String {
    format!("{database}{GUESTS_SUFFIX}")
}

/// Tries something up to [`ATTEMPTS_MAX`] times, as long as it fails in a way in which others may have
/// caused it that are at the same, here or in another process.
async fn retried<T, F: Future<Output = Result<T, sqlx::Error>>>(
    what: &str,
    may_pass: impl Fn(&sqlx::Error) -> bool,
    attempt: impl Fn() -> F,
) -> Result<T, sqlx::Error> {
    for _ in 1..ATTEMPTS_MAX {
        match attempt().await {
            Err(error) if may_pass(&error) => tracing::debug!(%error, "{what}: once more"),
            ended => return ended,
        }
    }
    attempt().await
}

/// Whether the server answered, and said no.
fn is_refusal(error: &sqlx::Error) -> bool {
    code_of(error).is_some()
}

/// One of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn code_of(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(|refusal| refusal.code())
}
