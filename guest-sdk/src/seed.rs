//! Rows to try things with: what `hostel seed` asks a module for.

use crate::bindings::exports::hostel::module::guest;
use crate::bindings::hostel::http::types;
use crate::extract::FromRequest;
use crate::handler::Handler;
use crate::problem::Problem;
use crate::request::Request;
use crate::response::Response;

/// What a [seed](crate::Module::seed) is asked for.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::Seed;
/// # #[derive(Entity)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     stars: i32,
/// # }
/// fn teas(seed: Seed, db: Db) -> Result<(), Problem> {
///     let tea = |number| Ok(Tea { id: Id::generate()?, stars: (number % 5) as i32 });
///     let teas = (0..seed.rows_or(1_000)).map(tea).collect::<Result<Vec<_>, Error>>()?;
///     db.insert_all(teas)?;
///     Ok(())
/// }
/// # let _ = Module::new("teas", "1.0.0").seed("teas", "Teas of all kinds", teas);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    rows: Option<u32>,
    number: u64,
}

impl Seed {
    /// How many rows there should be: as many as were asked for, or as many as are usual.
    #[must_use]
    pub fn rows_or(&self, usual: u32) -> u32 {
        self.rows.unwrap_or(usual)
    }

    /// The number of which everything that is made up follows: the same one makes the same rows.
    ///
    /// ```
    /// # use hostel_sdk::Seed;
    /// fn stars(seed: &Seed, tea: u64) -> u64 {
    ///     1 + (seed.number() + tea) % 5
    /// }
    /// ```
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl FromRequest for Seed {
    fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let said = |name: &str| {
            let pair = request.query().iter().find(|(it, _)| it == name);
            pair.and_then(|(_, value)| value.parse::<u64>().ok())
        };
        let rows = said("rows").map(|rows| rows.try_into().unwrap_or(u32::MAX));
        Ok(Self { rows, number: said("number").unwrap_or(0) })
    }
}

/// A seed as a module keeps it.
pub(crate) struct Seeding {
    name: &'static str,
    summary: &'static str,
    fill: Box<Fill>,
}

type Fill = dyn Fn(&mut Request) -> Result<Response, Problem> + Send + Sync;

impl Seeding {
    pub(crate) fn new<A>(name: &'static str, summary: &'static str, fill: impl Handler<A>) -> Self {
        Self { name, summary, fill: Box::new(move |request| fill.call(request)) }
    }

    pub(crate) fn describe(&self) -> guest::Seed {
        guest::Seed { name: self.name.to_owned(), summary: self.summary.to_owned() }
    }

    pub(crate) fn fill(&self, request: &mut Request) -> Result<types::Response, Problem> {
        (self.fill)(request).map(|answer| answer.into_binding(200))
    }
}
