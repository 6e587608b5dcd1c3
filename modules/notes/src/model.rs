//! What a note is.

use hostel_sdk::prelude::*;

/// A note's id.
pub(crate) type NoteId = Id<Note>;

/// A note as it is kept.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Note {
    pub(crate) id: NoteId,
    pub(crate) title: Line<200>,
    pub(crate) body: Text<10_000>,
    /// Grows with each change.
    pub(crate) version: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// What a client says of a note.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NoteDraft", extend("examples" = [{"title": "Milk", "body": "Two bottles."}]))]
pub(crate) struct Draft {
    pub(crate) title: Line<200>,
    #[serde(default)]
    pub(crate) body: Text<10_000>,
    /// The version that the client has seen; when given, another one is not overwritten.
    #[serde(default)]
    pub(crate) version: Option<u32>,
}

impl Note {
    pub(crate) fn new(id: NoteId, draft: Draft, now: Timestamp) -> Self {
        let Draft { title, body, version: _ } = draft;
        Self { id, title, body, version: 1, created_at: now, updated_at: now }
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
