//! HTTP in and out.

use hostel_sdk::prelude::*;

use crate::model::{Note, NoteDraft, NoteId, NotesSettings};

pub(crate) fn list(
    list: ListQuery<Note>,
    Settings(settings): Settings<NotesSettings>,
    db: Db,
) -> Result<Paged<Note>, Problem> {
    Ok(list.or_limit(settings.page_size).page(&db)?)
}

pub(crate) fn create(Json(draft): Json<NoteDraft>, db: Db) -> Result<Created<Note>, Problem> {
    let note = db.create(&draft)?;
    Ok(Created::below(note.id, note))
}

pub(crate) fn read(Path(id): Path<NoteId>, db: Db) -> Result<Json<Note>, Problem> {
    Ok(Json(db.get(id)?))
}

pub(crate) fn change(
    Path(id): Path<NoteId>,
    Json(draft): Json<NoteDraft>,
    db: Db,
) -> Result<Json<Note>, Problem> {
    Ok(Json(db.change(id, &draft)?))
}

pub(crate) fn remove(Path(id): Path<NoteId>, db: Db) -> Result<NoContent, Problem> {
    db.delete::<Note>(id)?;
    Ok(NoContent)
}
