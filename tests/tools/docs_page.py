"""Uses `/docs` as a person would: docs_page.py CHROMIUM URL FOLDER

The platform has the tenants `acme` and `other`, and everybody may use notes. The samples of one
operation are left in FOLDER, as are pictures of the page. Whatever the browser complains about
ends the run.
"""

import json
import pathlib
import sys

from playwright.sync_api import expect, sync_playwright

LANGUAGES = {"curl": "sample.sh", "JavaScript": "sample.js", "Python": "sample.py", "Rust": "sample.rs"}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def main(chromium, url, folder):
    folder = pathlib.Path(folder)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        complaints = []
        page = opened(browser, url, complaints, color_scheme="light")
        use(page, folder)
        refuse(page, complaints)
        samples(page, folder)
        for name, options in {
            "light": {"color_scheme": "light", "viewport": {"width": 1440, "height": 1000}},
            "dark": {"color_scheme": "dark", "viewport": {"width": 1440, "height": 1000}},
            "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
        }.items():
            look(opened(browser, url, complaints, **options), folder / f"{name}.png")
        browser.close()
    assert not complaints, "\n".join(complaints)


def opened(browser, url, complaints, **options):
    """The page, with whatever the browser complains about noted."""
    page = browser.new_context(**options).new_page()
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: complaints.append(f"console: {message.text}")
        if message.type in ("error", "warning")
        else None,
    )
    page.on(
        "request",
        lambda request: complaints.append(f"asked elsewhere: {request.url}")
        if not request.url.startswith(url)
        else None,
    )
    page.goto(f"{url}/docs?tenant=acme")
    expect(page.locator("#status")).to_be_hidden()
    return page


def use(page, folder):
    """Finds an operation, makes notes, reads them page by page, for one tenant and for another."""
    expect(page.locator("main").get_by_role("heading", name="notes")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("create note")
    shown = page.locator("#index li:visible")
    expect(shown).to_have_count(1)
    shown.locator("a").click()
    create = card(page, "notes.create")
    expect(create.locator("textarea")).to_have_value(json.dumps({"body": "Two bottles.", "title": "Milk"}, indent=2))
    for title in ["One", "Two"]:
        create.locator("textarea").fill(json.dumps({"title": title}))
        create.get_by_role("button", name="Send").click()
        expect(create.locator(".outcome pre").first).to_contain_text(title)
        expect(create.locator(".outcome .code")).to_have_text("201")
    create.locator("textarea").fill('{"title": ""}')
    create.get_by_role("button", name="Send").click()
    expect(create.locator(".outcome .code")).to_have_text("422")
    expect(create.locator(".outcome pre").first).to_contain_text('"/title"')

    page.locator("#search").fill("")
    page.goto(f"{page.url.split('#')[0]}#notes.list")
    listing = card(page, "notes.list")
    listing.get_by_label("limit").fill("1")
    listing.get_by_role("button", name="Send").click()
    expect(listing.locator(".outcome pre").first).to_contain_text("Two")
    listing.get_by_role("button", name="Next page").click()
    expect(listing.locator(".outcome pre").first).to_contain_text("One")

    switch(page, "other")
    # The operation that the address names is open again.
    listing.get_by_role("button", name="Send").click()
    expect(listing.locator(".outcome pre").first).to_contain_text('"items": []')


def refuse(page, complaints):
    """A tenant that is not there is told of; the browser tells of the answer's status, too."""
    before = len(complaints)
    switch(page, "nobody")
    expect(page.locator("#status")).to_have_text("The API cannot be shown: there is no such tenant.")
    told = [complaint for complaint in complaints[before:] if "404" in complaint]
    assert complaints[before:] == told, complaints
    # The problem that was asked for in `use`, and this one.
    complaints[:] = [complaint for complaint in complaints if "status of 4" not in complaint]
    switch(page, "acme")
    expect(page.locator("#status")).to_be_hidden()


def samples(page, folder):
    page.goto(f"{page.url.split('#')[0]}#notes.create")
    create = card(page, "notes.create")
    create.locator("textarea").fill(json.dumps({"title": 'It\'s "quoted" \\ and ünïcode', "body": "two\nlines"}))
    for language, file in LANGUAGES.items():
        create.get_by_role("tab", name=language).click()
        shown = create.locator(f'[data-language="{language}"]')
        (folder / file).write_text(shown.text_content(), encoding="utf-8")
    script = (folder / "sample.js").read_text(encoding="utf-8")
    with page.expect_console_message(lambda message: message.type == "log") as told:
        page.evaluate(f"(async () => {{ {script} }})()")
    assert told.value.text.startswith("201 {"), told.value.text


def look(page, picture):
    """What is on it has names, and fits the window."""
    page.goto(f"{page.url.split('#')[0]}#notes.create")
    card(page, "notes.create").get_by_role("button", name="Send").click()
    expect(card(page, "notes.create").locator(".outcome .code")).to_have_text("201")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select, textarea')].filter((one) => !one.labels.length).length"
    )
    assert unnamed == 0, f"{unnamed} fields without a label"
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{wide} pixels too wide"
    page.screenshot(path=picture)


def card(page, name):
    return page.locator(f'details[id="{name}"]')


def switch(page, tenant):
    page.locator("#tenant").fill(tenant)
    page.locator("#tenant").press("Enter")


main(*sys.argv[1:])
