//! Sessions by their bytes: what goes in, and what comes out.
