//! A connection that sends whatever bytes it is told to, and reads frames.

use crate::server::{PATIENCE, Server};
use protocol::{
    ErrorCode, ErrorReply, FRAME_HARD_MAX, FrameHeader, HEADER_LENGTH, Hello, PROTOCOL_VERSION, Reply,
    RequestHead, RequestRef, decode_reply, encode_hello, encode_request,
};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The id of the hello.
pub(crate) const HELLO_ID: u64 = 7;

#[derive(Debug)]
pub(crate) struct RawConnection {
    pub(crate) stream: TcpStream,
}

impl RawConnection {
    /// Connects, and says nothing.
    pub(crate) async fn silent(server: &Server) -> Self {
        Self { stream: TcpStream::connect(&server.address).await.expect("the server listens") }
    }

    /// Connects, and says hello.
    pub(crate) async fn open(server: &Server) -> Self {
        let mut connection = Self::silent(server).await;
        connection.send(&hello()).await;
        let (request_id, reply) = connection.reply().await;
        assert!(matches!(reply, Reply::Hello(_)), "{reply:?}");
        assert_eq!(request_id, HELLO_ID);
        connection
    }

    /// Sends bytes. The server may have closed the connection meanwhile.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the server reads")
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.expect("the connection is open");
    }

    /// The next frame; `None` at the end of the connection, clean or not.
    pub(crate) async fn try_reply(&mut self) -> Option<(u64, Reply)> {
        read_reply(&mut self.stream).await
    }

    pub(crate) async fn reply(&mut self) -> (u64, Reply) {
        self.try_reply().await.expect("the server answers")
    }

    /// The next frame, which is an error.
    pub(crate) async fn error(&mut self) -> (u64, ErrorReply) {
        match self.reply().await {
            (request_id, Reply::Error(error)) => (request_id, error),
            (_, reply) => panic!("{reply:?} is not an error"),
        }
    }

    /// The next frame is this error, and nothing follows.
    pub(crate) async fn assert_closed_with(mut self, request_id: u64, code: ErrorCode) {
        let (answered, error) = self.error().await;
        assert_eq!((answered, error.code), (request_id, code), "{error}");
        assert!(!error.text.is_empty());
        self.assert_closed().await;
    }

    /// Nothing follows.
    pub(crate) async fn assert_closed(mut self) {
        let more = self.try_reply().await;
        assert!(more.is_none(), "{more:?}");
    }

    /// The connection still works.
    pub(crate) async fn assert_open(&mut self) {
        self.send(&request(u64::MAX, RequestRef::Ping)).await;
        let (request_id, reply) = self.reply().await;
        assert!(matches!(reply, Reply::Ping(_)), "{reply:?}");
        assert_eq!(request_id, u64::MAX);
    }
}

/// The next frame from the reading side of a connection; `None` at its end, clean or not.
pub(crate) async fn read_reply(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u64, Reply)> {
    let mut header = [0; HEADER_LENGTH];
    let read = timeout(PATIENCE, stream.read_exact(&mut header)).await.expect("the server answers or closes");
    read.ok()?;
    let header = FrameHeader::parse(&header, FRAME_HARD_MAX).expect("the server sends right frames");
    let mut body = vec![0; header.body_length];
    let read = timeout(PATIENCE, stream.read_exact(&mut body)).await.expect("the server sends whole frames");
    read.ok()?;
    let reply = decode_reply(header.message_type, &body).expect("the server sends right frames");
    Some((header.request_id, reply))
}

/// The frame of a right hello.
pub(crate) fn hello() -> Vec<u8> {
    hello_of(PROTOCOL_VERSION, PROTOCOL_VERSION)
}

/// The frame of a hello with this range of versions.
pub(crate) fn hello_of(version_min: u8, version_max: u8) -> Vec<u8> {
    let hello = Hello { version_min, version_max, client_name: "a test".to_owned(), credentials: Vec::new() };
    let mut bytes = Vec::new();
    encode_hello(HELLO_ID, &hello, &mut bytes);
    bytes
}

/// The frame of a request.
pub(crate) fn request(request_id: u64, request: RequestRef<'_>) -> Vec<u8> {
    request_with(request_id, RequestHead::default(), request)
}

/// The frame of a request with a deadline or a trace.
pub(crate) fn request_with(request_id: u64, head: RequestHead, request: RequestRef<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_request(request_id, head, request, FRAME_HARD_MAX, &mut bytes)
        .expect("a frame within the hard limit");
    bytes
}

/// A frame with any body.
pub(crate) fn frame(version: u8, message_type: u8, request_id: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 12).expect("a small body");
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(b"BR");
    bytes.extend_from_slice(&[version, message_type]);
    bytes.extend_from_slice(&request_id.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}
