//! HTTP in and out.

use hostel_sdk::clock;
use hostel_sdk::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Draft, Note, NoteId};
use crate::repository;

/// The setting `page-size`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct PageSize(#[schemars(range(min = 1, max = 100))] pub(crate) u32);

pub(crate) fn list(page: Page<NoteId>, settings: Settings, db: Db) -> Result<Paged<Note>, Problem> {
    let PageSize(size) = settings.get("page-size")?;
    let page = page.or_limit(size);
    let notes = repository::list(&db, page.after.unwrap_or(NoteId::MAX), page.look_ahead())?;
    Ok(page.answer(notes, |note| note.id))
}

pub(crate) fn create(Json(draft): Json<Draft>, db: Db) -> Result<Created<Note>, Problem> {
    let now = clock::now();
    let note = Note {
        id: NoteId::generate()?,
        title: draft.title,
        body: draft.body,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    repository::insert(&db, &note)?;
    Ok(Created::below(note.id, note))
}

pub(crate) fn read(Path(id): Path<NoteId>, db: Db) -> Result<Json<Note>, Problem> {
    Ok(Json(repository::find(&db, id)?.ok_or_else(no_such_note)?))
}

pub(crate) fn change(
    Path(id): Path<NoteId>,
    Json(draft): Json<Draft>,
    db: Db,
) -> Result<Json<Note>, Problem> {
    match repository::update(&db, id, &draft, clock::now())? {
        Some(note) => Ok(Json(note)),
        None if repository::find(&db, id)?.is_some() => Err(Problem::conflict(
            "note-changed",
            "somebody changed this note since you read it: read it again",
        )),
        None => Err(no_such_note()),
    }
}

pub(crate) fn remove(Path(id): Path<NoteId>, db: Db) -> Result<NoContent, Problem> {
    if repository::delete(&db, id)? { Ok(NoContent) } else { Err(no_such_note()) }
}

fn no_such_note() -> Problem {
    Problem::not_found("note")
}
