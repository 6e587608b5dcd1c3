//! The usual mistakes, and what the compiler says of them: a person must understand it.

use trybuild::TestCases;

#[test]
fn the_compiler_says_what_is_wrong() {
    TestCases::new().compile_fail("tests/mistakes/*.rs");
}

/// Found only where a program is built: one that builds is tried with it.
#[test]
fn an_entity_is_not_joined_with_itself() {
    let cases = TestCases::new();
    cases.pass("tests/joins/with_another.rs");
    cases.compile_fail("tests/joins/with_itself.rs");
}
