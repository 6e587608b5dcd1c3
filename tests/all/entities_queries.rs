//! Questions to entities: filters, orders, pages, aggregates, relations, search and lists.

use std::collections::BTreeSet;

use hostel_tests::Client;
use serde_json::{Value, json};

use super::entities::{add, api, book, id, start};

/// Two authors and five books, one of them nobody's.
async fn fill(acme: &Client) {
    let born = |name: &str, born: Value| json!({ "name": name, "born": born });
    let jane = add(acme, "authors", born("Jane Austen", json!("1775-12-16"))).await;
    let james = add(acme, "authors", born("James Joyce", json!("1882-02-02"))).await;
    add(acme, "authors", born("Nobody Yet", json!(null))).await;
    for (title, author, pages, price, weight, published) in [
        ("Emma", &jane["id"], 474, "12.5", json!(0.5), json!("1815-12-23")),
        ("Persuasion", &jane["id"], 249, "9.95", json!(0.25), json!("1817-12-20")),
        ("Ulysses", &james["id"], 730, "19.9", json!(null), json!("1922-02-02")),
        ("Dubliners", &james["id"], 152, "9.95", json!(0.25), json!("1914-06-15")),
        ("100% Milk", &json!(null), 16, "0.5", json!(null), json!(null)),
    ] {
        let draft = json!({
            "title": title,
            "author": author,
            "summary": format!("All about {title}; größer, well-known (and read)"),
            "pages": pages,
            "price": price,
            "weight": weight,
            "published_on": published,
            "status": if pages < 20 { "draft" } else { "in_print" },
        });
        let made = add(acme, "books", draft).await;
        if title.contains('U') || title == "Emma" {
            let path = api(format!("books/{}/tags", id(&made)));
            acme.post(&path, json!(["classic", "novel"])).await.ok();
        }
    }
}

fn names(items: &Value, member: &str) -> Vec<String> {
    let items = items.as_array().unwrap();
    items.iter().map(|it| it[member].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn filters_mean_the_same_on_both_databases() {
    let (_platform, acme) = start().await;
    fill(&acme).await;
    let all = ["100% Milk", "Dubliners", "Emma", "Persuasion", "Ulysses"];
    for (which, expected) in [
        ("equal", &["Emma"][..]),
        ("unequal", &["100% Milk", "Dubliners", "Persuasion", "Ulysses"]),
        ("nothing", &["100% Milk", "Ulysses"]),
        ("nothing-as-value", &["100% Milk", "Ulysses"]),
        ("something", &["Dubliners", "Emma", "Persuasion"]),
        ("between", &["Dubliners", "Persuasion"]),
        ("one-of", &["Emma", "Ulysses"]),
        ("none-of", &[]),
        ("contains", &["Emma"]),
        ("starts", &["Ulysses"]),
        ("percent", &["100% Milk"]),
        ("both", &["Dubliners", "Emma", "Persuasion", "Ulysses"]),
        ("either", &["100% Milk", "Emma", "Ulysses"]),
        ("not", &["100% Milk", "Dubliners", "Persuasion"]),
        ("columns", &[]),
        ("date", &["Emma", "Persuasion"]),
        ("time", &all),
        ("decimal", &["Dubliners", "Emma", "Persuasion", "Ulysses"]),
        ("raw", &["Emma"]),
        ("all", &all),
        ("any", &[]),
        ("author", &["Emma", "Persuasion"]),
        ("no-author", &["100% Milk", "Dubliners", "Ulysses"]),
    ] {
        let found = acme.get(&api(format!("filtered/{which}"))).await.ok();
        assert_eq!(found, json!(expected), "{which}");
    }
    let long = acme.get(&api("long")).await.ok();
    assert_eq!(names(&long, "title"), ["Ulysses", "Emma", "Persuasion"]);
}

#[tokio::test]
async fn numbers_are_computed_over_rows_and_groups() {
    let (_platform, acme) = start().await;
    fill(&acme).await;
    let numbers = acme.get(&api("numbers")).await.ok();
    let expected = json!({
        "count": 4,
        "any": true,
        "none": false,
        "pages": 1605,
        "mean": 401.25,
        "cheapest": "9.95",
        "dearest": "19.9",
        "worth": "52.3",
        "authors": 2,
        "newest": "1922-02-02",
        "of_none": null,
    });
    assert_eq!(numbers, expected);
    let groups = acme.get(&api("by-status")).await.ok();
    assert_eq!(groups, json!([{ "status": "in_print", "books": 4, "pages": 1605 }]));
    let shelves = acme.get(&api("of-authors")).await.ok();
    let expected =
        json!([{ "name": "James Joyce", "books": 2 }, { "name": "Jane Austen", "books": 2 }]);
    assert_eq!(shelves, expected);
    let written = acme.get(&api("raw")).await.ok();
    assert_eq!(written, expected);
}

#[tokio::test]
async fn what_is_joined_is_filtered_ordered_and_selected() {
    let (_platform, acme) = start().await;
    fill(&acme).await;
    let pairs = acme.get(&api("with-authors")).await.ok();
    let told: Vec<_> = pairs
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (pair[0]["title"].as_str().unwrap(), pair[1]["name"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("Emma", "Jane Austen"), ("Persuasion", "Jane Austen")]);
    let titles = acme.get(&api("titles")).await.ok();
    assert_eq!(titles[0], json!({ "title": "100% Milk", "author": null }));
    assert_eq!(titles[1], json!({ "title": "Dubliners", "author": "James Joyce" }));
}

#[tokio::test]
async fn each_relation_is_one_statement_however_many_rows_there_are() {
    let (_platform, acme) = start().await;
    fill(&acme).await;
    let count = async |how: &str| {
        let told = acme.get(&api(format!("statements/{how}"))).await.ok();
        (told["statements"].as_u64().unwrap(), told["found"].clone())
    };
    let before = [count("one").await.0, count("all").await.0, count("nested").await.0];
    assert_eq!(before, [2, 4, 4]);
    let lazy = count("lazy").await.0;
    assert_eq!(lazy, 4, "one for the authors, and one for each");
    assert_eq!(count("nothing").await, (1, json!([])));
    for number in 0..30 {
        let author = add(&acme, "authors", json!({ "name": format!("Author {number}") })).await;
        let mut draft = book(&format!("Book {number}"), 100);
        draft["author"] = author["id"].clone();
        add(&acme, "books", draft).await;
    }
    let after = [count("one").await.0, count("all").await.0, count("nested").await.0];
    assert_eq!(after, before);

    let (_, nested) = count("nested").await;
    let of_james =
        nested.as_array().unwrap().iter().find(|it| it[0]["name"] == "James Joyce").unwrap();
    let books: Vec<_> = of_james[1].as_array().unwrap().iter().collect();
    let titles: Vec<_> = books.iter().map(|it| it[0]["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Dubliners", "Ulysses"]);
    assert_eq!(names(&books[1][1][0], "name"), ["classic", "novel"]);

    let (statements, tagged) = count("tagged").await;
    assert_eq!(
        (statements, names(&tagged, "name")),
        (1, vec!["James Joyce".into(), "Jane Austen".into()])
    );
    let (statements, untagged) = count("untagged").await;
    assert_eq!((statements, untagged.as_array().unwrap().len()), (1, 33));
}

#[tokio::test]
async fn a_row_is_with_all_that_belongs_to_it() {
    let (_platform, acme) = start().await;
    fill(&acme).await;
    let books = acme.get(&api("relations")).await.ok();
    let emma = books.as_array().unwrap().iter().find(|it| it["title"] == "Emma").unwrap();
    acme.post(&api(format!("books/{}/cover", id(emma))), json!("red")).await.ok();
    acme.post(&api(format!("books/{}/loans", id(emma))), json!("Ada")).await.ok();
    let books = acme.get(&api("relations")).await.ok();
    let told: Vec<_> = books
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let (author, cover) = (it["written_by"]["name"].clone(), it["cover"]["colour"].clone());
            json!([it["title"], author, cover, names(&it["tags"], "name")])
        })
        .collect();
    let expected = json!([
        ["100% Milk", null, null, []],
        ["Dubliners", "James Joyce", null, []],
        ["Emma", "Jane Austen", "red", ["novel", "classic"]],
        ["Persuasion", "Jane Austen", null, []],
        ["Ulysses", "James Joyce", null, ["novel", "classic"]],
    ]);
    assert_eq!(json!(told), expected);
    let lent = acme.get(&api("statements/lent")).await.ok();
    assert_eq!(lent["statements"], 3);
    let loan = &lent["found"][0];
    assert_eq!((&loan[0]["reader"], &loan[1][0]["title"]), (&json!("Ada"), &json!("Emma")));
    assert_eq!(loan[1][1]["name"], "Jane Austen");
    let author = emma["author"].as_str().unwrap();
    let later = acme.get(&api(format!("authors/{author}/books"))).await.ok();
    assert_eq!(later.as_array().unwrap().len(), 2);
}

/// All items of a list, page by page, while somebody adds more.
async fn walked(acme: &Client, path: &str, meanwhile: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut next = String::new();
    for number in 0.. {
        let join = if path.contains('?') { "&" } else { "?" };
        let page = acme.get(&api(format!("{path}{join}limit=3{next}"))).await.ok();
        for item in page["items"].as_array().unwrap() {
            let title = item.as_str().or_else(|| item["title"].as_str()).unwrap();
            all.push(title.to_owned());
        }
        let Some(cursor) = page["next"].as_str() else { break };
        let pairs = [("cursor", cursor)];
        next = format!("&{}", form_urlencoded(&pairs));
        // Alike in everything that is ordered by.
        add(acme, "books", book(&format!("{meanwhile} {number}"), 100)).await;
    }
    all
}

fn form_urlencoded(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={}", value.replace('%', "%25"))).collect()
}

#[tokio::test]
async fn pages_show_every_row_once_while_others_are_added() {
    let (_platform, acme) = start().await;
    fill(&acme).await;
    for number in 0..10 {
        let mut draft = book(&format!("Book {number}"), 100 + number % 3);
        if number % 2 == 0 {
            draft["weight"] = json!(f64::from(number % 4));
            draft["published_on"] = json!(format!("2026-01-0{}", 1 + number % 3));
        }
        add(&acme, "books", draft).await;
    }
    let before: BTreeSet<String> = walked(&acme, "pages/key", "Later").await.into_iter().collect();
    assert!(before.len() >= 15);
    for order in ["newest", "pages", "weight", "lightest-last", "published", "joined"] {
        let all = walked(&acme, &format!("pages/{order}"), order).await;
        let once: BTreeSet<String> = all.iter().cloned().collect();
        assert_eq!(once.len(), all.len(), "{order} shows one twice: {all:?}");
        let missing: Vec<_> = before.difference(&once).collect();
        assert!(missing.is_empty(), "{order} shows no {missing:?}");
    }
}

#[tokio::test]
async fn nothing_is_the_smallest_on_both_databases() {
    let (_platform, acme) = start().await;
    fill(&acme).await;
    let order = async |order: &str| {
        let page = acme.get(&api(format!("pages/{order}?limit=100"))).await.ok();
        serde_json::from_value::<Vec<String>>(page["items"].clone()).unwrap()
    };
    let ascending = order("weight").await;
    assert_eq!(
        ascending[..2].iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([&"100% Milk".to_owned(), &"Ulysses".to_owned()])
    );
    assert_eq!(ascending[4], "Emma");
    let descending = order("lightest-last").await;
    assert_eq!(
        descending,
        ["Emma", "Persuasion", "Dubliners", "100% Milk", "Ulysses"].map(str::to_owned)
    );
}

#[tokio::test]
async fn a_cursor_belongs_to_its_order() {
    let (_platform, acme) = start().await;
    fill(&acme).await;
    let next = async |order: &str| {
        let page = acme.get(&api(format!("pages/{order}?limit=2"))).await.ok();
        page["next"].as_str().unwrap().to_owned()
    };
    let of_pages = next("pages").await;
    acme.get(&api(format!("pages/pages?cursor={of_pages}"))).await.ok();
    for (order, cursor) in [
        ("weight", of_pages.as_str()),
        ("pages", "x"),
        ("pages", "WyJhIl0"),
        ("pages", "W10"),
        ("pages", ""),
        ("key", &of_pages),
        ("key", "x"),
    ] {
        let refused = acme.get(&api(format!("pages/{order}?cursor={cursor}"))).await;
        assert_eq!(refused.code(), "422 invalid-fields", "{cursor} in {order}");
        assert_eq!(refused.json()["errors"][0]["pointer"], "query/cursor");
    }
    // A key alone is a cursor that can be read.
    assert_eq!(next("key").await.len(), 36);
}

#[tokio::test]
async fn words_are_found_wherever_they_are_kept() {
    let (_platform, acme) = start().await;
    fill(&acme).await;
    let mut draft = book("Die Straße", 100);
    draft["summary"] = json!("It's at info@example.org/path, C-3PO said: co-operate! 42b");
    add(&acme, "books", draft).await;
    add(&acme, "books", book("No summary", 100)).await;
    let found = async |words: &str| {
        let path = api(format!(
            "search?words={}",
            words.replace('%', "%25").replace('&', "%26").replace('+', "%2B")
        ));
        serde_json::from_value::<Vec<String>>(acme.get(&path).await.ok()).unwrap()
    };
    let all = ["Dubliners", "Emma", "Persuasion", "Ulysses"];
    for (words, expected) in [
        ("emma", &["Emma"][..]),
        ("EMMA ABOUT", &["Emma"]),
        ("em abo", &["Emma"]),
        ("mma", &[]),
        ("emma ulysses", &[]),
        ("GRÖSSER", &[]),
        ("GRÖSS", &[]),
        ("GRÖß", &["100% Milk", "Dubliners", "Emma", "Persuasion", "Ulysses"]),
        ("known emma", &["Emma"]),
        ("100", &["100% Milk"]),
        ("straß", &["Die Straße"]),
        ("example", &["Die Straße"]),
        ("org", &["Die Straße"]),
        ("path", &["Die Straße"]),
        ("info", &["Die Straße"]),
        ("3po", &["Die Straße"]),
        ("operate", &["Die Straße"]),
        ("42", &["Die Straße"]),
        ("s at", &["Die Straße"]),
        ("summary", &["No summary"]),
        ("' | ! emma:* & (", &["Emma"]),
        ("emma; DROP TABLE library_books", &[]),
    ] {
        assert_eq!(found(words).await, expected, "{words}");
    }
    assert_eq!(found(" ,.; ").await.len(), all.len() + 3, "no words leave nothing out");
}

#[tokio::test]
async fn a_list_takes_what_is_declared_and_refuses_the_rest() {
    let (_platform, acme) = start().await;
    fill(&acme).await;
    let titles = async |query: &str| {
        let page = acme.get(&api(format!("books?{query}"))).await.ok();
        names(&page["items"], "title")
    };
    assert_eq!(titles("sort=title").await[1..], ["Dubliners", "Emma", "Persuasion", "Ulysses"]);
    assert_eq!(titles("sort=-pages&limit=2").await, ["Ulysses", "Emma"]);
    assert_eq!(titles("status=draft").await, ["100% Milk"]);
    assert_eq!(titles("status=draft&status=gone&status=in_print&sort=pages").await.len(), 5);
    assert_eq!(titles("pages.gte=152&pages.lt=474&sort=pages").await, ["Dubliners", "Persuasion"]);
    assert_eq!(titles("pages.gt=152&pages.lte=249").await, ["Persuasion"]);
    assert_eq!(titles("price.gt=9.95&sort=title").await, ["Emma", "Ulysses"]);
    assert_eq!(titles("published_on.lt=1900-01-01&sort=published").await, ["Emma", "Persuasion"]);
    assert_eq!(titles("search=emma&status=in_print").await, ["Emma"]);
    assert_eq!(titles("").await.first().map(String::as_str), Some("100% Milk"));
    let counted = acme.get(&api("books?count=true&limit=1&status=in_print")).await.ok();
    assert_eq!((&counted["total"], counted["items"].as_array().unwrap().len()), (&json!(4), 1));
    let uncounted = acme.get(&api("books?limit=1")).await.ok();
    assert!(uncounted.get("total").is_none());
    for (query, pointers) in [
        ("is_lent=true", &["query/is_lent"][..]),
        ("summary=x&version=1", &["query/summary", "query/version"]),
        ("status.gte=draft", &["query/status.gte"]),
        ("sort=price", &["query/sort"]),
        ("sort=title;DROP", &["query/sort"]),
        (
            "status=other&pages.gte=many&limit=0",
            &["query/limit", "query/status", "query/pages.gte"],
        ),
        ("author=x", &["query/author"]),
        ("count=maybe", &["query/count"]),
    ] {
        let refused = acme.get(&api(format!("books?{query}"))).await;
        assert_eq!(refused.code(), "422 invalid-fields", "{query}");
        let errors = refused.json()["errors"].clone();
        assert_eq!(names(&errors, "pointer"), pointers, "{query}");
    }
}

#[tokio::test]
async fn a_list_is_of_some_rows_and_with_what_belongs_to_them() {
    let (_platform, acme) = start().await;
    fill(&acme).await;
    let books = acme.get(&api("relations")).await.ok();
    let emma = books.as_array().unwrap().iter().find(|it| it["title"] == "Emma").unwrap();
    let author = emma["author"].as_str().unwrap();
    let page = acme.get(&api(format!("authors/{author}/list?sort=title&count=true"))).await.ok();
    assert_eq!(page["total"], 2);
    let told: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| json!([it[0]["title"], it[1]["name"]]))
        .collect();
    assert_eq!(told, [json!(["Emma", "Jane Austen"]), json!(["Persuasion", "Jane Austen"])]);
    let shelf = acme.get(&api("shelf?sort=title&limit=2")).await.ok();
    assert_eq!(shelf["items"][1], json!({ "title": "Dubliners", "author": "James Joyce" }));
    let next = format!("shelf?sort=title&limit=2&cursor={}", shelf["next"].as_str().unwrap());
    let shelf = acme.get(&api(next)).await.ok();
    assert_eq!(shelf["items"][0]["title"], "Emma");
    let sorted = walked(&acme, "shelf?sort=-pages", "Meanwhile").await;
    assert_eq!(sorted.iter().collect::<BTreeSet<_>>().len(), sorted.len());
}

#[tokio::test]
async fn a_list_is_described_as_it_is_read() {
    let (_platform, acme) = start().await;
    let document = acme.get("/openapi.json").await.ok();
    let parameters = document["paths"]["/api/library/books"]["get"]["parameters"].clone();
    let parameters: Vec<_> = parameters.as_array().unwrap().iter().skip(1).collect();
    let of = |name: &str| {
        let found = parameters.iter().find(|it| it["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {parameters:#?}"))["schema"].clone()
    };
    let all: BTreeSet<_> = parameters.iter().map(|it| it["name"].as_str().unwrap()).collect();
    let ranges = ["pages", "published_on", "price"]
        .iter()
        .flat_map(|name| ["", ".gt", ".gte", ".lt", ".lte"].map(|end| format!("{name}{end}")));
    let mut expected: BTreeSet<String> = ranges.collect();
    for name in ["status", "author", "sort", "search", "count", "cursor", "limit"] {
        expected.insert(name.to_owned());
    }
    assert_eq!(all, expected.iter().map(String::as_str).collect());
    assert_eq!(of("status")["items"]["enum"], json!(["draft", "in_print", "gone"]));
    assert_eq!(of("published_on.gte")["format"], "date");
    assert_eq!(of("pages.lt")["maximum"], 10_000);
    assert_eq!(of("sort")["pattern"], "^-?(title|pages|published)(,-?(title|pages|published))*$");
    assert!(parameters.iter().all(|it| it["required"] == false && it["description"].is_string()));
}
