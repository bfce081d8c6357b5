//! The inputs of the fuzz targets, replayed by plain `cargo test`.
//!
//! | module | shows |
//! |---|---|
//! | `replay` | that every input that is kept still passes |
//! | `seeds` | that what the product writes is among the inputs |

mod replay;
mod seeds;
