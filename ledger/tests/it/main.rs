//! The rules of money, from outside.

mod decisions;
mod driven;
mod faults;
mod holds;
mod model;
mod naive;
mod orders;
mod originals;
mod records;
mod samples;
mod totals;
