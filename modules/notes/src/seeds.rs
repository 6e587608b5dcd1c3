//! Notes to try things with.

use std::time::Duration;

use hostel_sdk::Seed;
use hostel_sdk::prelude::*;

use crate::model::Note;

const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(crate) fn notes(seed: Seed, db: Db) -> Result<(), Problem> {
    let mut fakes = seed.fakes();
    let now = clock::now();
    let note = |_| {
        let created_at = fakes.before(now, MONTH);
        Ok(Note {
            id: Id::generate()?,
            title: fakes.line(2..6),
            body: fakes.text(1..8),
            version: 1,
            created_at,
            updated_at: created_at,
        })
    };
    let notes = (0..seed.rows_or(100)).map(note).collect::<Result<Vec<_>, Error>>()?;
    db.insert_all(notes)?;
    Ok(())
}
