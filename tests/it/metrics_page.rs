//! HTTP pages, and the metrics page read strictly as Prometheus' text format.

use crate::server::{PATIENCE, Server};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Status, headers and body of a page.
pub(crate) fn try_get(server: &Server, path: &str) -> std::io::Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(&server.http)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an HTTP status line");
    Ok((status, head.to_owned(), body.to_owned()))
}

pub(crate) fn get(server: &Server, path: &str) -> (u16, String, String) {
    try_get(server, path).expect("HTTP is served")
}

/// Everything on the metrics page.
#[derive(Debug, Default)]
pub(crate) struct MetricsPage {
    /// The help of each family.
    pub(crate) help: BTreeMap<String, String>,
    /// The type of each family.
    pub(crate) types: BTreeMap<String, String>,
    /// Each series as it is written, with its value.
    pub(crate) series: BTreeMap<String, f64>,
}

impl MetricsPage {
    /// Reads the page of a server.
    pub(crate) fn read(server: &Server) -> Self {
        let (status, _, body) = get(server, "/metrics");
        assert_eq!(status, 200);
        Self::parse(&body)
    }

    /// Panics at what is not the text format.
    pub(crate) fn parse(text: &str) -> Self {
        let mut page = Self::default();
        assert!(text.ends_with('\n'), "the last line ends with a line feed");
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(page.help.insert(name.to_owned(), help.to_owned()).is_none(), "twice: {line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert!(["counter", "gauge", "histogram", "summary"].contains(&kind), "{line}");
                assert!(page.types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
                let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
                let name = series.split('{').next().expect("a split has a first part");
                let right = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
                assert!(!name.is_empty() && name.bytes().all(right), "not a name: {line}");
                assert!(series.contains('{') == series.ends_with('}'), "broken labels: {line}");
                assert!(page.series.insert(series.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        page
    }

    /// The family that a series belongs to.
    pub(crate) fn family_of(&self, series: &str) -> String {
        let name = series.split('{').next().expect("a split has a first part");
        for suffix in ["_bucket", "_sum", "_count"] {
            if let Some(family) = name.strip_suffix(suffix)
                && self.types.get(family).is_some_and(|kind| kind == "histogram" || kind == "summary")
            {
                return family.to_owned();
            }
        }
        name.to_owned()
    }

    /// The value of one series.
    pub(crate) fn value(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("{series} is not on the metrics page"))
    }
}
