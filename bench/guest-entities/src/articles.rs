//! A list with a filter, an order, a search and what it is in relation with.

use hostel_sdk::prelude::*;

#[derive(Entity, Serialize, Deserialize, JsonSchema)]
#[entity(table = "authors")]
pub(crate) struct Author {
    #[entity(key)]
    id: i64,
    name: String,
}

#[derive(Entity, Serialize, Deserialize, JsonSchema)]
#[entity(table = "articles")]
pub(crate) struct Article {
    #[entity(key)]
    id: i64,
    #[entity(belongs_to(author: Author))]
    author_id: i64,
    title: String,
    language: String,
    words: i32,
}

impl Listed for Article {
    type Entity = Self;

    fn list() -> List<Self> {
        List::by(Self::ID.asc())
            .filter(Self::LANGUAGE)
            .range(Self::WORDS)
            .sort(Self::WORDS)
            .search(Self::TITLE)
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Shown {
    id: i64,
    title: String,
    language: String,
    words: i32,
    author: Option<Author>,
}

pub(crate) fn list(list: ListQuery<Article>, db: Db) -> Result<Paged<Shown>, Problem> {
    let page = list.page_of(&db, Article::all().with(Article::AUTHOR))?;
    Ok(page.map(|(Article { id, title, language, words, .. }, author)| Shown {
        id,
        title,
        language,
        words,
        author,
    }))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Articles {
    authors: Vec<Author>,
    articles: Vec<Article>,
}

pub(crate) fn fill(
    Json(Articles { authors, articles }): Json<Articles>,
    db: Db,
) -> Result<NoContent, Problem> {
    db.transaction(|tx| {
        tx.insert_all(authors)?;
        tx.insert_all(articles)?;
        Ok(NoContent)
    })
}
