//! The usual mistakes, and what the compiler says of them: a person must understand it.

#[test]
fn the_compiler_says_what_is_wrong() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
