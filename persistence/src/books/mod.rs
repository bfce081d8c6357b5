//! The books.
mod id_filter;
