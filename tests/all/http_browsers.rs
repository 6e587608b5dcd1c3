//! What answers tell browsers: headers that make them careful, and whose pages may read what.

use hostel_tests::{Answer, Client, Folder, TestPlatform, eventually};
use serde_json::json;

const APP: &str = "https://app.example.org";
const OTHER: &str = "https://other.example.org";

#[tokio::test]
async fn every_answer_makes_browsers_careful() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    for path in ["/api/probe/counter", "/api/probe/problem", "/nowhere", "/health/live", "/metrics"]
    {
        let answer = acme.get(path).await;
        for (name, value) in [
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.headers(name), [value], "{path}");
        }
        assert_eq!(answer.header("strict-transport-security"), None, "{path}: there is no TLS");
    }
    let own = acme.get("/api/hostile/header?name=x-frame-options&value=SAMEORIGIN").await;
    assert_eq!(own.headers("x-frame-options"), ["SAMEORIGIN"], "a module knows better");
}

#[tokio::test]
async fn what_browsers_are_told_is_configured() {
    let platform = TestPlatform::configured(
        "[http.headers]\nreferrer_policy = 'same-origin'\nx_frame_options = ''",
    )
    .await;
    let answer = platform.nobody().get("/nowhere").await;
    assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
    assert_eq!(answer.header("x-frame-options"), None);
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

async fn asked_from(client: &Client, path: &str, origin: &str) -> Answer {
    client.request("GET", path).header("origin", origin).send().await
}

async fn preflight(client: &Client, path: &str, origin: &str, headers: &str) -> Answer {
    let request = client.request("OPTIONS", path).header("origin", origin);
    let request = request.header("access-control-request-method", "PUT");
    request.header("access-control-request-headers", headers).send().await
}

fn reader(answer: &Answer) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

#[tokio::test]
async fn pages_of_other_origins_read_nothing_unless_it_is_configured() {
    let platform = TestPlatform::start().await;
    let acme = platform.tenant("acme").await;
    let answer = asked_from(&acme, "/api/probe/counter", APP).await;
    assert_eq!((reader(&answer), answer.header("vary")), (None, None));
    let asked = preflight(&acme, "/api/probe/tagged/1", APP, "content-type").await;
    assert_eq!(reader(&asked), None);
}

#[tokio::test]
async fn pages_of_the_origins_that_are_named_read_answers() {
    let config = format!("[http.cors]\norigins = ['{APP}']\ncredentials = true\nmax_age_s = 60");
    let platform = TestPlatform::configured(&config).await;
    let acme = platform.tenant("acme").await;
    for path in ["/api/probe/counter", "/api/probe/problem", "/api/probe/nowhere"] {
        let answer = asked_from(&acme, path, APP).await;
        assert_eq!(reader(&answer), Some(APP), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("retry-after") && exposed.contains("x-request-id"), "{exposed}");
        assert_eq!(answer.header("vary"), Some("origin"));
        let other = asked_from(&acme, path, OTHER).await;
        assert_eq!((reader(&other), other.header("vary")), (None, Some("origin")), "{path}");
        let nobodys = acme.get(path).await;
        assert_eq!((reader(&nobodys), nobodys.header("vary")), (None, Some("origin")), "{path}");
    }
    let wrong = acme.request("GET", "/api/probe/counter").header("origin", APP).bearer("x");
    assert_eq!(reader(&wrong.send().await), Some(APP), "a page can read why it was refused");

    let asked = preflight(&acme, "/api/probe/tagged/1", APP, "content-type, x-own").await;
    assert_eq!((asked.status(), reader(&asked)), (204, Some(APP)));
    let said = |name| asked.header(name).unwrap();
    assert_eq!(said("access-control-allow-methods"), "GET, PUT, HEAD, OPTIONS");
    assert_eq!(said("access-control-allow-headers"), "content-type, x-own");
    assert_eq!(said("access-control-allow-credentials"), "true");
    assert_eq!(said("access-control-max-age"), "60");
    assert!(said("vary").contains("access-control-request-headers"));
    let refused = preflight(&acme, "/api/probe/tagged/1", OTHER, "content-type").await;
    assert_eq!(reader(&refused), None);
    for path in ["/metrics", "/platform/v1/usage", "/health/live"] {
        assert_eq!(reader(&asked_from(&acme, path, APP).await), None, "{path} is for no page");
    }
}

#[tokio::test]
async fn everybodys_pages_read_answers_without_credentials() {
    let platform = TestPlatform::configured("[http.cors]\norigins = ['*']").await;
    let acme = platform.tenant("acme").await;
    let answer = asked_from(&acme, "/api/probe/counter", OTHER).await;
    assert_eq!((reader(&answer), answer.header("vary")), (Some("*"), None));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    // A browser does not say yet which tenant it will be.
    let asked = preflight(&platform.nobody(), "/api/notes", OTHER, "x-tenant").await;
    assert_eq!((asked.status(), reader(&asked)), (204, Some("*")));

    let folder = Folder::new();
    for (text, why) in [
        ("origins = ['*']\ncredentials = true", "leave credentials out"),
        ("origins = ['app.example.org']", "expected an origin"),
        ("origins = ['https://app.example.org/']", "expected an origin"),
        ("exposed_headers = ['a b']", "expected a header's name"),
    ] {
        folder.write("platform.toml", format!("[http.cors]\n{text}"));
        let told = folder.run(&["config", "check"]);
        assert!(told.code == Some(1) && told.stderr.contains(why), "{text}: {}", told.stderr);
    }
}

#[tokio::test]
async fn a_tenants_own_list_holds_for_it_and_for_nobody_else() {
    let config = format!("[http.cors]\norigins = ['{APP}']\nby_tenant = true\ncredentials = true");
    let platform = TestPlatform::configured(&config).await;
    let (acme, beta) = (platform.tenant("acme").await, platform.tenant("beta").await);
    let set = async |value| {
        let changes = [("cors-origins".to_owned(), value)].into();
        let (slug, name) = ("acme".parse().unwrap(), "platform".parse().unwrap());
        platform.inner().tenants().set_settings(&slug, &name, changes).await
    };
    assert_eq!(reader(&asked_from(&acme, "/api/probe/counter", APP).await), Some(APP));
    assert!(set(Some(json!(["nonsense"]))).await.is_err());
    set(Some(json!([OTHER]))).await.unwrap();
    let answer = eventually("the list holds", async || {
        let answer = asked_from(&acme, "/api/probe/counter", OTHER).await;
        reader(&answer).is_some().then_some(answer)
    })
    .await;
    assert_eq!(reader(&answer), Some(OTHER));
    assert_eq!(reader(&asked_from(&acme, "/api/probe/counter", APP).await), None);
    assert_eq!(reader(&asked_from(&beta, "/api/probe/counter", OTHER).await), None);

    // Whoever will name a tenant may ask, without what the browser knows; the answer says the rest.
    let asked = preflight(&platform.nobody(), "/api/probe/tagged/1", OTHER, "x-tenant").await;
    assert_eq!((asked.status(), reader(&asked)), (204, Some(OTHER)));
    assert_eq!(asked.header("access-control-allow-credentials"), None);
    let known = preflight(&platform.nobody(), "/api/probe/tagged/1", APP, "x-tenant").await;
    assert_eq!(known.header("access-control-allow-credentials"), Some("true"));
}
