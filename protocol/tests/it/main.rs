//! The wire, tested from outside: its exact bytes, what it makes of wrong ones, its limits, and its document.

mod documentation;
mod events;
mod frames;
mod golden;
mod largest;
mod malformed;
mod samples;
