//! The guest of the benchmark of migrations: a table with some rows, and a step that adds a column and
//! an index to it.

use hostel_sdk::prelude::*;

hostel_sdk::module!(steps);

fn steps() -> Module {
    Module::new("steps", env!("CARGO_PKG_VERSION"))
        .about("A table that is changed")
        .migrations(migrations!("0001_items", "0002_amounts"))
}
