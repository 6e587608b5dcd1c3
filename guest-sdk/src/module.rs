//! What a module is made of, and how it becomes the component's exports.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::exports::hostel::module::guest::{self, Manifest};
use crate::bindings::hostel::http::types;
use crate::description;
use crate::entity::Entity;
use crate::handler::Handler;
use crate::problem::Problem;
use crate::request::Request;
use crate::response::Response;
use crate::route::{Access, Decided, Route};
use crate::seed::Seeding;
use crate::settings;

/// A module: its routes, permissions, migrations and settings.
///
/// Building one is cheap, because every fresh instance does it: names are static, handlers are
/// functions, and schemas are worked out only when the module is described.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::Migration;
/// fn shop() -> Module {
///     Module::new("shop", "1.0.0")
///         .about("Sells tea")
///         .permission("shop:stock:write", "Change what is in stock")
///         .migrations(STOCK)
///         .route(get("/", || "Tea!").public())
///         .route(put("/stock/{article}", restock).requires("shop:stock:write"))
/// }
///
/// const STOCK: &[Migration] = &[Migration::portable(
///     "0001_stock",
///     "CREATE TABLE shop_stock (article TEXT PRIMARY KEY, amount BIGINT NOT NULL)",
///     "DROP TABLE shop_stock",
/// )];
///
/// fn restock(Path(article): Path<String>, Json(amount): Json<u32>, db: Db) -> Result<(), Problem> {
///     db.execute(
///         "INSERT INTO shop_stock (article, amount) VALUES ($1, $2)
///          ON CONFLICT (article) DO UPDATE SET amount = $2",
///         params![article, amount],
///     )?;
///     Ok(())
/// }
///
/// assert_eq!(shop().manifest().routes.len(), 2);
/// ```
#[must_use]
pub struct Module {
    name: &'static str,
    version: &'static str,
    summary: &'static str,
    routes: Vec<Route<Access>>,
    permissions: Vec<(&'static str, &'static str)>,
    migrations: Vec<&'static [Migration]>,
    entities: Vec<fn() -> guest::Entity>,
    settings: Vec<fn() -> Vec<guest::Setting>>,
    calls: Vec<(&'static str, &'static str)>,
    before: Vec<Before>,
    after: Vec<After>,
    seeds: Vec<Seeding>,
}

type Before = fn(&mut Request) -> Result<(), Problem>;
type After = fn(&Request, Response) -> Result<Response, Problem>;

impl Module {
    /// A module with this name (a DNS label) and this semantic version.
    pub fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            summary: "",
            // Most modules have fewer, and a fresh instance grows nothing.
            routes: Vec::with_capacity(16),
            permissions: Vec::new(),
            migrations: Vec::new(),
            entities: Vec::new(),
            settings: Vec::new(),
            calls: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            seeds: Vec::new(),
        }
    }

    /// Says in one line what the module is for.
    pub fn about(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// Declares a permission, named `<module>:<action>` or `<module>:<resource>:<action>`.
    pub fn permission(self, name: &'static str, summary: &'static str) -> Self {
        self.described(|module| module.permissions.push((name, summary)))
    }

    /// Adds the steps of the module's schema: see [`migrations!`](crate::migrations!).
    pub fn migrations(self, migrations: &'static [Migration]) -> Self {
        self.described(|module| module.migrations.push(migrations))
    }

    /// Declares that the module's code expects the table of `E`, as its migrations make it. `hostel
    /// migrate generate` writes those that are missing.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// #[derive(Entity)]
    /// #[entity(table = "shop_teas")]
    /// struct Tea {
    ///     #[entity(key)]
    ///     id: Id<Tea>,
    ///     name: Line<100>,
    /// }
    ///
    /// fn shop() -> Module {
    ///     Module::new("shop", "1.0.0").entity::<Tea>()
    /// }
    /// # assert_eq!(shop().manifest().entities[0].table, "shop_teas");
    /// ```
    pub fn entity<E: Entity>(self) -> Self {
        self.described(|module| module.entities.push(|| E::TABLE.describe()))
    }

    /// Declares the fields of `T` as settings: see [`Settings`](settings::Settings).
    pub fn settings<T>(self) -> Self
    where
        T: Serialize + DeserializeOwned + JsonSchema + Default,
    {
        self.described(|module| module.settings.push(settings::describe::<T>))
    }

    /// Declares a service that the module calls with [`http_client`](crate::http_client), and why, for
    /// whoever is asked to allow it: a name, `*.name` for all below it, or an address, with `:port`
    /// where that is not the usual one, or `:*` for any.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// fn shop() -> Module {
    ///     Module::new("shop", "1.0.0")
    ///         .calls("api.example.org", "to ask for rates")
    ///         .calls("*.carrier.example:8443", "to follow parcels")
    /// }
    /// # assert_eq!(shop().manifest().outbound_hosts[1].reason, "to follow parcels");
    /// ```
    pub fn calls(self, host: &'static str, reason: &'static str) -> Self {
        self.described(|module| module.calls.push((host, reason)))
    }

    /// Has every request looked at before its handler is: whoever returns a problem answers it. Those
    /// that were added first come first.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # use hostel_sdk::Request;
    /// fn only_in_the_open(request: &mut Request) -> Result<(), Problem> {
    ///     match request.header("x-maintenance") {
    ///         Some(_) => Err(Problem::unavailable("come back later")),
    ///         None => Ok(()),
    ///     }
    /// }
    ///
    /// fn shop() -> Module {
    ///     Module::new("shop", "1.0.0").before(only_in_the_open)
    /// }
    /// # assert_eq!(shop().manifest().name, "shop");
    /// ```
    pub fn before(mut self, look: fn(&mut Request) -> Result<(), Problem>) -> Self {
        self.before.push(look);
        self
    }

    /// Has every answer of a handler changed before it goes out. Problems are not answers. Those that
    /// were added first come first.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # use hostel_sdk::Request;
    /// fn may_be_kept(_request: &Request, answer: Response) -> Result<Response, Problem> {
    ///     Ok(answer.header("cache-control", "private, max-age=60"))
    /// }
    ///
    /// fn shop() -> Module {
    ///     Module::new("shop", "1.0.0").after(may_be_kept)
    /// }
    /// # assert_eq!(shop().manifest().name, "shop");
    /// ```
    pub fn after(mut self, change: fn(&Request, Response) -> Result<Response, Problem>) -> Self {
        self.after.push(change);
        self
    }

    /// Adds a route whose access is decided, by `requires` or by `public`.
    pub fn route(mut self, route: impl Decided) -> Self {
        self.routes.push(route.decided());
        self
    }

    /// Adds rows to try things with, which `hostel seed` has made, for development and for
    /// measurements: never at a client's request. The name is of lower case letters, digits and
    /// hyphens. What the handler returns does not matter, unless it is a problem.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # use hostel_sdk::Seed;
    /// fn shop() -> Module {
    ///     Module::new("shop", "1.0.0").seed("stock", "A shop full of tea", fill)
    /// }
    ///
    /// fn fill(seed: Seed, db: Db) -> Result<(), Problem> {
    ///     for article in 0..seed.rows_or(100) {
    ///         db.execute("INSERT INTO shop_stock VALUES ($1, 10)", params![format!("tea {article}")])?;
    ///     }
    ///     Ok(())
    /// }
    /// # assert_eq!(shop().manifest().seeds[0].name, "stock");
    /// ```
    pub fn seed<A>(
        mut self,
        name: &'static str,
        summary: &'static str,
        fill: impl Handler<A>,
    ) -> Self {
        self.seeds.push(Seeding::new(name, summary, fill));
        self
    }

    /// What the host must know before it serves the module.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        let permissions = self.permissions.iter().map(|(name, summary)| guest::Permission {
            name: (*name).to_owned(),
            summary: (*summary).to_owned(),
        });
        let calls = self.calls.iter().map(|(host, reason)| guest::OutboundHost {
            host: (*host).to_owned(),
            reason: (*reason).to_owned(),
        });
        Manifest {
            name: self.name.to_owned(),
            version: self.version.to_owned(),
            summary: self.summary.to_owned(),
            routes: self.routes.iter().filter_map(Route::describe).collect(),
            permissions: permissions.collect(),
            migrations: self
                .migrations
                .iter()
                .copied()
                .flatten()
                .map(Migration::describe)
                .collect(),
            entities: self.entities.iter().map(|describe| describe()).collect(),
            settings: self.settings.iter().flat_map(|describe| describe()).collect(),
            outbound_hosts: calls.collect(),
            seeds: self.seeds.iter().map(Seeding::describe).collect(),
        }
    }

    /// Without what only its description holds.
    #[doc(hidden)]
    pub fn to_handle(build: impl FnOnce() -> Self) -> Self {
        description::left_out(build)
    }

    fn described(mut self, say: impl FnOnce(&mut Self)) -> Self {
        if description::is_wanted() {
            say(&mut self);
        }
        self
    }

    /// Answers a request with the handler of the route that the host matched, or of a seed.
    ///
    /// # Errors
    /// What the extractors and the handler say is wrong.
    #[doc(hidden)]
    pub fn handle(&self, request: types::Request) -> Result<types::Response, types::Problem> {
        let place = request.route as usize;
        let answer = match self.routes.get(place) {
            Some(route) => {
                self.answer(route, &mut Request::new(request, route.document_max_bytes()))
            }
            None => match self.seeds.get(place - self.routes.len()) {
                Some(seed) => seed.fill(&mut Request::new(request, 0)),
                None => Err(Problem::not_found("route")),
            },
        };
        answer.map_err(Into::into)
    }

    fn answer(&self, route: &Route, request: &mut Request) -> Result<types::Response, Problem> {
        self.before.iter().try_for_each(|look| look(request))?;
        let answer = route.handle(request)?;
        let answer =
            self.after.iter().try_fold(answer, |answer, change| change(request, answer))?;
        Ok(route.finish(answer))
    }
}

/// One step of a module's schema, and the way back.
///
/// ```
/// # use hostel_sdk::Migration;
/// const SEARCH: Migration = Migration::per_dialect(
///     "0002_search",
///     ("CREATE INDEX shop_names ON shop (name COLLATE NOCASE)", "DROP INDEX shop_names"),
///     ("CREATE INDEX shop_names ON shop (lower(name))", "DROP INDEX shop_names"),
/// );
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    id: &'static str,
    up: Script,
    down: Script,
}

#[derive(Clone, Copy, Debug)]
enum Script {
    Portable(&'static str),
    PerDialect { sqlite: &'static str, postgres: &'static str },
}

impl Migration {
    /// A step in SQL that every database understands.
    #[must_use]
    pub const fn portable(id: &'static str, up: &'static str, down: &'static str) -> Self {
        Self { id, up: Script::Portable(up), down: Script::Portable(down) }
    }

    /// A step that SQLite and PostgreSQL must be told differently; each pair is up and down.
    #[must_use]
    pub const fn per_dialect(
        id: &'static str,
        sqlite: (&'static str, &'static str),
        postgres: (&'static str, &'static str),
    ) -> Self {
        Self {
            id,
            up: Script::PerDialect { sqlite: sqlite.0, postgres: postgres.0 },
            down: Script::PerDialect { sqlite: sqlite.1, postgres: postgres.1 },
        }
    }

    fn describe(&self) -> guest::Migration {
        guest::Migration {
            id: self.id.to_owned(),
            up: self.up.describe(),
            down: self.down.describe(),
        }
    }
}

impl Script {
    fn describe(self) -> guest::Script {
        match self {
            Self::Portable(sql) => guest::Script::Portable(sql.to_owned()),
            Self::PerDialect { sqlite, postgres } => {
                guest::Script::PerDialect(guest::DialectScripts {
                    sqlite: sqlite.to_owned(),
                    postgres: postgres.to_owned(),
                })
            }
        }
    }
}

/// Takes migrations from the crate's `migrations/` folder, where `hostel migrate new` puts them. One
/// that databases must be told differently is marked `per_database`.
///
/// ```ignore
/// Module::new("notes", "1.0.0")
///     // migrations/0001_notes.up.sql and 0001_notes.down.sql;
///     // migrations/0002_search.sqlite.up.sql, 0002_search.postgres.up.sql, and so on
///     .migrations(migrations!("0001_notes", "0002_search" per_database))
/// ```
#[macro_export]
macro_rules! migrations {
    (@script $id:literal $end:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $id, $end))
    };
    (@step $id:literal) => {
        $crate::Migration::portable(
            $id,
            $crate::migrations!(@script $id ".up.sql"),
            $crate::migrations!(@script $id ".down.sql"),
        )
    };
    (@step $id:literal per_database) => {
        $crate::Migration::per_dialect(
            $id,
            (
                $crate::migrations!(@script $id ".sqlite.up.sql"),
                $crate::migrations!(@script $id ".sqlite.down.sql"),
            ),
            (
                $crate::migrations!(@script $id ".postgres.up.sql"),
                $crate::migrations!(@script $id ".postgres.down.sql"),
            ),
        )
    };
    ($($id:literal $($per_database:ident)?),+ $(,)?) => {{
        const MIGRATIONS: &[$crate::Migration] =
            &[$($crate::migrations!(@step $id $($per_database)?)),+];
        MIGRATIONS
    }};
}

/// Makes the crate a module: its exports are those of the [`Module`] that this function returns.
///
/// ```
/// use hostel_sdk::prelude::*;
///
/// hostel_sdk::module!(hello);
///
/// fn hello() -> Module {
///     Module::new("hello", "1.0.0").route(get("/", || "Hello!").public())
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! module {
    ($build:path) => {
        const _: () = {
            use $crate::bindings::{self, exports::hostel::module::guest};

            struct Component;

            std::thread_local! {
                /// An instance that serves more than one request builds its module once.
                static MODULE: $crate::Module = $crate::Module::to_handle($build);
            }

            impl guest::Guest for Component {
                fn describe() -> guest::Manifest {
                    ($build)().manifest()
                }

                fn handle(request: guest::Request) -> Result<guest::Response, guest::Problem> {
                    MODULE.with(|module| module.handle(request))
                }
            }

            // Native linkers refuse the names of a component's exports.
            #[cfg(target_family = "wasm")]
    bindings::export_module!(Component with_types_in bindings);
            #[cfg(not(target_family = "wasm"))]
            const _: fn() -> guest::Manifest = <Component as guest::Guest>::describe;
        };
    };
}
