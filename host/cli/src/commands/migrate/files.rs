//! The migrations in a module's crate: files in a folder, and the list in its source that names them.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hostel::{Error, check_migration};
use walkdir::WalkDir;

use super::show::warning_for_people;

/// Where `migrations!` of the SDK looks for them.
pub(super) const FOLDER: &str = "migrations";
/// What the macro is called by.
const MACRO: &str = "migrations!(";
const DIGITS_MIN: usize = 4;
/// Leaves room for the number in an id.
const NAME_LENGTH_MAX: usize = 80;

pub(super) fn check_crate(folder: &Path) -> anyhow::Result<()> {
    if folder.join("Cargo.toml").is_file() {
        return Ok(());
    }
    Err(Error::invalid(format!("{} is no crate: there is no Cargo.toml", folder.display()))
        .hint("go to the folder of the module's crate, or name it")
        .into())
}

/// The name as a part of an id.
pub(super) fn words(name: &str) -> anyhow::Result<String> {
    let words: String = name
        .trim()
        .chars()
        .map(|one| if [' ', '-'].contains(&one) { '_' } else { one.to_ascii_lowercase() })
        .collect();
    let fits = (1..=NAME_LENGTH_MAX).contains(&words.len())
        && words.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fits {
        return Ok(words);
    }
    let message = format!("`{name}` is no name of a migration: use letters, digits and `_`");
    Err(Error::invalid(message).hint("a few words, such as `add_tags`").into())
}

/// The ids of the migrations in a folder, in their order.
pub(super) fn ids(migrations: &Path) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    let entries = match fs::read_dir(migrations) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(ids),
        Err(error) => return Err(error).with_context(|| migrations.display().to_string()),
    };
    for entry in entries {
        let name = entry?.file_name();
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".up.sql")) else {
            continue;
        };
        let stem = stem.strip_suffix(".sqlite").or(stem.strip_suffix(".postgres")).unwrap_or(stem);
        ids.push(stem.to_owned());
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Later than all that there are: ids are compared as texts, so that all numbers have as many digits.
pub(super) fn next_id(known: &[String], words: &str) -> String {
    let numbers = known.iter().filter_map(|id| {
        let digits = id.find(|c: char| !c.is_ascii_digit()).unwrap_or(id.len());
        Some((id[..digits].parse::<u64>().ok()?, digits))
    });
    let (last, digits) = numbers.max().unwrap_or((0, DIGITS_MIN));
    format!("{:0digits$}_{words}", last + 1)
}

/// As it stands in the macro.
pub(super) fn entry(id: &str, per_database: bool) -> String {
    if per_database { format!("\"{id}\" per_database") } else { format!("\"{id}\"") }
}

pub(super) fn list(known: &[String], entry: &str) -> String {
    let known = known.iter().map(|id| format!("\"{id}\""));
    known.chain([entry.to_owned()]).collect::<Vec<_>>().join(", ")
}

pub(super) fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let place = || path.display().to_string();
    let mut file = File::create_new(path).with_context(place)?;
    file.write_all(text.as_bytes()).with_context(place)
}

/// Adds a migration to the macro's list, where the crate has one list that can be told from everything
/// else.
pub(super) fn add_to_source(folder: &Path, entry: &str) -> anyhow::Result<Option<PathBuf>> {
    let mut found = Vec::new();
    for file in WalkDir::new(folder.join("src")).into_iter().filter_map(Result::ok) {
        if file.path().extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(file.path())?;
            found.extend(lists(&text).map(|end| (file.path().to_owned(), end)));
        }
    }
    let [(path, end)] = found.as_slice() else { return Ok(None) };
    let mut text = fs::read_to_string(path)?;
    // Before the comma that rustfmt leaves behind the last line of a list.
    let before = text[..*end].trim_end();
    let at = before.strip_suffix(',').unwrap_or(before).len();
    text.insert_str(at, &format!(", {entry}"));
    fs::write(path, text).with_context(|| path.display().to_string())?;
    Ok(Some(path.clone()))
}

/// Where lists of the macro end that hold texts and nothing else.
fn lists(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices(MACRO).filter_map(|(at, _)| {
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let begin = at + MACRO.len();
        let end = begin + text[begin..].find(')')?;
        let is_comment = text[line..at].contains("//");
        let is_list = text[begin..end].contains('"')
            && text[begin..end]
                .chars()
                .all(|one| one.is_ascii_alphanumeric() || "\"_, \n\r\t".contains(one));
        (is_list && !is_comment).then_some(end)
    })
}

/// Says what there is to warn of in a migration, and how many times.
pub(super) fn warn_of(migrations: &Path, id: &str) -> anyhow::Result<usize> {
    let own = migrations.join(format!("{id}.postgres.up.sql"));
    let path = if own.is_file() { own } else { migrations.join(format!("{id}.up.sql")) };
    if !path.is_file() {
        return Ok(0);
    }
    let script = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let warnings = check_migration(&script);
    for warning in &warnings {
        println!("{}", warning_for_people(id, warning));
    }
    Ok(warnings.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_as_texts_do() {
        let of = |known: &[&str]| {
            let known: Vec<String> = known.iter().map(|id| (*id).to_owned()).collect();
            next_id(&known, "more")
        };
        assert_eq!(of(&[]), "0001_more");
        assert_eq!(of(&["0001_notes", "0009_tags"]), "0010_more");
        assert_eq!(of(&["20260101120000_notes"]), "20260101120001_more");
        assert_eq!(of(&["notes"]), "0001_more");
    }

    #[test]
    fn a_list_is_told_from_everything_else() {
        let ends = |text: &str| lists(text).map(|end| text[..end].to_owned()).collect::<Vec<_>>();
        assert_eq!(ends("m.migrations(migrations!(\"a\"))"), ["m.migrations(migrations!(\"a\""]);
        assert_eq!(ends("migrations!(\n    \"a\",\n    \"b\" per_database,\n)").len(), 1);
        for other in
            ["// migrations!(\"a\")", "migrations!($id)", "migrations!()", "migrations!(\"a\""]
        {
            assert!(ends(other).is_empty(), "{other}");
        }
    }
}
