//! A server for tests: the test itself decides what is answered, when, and in what order.

use crate::endpoint::Endpoint;
use crate::frame_reader::FrameReader;
use ledger::{Outcome, RefusalDetail, Status};
use protocol::{
    ErrorCode, ErrorReply, FRAME_LIMIT_DEFAULT, Limits, Pong, Reply, Request, Welcome, decode_request,
    encode_reply,
};
use std::io;
use tokio::io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

/// Where connections of the client under test arrive.
pub(crate) struct FakeServer {
    arriving: mpsc::UnboundedReceiver<DuplexStream>,
}

/// The server's end of one connection.
pub(crate) struct Peer {
    frames: FrameReader<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
}

/// A server, and the endpoint that leads to it. Once the server is dropped, nobody can connect.
pub(crate) fn fake_server() -> (FakeServer, Endpoint) {
    let (arrive, arriving) = mpsc::unbounded_channel();
    let endpoint = Endpoint::of(move || {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        arrive.send(theirs).map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(ours)
    });
    (FakeServer { arriving }, endpoint)
}

/// Limits that tests can reach.
pub(crate) fn limits() -> Limits {
    Limits::new(FRAME_LIMIT_DEFAULT, 4, 10, 0)
}

pub(crate) fn welcome(version: u8) -> Reply {
    let (server_name, server_version) = ("fake".to_owned(), "0".to_owned());
    Reply::Hello(Welcome { version, server_name, server_version, limits: limits() })
}

pub(crate) fn pong(durable_seq: u64) -> Reply {
    Reply::Ping(Pong { timestamp_ns: 1, durable_seq })
}

pub(crate) fn error(code: ErrorCode, retry_after_ms: u32) -> Reply {
    Reply::Error(ErrorReply { code, text: "as the test wants it".to_owned(), retry_after_ms })
}

pub(crate) fn outcome(status: Status) -> Outcome {
    Outcome {
        status,
        replayed: status == Status::Exists,
        seq: 1,
        timestamp_ns: 1,
        detail: RefusalDetail::None,
    }
}

impl FakeServer {
    /// The next connection, with nothing said on it yet.
    pub(crate) async fn accept_silently(&mut self) -> Peer {
        let stream = self.arriving.recv().await.expect("the client connects");
        let (reader, writer) = tokio::io::split(stream);
        Peer { frames: FrameReader::new(reader, FRAME_LIMIT_DEFAULT), writer }
    }

    /// The next connection, after hello.
    pub(crate) async fn accept(&mut self) -> Peer {
        let mut peer = self.accept_silently().await;
        let (id, hello) = peer.receive().await;
        assert!(matches!(hello, Request::Hello(_)), "{hello:?}");
        peer.reply(id, &welcome(1)).await;
        peer
    }
}

impl Peer {
    /// The next request.
    pub(crate) async fn receive(&mut self) -> (u64, Request) {
        loop {
            if let Some((header, body)) = self.frames.buffered().expect("the client sends frames") {
                let request = decode_request(header.message_type, body).expect("the client sends requests");
                return (header.request_id, request);
            }
            self.frames.fill().await.expect("the client stays");
        }
    }

    pub(crate) async fn reply(&mut self, request_id: u64, reply: &Reply) {
        let mut frame = Vec::new();
        encode_reply(request_id, reply, FRAME_LIMIT_DEFAULT, &mut frame);
        self.send(&frame).await;
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.expect("the client reads");
    }

    /// Receives one request and closes the connection without an answer.
    pub(crate) async fn receive_and_close(mut self) -> Request {
        self.receive().await.1
    }
}
