//! HTTP in and out.

use hostel_sdk::prelude::*;

use crate::model::{Draft, Note, NoteId, NotesSettings};
use crate::repository;

pub(crate) fn list(
    page: Page<NoteId>,
    Settings(settings): Settings<NotesSettings>,
    db: Db,
) -> Result<Paged<Note>, Problem> {
    let page = page.or_limit(settings.page_size);
    let notes = repository::list(&db, page.after.unwrap_or(NoteId::MAX), page.look_ahead())?;
    Ok(page.answer(notes, |note| note.id))
}

pub(crate) fn create(Json(draft): Json<Draft>, db: Db) -> Result<Created<Note>, Problem> {
    let note = Note::new(NoteId::generate()?, draft, clock::now());
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
