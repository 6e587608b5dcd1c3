//! Migrations as attacks: a module that changes its tables can do no harm to another tenant, to the
//! platform or to another module's ledger.
//!
//! A module with all attacks as its migrations is called until none is left: one that is refused is
//! written down as applied by the test, so that the next one has its turn. A file of SQLite is looked
//! into by the test itself, PostgreSQL as its superuser.

use hostel::Clock;
use hostel_tests::{Client, TestPlatform, hostile_with_migrations, superuser};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::postgres::as_superuser;

/// What became of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    Applied,
}

use Outcome::{Applied, Refused};

/// What becomes of each on SQLite.
const ON_SQLITE: &[(Outcome, &str)] = &[
    // Other files, settings and code.
    (Refused, "ATTACH 'planted.db' AS a"),
    (Refused, "ATTACH ':memory:' AS a"),
    (Refused, "ATTACH 'file:planted.db?mode=rwc' AS a"),
    (Refused, "DETACH main"),
    (Refused, "PRAGMA user_version = 1"),
    (Refused, "PRAGMA writable_schema = 1"),
    (Refused, "PRAGMA page_size = 65536"),
    (Refused, "PRAGMA journal_mode = DELETE"),
    (Refused, "PRAGMA foreign_keys = 0"),
    (Refused, "PRAGMA max_page_count = 1000000"),
    (Refused, "PRAGMA hard_heap_limit = 1"),
    (Refused, "PRAGMA trusted_schema = 1"),
    (Refused, "PRAGMA temp_store_directory = '/tmp'"),
    (Refused, "PRAGMA wal_checkpoint"),
    (Refused, "SELECT * FROM pragma_database_list"),
    (Refused, "SELECT * FROM pragma_table_info('things')"),
    (Refused, "VACUUM"),
    (Refused, "VACUUM INTO 'planted.db'"),
    (Refused, "SELECT load_extension('x')"),
    (Refused, "CREATE TABLE a1 AS SELECT readfile('/etc/passwd')"),
    (Refused, "CREATE TABLE a2 AS SELECT writefile('planted', 'x')"),
    // Tables that are made up on the spot, and temporary ones.
    (Refused, "CREATE VIRTUAL TABLE planted USING fts5(a)"),
    (Refused, "CREATE VIRTUAL TABLE planted USING fts3(a, tokenize=simple)"),
    (Refused, "CREATE VIRTUAL TABLE planted USING rtree(a, b, c)"),
    (Refused, "CREATE VIRTUAL TABLE planted USING dbstat"),
    (Refused, "CREATE VIRTUAL TABLE temp.planted USING rtree(a, b, c)"),
    (Refused, "CREATE TABLE a3 AS SELECT * FROM dbstat"),
    (Refused, "CREATE TABLE a4 AS SELECT * FROM sqlite_dbpage"),
    (Refused, "CREATE TABLE a5 AS SELECT * FROM bytecode('SELECT 1')"),
    (Refused, "CREATE TEMP TABLE things (a)"),
    (Refused, "CREATE TEMP VIEW things AS SELECT 1"),
    (Refused, "CREATE TEMP TRIGGER t AFTER INSERT ON things BEGIN SELECT 1; END"),
    (Refused, "CREATE TABLE temp.planted (a)"),
    // The transaction around it.
    (Refused, "COMMIT"),
    (Refused, "COMMIT; BEGIN"),
    (Refused, "CREATE TABLE a6 (a); COMMIT; BEGIN"),
    (Refused, "ROLLBACK"),
    (Refused, "ROLLBACK; BEGIN"),
    (Refused, "END"),
    (Refused, "SAVEPOINT a"),
    (Refused, "RELEASE a"),
    (Refused, "ROLLBACK TO a"),
    // The ledger, and names that are the host's.
    (Refused, "DELETE FROM hostel_migrations"),
    (Refused, "UPDATE hostel_migrations SET checksum = x'00'"),
    (
        Refused,
        "INSERT INTO hostel_migrations (module, id, checksum) VALUES ('probe', '0009_forged', x'00')",
    ),
    (
        Refused,
        r#"INSERT INTO "hostel_migrations" (module, id, checksum) VALUES ('probe', '0009_forged', x'00')"#,
    ),
    (
        Refused,
        "INSERT INTO main.[HOSTEL_MIGRATIONS] (module, id, checksum) VALUES ('probe', '0009_forged', x'00')",
    ),
    (
        Refused,
        "REPLACE INTO hostel_migrations (module, id, checksum) VALUES ('probe', '0001_things', x'00')",
    ),
    (Refused, "CREATE TABLE a7 AS SELECT * FROM hostel_migrations"),
    (Refused, "DROP TABLE hostel_migrations"),
    (Applied, "DROP TABLE IF EXISTS hostel_turn"),
    (Refused, "DROP INDEX sqlite_autoindex_hostel_migrations_1"),
    (Refused, "ALTER TABLE hostel_migrations RENAME TO planted"),
    (Refused, "ALTER TABLE hostel_migrations ADD COLUMN planted"),
    (Refused, "CREATE INDEX a8 ON hostel_migrations (id)"),
    (Refused, "CREATE TRIGGER a9 AFTER INSERT ON hostel_migrations BEGIN DELETE FROM things; END"),
    (Refused, "CREATE TRIGGER hostel_t AFTER INSERT ON things BEGIN SELECT 1; END"),
    (Refused, "CREATE TABLE hostel_outbox (a)"),
    (Refused, "CREATE VIEW hostel_outbox AS SELECT 1"),
    (Refused, "CREATE INDEX hostel_i ON things (amount)"),
    (Refused, "CREATE TABLE a10 (a); ALTER TABLE a10 RENAME TO hostel_outbox"),
    (Refused, "ALTER TABLE things RENAME TO hostel_things"),
    (Applied, "CREATE VIEW a11 AS SELECT * FROM hostel_migrations"),
    (Refused, "INSERT INTO a11 VALUES (1)"),
    (
        Applied,
        "CREATE TRIGGER a12 INSTEAD OF INSERT ON a11 BEGIN DELETE FROM hostel_migrations; END",
    ),
    (
        Applied,
        "CREATE TABLE a13 (a); CREATE TRIGGER a14 AFTER INSERT ON a13 BEGIN INSERT INTO hostel_migrations (module, id, checksum) VALUES ('probe', '0009_forged', x'00'); END",
    ),
    (Refused, "INSERT INTO a13 VALUES (1)"),
    (
        Refused,
        "CREATE TABLE a15 (a, b, FOREIGN KEY (a, b) REFERENCES hostel_migrations ON DELETE CASCADE)",
    ),
    (
        Refused,
        "CREATE TABLE a16 (a REFERENCES hostel_migrations (applied_at) DEFERRABLE INITIALLY DEFERRED)",
    ),
    // The schema itself, and what plans are made of.
    (Refused, "UPDATE sqlite_master SET sql = ''"),
    (
        Refused,
        "UPDATE sqlite_schema SET sql = replace(sql, 'a', 'b') WHERE name = 'hostel_migrations'",
    ),
    (
        Refused,
        "INSERT INTO sqlite_schema VALUES ('table', 'planted', 'planted', 2, 'CREATE TABLE planted (a)')",
    ),
    (Refused, "DELETE FROM sqlite_schema"),
    (Applied, "CREATE TABLE a17 AS SELECT * FROM sqlite_schema"),
    (
        Refused,
        "CREATE TABLE a18 (a INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO sqlite_sequence VALUES ('a18', 7)",
    ),
    (Refused, "ANALYZE"),
    (Refused, "ANALYZE things"),
    (Refused, "CREATE TABLE sqlite_stat1 (tbl, idx, stat)"),
    (Refused, "INSERT INTO sqlite_stat1 VALUES ('things', NULL, '1')"),
    (Refused, "CREATE TABLE sqlite_planted (a)"),
    (Refused, "REINDEX"),
    // Trojans: what they say is looked at when they are used, by whoever uses them.
    (Refused, "CREATE TABLE a19 (a, b AS (load_extension('x')))"),
    (Refused, "CREATE TABLE a20 (a, b AS (hex(randomblob(8))))"),
    (Refused, "CREATE INDEX a21 ON things (load_extension(name))"),
    (Applied, "CREATE TABLE a22 (a DEFAULT (load_extension('x')))"),
    (Refused, "CREATE TABLE a23 (a CHECK (fts3_tokenizer(a) = 1))"),
    (Applied, "CREATE VIEW a24 AS SELECT load_extension('x')"),
    (Applied, "CREATE VIEW a25 AS SELECT * FROM pragma_database_list"),
    (Applied, "CREATE VIEW a26 AS SELECT * FROM dbstat"),
    (Refused, "SELECT * FROM a26"),
    (Refused, "CREATE TABLE pragma_table_info (a)"),
    (Refused, "CREATE VIEW pragma_table_info AS SELECT 1"),
    (Refused, "CREATE TABLE dbstat (a)"),
    (
        Applied,
        "CREATE TABLE json_each (a); CREATE TABLE tenants (a); CREATE VIEW lower AS SELECT 1",
    ),
    (Refused, "CREATE TABLE a27 (a text COLLATE planted)"),
    // What an ordinary module does.
    (Applied, "DROP VIEW a11"),
    (Applied, "EXPLAIN SELECT 1"),
    // SQLite renames nothing where a view reads what it may not.
    (Refused, "ALTER TABLE things RENAME COLUMN price TO cost"),
    (Applied, "DROP VIEW a25; DROP VIEW a26"),
    (Applied, "ALTER TABLE things RENAME COLUMN price TO cost"),
    (Applied, "ALTER TABLE things RENAME COLUMN cost TO price"),
    (Applied, "ALTER TABLE things ADD COLUMN more text"),
    (Applied, "ALTER TABLE things DROP COLUMN more"),
    (Applied, "CREATE TABLE a28 (a); CREATE INDEX a28_i ON a28 (a); ALTER TABLE a28 RENAME TO a29"),
    // What renames and drops, said by others than `ALTER TABLE`.
    (
        Refused,
        "SELECT sqlite_rename_table('main', 'table', 'a29', 'CREATE TABLE a29 (a)', 'a29', 'a30', 0)",
    ),
    (
        Refused,
        "SELECT sqlite_rename_column('CREATE TABLE a29 (a)', 'table', 'a29', 'main', 'a29', 0, 'b', 0, 0)",
    ),
    (Refused, "SELECT sqlite_rename_quotefix('main', 'CREATE TABLE a29 (a)')"),
    (
        Refused,
        "SELECT sqlite_rename_test('main', 'CREATE TABLE a29 (a)', 'table', 'a29', 0, '', 0)",
    ),
    (Refused, "SELECT sqlite_drop_column(0, 'CREATE TABLE a29 (a, b)', 1)"),
    (Refused, "CREATE TABLE a31 AS SELECT sqlite_rename_quotefix('main', 'CREATE TABLE a29 (a)')"),
    (Refused, "CREATE TABLE a32 (a CHECK (sqlite_rename_quotefix('main', a) = ''))"),
    (Refused, "CREATE INDEX a33 ON a29 (sqlite_rename_quotefix('main', a))"),
    (Applied, "CREATE VIEW a34 AS SELECT sqlite_rename_quotefix('main', 'CREATE TABLE a29 (a)')"),
    (Refused, "SELECT * FROM a34"),
    (Applied, "DROP VIEW a34"),
    // Names that could not be given by making.
    (Refused, "ALTER TABLE a29 RENAME TO sqlite_planted"),
    (Refused, "ALTER TABLE a29 RENAME TO pragma_table_info"),
    (Refused, "ALTER TABLE a29 RENAME TO dbstat"),
    (Refused, "ALTER TABLE a29 RENAME TO HOSTEL_planted"),
    (Refused, "ALTER TABLE hostel_migrations RENAME COLUMN id TO planted"),
    (Refused, "ALTER TABLE hostel_migrations DROP COLUMN applied_at"),
    (Refused, "ALTER TABLE sqlite_sequence RENAME TO planted"),
];

/// What becomes of each on PostgreSQL.
const ON_POSTGRES: &[(Outcome, &str)] = &[
    // Another tenant's rows, the platform's, and places that are not its own.
    (Refused, "SELECT * FROM {other}.things"),
    (Refused, "CREATE TABLE x1 AS SELECT * FROM {other}.things"),
    (Refused, "CREATE VIEW v1 AS SELECT * FROM {other}.things"),
    (Refused, "CREATE MATERIALIZED VIEW mv1 AS SELECT * FROM {other}.things"),
    (Refused, "CREATE VIEW v2 AS SELECT * FROM hostel.tenants"),
    (Refused, "CREATE TABLE x2 AS SELECT * FROM hostel.tenant_secrets"),
    (Refused, "CREATE TABLE {other}.planted (a int)"),
    (Refused, "CREATE TABLE hostel.planted (a int)"),
    (Refused, "CREATE TABLE public.planted (a int)"),
    (Refused, "CREATE TABLE pg_temp.planted (a int)"),
    (Refused, "CREATE TABLE x3 (LIKE {other}.things)"),
    (Refused, "CREATE TABLE x4 (a uuid REFERENCES {other}.things)"),
    (Refused, "CREATE TABLE x5 () INHERITS ({other}.things)"),
    (Refused, "ALTER TABLE {other}.things ADD COLUMN planted int"),
    (Refused, "DROP TABLE {other}.things"),
    (Refused, "TRUNCATE {other}.things"),
    (Refused, "ALTER TABLE things SET SCHEMA {other}"),
    (Refused, "ALTER TABLE things SET SCHEMA public"),
    (Refused, "ALTER TABLE things OWNER TO o_{id}"),
    (Refused, "ALTER TABLE things OWNER TO postgres"),
    (Refused, "CREATE INDEX i1 ON {other}.things (amount)"),
    (
        Applied,
        "CREATE TABLE x6 ({own} oid); INSERT INTO x6 SELECT oid FROM pg_catalog.pg_class WHERE relname = 'things'",
    ),
    (Refused, "CREATE TABLE x7 (a text DEFAULT (SELECT name FROM {other}.things))"),
    (Refused, "COMMENT ON TABLE {other}.things IS 'x'"),
    (Refused, "COMMENT ON ROLE t_{id} IS 'x'"),
    (Refused, "COMMENT ON DATABASE postgres IS 'x'"),
    (Refused, "COMMENT ON SCHEMA {own} IS 'x'"),
    (Applied, "COMMENT ON TABLE things IS 'mine'"),
    // Sessions, roles and rights.
    (Refused, "SET ROLE postgres"),
    (Refused, "SET SESSION AUTHORIZATION postgres"),
    (Refused, "RESET ROLE"),
    (Refused, "RESET SESSION AUTHORIZATION"),
    (Refused, "SET search_path = {other}"),
    (Refused, "SET LOCAL statement_timeout = 0"),
    (Refused, "ALTER ROLE CURRENT_USER PASSWORD 'mine'"),
    (Refused, "ALTER ROLE CURRENT_USER SET search_path = {other}"),
    (Refused, "ALTER USER CURRENT_USER CONNECTION LIMIT 1000"),
    (Refused, "ALTER ROLE o_{id} PASSWORD 'mine'"),
    (Refused, "ALTER/* */ROLE CURRENT_USER PASSWORD 'mine'"),
    (Refused, "ALTER /* /* */ TABLE things */ ROLE CURRENT_USER PASSWORD 'mine'"),
    (Refused, "GRANT SELECT ON things TO PUBLIC"),
    (Refused, "GRANT ALL ON things TO o_{id}"),
    (Refused, "REVOKE ALL ON things FROM PUBLIC"),
    (Refused, "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC"),
    (Refused, "CREATE SCHEMA planted"),
    (Refused, "CREATE SCHEMA AUTHORIZATION CURRENT_USER"),
    (Refused, "DROP SCHEMA {own} CASCADE"),
    (Refused, "ALTER SCHEMA {own} RENAME TO planted"),
    (Refused, "ALTER SCHEMA {own} OWNER TO CURRENT_USER"),
    // Code, and what runs it.
    (Refused, "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    (Refused, "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END"),
    (Refused, "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'"),
    (Refused, "CREATE FUNCTION f() RETURNS int LANGUAGE internal AS 'int4pl'"),
    (Refused, "CREATE FUNCTION f() RETURNS trigger LANGUAGE c AS '/tmp/x.so', 'f'"),
    (Refused, "CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'"),
    (
        Refused,
        "CREATE TRIGGER t BEFORE INSERT ON things EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ),
    (
        Refused,
        r#"CREATE CONSTRAINT TRIGGER t AFTER INSERT ON things DEFERRABLE FOR EACH ROW EXECUTE FUNCTION "RI_FKey_check_ins"()"#,
    ),
    (Refused, "CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)"),
    (Refused, "CREATE CAST (text AS int) WITH INOUT AS IMPLICIT"),
    (Refused, "CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int)"),
    (Refused, r#"CREATE COLLATION planted FROM "C""#),
    (Refused, "CREATE CONVERSION planted FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1"),
    (
        Refused,
        "CREATE TEXT SEARCH DICTIONARY planted (TEMPLATE = simple, STOPWORDS = '../../../etc/passwd')",
    ),
    (Refused, r#"CREATE TEXT SEARCH CONFIGURATION planted (PARSER = "default")"#),
    (Refused, "CREATE STATISTICS planted ON name, amount FROM things"),
    // What belongs to the whole server.
    (Refused, "CREATE FOREIGN DATA WRAPPER planted"),
    (Refused, "CREATE SERVER planted FOREIGN DATA WRAPPER dblink_fdw"),
    (Refused, "CREATE FOREIGN TABLE planted (a int) SERVER planted"),
    (Refused, "CREATE USER MAPPING FOR CURRENT_USER SERVER planted"),
    (Refused, "CREATE PUBLICATION planted FOR ALL TABLES"),
    (Refused, "CREATE SUBSCRIPTION planted CONNECTION 'host=127.0.0.1' PUBLICATION p"),
    (Refused, "CREATE EVENT TRIGGER planted ON ddl_command_start EXECUTE FUNCTION f()"),
    (Refused, "CREATE TABLESPACE planted LOCATION '/tmp'"),
    (Refused, "CREATE DATABASE planted"),
    (Refused, "CREATE ROLE planted SUPERUSER"),
    (Refused, "CREATE LANGUAGE plperl"),
    (Refused, "CREATE EXTENSION dblink"),
    (Refused, "CREATE ACCESS METHOD planted TYPE TABLE HANDLER heap_tableam_handler"),
    (Refused, "CREATE RULE planted AS ON SELECT TO things DO INSTEAD SELECT * FROM hostel.tenants"),
    (Refused, "CREATE POLICY planted ON things TO o_{id} USING (true)"),
    (Refused, "CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION f(internal))"),
    (Refused, "CREATE TYPE planted (INPUT = textin, OUTPUT = textout)"),
    (Refused, "CREATE TABLE planted (a int) TABLESPACE pg_global"),
    (Refused, "ALTER TABLE things SET TABLESPACE pg_global"),
    (Refused, "ALTER SYSTEM SET log_statement = 'all'"),
    (Refused, "ALTER DATABASE postgres SET search_path = {other}"),
    (Refused, "SECURITY LABEL ON TABLE things IS 'x'"),
    (Refused, "DO $$ BEGIN PERFORM 1; END $$"),
    (Refused, "CALL p()"),
    // Files, other sessions and statements in texts, wherever a function may be called.
    (Refused, "COPY things TO PROGRAM 'id'"),
    (Refused, "COPY things FROM '/etc/passwd'"),
    (Refused, "CREATE TABLE x8 AS SELECT pg_read_file('/etc/passwd')"),
    (
        Refused,
        "CREATE TABLE x9 (a text DEFAULT pg_read_file('/etc/passwd')); INSERT INTO x9 DEFAULT VALUES",
    ),
    (Refused, "CREATE TABLE x10 (a text GENERATED ALWAYS AS (pg_read_file('/etc/passwd')) STORED)"),
    (
        Refused,
        "CREATE TABLE x11 (a oid DEFAULT lo_import('/etc/passwd')); INSERT INTO x11 DEFAULT VALUES",
    ),
    (Refused, "CREATE INDEX x12 ON things ((query_to_xml('SELECT 1', true, true, '')::text))"),
    (
        Refused,
        "CREATE TABLE x13 AS SELECT query_to_xml('SELECT * FROM {other}.things', true, true, '')::text",
    ),
    (
        Applied,
        "CREATE VIEW x14 AS SELECT query_to_xml('SELECT * FROM hostel.tenants', true, true, '')::text AS a",
    ),
    (
        Refused,
        "CREATE DOMAIN x15 AS text CHECK (VALUE <> pg_read_file('/etc/passwd')); SELECT 'a'::x15",
    ),
    (Refused, "CREATE TABLE x16 AS SELECT dblink('host=127.0.0.1', 'SELECT 1')"),
    (Refused, "CREATE TABLE x17 AS SELECT pg_sleep(1)"),
    (Refused, "CREATE TABLE x18 AS SELECT pg_terminate_backend(1)"),
    (Refused, "CREATE TABLE x19 AS SELECT set_config('role', 'postgres', false)"),
    (Refused, "CREATE TABLE x20 AS SELECT set_config('search_path', '{other}', true)"),
    (Refused, "CREATE TABLE x21 AS SELECT pg_advisory_lock(1)"),
    (Refused, "CREATE TABLE x22 AS SELECT pg_notify('hostel_changes', '')"),
    (Refused, "LISTEN hostel_changes"),
    (Refused, "NOTIFY hostel_changes"),
    (Refused, "LOCK TABLE things IN ACCESS EXCLUSIVE MODE"),
    // The transaction around it, in whatever spelling.
    (Refused, "COMMIT"),
    (Refused, "COMMIT; BEGIN"),
    (Refused, "CREATE TABLE x23 (a int); COMMIT; BEGIN; CREATE TABLE x24 (a int)"),
    (Refused, "ROLLBACK; BEGIN"),
    (Refused, "SAVEPOINT a"),
    (Refused, "PREPARE TRANSACTION 'planted'"),
    (Refused, "COMMIT PREPARED 'planted'"),
    (Refused, "PREPARE planted AS SELECT 1"),
    (Refused, "DECLARE planted CURSOR WITH HOLD FOR SELECT 1"),
    (Refused, "DISCARD ALL"),
    (Refused, "CREATE TEMP TABLE things (a int)"),
    (Refused, "CREATE TEMPORARY VIEW things AS SELECT 1"),
    (Refused, "SELECT 1 AS a INTO TEMP things"),
    (Refused, r#"CREATE TABLE U&"\0070lanted" (a int); U&"\0043OMMIT""#),
    (Applied, r#"CREATE TABLE "a;b" (a int)"#),
    (Applied, r"CREATE TABLE x25 (a text DEFAULT E'\';COMMIT;--')"),
    (Applied, "CREATE TABLE x26 (a text DEFAULT $x$ ;COMMIT; $x$)"),
    (Applied, r#"SELECT $a$;$a$ AS "x;COMMIT""#),
    (Applied, r"SELECT U&'\0027; COMMIT; --' AS a"),
    (Applied, "SELECT 1 /* ; COMMIT; */"),
    (Applied, "SELECT $é$;COMMIT;$é$ AS a"),
    // The ledger, and names that are the host's.
    (
        Refused,
        r"INSERT INTO hostel_migrations (module, id, checksum) VALUES ('probe', '0009_forged', '\x00')",
    ),
    (Refused, "CREATE VIEW x27 AS SELECT * FROM hostel_migrations"),
    (Refused, r"INSERT INTO x27 (module, id, checksum) VALUES ('probe', '0010_forged', '\x00')"),
    (Refused, r#"CREATE VIEW x27b AS SELECT * FROM U&"hostel\005fmigrations""#),
    (Refused, r"INSERT INTO x27b (module, id, checksum) VALUES ('probe', '0010_forged', '\x00')"),
    (Refused, r"UPDATE hostel_migrations SET checksum = '\x00'"),
    (Refused, "DELETE FROM hostel_migrations"),
    (Refused, "TRUNCATE hostel_migrations"),
    (Refused, "DROP TABLE hostel_migrations"),
    (Refused, "ALTER TABLE hostel_migrations RENAME TO planted"),
    (Refused, "CREATE INDEX x28 ON hostel_migrations (id)"),
    (
        Refused,
        "CREATE TABLE x29 (module text, id text, FOREIGN KEY (module, id) REFERENCES hostel_migrations)",
    ),
    (Refused, "CREATE TABLE x30 () INHERITS (hostel_migrations)"),
    (Refused, "DROP TABLE hostel_turn"),
    (Refused, "UPDATE hostel_turn SET ctid = NULL"),
    (Refused, "CREATE VIEW x31 AS SELECT * FROM hostel_turn"),
    (Refused, "CREATE TABLE hostel_outbox (a int)"),
    (Refused, r#"CREATE VIEW "hostel_outbox" AS SELECT 1 AS a"#),
    (Refused, "ALTER TABLE things RENAME TO hostel_outbox"),
    (Refused, "CREATE INDEX hostel_i ON things (amount)"),
    (Refused, "CREATE SEQUENCE hostel_s"),
    (Refused, "CREATE MATERIALIZED VIEW hostel_m AS SELECT 1 AS a"),
    (Refused, "CREATE TYPE hostel_t AS ENUM ('a')"),
    (Refused, "CREATE TYPE hostel_t AS (a int)"),
    (Refused, "CREATE TYPE x31a AS (a int); ALTER TYPE x31a RENAME TO hostel_t"),
    (Refused, "CREATE TYPE x31b AS RANGE (subtype = int4, multirange_type_name = hostel_t)"),
    (Refused, "CREATE DOMAIN hostel_d AS int"),
    (Refused, "CREATE TABLE x31c (a int CONSTRAINT hostel_i PRIMARY KEY)"),
    (Refused, "CREATE TABLE x31d (a int GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME hostel_s))"),
    // What needs more than its role has, and what it must not see.
    (Refused, "REASSIGN OWNED BY CURRENT_USER TO o_{id}"),
    (Refused, "DROP OWNED BY CURRENT_USER"),
    (Refused, "VACUUM"),
    (Refused, "ANALYZE things"),
    (Refused, "REINDEX TABLE things"),
    (Refused, "CLUSTER"),
    (Refused, "CHECKPOINT"),
    (Refused, "EXPLAIN ANALYZE SELECT 1"),
    (Refused, "SHOW ALL"),
    (Refused, "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO {own}"),
    (Refused, "LOAD 'plpgsql'"),
    (Refused, "CREATE TABLE x32 AS SELECT * FROM pg_stat_activity"),
    (Refused, "CREATE TABLE x33 AS SELECT * FROM pg_authid"),
    (Refused, "CREATE TABLE x34 AS SELECT * FROM pg_largeobject"),
    (Applied, "CREATE VIEW x35 AS SELECT * FROM pg_stat_activity"),
    (Refused, "CREATE TABLE x36 AS SELECT currtid2('{other}.things', '(0,1)')"),
    (Refused, "CREATE TABLE x37 AS SELECT nextval('{other}.s')"),
    (
        Refused,
        "CREATE TABLE x38 AS SELECT table_to_xml('{other}.things'::regclass, true, true, '')::text",
    ),
    (Refused, "CREATE TABLE x39 AS SELECT lo_create(77)"),
    (
        Refused,
        "CREATE TABLE x40 AS SELECT pg_relation_size(oid) AS size, pg_stat_get_live_tuples(oid) AS rows FROM pg_class WHERE relname = 'things'",
    ),
    (
        Applied,
        "CREATE TABLE x41 AS SELECT pg_get_viewdef(oid) FROM pg_class WHERE relkind = 'v' AND relname = 'absent'",
    ),
    (Refused, "ALTER TYPE absent OWNER TO postgres"),
    (Refused, "DROP VIEW IF EXISTS pg_catalog.pg_user"),
    (Refused, "ALTER VIEW pg_catalog.pg_user RENAME TO planted"),
    (Refused, "CREATE OR REPLACE VIEW pg_catalog.pg_user AS SELECT 1"),
    // Published: what runs as its owner when the server or a superuser comes by (CVE-2020-25695,
    // CVE-2022-1552, CVE-2024-0985), and what goes with an extension (CVE-2020-1720).
    (
        Refused,
        "CREATE MATERIALIZED VIEW x42 AS SELECT 1 AS a; CREATE UNIQUE INDEX x42_a ON x42 (a); REFRESH MATERIALIZED VIEW CONCURRENTLY x42",
    ),
    (Refused, "CREATE INDEX x43 ON things (pg_temp.f(name))"),
    (
        Refused,
        "CREATE FUNCTION f(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1'; CREATE INDEX x44 ON things (f(name))",
    ),
    (
        Refused,
        "CREATE CONSTRAINT TRIGGER x45 AFTER INSERT ON things INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f()",
    ),
    (Applied, "CREATE INDEX x46 ON things (amount); ALTER INDEX x46 DEPENDS ON EXTENSION plpgsql"),
    // Trojans, and names of others' tables.
    (
        Applied,
        "CREATE TABLE pg_class (a int); CREATE TABLE tenants (a int); CREATE VIEW pg_namespace AS SELECT 1 AS nspname",
    ),
    (Applied, "ALTER TABLE things ENABLE ROW LEVEL SECURITY"),
    (Applied, "ALTER TABLE things FORCE ROW LEVEL SECURITY"),
    (Applied, "ALTER TABLE things NO FORCE ROW LEVEL SECURITY"),
    (Applied, "ALTER TABLE things DISABLE ROW LEVEL SECURITY"),
];

/// Looks into databases as no guest can.
enum Inspector {
    Sqlite,
    Postgres(Box<PgConnection>),
}

/// Whom the hostile module attacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Neighbour {
    /// Another tenant.
    Tenant,
    /// The modules of its own tenant, which share a database, while it has its own.
    Sharing,
    /// A module of its own tenant that has its own database.
    Apart,
}

impl Neighbour {
    /// In which tenant it is.
    fn slug(self) -> &'static str {
        match self {
            Self::Tenant => "canary",
            Self::Sharing | Self::Apart => "hostile",
        }
    }

    /// Which of the two has its own database.
    fn config(self) -> &'static str {
        match self {
            Self::Tenant => "",
            Self::Sharing => "[modules.databases]\nhostile = 'own'",
            Self::Apart => "[modules.databases]\nprobe = 'own'",
        }
    }
}

/// A tenant whose module is hostile, and whoever is served beside it.
struct Attacked {
    platform: TestPlatform,
    hostile: Client,
    canary: Client,
    scripts: Vec<String>,
    inspector: Inspector,
    /// The attacker's schema, and its neighbour's.
    own: String,
    other: String,
    neighbour: Neighbour,
    /// The platform's. What was refused is tried again later.
    clock: Clock,
}

/// Longer than any pause after a migration that failed, in microseconds.
const LATER: i64 = 301_000_000;

const INSERT: &str = "INSERT INTO things (id, name, amount) VALUES (randomblob(16), $1, 1)";

impl Attacked {
    /// `{other}` in a script is the schema of the other tenant, `{id}` what its roles are called by, and
    /// `{own}` the attacker's schema.
    async fn by(scripts: &[&str]) -> Self {
        Self::on("", Neighbour::Tenant, scripts).await
    }

    async fn on(config: &str, neighbour: Neighbour, scripts: &[&str]) -> Self {
        // The ids of tenants are known once they are there.
        let setup = TestPlatform::setup().config(config).config(neighbour.config());
        let platform = setup.start().await;
        let hostile = platform.tenant("hostile").await;
        let (own, other) = match neighbour {
            Neighbour::Tenant => {
                hostile.execute(INSERT, json!(["own"])).await.ok();
                platform.tenant("canary").await.execute(INSERT, json!(["canary"])).await.ok();
                (platform.schema("hostile").await, platform.schema("canary").await)
            }
            Neighbour::Sharing => {
                hostile.execute(INSERT, json!(["canary"])).await.ok();
                let own = platform.schema_of("hostile", Some("hostile")).await;
                (own, platform.schema("hostile").await)
            }
            Neighbour::Apart => {
                hostile.execute(INSERT, json!(["canary"])).await.ok();
                let other = platform.schema_of("hostile", Some("probe")).await;
                (platform.schema("hostile").await, other)
            }
        };
        let id = other.trim_start_matches("t_").to_owned();
        let secrets = platform.inner().secrets();
        let kept = hostel::Secret::new("hunter2".to_owned());
        secrets.set(&neighbour.slug().parse().unwrap(), "KEY", &kept).await.unwrap();
        let scripts: Vec<String> = scripts
            .iter()
            .map(|script| {
                script.replace("{other}", &other).replace("{own}", &own).replace("{id}", &id)
            })
            .collect();
        let wasm = hostile_with_migrations(scripts.iter().map(String::as_str));
        let clock = Clock::fixed(Clock::system().now_micros());
        let told = clock.clone();
        let setup = platform.stop().await.hostile_is(&wasm);
        let platform = setup.built(move |builder| builder.clock(told.clone())).start().await;
        let inspector = match superuser() {
            Some(_) => Inspector::Postgres(Box::new(as_superuser(&platform).await)),
            None => Inspector::Sqlite,
        };
        let (hostile, canary) = (platform.client("hostile"), platform.client(neighbour.slug()));
        canary.query("SELECT name FROM things", json!([])).await.ok();
        Self { platform, hostile, canary, scripts, inspector, own, other, neighbour, clock }
    }

    async fn own_unit(&self) -> SqliteConnection {
        let module = (self.neighbour == Neighbour::Sharing).then_some("hostile");
        let path = self.platform.unit_of("hostile", module).await;
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap()
    }

    async fn other_unit(&self) -> SqliteConnection {
        let module = (self.neighbour == Neighbour::Apart).then_some("probe");
        let path = self.platform.unit_of(self.neighbour.slug(), module).await;
        SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap()
    }

    /// The ids of the hostile module's migrations that are in its tenant's ledger.
    async fn applied(&mut self) -> Vec<String> {
        let schema = &self.own;
        match &mut self.inspector {
            Inspector::Sqlite => {
                let statement = "SELECT id FROM hostel_migrations WHERE module = 'hostile'";
                sqlx::query_scalar(statement).fetch_all(&mut self.own_unit().await).await
            }
            Inspector::Postgres(server) => {
                let statement =
                    format!("SELECT id FROM {schema}.hostel_migrations WHERE module = 'hostile'");
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&mut **server).await
            }
        }
        .unwrap()
    }

    /// Writes a migration down as applied.
    async fn skip(&mut self, n: usize) {
        let checksum = Sha256::digest(self.scripts[n].as_bytes()).to_vec();
        let schema = &self.own;
        match &mut self.inspector {
            Inspector::Sqlite => {
                let statement = "INSERT INTO hostel_migrations (module, id, checksum) VALUES ('hostile', $1, $2)";
                let insert = sqlx::query(statement).bind(id(n)).bind(checksum);
                insert.execute(&mut self.own_unit().await).await.unwrap();
            }
            Inspector::Postgres(server) => {
                let statement = format!(
                    "INSERT INTO {schema}.hostel_migrations (module, id, checksum) VALUES ('hostile', $1, $2)"
                );
                let insert = sqlx::query(AssertSqlSafe(statement)).bind(id(n)).bind(checksum);
                insert.execute(&mut **server).await.unwrap();
            }
        }
    }

    /// What became of each.
    async fn attack(&mut self) -> Vec<(String, Outcome)> {
        let mut refused = Vec::new();
        loop {
            let answer = self.hostile.get("/api/hostile/counter").await;
            if answer.status() == 200 {
                break;
            }
            assert_eq!(answer.code(), "503 migration-failed", "{:?}", refused.last());
            let applied = self.applied().await;
            let next = (0..self.scripts.len()).find(|n| !applied.contains(&id(*n))).unwrap();
            refused.push(next);
            self.skip(next).await;
            self.clock.set(self.clock.now_micros() + LATER);
            let rows = self.canary.query("SELECT name, amount FROM things", json!([])).await.ok();
            assert_eq!(rows, json!([{ "name": "canary", "amount": 1 }]), "{}", self.scripts[next]);
        }
        let outcome = |n| if refused.contains(&n) { Refused } else { Applied };
        self.scripts.iter().enumerate().map(|(n, script)| (script.clone(), outcome(n))).collect()
    }
}

fn id(n: usize) -> String {
    format!("{n:04}")
}

/// What nobody's migration may change, on PostgreSQL.
const LOOKED_AT: &str = "
    WITH names AS (
        SELECT unnest(ARRAY['postgres', current_database(), current_database() || '_guests',
            '{own}', '{other}', 'o_' || substr('{own}', 3), 'o_' || substr('{other}', 3),
            'planted']) AS name
    ), roles AS (
        SELECT a.* FROM pg_authid a JOIN names ON rolname = name
    ), others AS (
        SELECT * FROM pg_namespace WHERE nspname <> '{own}' AND nspname !~ '^pg_(toast|temp)'
    )
    -- Its revision grows when one that was refused is served again.
    SELECT 'tenant ' || (to_jsonb(t) - 'revision')::text FROM hostel.tenants t
    UNION ALL SELECT 'manifest ' || to_jsonb(t)::text FROM hostel.manifests t
    UNION ALL SELECT 'secret ' || to_jsonb(t)::text FROM hostel.tenant_secrets t
    UNION ALL SELECT 'setting ' || to_jsonb(t)::text FROM hostel.tenant_settings t
    UNION ALL SELECT 'row ' || to_jsonb(t)::text FROM {other}.things t
    UNION ALL SELECT 'ledger of others ' || to_jsonb(t)::text FROM {own}.hostel_migrations t
        WHERE module <> 'hostile'
    UNION ALL SELECT 'table of the host ' || concat_ws(' ', c.oid, relname, relowner, relacl)
        FROM pg_class c WHERE c.relnamespace = '{own}'::regnamespace AND relname ~* '^hostel'
    UNION ALL SELECT 'schema ' || concat_ws(' ', nspname, nspowner, nspacl) FROM pg_namespace n
        WHERE nspname !~ '^pg_(toast|temp)'
    UNION ALL SELECT 'relation ' || concat_ws(' ', n.nspname, relname, relkind, relowner, relacl,
        relhasrules, relhastriggers, relrowsecurity)
        FROM pg_class c JOIN others n ON n.oid = relnamespace
    UNION ALL SELECT 'column ' || to_jsonb(a)::text FROM pg_attribute a
        WHERE attrelid = '{other}.things'::regclass
    UNION ALL SELECT 'function ' || concat_ws(' ', p.oid::regprocedure, proowner, proacl)
        FROM pg_proc p JOIN others n ON n.oid = pronamespace
    UNION ALL SELECT 'type ' || typname FROM pg_type JOIN others n ON n.oid = typnamespace
    UNION ALL SELECT 'role ' || to_jsonb(roles)::text FROM roles
    UNION ALL SELECT 'role ' || to_jsonb(s)::text FROM pg_db_role_setting s
        WHERE setrole = 0 OR setrole IN (SELECT oid FROM roles)
    UNION ALL SELECT 'member ' || to_jsonb(m)::text FROM pg_auth_members m
        WHERE member IN (SELECT oid FROM roles)
    UNION ALL SELECT 'depends on the neighbour ' || to_jsonb(d)::text FROM pg_shdepend d
        WHERE refobjid IN (SELECT oid FROM roles WHERE rolname ~ (substr('{other}', 3) || '$'))
    UNION ALL SELECT 'database ' || concat_ws(' ', datname, datdba, datacl) FROM pg_database
        WHERE datname IN (SELECT name FROM names)
    UNION ALL SELECT 'extension ' || extname FROM pg_extension
    UNION ALL SELECT 'language ' || concat_ws(' ', lanname, lanacl) FROM pg_language
    UNION ALL SELECT 'default ' || to_jsonb(d)::text FROM pg_default_acl d
    UNION ALL SELECT 'file ' || concat_ws(' ', name, setting) FROM pg_file_settings
    UNION ALL SELECT 'others ' || concat_ws(' ',
        (SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_foreign_data_wrapper),
        (SELECT count(*) FROM pg_publication), (SELECT count(*) FROM pg_subscription),
        (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_policy),
        (SELECT count(*) FROM pg_trigger), (SELECT count(*) FROM pg_cast JOIN pg_type t ON t.oid = castsource
            WHERE typnamespace <> '{own}'::regnamespace),
        (SELECT count(*) FROM pg_operator), (SELECT count(*) FROM pg_collation),
        (SELECT count(*) FROM pg_conversion), (SELECT count(*) FROM pg_ts_dict),
        (SELECT count(*) FROM pg_ts_config), (SELECT count(*) FROM pg_transform),
        (SELECT count(*) FROM pg_statistic_ext), (SELECT count(*) FROM pg_tablespace
            WHERE spcname = 'planted'))
    ORDER BY 1";

/// Every value of a table of SQLite, but revisions: they grow when one that was refused is served again.
async fn dump(connection: &mut SqliteConnection, table: &str) -> Vec<String> {
    let columns = format!(
        "SELECT group_concat('quote(' || name || ')') FROM pragma_table_info('{table}') WHERE name <> 'revision'"
    );
    let columns: String =
        sqlx::query_scalar(AssertSqlSafe(columns)).fetch_one(&mut *connection).await.unwrap();
    let rows =
        format!("SELECT concat_ws(' ', '{table}', {columns}) AS row FROM {table} ORDER BY 1");
    sqlx::query_scalar(AssertSqlSafe(rows)).fetch_all(&mut *connection).await.unwrap()
}

/// Names of files below a folder, but those of artefacts and what SQLite has beside a database.
fn files(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if path.is_dir() {
            files(&path, found);
        } else if !["-wal", "-shm", ".cwasm"].iter().any(|end| name.ends_with(end)) {
            found.push(name);
        }
    }
}

impl Attacked {
    /// What must be the same afterwards.
    async fn look(&mut self) -> Vec<String> {
        if let Inspector::Postgres(server) = &mut self.inspector {
            let statement = LOOKED_AT.replace("{own}", &self.own).replace("{other}", &self.other);
            return sqlx::query_scalar(AssertSqlSafe(statement))
                .fetch_all(&mut **server)
                .await
                .unwrap();
        }
        let mut found = Vec::new();
        files(&self.platform.data(""), &mut found);
        found.sort();
        let file = self.platform.data("platform.db").display().to_string();
        let mut platform = SqliteConnection::connect(&file).await.unwrap();
        for table in ["tenants", "manifests", "tenant_secrets", "tenant_settings", "sqlite_schema"]
        {
            found.extend(dump(&mut platform, table).await);
        }
        let mut canary = self.other_unit().await;
        for table in ["sqlite_schema", "hostel_migrations", "things"] {
            found.extend(dump(&mut canary, table).await);
        }
        let ledger = dump(&mut self.own_unit().await, "hostel_migrations").await;
        found.extend(ledger.into_iter().filter(|row| !row.contains("'hostile'")));
        found
    }

    async fn is_unharmed(&mut self, before: &[String]) {
        let after = self.look().await;
        let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
        let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
        assert!(gone.is_empty() && new.is_empty(), "gone: {gone:#?}\nnew: {new:#?}");
    }
}

fn dialect() -> &'static [(Outcome, &'static str)] {
    if superuser().is_some() { ON_POSTGRES } else { ON_SQLITE }
}

#[tokio::test]
async fn no_migration_reaches_beyond_its_unit() {
    let scripts: Vec<&str> = dialect().iter().map(|(_, script)| *script).collect();
    let attacked = Attacked::by(&scripts).await;
    all_become_what_they_should(attacked, dialect()).await;
}

/// Nor does one of a module that has its own database reach what the others of its tenant share, nor
/// the other way round.
#[tokio::test]
async fn no_migration_reaches_into_another_database_of_the_same_tenant() {
    let id = match superuser() {
        Some(_) => "'00000000-0000-7000-8000-000000000001'",
        None => "x'00000000000070008000000000000001'",
    };
    let things = include_str!("../guests/probe/migrations/0001_things.up.sql").trim_end();
    let things = format!("{things}; INSERT INTO things (id, name, amount) VALUES ({id}, 'own', 1)");
    let first = [(Applied, things.as_str())];
    let all = [&first[..], dialect()].concat();
    let scripts: Vec<&str> = all.iter().map(|(_, script)| *script).collect();
    for neighbour in [Neighbour::Sharing, Neighbour::Apart] {
        let attacked = Attacked::on("", neighbour, &scripts).await;
        // The unit is there before anybody looks.
        attacked.hostile.get("/api/hostile/counter").await;
        attacked.clock.set(attacked.clock.now_micros() + LATER);
        all_become_what_they_should(attacked, &all).await;
    }
}

async fn all_become_what_they_should(mut attacked: Attacked, expected: &[(Outcome, &str)]) {
    let before = attacked.look().await;
    let outcomes = attacked.attack().await;
    let wrong: Vec<_> = outcomes
        .iter()
        .zip(expected)
        .filter(|((_, outcome), (expected, _))| outcome != expected)
        .map(|((script, outcome), _)| format!("{outcome:?}: {script}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    attacked.is_unharmed(&before).await;
}

/// A module's migrations are applied whatever others have done to the unit that it shares.
#[tokio::test]
async fn other_modules_of_the_tenant_are_brought_up_to_date() {
    let forged = [
        "INSERT INTO hostel_migrations (module, id, checksum) VALUES ('notes', '0001_notes', 'x')",
        "CREATE VIEW ledger AS SELECT module, id, checksum FROM hostel_migrations",
        "INSERT INTO ledger (module, id, checksum) VALUES ('notes', '0001_notes', 'x')",
        "CREATE TABLE children (a REFERENCES hostel_migrations (applied_at) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TABLE hostel_outbox (a integer)",
        "CREATE TABLE hostel_turn (a integer)",
        "CREATE TABLE pg_class (a integer); CREATE TABLE tenants (a integer); CREATE TABLE pg_namespace (a integer)",
    ];
    let mut attacked = Attacked::by(&forged).await;
    attacked.attack().await;
    attacked.hostile.post("/api/notes", json!({ "title": "First" })).await.ok();
    let notes = attacked.hostile.get("/api/notes").await.ok();
    assert_eq!(notes["items"][0]["title"], "First");
}

#[tokio::test]
async fn a_migration_does_not_outgrow_its_tenants_quota() {
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
        SELECT i, 'what takes room in a table' AS text FROM n";
    let scripts = [
        &*format!("CREATE TABLE first AS {rows}"),
        &*format!("CREATE TABLE second AS {rows}"),
        "DROP TABLE IF EXISTS first",
        "CREATE TABLE third (a integer)",
    ];
    let mut attacked =
        Attacked::on("[limits]\ndatabase_max_bytes = 2097152", Neighbour::Tenant, &scripts).await;
    let outcomes: Vec<Outcome> =
        attacked.attack().await.into_iter().map(|(_, outcome)| outcome).collect();
    // PostgreSQL measures, where SQLite counts.
    let first = if superuser().is_some() { Applied } else { Refused };
    assert_eq!(outcomes, [first, Refused, Applied, Applied]);
}

/// As many tables, each with an index.
fn tables(prefix: char, count: usize) -> String {
    (0..count).map(|n| format!("CREATE TABLE {prefix}{n}(a int UNIQUE);")).collect()
}

/// Neither in one step nor in many: each would take something that all tenants share.
#[tokio::test]
async fn no_migration_makes_more_than_a_unit_may_hold() {
    let fit = ['b', 'c', 'd', 'e'].map(|prefix| tables(prefix, 240));
    let (at_once, beyond) = (tables('a', 300), tables('f', 100));
    let mut scripts = vec![&*at_once];
    scripts.extend(fit.iter().map(String::as_str));
    scripts.extend([&*beyond, "DROP TABLE b0", "CREATE TABLE g (a int)"]);
    let mut attacked = Attacked::by(&scripts).await;
    let outcomes: Vec<Outcome> =
        attacked.attack().await.into_iter().map(|(_, outcome)| outcome).collect();
    let expected = [Refused, Applied, Applied, Applied, Applied, Refused, Applied, Applied];
    assert_eq!(outcomes, expected);
}

/// What would tell, or would fail, if anybody but the tenant's own modules touched it.
const TRAPS_ON_SQLITE: &[&str] = &[
    "CREATE TABLE tenants (a); CREATE TABLE manifests (a); CREATE TABLE usage (a)",
    "CREATE TABLE trap (a, b DEFAULT (load_extension('x')))",
    "CREATE TRIGGER trap_things AFTER UPDATE ON things BEGIN SELECT load_extension('x'); END",
    "CREATE VIEW trap_files AS SELECT load_extension('x') FROM pragma_database_list, dbstat",
    "CREATE INDEX trap_index ON things (json_extract(name, '$.a')) WHERE json_valid(name)",
    "CREATE TABLE trap_names (`a'b`, `c;d`, `\"e\"`); CREATE TABLE `x'); DROP TABLE things; --` (a)",
];
const TRAPS_ON_POSTGRES: &[&str] = &[
    "CREATE TABLE tenants (a int); CREATE TABLE manifests (a int); CREATE TABLE usage (a int)",
    "CREATE TABLE pg_class (a int); CREATE TABLE pg_namespace (a int); CREATE TABLE pg_roles (a int)",
    "CREATE TABLE trap (who text DEFAULT current_user CHECK (current_user ~ '^[to]_[0-9a-f]{32}$'))",
    "CREATE DOMAIN own AS text CHECK (current_user ~ '^[to]_[0-9a-f]{32}$'); CREATE TABLE trap_domain (a own)",
    "CREATE VIEW trap_view AS SELECT query_to_xml('DELETE FROM hostel.tenants', true, true, '')::text AS a, current_user AS who",
    "CREATE VIEW trap_activity AS SELECT * FROM pg_stat_activity",
    "CREATE TABLE trap_generated (a int, b int GENERATED ALWAYS AS (a / a) STORED)",
    "CREATE INDEX trap_index ON things ((100 / nullif(amount, 1)))",
    "CREATE TYPE lower AS RANGE (SUBTYPE = text); CREATE TYPE count AS (a int); CREATE TYPE sum AS ENUM ('a')",
    "ALTER TABLE things ENABLE ROW LEVEL SECURITY",
    "CREATE MATERIALIZED VIEW trap_kept AS SELECT current_user AS who",
    "CREATE TABLE trap_parts (a int) PARTITION BY LIST (a); CREATE TABLE trap_part PARTITION OF trap_parts DEFAULT",
    "CREATE TABLE \"a'b\" (\"c;d\" int); CREATE TABLE \"x'); DROP SCHEMA hostel CASCADE; --\" (a int)",
    "CREATE SEQUENCE trap_sequence; CREATE UNLOGGED TABLE trap_unlogged (a int DEFAULT nextval('trap_sequence'))",
];

/// Nothing that the platform does touches what its tenants made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_platform_works_over_a_unit_that_is_full_of_traps() {
    let traps = if superuser().is_some() { TRAPS_ON_POSTGRES } else { TRAPS_ON_SQLITE };
    let mut attacked = Attacked::by(traps).await;
    let before = attacked.look().await;
    for (script, outcome) in attacked.attack().await {
        assert_eq!(outcome, Applied, "{script}");
    }
    attacked.is_unharmed(&before).await;

    let schema = attacked.platform.schema("hostile").await;
    let Attacked { platform, inspector, .. } = attacked;
    let platform = platform.stop().await.start().await;
    let (hostile, canary) = (platform.client("hostile"), platform.client("canary"));
    // Another module of the tenant, its tables and the size of all.
    hostile.post("/api/notes", json!({ "title": "First" })).await.ok();
    platform.nobody().get("/metrics").await;
    let slug = "hostile".parse().unwrap();
    let (tenants, secrets) = (platform.inner().tenants(), platform.inner().secrets());
    secrets.set(&slug, "KEY", &hostel::Secret::new("own".to_owned())).await.unwrap();
    tenants.suspend(&slug).await.unwrap();
    tenants.resume(&slug).await.unwrap();
    assert_eq!(
        tenants.list(&hostel::TenantQuery { limit: 10, ..Default::default() }).await.unwrap().len(),
        4
    );
    platform.tenant("another").await.execute(INSERT, json!(["row"])).await.ok();
    for command in [["migrate", "status"], ["migrate", "up"], ["tenant", "list"]] {
        let ran = platform.run(&command).await;
        assert_eq!(ran.code, Some(0), "{command:?}: {}", ran.stderr);
    }
    // As a file, and a tenant again, with all of its traps.
    let (archives, archive) = (platform.inner().archives(), platform.data("hostile.zip"));
    archives.export(&slug, &archive).await.unwrap();
    archives.import(&archive, Some("copy".parse().unwrap())).await.unwrap();
    let rows = |client: hostel_tests::Client| async move {
        client.query("SELECT name FROM things ORDER BY name", json!([])).await.ok()
    };
    assert_eq!(rows(platform.client("copy")).await, rows(platform.client("hostile")).await);
    if let Inspector::Postgres(mut server) = inspector {
        let url = platform.inner().config().database.url.clone().unwrap();
        let superuser = hostel::Secret::new(superuser().unwrap());
        hostel::Preparation::plan(&superuser, &url).await.unwrap().apply().await.unwrap();
        let sprung = format!("SELECT count(*) FROM {schema}.trap");
        let sprung: i64 =
            sqlx::query_scalar(AssertSqlSafe(sprung)).fetch_one(&mut *server).await.unwrap();
        assert_eq!(sprung, 0);
        tenants.delete(&slug).await.unwrap();
        tenants.purge(&slug).await.unwrap();
        let left: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = $1)
                  + (SELECT count(*) FROM pg_roles WHERE substr(rolname, 3) = substr($1, 3))",
        )
        .bind(&schema)
        .fetch_one(&mut *server)
        .await
        .unwrap();
        assert_eq!(left, 0);
    } else {
        let file = platform.unit("hostile").await;
        tenants.delete(&slug).await.unwrap();
        tenants.purge(&slug).await.unwrap();
        assert!(!file.exists());
    }
    let again = platform.tenant("hostile").await;
    assert_eq!(again.query("SELECT name FROM things", json!([])).await.ok(), json!([]));
    let rows = canary.query("SELECT name, amount FROM things", json!([])).await.ok();
    assert_eq!(rows, json!([{ "name": "canary", "amount": 1 }]));
}
