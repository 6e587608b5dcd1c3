//! The superuser's part: what a server must allow the platform, and must not allow its guests.
//!
//! Done once per database, by `hostel db prepare`. PostgreSQL lets everybody connect, make temporary
//! tables, run code in `plpgsql` and take locks that others wait for; guests get none of that.

use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::roles::guests_of;
use crate::database::quoted;
use crate::error::{Error, Result};
use crate::secret::Secret;

/// Functions that reach beyond the rows of a role: settings of the session, locks and messages that
/// others see, time that is slept away, files, large objects, statements in text, and what tells of
/// other sessions and of other tables: how large they are, how much is done with them; where the server
/// is, and since when. As patterns of `LIKE`.
const FUNCTIONS: &[&str] = &[
    "set\\_config",
    "pg\\_advisory%",
    "pg\\_try\\_advisory%",
    "pg\\_sleep%",
    "pg\\_notify",
    "pg\\_logical\\_emit\\_message",
    "pg\\_export\\_snapshot",
    "pg\\_cancel\\_backend",
    "pg\\_terminate\\_backend",
    "pg\\_stat\\_get\\_%",
    "pg\\_lock\\_status",
    "pg\\_blocking\\_pids",
    "pg\\_safe\\_snapshot\\_blocking\\_pids",
    "pg\\_prepared%",
    "pg\\_listening\\_channels",
    "pg\\_notification\\_queue\\_usage",
    "pg\\_database\\_size",
    "pg\\_tablespace\\_size",
    "pg\\_relation\\_size",
    "pg\\_table\\_size",
    "pg\\_indexes\\_size",
    "pg\\_total\\_relation\\_size",
    "pg\\_show\\_all\\_settings",
    "pg\\_current\\_wal%",
    "pg\\_%wal\\_summar%",
    "pg\\_isolation\\_test%",
    "pg\\_control\\_%",
    "pg\\_postmaster\\_start\\_time",
    "pg\\_conf\\_load\\_time",
    "pg\\_get\\_replication\\_slots",
    "inet\\_%\\_addr",
    "inet\\_%\\_port",
    "lo\\_%",
    "loread",
    "lowrite",
    "query\\_to\\_xml%",
    "cursor\\_to\\_xml%",
    "table\\_to\\_xml%",
    "schema\\_to\\_xml%",
    "database\\_to\\_xml%",
    "ts\\_stat",
    "ts\\_rewrite",
];

/// Views of the catalogue that tell of other roles' sessions, work and settings. As patterns, too.
const VIEWS: &[&str] = &[
    "pg\\_stat\\_%",
    "pg\\_statio\\_%",
    "pg\\_locks",
    "pg\\_prepared\\_xacts",
    "pg\\_settings",
    "pg\\_roles",
    "pg\\_user",
    "pg\\_group",
    "pg\\_seclabels",
    "pg\\_replication\\_%",
];

/// What else everybody has in a new database: a place for tables, and what runs code.
const SCHEMAS: &[&str] = &["public"];
const LANGUAGES: &[&str] = &["plpgsql", "sql"];

const UNBOUNDED: &str = "one statement of a module can take all memory of the server's machine, \
    which ends everybody's: give its processes a limit (docs/postgres.md, \"Memory\")";

/// What a superuser would do, so that it can be read first.
pub struct Preparation {
    server: Vec<String>,
    within: Vec<String>,
    as_superuser: PgConnectOptions,
    name: String,
    may_take_all_memory: bool,
}

impl Preparation {
    /// Finds out what a server needs for the platform's `url`.
    ///
    /// # Errors
    /// When an address makes no sense, the server does not let the superuser in, or it is none.
    pub async fn plan(superuser: &Secret, url: &Secret) -> Result<Self> {
        let platform = address(url, "`database.url`")?;
        let as_superuser = address(superuser, "the superuser's address")?;
        let name = platform.get_database().unwrap_or(platform.get_username()).to_owned();
        let mut connection = connect(&as_superuser).await?;
        let known = sqlx::query(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1),
                    EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $2),
                    (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)",
        )
        .bind(platform.get_username())
        .bind(&name)
        .fetch_one(&mut connection)
        .await?;
        if !known.try_get::<bool, _>(2)? {
            return Err(Error::invalid("a database is prepared by a superuser, and this is none"));
        }
        let (role, database) = (quoted(platform.get_username()), quoted(&name));
        let mut server = Vec::new();
        if !known.try_get::<bool, _>(0)? {
            server.push(format!("CREATE ROLE {role} LOGIN PASSWORD '{}'", verifier(url)?));
        }
        server.push(format!("ALTER ROLE {role} CREATEROLE"));
        server.push(format!("GRANT pg_signal_backend, pg_read_all_stats TO {role}"));
        server.extend(of_whole_server(format!("GRANT SET ON PARAMETER temp_file_limit TO {role}")));
        if !known.try_get::<bool, _>(1)? {
            server.push(format!("CREATE DATABASE {database} OWNER {role}"));
        }
        let lost = lost(&mut connection, platform.get_username(), &name).await?;
        if !lost.is_empty() {
            let grant = format!("GRANT {lost} TO {role} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE");
            server.push(grant);
        }
        let taken = taken(&mut connection).await?;
        let may_take_all_memory = may_take_all_memory(&mut connection).await;
        connection.close().await?;
        let within = within_database(&role, &database, &taken);
        Ok(Self { server, within, as_superuser, name, may_take_all_memory })
    }

    /// What the server lacks that no statement gives it, for people.
    pub fn warning(&self) -> Option<&'static str> {
        self.may_take_all_memory.then_some(UNBOUNDED)
    }

    /// The statements, in their order. Passwords are in none of them, only what checks one.
    pub fn statements(&self) -> impl Iterator<Item = &str> {
        self.server.iter().chain(&self.within).map(String::as_str)
    }

    /// What the database of `url` leaves open to everybody, and so to modules, that preparing it closes.
    /// No superuser is needed.
    ///
    /// # Errors
    /// When the address makes no sense, or the server does not answer.
    pub async fn left_open(url: &Secret) -> Result<Vec<String>> {
        let connecting = connect(&address(url, "`database.url`")?).await;
        let mut connection = connecting.map_err(|error| {
            error.hint("`hostel db prepare` makes the role and the database where they are missing")
        })?;
        let taken = taken(&mut connection).await?;
        connection.close().await?;
        let open = taken.into_iter().filter(|it| it.is_open);
        Ok(open.map(|it| format!("{} {}", it.kind, it.name)).collect())
    }

    /// Does it. What was done before may be done again.
    ///
    /// # Errors
    /// The server's.
    pub async fn apply(&self) -> Result<()> {
        let target = self.as_superuser.clone().database(&self.name);
        for (options, statements) in [(&self.as_superuser, &self.server), (&target, &self.within)] {
            let mut connection = connect(options).await?;
            for statement in statements {
                let saying = connection.execute(sqlx::raw_sql(AssertSqlSafe(statement.clone())));
                saying.await.map_err(refused)?;
            }
            connection.close().await?;
        }
        Ok(())
    }
}

/// The roles of units that the platform's own may not change: from PostgreSQL 16 on, who makes a role may
/// change it, and an upgrade from 15 tells nobody who made those that there are. None but those, whomever
/// somebody else has made a guest.
async fn lost(connection: &mut PgConnection, platform: &str, database: &str) -> Result<String> {
    let lost = sqlx::query_scalar(
        "SELECT coalesce(string_agg(pg_catalog.quote_ident(r.rolname), ', ' ORDER BY r.rolname), '')
         FROM pg_catalog.pg_roles r
         LEFT JOIN pg_catalog.pg_roles p ON p.rolname = $1
         LEFT JOIN pg_catalog.pg_roles g ON g.rolname = $2
         WHERE pg_catalog.current_setting('server_version_num')::int >= 160000
           AND NOT r.rolsuper
           AND (r.oid = g.oid OR r.rolname ~ '^[to]_[0-9a-f]{32}(_|$)'
                AND EXISTS (SELECT FROM pg_catalog.pg_auth_members m
                            WHERE m.roleid = g.oid AND m.member = r.oid))
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m
                           WHERE m.roleid = r.oid AND m.member = p.oid AND m.admin_option)",
    );
    Ok(lost.bind(platform).bind(guests_of(database)).fetch_one(connection).await?)
}

/// Something that is taken from everybody.
#[derive(sqlx::FromRow)]
struct Taken {
    /// What it is, as `GRANT` says that, in small letters.
    kind: String,
    /// As it is written in a statement; functions with the types of their arguments.
    name: String,
    /// Whether everybody has it.
    is_open: bool,
}

/// What there is on this server, and in this database, of what is taken from everybody.
async fn taken(connection: &mut PgConnection) -> Result<Vec<Taken>> {
    let taken = sqlx::query_as(
        "SELECT 'database' AS kind, pg_catalog.quote_ident(d.datname) AS name,
                has_database_privilege('public', d.oid, 'CONNECT, TEMPORARY') AS is_open
         FROM pg_catalog.pg_database d WHERE d.datname = current_database()
         UNION ALL
         SELECT 'schema', n.nspname, has_schema_privilege('public', n.oid, 'USAGE, CREATE')
         FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY ($3)
         UNION ALL
         SELECT 'language', l.lanname, has_language_privilege('public', l.oid, 'USAGE')
         FROM pg_catalog.pg_language l WHERE l.lanname = ANY ($4)
         UNION ALL
         SELECT 'function', p.oid::regprocedure::text, has_function_privilege('public', p.oid, 'EXECUTE')
         FROM pg_catalog.pg_proc p
         WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname LIKE ANY ($1)
         UNION ALL
         SELECT 'view', 'pg_catalog.' || c.relname, has_table_privilege('public', c.oid, 'SELECT')
         FROM pg_catalog.pg_class c
         WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'v'
           AND c.relname LIKE ANY ($2)
         ORDER BY 1, 2",
    );
    let taken = taken.bind(FUNCTIONS).bind(VIEWS).bind(SCHEMAS).bind(LANGUAGES);
    Ok(taken.fetch_all(connection).await?)
}

/// Whether a process of the server's may have as much memory as it asks for. No, where the server does
/// not run on Linux or does not tell.
async fn may_take_all_memory(connection: &mut PgConnection) -> bool {
    let files = "SELECT pg_catalog.pg_read_file('/proc/self/limits'),
                        pg_catalog.pg_read_file('/proc/sys/vm/overcommit_memory')";
    match sqlx::query_as::<_, (String, String)>(files).fetch_one(connection).await {
        Ok((limits, overcommit)) => is_unbounded(&limits, &overcommit),
        Err(_) => false,
    }
}

/// By what Linux says of a process' limits, and of when it refuses memory to all of them
/// (<https://docs.kernel.org/mm/overcommit-accounting.html>).
fn is_unbounded(limits: &str, overcommit: &str) -> bool {
    let is_unlimited = |name: &str| {
        let limit = limits.lines().find_map(|line| line.strip_prefix(name));
        limit.is_none_or(|limit| limit.trim_start().starts_with("unlimited"))
    };
    is_unlimited("Max data size") && is_unlimited("Max address space") && overcommit.trim() != "2"
}

/// What all databases of a server have in common, which the server has no two prepare at once: the one
/// that comes second is refused there, not kept waiting. A lock on the table that is written is.
fn of_whole_server(grant: String) -> [String; 4] {
    let lock = "LOCK TABLE pg_catalog.pg_parameter_acl IN SHARE ROW EXCLUSIVE MODE";
    ["BEGIN".to_owned(), lock.to_owned(), grant, "COMMIT".to_owned()]
}

fn within_database(role: &str, database: &str, taken: &[Taken]) -> Vec<String> {
    let names = |kind: &str| {
        let names = taken.iter().filter(|it| it.kind == kind).map(|it| it.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (functions, views) = (names("function"), names("view"));
    vec![
        format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
        // It passes the right to connect on to its guests.
        format!(
            "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO {role} WITH GRANT OPTION"
        ),
        format!("REVOKE ALL ON SCHEMA {} FROM PUBLIC", SCHEMAS.join(", ")),
        format!("REVOKE ALL ON LANGUAGE {} FROM PUBLIC", LANGUAGES.join(", ")),
        format!("REVOKE EXECUTE ON FUNCTION {functions} FROM PUBLIC"),
        format!("GRANT EXECUTE ON FUNCTION {functions} TO {role}, pg_monitor"),
        format!("REVOKE ALL ON {views} FROM PUBLIC"),
        format!("GRANT SELECT ON {views} TO {role}, pg_monitor"),
    ]
}

fn address(url: &Secret, what: &str) -> Result<PgConnectOptions> {
    PgConnectOptions::from_str(url.expose()).map_err(|_| {
        Error::invalid(format!("{what} is no address of a PostgreSQL database"))
            .hint("it looks like postgres://user:password@host/name")
    })
}

/// What the server keeps to check the password in an address.
fn verifier(url: &Secret) -> Result<String> {
    let parsed = url::Url::parse(url.expose());
    let password = parsed.ok().and_then(|url| {
        let password = url.password()?;
        percent_encoding::percent_decode_str(password).decode_utf8().ok().map(String::from)
    });
    let password = password.ok_or_else(|| {
        Error::invalid("`database.url` names a role that does not exist, and no password for it")
    })?;
    Ok(postgres_protocol::password::scram_sha_256(password.as_bytes()))
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    options.clone().disable_statement_logging().connect().await.map_err(refused)
}

fn refused(error: sqlx::Error) -> Error {
    match error.as_database_error() {
        Some(refusal) => Error::invalid(format!("PostgreSQL refuses: {}", refusal.message())),
        None => Error::invalid(format!("PostgreSQL does not answer: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_either_kind_bounds_what_a_process_takes() {
        let limits = |data: &str, space: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units\n\
                 Max data size             {data:<20} unlimited            bytes\n\
                 Max address space         {space:<20} unlimited            bytes\n"
            )
        };
        assert!(is_unbounded(&limits("unlimited", "unlimited"), "0\n"));
        assert!(!is_unbounded(&limits("1073741824", "unlimited"), "0\n"));
        assert!(!is_unbounded(&limits("unlimited", "8589934592"), "1\n"));
        assert!(!is_unbounded(&limits("unlimited", "unlimited"), "2\n"));
    }
}
