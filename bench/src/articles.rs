//! The articles of the work `list`: which there are, what is asked for, and what the answer is.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;

use crate::works::PAGE;

const AUTHORS: u32 = 50;
/// No two begin alike, so that a word and the beginning of a word find the same.
const SUBJECTS: [&str; 10] =
    ["ants", "bees", "cats", "dogs", "eels", "frogs", "geese", "hens", "ibises", "jays"];

#[derive(Deserialize, FromRow, Serialize)]
pub(crate) struct Author {
    pub(crate) id: i32,
    pub(crate) name: String,
}

#[derive(Deserialize, FromRow, Serialize)]
pub(crate) struct Article {
    pub(crate) id: i32,
    pub(crate) author_id: i32,
    pub(crate) title: String,
    pub(crate) language: String,
    pub(crate) words: i32,
}

/// All that is written, which the servers are sent before they are asked.
#[derive(Deserialize, Serialize)]
pub(crate) struct Articles {
    pub(crate) authors: Vec<Author>,
    pub(crate) articles: Vec<Article>,
}

impl Articles {
    pub(crate) fn of(rows: u32) -> Self {
        let author = |id| Author { id, name: format!("author {id}") };
        Self {
            authors: (1..=AUTHORS as i32).map(author).collect(),
            articles: (1..=rows as i32).map(article).collect(),
        }
    }
}

/// No two of the first 5,000 have as many words.
fn article(id: i32) -> Article {
    Article {
        id,
        author_id: 1 + id % AUTHORS as i32,
        title: format!("What number {id} says about {}", subject(id as u32)),
        language: (if id % 3 == 0 { "de" } else { "en" }).to_owned(),
        words: id * 37 % 5_000,
    }
}

fn subject(key: u32) -> &'static str {
    SUBJECTS[key as usize % SUBJECTS.len()]
}

/// What is asked for by a key: there are more than a page of them.
pub(crate) fn wanted(key: u32) -> String {
    let (word, words) = (subject(key), at_least(key));
    format!("articles?language=en&words.gte={words}&search={word}&sort=-words&limit={PAGE}")
}

fn at_least(key: u32) -> i32 {
    key as i32 % 1_000
}

/// Whether this is the page that was asked for.
pub(crate) fn are_answered(rows: u32, key: u32, json: &Value) -> bool {
    let mut expected: Vec<Article> = (1..=rows as i32)
        .map(article)
        .filter(|it| it.language == "en" && it.words >= at_least(key))
        .filter(|it| it.title.ends_with(subject(key)))
        .collect();
    expected.sort_by_key(|it| Reverse(it.words));
    expected.truncate(PAGE as usize);
    let is_right = |(item, article): (&Value, &Article)| {
        item["id"] == article.id
            && item["title"] == article.title
            && item["words"] == article.words
            && item["author"]["name"] == format!("author {}", article.author_id)
    };
    json["next"].is_string()
        && json["items"].as_array().is_some_and(|items| {
            items.len() == PAGE as usize && items.iter().zip(&expected).all(is_right)
        })
}
