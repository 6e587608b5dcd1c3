//! HTTP/2, frame by frame, for clients that no library would be.

use crate::Peer;

/// A body's bytes.
pub const DATA: u8 = 0;
/// A head.
pub const HEADERS: u8 = 1;
/// The end of one stream.
pub const RST_STREAM: u8 = 3;
/// What one end can do.
pub const SETTINGS: u8 = 4;
/// A question that must be answered.
pub const PING: u8 = 6;
/// The end of a connection.
pub const GOAWAY: u8 = 7;
/// Room for more.
pub const WINDOW_UPDATE: u8 = 8;
/// More of a head.
pub const CONTINUATION: u8 = 9;

/// A flag: this is the stream's last frame.
pub const END_STREAM: u8 = 1;
/// A flag: the head is complete.
pub const END_HEADERS: u8 = 4;

/// One frame of a type, with its flags, for a stream.
///
/// # Panics
/// When it is longer than a frame can be.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What every client begins with.
pub fn preface(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in settings {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &payload)].concat()
}

/// A header that is in no table and goes into none (RFC 7541, section 6.2.2).
///
/// # Panics
/// When it is long.
pub fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 127, "a longer one needs more bytes");
        field.push(length);
        field.extend(text.as_bytes());
    }
    field
}

/// The head of a `GET` for the tenant `hostile`.
pub fn get_fields(path: &str) -> Vec<u8> {
    // `:method GET` and `:scheme http` have numbers.
    let fields = [vec![0x82, 0x86], literal(":path", path), literal(":authority", "x")];
    [fields.concat(), literal("x-tenant", "hostile")].concat()
}

/// A whole `GET`.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &get_fields(path))
}

/// Gives a stream up.
pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

/// A client's streams: odd numbers.
pub fn streams() -> impl Iterator<Item = u32> {
    (0..).map(|n| 2 * n + 1)
}

/// What the host sent.
#[derive(Debug)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Which stream it is of; 0: the connection.
    pub stream: u32,
    /// What it holds.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The next one. None when the connection ends before.
    pub async fn from(peer: &mut Peer) -> Option<Self> {
        let head = peer.try_read(9).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = peer.try_read(length as usize).await.ok()?;
        Some(Self { kind: head[3], flags: head[4], stream, payload })
    }

    /// Why a stream was reset, or a connection is over.
    ///
    /// # Panics
    /// When the frame is of another type.
    pub fn reason(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// The first frame like this. None when the connection ends before.
pub async fn until_frame(peer: &mut Peer, is_it: impl Fn(&Frame) -> bool) -> Option<Frame> {
    loop {
        let frame = Frame::from(peer).await?;
        if is_it(&frame) {
            return Some(frame);
        }
    }
}

/// Everything up to the end of the connection; pings are answered, so that it has the longest life.
pub async fn until_closed(peer: &mut Peer) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(of_host) = Frame::from(peer).await {
        if of_host.kind == PING && of_host.flags == 0 {
            let _ = peer.try_send(frame(PING, 1, 0, &of_host.payload)).await;
        }
        frames.push(of_host);
    }
    frames
}
