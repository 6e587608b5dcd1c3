//! What a note is, and what may be asked of notes.

use hostel_sdk::prelude::*;

/// A note's id.
pub(crate) type NoteId = Id<Note>;

/// A note as it is kept.
#[derive(Debug, Entity, Serialize, JsonSchema)]
#[entity(table = "notes")]
pub(crate) struct Note {
    #[entity(key)]
    pub(crate) id: NoteId,
    pub(crate) title: Line<200>,
    pub(crate) body: Text<10_000>,
    /// Grows with each change.
    #[entity(version)]
    pub(crate) version: u32,
    #[entity(created)]
    pub(crate) created_at: Timestamp,
    #[entity(updated)]
    pub(crate) updated_at: Timestamp,
}

/// What a client says of a note.
#[derive(Debug, Deserialize, JsonSchema, Draft)]
#[draft(of = Note)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"title": "Milk", "body": "Two bottles."}]))]
pub(crate) struct NoteDraft {
    title: Line<200>,
    #[serde(default)]
    body: Text<10_000>,
    /// The version that the client has seen; when given, another one is not overwritten.
    #[draft(version)]
    #[serde(default)]
    version: Option<u32>,
}

/// Newest first, unless a client says otherwise.
impl Listed for Note {
    type Entity = Self;

    fn list() -> List<Self> {
        List::by(Note::ID.desc())
            .range(Note::CREATED_AT)
            .range(Note::UPDATED_AT)
            .sort(Note::CREATED_AT)
            .sort(Note::UPDATED_AT)
            .sort(Note::TITLE)
            .search((Note::TITLE, Note::BODY))
            .counted()
    }
}

/// What an operator may change.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct NotesSettings {
    /// Notes on a page when the client does not say.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) page_size: u32,
}

impl Default for NotesSettings {
    fn default() -> Self {
        Self { page_size: 20 }
    }
}
