//! What a module says of itself.
#![no_main]

use arbitrary::{Arbitrary as _, Result, Unstructured};
use hostel::bindings::exports::hostel::module::guest::{
    Access, AnswerHeader, Check, Column, ColumnKind, Columns, DialectScripts, Entity,
    ExpectedProblem, Manifest, Method, Migration, OnDelete, OutboundHost, Permission, Reference,
    Route, Script, Seed, Setting,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(said) = manifest(&mut Unstructured::new(bytes)) {
        hostel::fuzzing::manifest(said);
    }
});

/// Words that a check lets through more often than it does anything else.
const WORDS: [&str; 40] = [
    "notes", "notes:read", "notes:write", "read", "write", "1.4.0", "0.1.0-rc.1", "/", "/{id}",
    "/{id}/parts/{part}", "/{*rest}", "/all", "/{id}/", "//", "{}", "{\"type\":\"object\"}",
    "{\"type\":\"string\"}", "{\"$ref\":\"#/$defs/A\",\"$defs\":{\"A\":{\"type\":\"integer\"}}}",
    "true", "7", "\"x\"", "[]", "null", "application/json", "text/plain", "0001_notes", "0002_more",
    "CREATE TABLE a (id integer)", "DROP TABLE a", "api.example.org", "*.example.org:*",
    "10.0.0.1:80", "[::1]:*", "page-size", "x-own", "note-locked", "one line", "two\nlines", "", "é",
];

fn word(data: &mut Unstructured<'_>) -> Result<String> {
    Ok(if data.ratio(1, 8)? {
        String::arbitrary(data)?
    } else {
        (*data.choose(&WORDS)?).to_owned()
    })
}

fn some<T>(
    data: &mut Unstructured<'_>,
    one: fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..data.int_in_range(0..=3)?).map(|_| one(data)).collect()
}

fn perhaps<T>(
    data: &mut Unstructured<'_>,
    one: fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Option<T>> {
    if data.arbitrary()? { one(data).map(Some) } else { Ok(None) }
}

fn route(data: &mut Unstructured<'_>) -> Result<Route> {
    let methods =
        [Method::Get, Method::Head, Method::Post, Method::Put, Method::Patch, Method::Delete];
    Ok(Route {
        method: *data.choose(&methods)?,
        path: word(data)?,
        access: match data.arbitrary()? {
            true => Access::Public,
            false => Access::Permission(word(data)?),
        },
        operation_id: perhaps(data, word)?,
        summary: word(data)?,
        tags: some(data, word)?,
        path_schema: perhaps(data, word)?,
        query_schema: perhaps(data, word)?,
        request_type: perhaps(data, word)?,
        request_schema: perhaps(data, word)?,
        response_type: perhaps(data, word)?,
        response_schema: perhaps(data, word)?,
        response_headers: some(data, |data| {
            Ok(AnswerHeader { name: word(data)?, summary: word(data)? })
        })?,
        success_status: *data.choose(&[200, 201, 204, 99, 600])?,
        problems: some(data, |data| {
            let status = *data.choose(&[400, 409, 422, 200, 600])?;
            Ok(ExpectedProblem { status, code: word(data)?, summary: word(data)? })
        })?,
        body_max_bytes: data.arbitrary()?,
        timeout_ms: data.arbitrary()?,
        etag: data.arbitrary()?,
    })
}

fn script(data: &mut Unstructured<'_>) -> Result<Script> {
    Ok(match data.arbitrary()? {
        true => Script::Portable(word(data)?),
        false => {
            Script::PerDialect(DialectScripts { sqlite: word(data)?, postgres: word(data)? })
        }
    })
}

fn column(data: &mut Unstructured<'_>) -> Result<Column> {
    Ok(Column {
        name: word(data)?,
        kind: match data.int_in_range(0..=3)? {
            0 => ColumnKind::Integer(data.arbitrary()?),
            1 => ColumnKind::Text(data.arbitrary()?),
            2 => ColumnKind::OneOf(some(data, word)?),
            _ => ColumnKind::Timestamp,
        },
        nullable: data.arbitrary()?,
        default_value: perhaps(data, word)?,
    })
}

fn columns(data: &mut Unstructured<'_>) -> Result<Columns> {
    Ok(Columns { name: word(data)?, columns: some(data, word)? })
}

fn entity(data: &mut Unstructured<'_>) -> Result<Entity> {
    Ok(Entity {
        table: word(data)?,
        columns: some(data, column)?,
        key: some(data, word)?,
        uniques: some(data, columns)?,
        indexes: some(data, columns)?,
        checks: some(data, |data| Ok(Check { name: word(data)?, sql: word(data)? }))?,
        references: some(data, |data| {
            Ok(Reference {
                name: word(data)?,
                column: word(data)?,
                to_table: word(data)?,
                to_column: word(data)?,
                on_delete: *data.choose(&[
                    OnDelete::Refuse,
                    OnDelete::Cascade,
                    OnDelete::SetNull,
                ])?,
            })
        })?,
        version: perhaps(data, word)?,
    })
}

fn manifest(data: &mut Unstructured<'_>) -> Result<Manifest> {
    Ok(Manifest {
        name: word(data)?,
        version: word(data)?,
        summary: word(data)?,
        routes: some(data, route)?,
        permissions: some(data, |data| {
            Ok(Permission { name: word(data)?, summary: word(data)? })
        })?,
        migrations: some(data, |data| {
            Ok(Migration { id: word(data)?, up: script(data)?, down: script(data)? })
        })?,
        entities: some(data, entity)?,
        settings: some(data, |data| {
            Ok(Setting {
                name: word(data)?,
                summary: word(data)?,
                schema: word(data)?,
                default_value: word(data)?,
            })
        })?,
        outbound_hosts: some(data, |data| {
            Ok(OutboundHost { host: word(data)?, reason: word(data)? })
        })?,
        seeds: some(data, |data| Ok(Seed { name: word(data)?, summary: word(data)? }))?,
    })
}
