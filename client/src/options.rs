//! How a client behaves: its name, its patience, how many connections it keeps.

use std::time::Duration;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Who it says it is, for the server's logs; cut to 64 bytes.
    pub name: String,
    /// What it shows for itself; empty where the server asks for nothing.
    pub credentials: Vec<u8>,
    /// How many connections a [`crate::Client`] keeps; at least 1.
    pub connections: usize,
    /// How long connecting may take, the hello included.
    pub connect_timeout: Duration,
    /// How long a call may take, its retries included. Also sent to the server as the request's deadline.
    pub request_timeout: Duration,
    /// How often a [`crate::Client`] sends a request again before it gives up.
    pub retries: u32,
    /// The pause before the first retry, at most; it doubles with each further one.
    pub backoff_min: Duration,
    /// What the pause before a retry never exceeds, unless the server asks for more.
    pub backoff_max: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            name: concat!("bursar-client ", env!("CARGO_PKG_VERSION")).to_owned(),
            credentials: Vec::new(),
            connections: 1,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            retries: 5,
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(2),
        }
    }
}
