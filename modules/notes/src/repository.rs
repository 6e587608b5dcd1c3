//! The only SQL.

use hostel_sdk::prelude::*;

use crate::model::{Draft, Note, NoteId};

impl FromRow for Note {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.get("id")?,
            title: row.get("title")?,
            body: row.get("body")?,
            version: row.get("version")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    }
}

/// The newest notes that are older than `before`.
pub(crate) fn list(db: &impl Connection, before: NoteId, limit: u32) -> Result<Vec<Note>, Error> {
    db.query(
        "SELECT id, title, body, version, created_at, updated_at FROM notes
         WHERE id < $1 ORDER BY id DESC LIMIT $2",
        params![before, limit],
    )
}

pub(crate) fn find(db: &impl Connection, id: NoteId) -> Result<Option<Note>, Error> {
    db.query_optional(
        "SELECT id, title, body, version, created_at, updated_at FROM notes WHERE id = $1",
        params![id],
    )
}

pub(crate) fn insert(db: &impl Connection, note: &Note) -> Result<(), Error> {
    db.execute(
        "INSERT INTO notes (id, title, body, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![note.id, note.title, note.body, note.version, note.created_at, note.updated_at],
    )?;
    Ok(())
}

/// Changes a note that still has the version that the client has seen, where one is given. None
/// when there is no such note of that version.
pub(crate) fn update(
    db: &impl Connection,
    id: NoteId,
    draft: &Draft,
    now: Timestamp,
) -> Result<Option<Note>, Error> {
    db.query_optional(
        "UPDATE notes SET title = $2, body = $3, version = version + 1, updated_at = $4
         WHERE id = $1 AND ($5 IS NULL OR version = $5)
         RETURNING id, title, body, version, created_at, updated_at",
        params![id, draft.title, draft.body, now, draft.version],
    )
}

/// Whether there was such a note.
pub(crate) fn delete(db: &impl Connection, id: NoteId) -> Result<bool, Error> {
    Ok(db.execute("DELETE FROM notes WHERE id = $1", params![id])? > 0)
}
