//! What clients asked and were answered, read from the bytes that entered and left the server's sockets, each with its
//! place among all events: so it is known exactly what was acknowledged before a power cut.

use super::event_log::{EventLog, What};
use protocol::{FRAME_HARD_MAX, FrameHeader, HEADER_LENGTH, Reply, Request, decode_reply, decode_request};
use std::collections::HashMap;
use std::rc::Rc;

/// All requests that reached the server, and all replies that left it.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    pub(crate) asked: Vec<Asked>,
    pub(crate) answered: Vec<Answered>,
}

/// A request, and the event that brought its last byte.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) at: usize,
    pub(crate) request: Rc<Request>,
}

/// A reply, and the event that sent its last byte.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) at: usize,
    pub(crate) request: Rc<Request>,
    pub(crate) reply: Reply,
}

#[derive(Debug, Default)]
struct Connection {
    received: Vec<u8>,
    sent: Vec<u8>,
    /// Requests without a reply yet.
    open: HashMap<u64, Rc<Request>>,
}

impl Conversation {
    pub(crate) fn read(log: &EventLog) -> Self {
        let mut conversation = Self::default();
        let mut connections: HashMap<u32, Connection> = HashMap::new();
        for (at, event) in log.events.iter().enumerate() {
            let connection = connections.entry(event.handle);
            match event.what {
                What::Started => connections.clear(),
                What::Received => {
                    let connection = connection.or_default();
                    connection.received.extend_from_slice(log.data(&event.data));
                    while let Some((header, body)) = take_frame(&mut connection.received) {
                        let request = decode_request(header.message_type, &body);
                        let request = Rc::new(request.expect("the clients send right frames"));
                        connection.open.insert(header.request_id, Rc::clone(&request));
                        conversation.asked.push(Asked { at, request });
                    }
                }
                What::Sent => {
                    let connection = connection.or_default();
                    connection.sent.extend_from_slice(log.data(&event.data));
                    while let Some((header, body)) = take_frame(&mut connection.sent) {
                        let reply = decode_reply(header.message_type, &body);
                        let reply = reply.expect("the server sends right frames");
                        let request = connection.open.remove(&header.request_id);
                        let request = request.expect("what is answered was asked, and is answered once");
                        conversation.answered.push(Answered { at, request, reply });
                    }
                }
                _ => {}
            }
        }
        conversation
    }
}

fn take_frame(bytes: &mut Vec<u8>) -> Option<(FrameHeader, Vec<u8>)> {
    let header = bytes.first_chunk::<HEADER_LENGTH>()?;
    let header = FrameHeader::parse(header, FRAME_HARD_MAX).expect("only frames are sent");
    let end = HEADER_LENGTH + header.body_length;
    let body = bytes.get(HEADER_LENGTH..end)?.to_vec();
    bytes.drain(..end);
    Some((header, body))
}
