//! The HTTP door.

#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "the listener that calls it comes with the routes"))]
pub(crate) mod h3;
