//! The rules of money, from outside.

mod decisions;
mod driven;
mod model;
mod naive;
mod records;
mod samples;
mod totals;
