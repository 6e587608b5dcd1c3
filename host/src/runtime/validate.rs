//! Looks at a module's file before anything of it is compiled: is it a component, does it import only
//! what is granted, does it export what a module exports.

use std::time::Duration;

use serde::Serialize;
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

use super::{GrantsConfig, Manifest};
use crate::call::Trust;
use crate::error::{Error, Result};
use crate::wiring::{self, Extensions, Import};

/// A larger file is refused unread: guests in languages that bring their own interpreter have about
/// 20 MB.
pub(super) const FILE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Functions in all of its core modules: the largest interpreters that are compiled to wasm have
/// some tens of thousands, and each costs time to compile.
const FUNCTIONS_MAX: u32 = 100_000;
/// Components and core modules inside each other; tools make two levels.
const NESTING_MAX: u32 = 8;
/// Core modules and components, wherever they are.
const PARTS_MAX: u32 = 100;

/// The interface that every module exports.
const GUEST: &str = "hostel:module/guest";

/// What a module's file says of itself before it runs.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) imports: Vec<String>,
}

/// All that can be told of a module's file without serving it.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Bytes of the file.
    pub size_bytes: usize,
    /// How long compilation took, when it was not in the cache.
    #[serde(serialize_with = "as_millis")]
    pub compile_time: Duration,
    /// The capabilities that it asks for.
    pub imports: Vec<RequestedImport>,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// One capability that a module asks for.
#[derive(Debug, Serialize)]
pub struct RequestedImport {
    /// The interface, with its version.
    pub interface: String,
    /// The capability's name in grants; none for what every module gets.
    pub capability: Option<&'static str>,
    /// In plain words, what it allows.
    pub meaning: String,
}

fn as_millis<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(time.as_millis())
}

/// Reads the outline of a component.
///
/// # Errors
/// Says what else the file is.
pub(super) fn outline(wasm: &[u8]) -> Result<Outline> {
    if wasm.len() > FILE_MAX_BYTES {
        return Err(Error::invalid(format!(
            "the file has {} bytes: at most {FILE_MAX_BYTES}",
            wasm.len()
        )));
    }
    if !wasm.starts_with(b"\0asm") {
        return Err(Error::invalid("this is no WebAssembly file")
            .hint("`hostel build` makes a module from a crate"));
    }
    let mut outline = Outline { imports: Vec::new() };
    let mut exports_guest = false;
    let (mut depth, mut functions, mut parts) = (0_u32, 0_u32, 0_u32);
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|error| broken(wasm, &error))?;
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(Error::invalid("this is a core WebAssembly module, not a component")
                    .hint("compile for the target wasm32-wasip2, as `hostel build` does"));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                parts += 1;
                at_most(NESTING_MAX, depth, "levels of components inside each other")?;
                at_most(PARTS_MAX, parts, "core modules and components")?;
            }
            Payload::FunctionSection(section) => {
                functions = functions.saturating_add(section.count());
                at_most(FUNCTIONS_MAX, functions, "functions")?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(|error| broken(wasm, &error))?;
                    outline.imports.push(import.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(|error| broken(wasm, &error))?;
                    exports_guest |= export.name.name.split('@').next() == Some(GUEST);
                }
            }
            _ => {}
        }
    }
    let features = WasmFeatures::default() | WasmFeatures::COMPONENT_MODEL;
    Validator::new_with_features(features)
        .validate_all(wasm)
        .map_err(|error| broken(wasm, &error))?;
    if !exports_guest {
        return Err(Error::invalid(format!(
            "this component does not export `{GUEST}`, so it is no module"
        ))
        .hint("a module is built against the world `hostel:module/module`; `hostel_sdk::module!` exports it"));
    }
    Ok(outline)
}

fn at_most(max: u32, found: u32, what: &str) -> Result<()> {
    if found > max {
        return Err(Error::invalid(format!("it has more than {max} {what}")));
    }
    Ok(())
}

fn broken(wasm: &[u8], error: &wasmparser::BinaryReaderError) -> Error {
    let message = if error.offset() >= wasm.len() || error.message().contains("unexpected end") {
        format!("the file is truncated: it ends at byte {}", wasm.len())
    } else {
        format!("the file is not valid WebAssembly at byte {}: {}", error.offset(), error.message())
    };
    Error::invalid(message)
}

/// Says what each import asks for.
///
/// # Errors
/// When one asks for what this platform does not have, or does not grant at this level of trust.
pub(super) fn check_imports(
    outline: &Outline,
    trust: Trust,
    grants: &GrantsConfig,
    extensions: &Extensions,
) -> Result<Vec<RequestedImport>> {
    let mut requested = Vec::new();
    for interface in &outline.imports {
        let (capability, meaning) = match wiring::classify(interface, extensions) {
            Import::Always => (None, String::new()),
            Import::Capability { name, meaning } if grants.allows(trust, name) => {
                (Some(name), meaning)
            }
            Import::Capability { name, meaning } => {
                return Err(Error::invalid(format!(
                    "it imports `{interface}` ({meaning}), and the capability `{name}` is not granted to it"
                ))
                .hint("the operator grants capabilities in `[modules.grants]`"));
            }
            Import::Unknown => {
                return Err(Error::invalid(format!(
                    "it imports `{interface}`, which this platform does not have; there are {}",
                    wiring::capability_names(extensions).join(", ")
                )));
            }
        };
        requested.push(RequestedImport { interface: interface.clone(), capability, meaning });
    }
    Ok(requested)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_named() {
        let says = |wasm: &[u8]| outline(wasm).unwrap_err().to_string();
        assert_eq!(says(b"hello"), "this is no WebAssembly file");
        assert_eq!(says(b""), "this is no WebAssembly file");
        assert!(says(b"\0asm\x01\0\0\0").contains("core WebAssembly module"));
        assert!(says(b"\0asm\x0d\0").contains("truncated"));
        assert!(says(b"\0asm\x0d\0\x01\0").contains("does not export"));
    }

    /// A component around `inside`.
    fn component(inside: &[u8], id: u8) -> Vec<u8> {
        let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
        wasm.push(id);
        let mut length = inside.len();
        loop {
            let more = length > 0x7f;
            wasm.push((length & 0x7f) as u8 | u8::from(more) << 7);
            length >>= 7;
            if !more {
                break;
            }
        }
        wasm.extend_from_slice(inside);
        wasm
    }

    #[test]
    fn what_is_nested_too_deep_or_has_too_many_functions_is_refused_unread() {
        let nested = (0..20).fold(b"\0asm\x0d\0\x01\0".to_vec(), |inside, _| component(&inside, 4));
        let error = outline(&nested).unwrap_err().to_string();
        assert_eq!(error, "it has more than 8 levels of components inside each other");
        // A core module that says that it holds two million functions.
        let core = b"\0asm\x01\0\0\0\x03\x04\x80\x89\x7a\0";
        let error = outline(&component(core, 1)).unwrap_err().to_string();
        assert_eq!(error, "it has more than 100000 functions");
    }
}
