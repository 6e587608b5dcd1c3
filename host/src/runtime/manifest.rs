//! What a module says of itself, checked: from the contract's records to types that cannot be wrong.

use std::collections::HashSet;
use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::described_entity::Entity;
use super::registry::TenantState;
use super::routes::RouteTable;
use super::{described_entity, described_route};
use crate::bindings::exports::hostel::module::guest as wit;
use crate::capabilities::http_client::HostPattern;
use crate::capabilities::permissions::PermissionName;
use crate::capabilities::settings;
use crate::database::Dialect;
use crate::error::{Error, Result};
use crate::names::ModuleName;

/// More would make every look-up and every page of documentation slow.
const ROUTES_MAX: usize = 1_000;
pub(super) const TEXT_LENGTH_MAX: usize = 1_000;
const OUTBOUND_HOSTS_MAX: usize = 100;
const MIGRATION_ID_LENGTH_MAX: usize = 100;
const SEEDS_MAX: usize = 100;
const SEED_NAME_LENGTH_MAX: usize = 32;

/// What a module says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Its name in URLs, permissions and logs.
    pub name: ModuleName,
    /// Its version.
    pub version: semver::Version,
    /// What it is for, in one line.
    pub summary: String,
    /// Its operations, by the index that a request carries.
    pub routes: Vec<Route>,
    /// The permissions that it asks for.
    pub permissions: Vec<PermissionSpec>,
    /// The steps of its schema, in order.
    pub migrations: Vec<Migration>,
    /// The tables that its code expects, once all migrations were applied.
    pub entities: Vec<Entity>,
    /// What can be set without touching it.
    pub settings: Vec<Setting>,
    /// The services that it calls.
    pub outbound_hosts: Vec<OutboundHost>,
    /// What it can fill its tables with.
    pub seeds: Vec<Seed>,
}

/// One operation over HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path below `/api/<module>`.
    pub path: String,
    /// Who may call it.
    pub access: Access,
    /// What programs call it, unless its method and path make a name.
    pub operation_id: Option<String>,
    /// What it does, in one line.
    pub summary: String,
    /// Its groups in the documentation.
    pub tags: Vec<String>,
    /// JSON Schema of the path's parameters: of one, of an array of them, or of an object.
    pub path_schema: Option<serde_json::Value>,
    /// JSON Schema of the query: of an object.
    pub query_schema: Option<serde_json::Value>,
    /// The content type of the request's body.
    pub request_type: Option<String>,
    /// JSON Schema of the request's body.
    pub request_schema: Option<serde_json::Value>,
    /// The content type of a successful answer's body.
    pub response_type: Option<String>,
    /// JSON Schema of a successful answer's body.
    pub response_schema: Option<serde_json::Value>,
    /// Headers of a successful answer.
    pub response_headers: Vec<AnswerHeader>,
    /// The status of a successful answer.
    pub success_status: u16,
    /// What else it may answer, beside what the host does.
    pub problems: Vec<ExpectedProblem>,
    /// The largest body, when it is not the platform's limit.
    pub body_max_bytes: Option<u64>,
    /// The longest call, when it is not the platform's limit.
    pub timeout_ms: Option<u32>,
    /// Whether answers get a tag that is made of their bytes.
    pub etag: bool,
}

/// A header of a successful answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnswerHeader {
    /// Its name.
    pub name: String,
    /// What it says, in one line.
    pub summary: String,
}

/// A problem that a route may answer with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExpectedProblem {
    /// Its status.
    pub status: u16,
    /// Its name for programs.
    pub code: String,
    /// When it is answered, in one line.
    pub summary: String,
}

/// A method that routes can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "RFC 9110 says what they are")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(crate) const ALL: [Self; 6] =
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete];
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// The method as it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method that a request names, where routes can have it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who may call a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Anybody.
    Public,
    /// Principals that hold this permission.
    Permission(PermissionName),
}

/// A permission that a module asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PermissionSpec {
    /// Its name; the first segment is the module's.
    pub name: PermissionName,
    /// What it allows, in one line.
    pub summary: String,
}

/// One step of a module's schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Steps run in the order of their ids.
    pub id: String,
    /// Forward.
    pub up: Script,
    /// Back.
    pub down: Script,
}

/// SQL for one direction, for each database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// For SQLite.
    pub sqlite: String,
    /// For PostgreSQL.
    pub postgres: String,
}

/// What can be set without touching the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// What it does, in one line.
    pub summary: String,
    /// JSON Schema of its value.
    pub schema: serde_json::Value,
    /// Its value while nobody set another.
    pub default: serde_json::Value,
}

/// A service that a module calls over HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutboundHost {
    /// Its name or address, or all names below one.
    pub host: HostPattern,
    /// Why, in one line.
    pub reason: String,
}

/// Rows to try things with, which a module can make.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seed {
    /// Its name.
    pub name: String,
    /// What there is then, in one line.
    pub summary: String,
}

impl Script {
    /// In the words of a database.
    pub(crate) fn of(&self, dialect: Dialect) -> &str {
        match dialect {
            Dialect::Sqlite => &self.sqlite,
            Dialect::Postgres => &self.postgres,
        }
    }
}

impl Manifest {
    /// Checks what a module said.
    ///
    /// # Errors
    /// Names what is wrong and where.
    pub(super) fn check(said: wit::Manifest) -> Result<Self> {
        let name: ModuleName = said.name.parse()?;
        if name.as_str() == TenantState::PLATFORM_SETTINGS {
            return Err(Error::invalid(format!(
                "no module can be named `{name}`: the platform's own settings are"
            )));
        }
        let version = said.version.parse().map_err(|error| {
            Error::invalid(format!(
                "`{}` is no semantic version, such as 1.4.0: {error}",
                said.version
            ))
        })?;
        if said.routes.len() > ROUTES_MAX {
            return Err(Error::invalid(format!(
                "it has {} routes: at most {ROUTES_MAX}",
                said.routes.len()
            )));
        }
        let permissions = said
            .permissions
            .into_iter()
            .map(|permission| check_permission(&name, permission))
            .collect::<Result<Vec<_>>>()?;
        let routes = said
            .routes
            .into_iter()
            .map(|route| described_route::check(route, &permissions))
            .collect::<Result<Vec<_>>>()?;
        RouteTable::new(&routes)?;
        described_route::check_distinct(&routes)?;
        let manifest = Self {
            version,
            summary: text("the summary", said.summary)?,
            routes,
            permissions,
            migrations: check_migrations(said.migrations)?,
            entities: described_entity::check(said.entities)?,
            settings: said.settings.into_iter().map(check_setting).collect::<Result<_>>()?,
            outbound_hosts: check_outbound_hosts(said.outbound_hosts)?,
            seeds: check_seeds(said.seeds)?,
            name,
        };
        // Every default must be what its own schema allows.
        settings::resolve(
            manifest.name.as_str(),
            manifest.declared_settings(),
            &Default::default(),
        )?;
        Ok(manifest)
    }

    /// Of all that it says.
    pub(super) fn digest(&self) -> Result<[u8; 32]> {
        digest(self)
    }

    /// Of its migrations, in hexadecimal digits.
    pub(super) fn migrations_digest(&self) -> Result<String> {
        Ok(HEXLOWER.encode(&digest(&self.migrations)?))
    }

    pub(super) fn declared_settings(&self) -> impl Iterator<Item = settings::Declared<'_>> {
        self.settings.iter().map(|setting| settings::Declared {
            name: &setting.name,
            schema: &setting.schema,
            default: &setting.default,
        })
    }
}

fn digest(said: &impl Serialize) -> Result<[u8; 32]> {
    let text = serde_json::to_vec(said)
        .map_err(|error| Error::internal("a manifest cannot be written").because(error))?;
    Ok(Sha256::digest(text).into())
}

pub(super) fn text(what: &str, text: String) -> Result<String> {
    if text.chars().count() > TEXT_LENGTH_MAX || text.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "{what} must be one line of at most {TEXT_LENGTH_MAX} characters"
        )));
    }
    Ok(text)
}

pub(super) fn json(what: &str, text: &str) -> Result<serde_json::Value> {
    serde_json::from_str(text)
        .map_err(|error| Error::invalid(format!("{what} is no JSON: {error}")))
}

fn check_permission(module: &ModuleName, said: wit::Permission) -> Result<PermissionSpec> {
    let name: PermissionName = said.name.parse()?;
    if name.module() != module.as_str() {
        return Err(Error::invalid(format!(
            "permission `{name}` belongs to another module: its first part must be `{module}`"
        )));
    }
    Ok(PermissionSpec { summary: text("a permission's summary", said.summary)?, name })
}

fn check_migrations(said: Vec<wit::Migration>) -> Result<Vec<Migration>> {
    let script = |said| match said {
        wit::Script::Portable(text) => Script { sqlite: text.clone(), postgres: text },
        wit::Script::PerDialect(each) => Script { sqlite: each.sqlite, postgres: each.postgres },
    };
    let mut last = String::new();
    let mut checked = Vec::with_capacity(said.len());
    for migration in said {
        let id = migration.id;
        let fits = (1..=MIGRATION_ID_LENGTH_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !fits {
            return Err(Error::invalid(format!(
                "`{id}` is no id of a migration: use letters, digits and `_`"
            )));
        }
        if id <= last {
            return Err(Error::invalid(format!(
                "migration `{id}` comes after `{last}`: ids must grow"
            )));
        }
        last.clone_from(&id);
        checked.push(Migration { id, up: script(migration.up), down: script(migration.down) });
    }
    Ok(checked)
}

fn check_setting(said: wit::Setting) -> Result<Setting> {
    let place = format!("setting `{}`", said.name);
    Ok(Setting {
        summary: text(&place, said.summary)?,
        schema: json(&format!("{place}: its schema"), &said.schema)?,
        default: json(&format!("{place}: its default"), &said.default_value)?,
        name: text(&place, said.name)?,
    })
}

fn check_outbound_hosts(said: Vec<wit::OutboundHost>) -> Result<Vec<OutboundHost>> {
    if said.len() > OUTBOUND_HOSTS_MAX {
        let message = format!("it calls {} hosts: at most {OUTBOUND_HOSTS_MAX}", said.len());
        return Err(Error::invalid(message));
    }
    let check = |said: wit::OutboundHost| {
        let host: HostPattern = said.host.parse()?;
        let place = format!("outbound host `{host}`");
        if host.is_all() {
            return Err(Error::invalid(format!("{place}: name the hosts that the module calls")));
        }
        let reason = text(&format!("{place}: the reason"), said.reason)?;
        if reason.trim().is_empty() {
            return Err(Error::invalid(format!("{place}: say why the module calls it")));
        }
        Ok(OutboundHost { host, reason })
    };
    said.into_iter().map(check).collect()
}

fn check_seeds(said: Vec<wit::Seed>) -> Result<Vec<Seed>> {
    if said.len() > SEEDS_MAX {
        return Err(Error::invalid(format!("it has {} seeds: at most {SEEDS_MAX}", said.len())));
    }
    let mut seen = HashSet::new();
    let check = |said: wit::Seed| {
        let is_of_names =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let name = said.name;
        if !(1..=SEED_NAME_LENGTH_MAX).contains(&name.len()) || !name.bytes().all(is_of_names) {
            return Err(Error::invalid(format!(
                "`{name}` is no name of a seed: use 1 to {SEED_NAME_LENGTH_MAX} lower case letters, \
                 digits and hyphens"
            )));
        }
        if !seen.insert(name.clone()) {
            return Err(Error::invalid(format!("there are two seeds `{name}`: remove one")));
        }
        Ok(Seed { summary: text(&format!("seed `{name}`: the summary"), said.summary)?, name })
    };
    said.into_iter().map(check).collect()
}

/// Names that modules of the platform may not take.
pub(super) fn check_distinct<'a>(names: impl Iterator<Item = &'a ModuleName>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(named_twice(name));
        }
    }
    Ok(())
}

pub(super) fn named_twice(name: &ModuleName) -> Error {
    Error::invalid(format!("there are two modules named `{name}`: remove one"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn routes() -> impl Strategy<Value = Vec<wit::Route>> {
        let path = prop_oneof!["/[a-z{}*/%.]{0,12}", "\\PC{0,12}"];
        let access = prop_oneof![
            Just(wit::Access::Public),
            "[a-z:*]{0,12}".prop_map(wit::Access::Permission)
        ];
        let route = (path, access, any::<u16>(), prop::option::of("[{}\"a-z:0-9\\[\\]]{0,12}"));
        let route = route.prop_map(|(path, access, success_status, schema)| wit::Route {
            method: wit::Method::Get,
            path,
            access,
            operation_id: None,
            summary: String::new(),
            tags: Vec::new(),
            path_schema: schema.clone(),
            query_schema: None,
            request_type: None,
            request_schema: schema.clone(),
            response_type: None,
            response_schema: schema,
            response_headers: Vec::new(),
            success_status,
            problems: Vec::new(),
            body_max_bytes: None,
            timeout_ms: None,
            etag: false,
        });
        prop::collection::vec(route, 0..6)
    }

    proptest! {
        /// What gets through has a table in which each of its routes is found.
        #[test]
        fn whatever_a_module_says_of_itself_is_checked(
            name in prop_oneof![Just("probe".to_owned()), "\\PC{0,40}"],
            version in prop_oneof![Just("1.0.0".to_owned()), "[0-9.a-z+-]{0,10}"],
            routes in routes(),
            permission in prop_oneof![Just("probe:read".to_owned()), "[a-z:*]{0,12}"],
            default_value in prop_oneof![Just("1".to_owned()), "\\PC{0,8}"],
        ) {
            let said = wit::Manifest {
                name,
                version,
                summary: String::new(),
                routes,
                permissions: vec![wit::Permission { name: permission, summary: String::new() }],
                migrations: Vec::new(),
                entities: Vec::new(),
                outbound_hosts: Vec::new(),
                seeds: Vec::new(),
                settings: vec![wit::Setting {
                    name: "size".to_owned(),
                    summary: String::new(),
                    schema: "{}".to_owned(),
                    default_value,
                }],
            };
            if let Ok(manifest) = Manifest::check(said) {
                prop_assert!(RouteTable::new(&manifest.routes).is_ok());
                prop_assert!(manifest.name.as_str() != TenantState::PLATFORM_SETTINGS);
            }
        }
    }
}
