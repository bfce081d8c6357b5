//! Where the server is, and how to get a stream of bytes to it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How long a connection may be silent before the system asks whether the peer is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);

pub(crate) type ByteReader = Box<dyn AsyncRead + Send + Unpin>;
pub(crate) type ByteWriter = Box<dyn AsyncWrite + Send + Unpin>;
type Dialing = Pin<Box<dyn Future<Output = io::Result<(ByteReader, ByteWriter)>> + Send>>;

/// An address, and the way to dial it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    address: Arc<str>,
    dial: Arc<dyn Fn() -> Dialing + Send + Sync>,
}

impl Endpoint {
    /// `host:port`.
    pub(crate) fn tcp(address: String) -> Self {
        let address: Arc<str> = address.into();
        let target = Arc::clone(&address);
        Self { address, dial: Arc::new(move || Box::pin(dial_tcp(Arc::clone(&target)))) }
    }

    /// Whatever a test connects to.
    #[cfg(test)]
    pub(crate) fn of(dial: impl Fn() -> io::Result<tokio::io::DuplexStream> + Send + Sync + 'static) -> Self {
        let dial = move || -> Dialing {
            let stream = dial();
            Box::pin(async move { stream.map(split) })
        };
        Self { address: "test".into(), dial: Arc::new(dial) }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) async fn dial(&self) -> io::Result<(ByteReader, ByteWriter)> {
        (self.dial)().await
    }
}

async fn dial_tcp(address: Arc<str>) -> io::Result<(ByteReader, ByteWriter)> {
    let stream = TcpStream::connect(&*address).await?;
    // Frames are coalesced here already; waiting for more would only add latency.
    stream.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE_AFTER);
    socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    let (reader, writer) = stream.into_split();
    Ok((Box::new(reader), Box::new(writer)))
}

pub(crate) fn split(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> (ByteReader, ByteWriter) {
    let (reader, writer) = tokio::io::split(stream);
    (Box::new(reader), Box::new(writer))
}
