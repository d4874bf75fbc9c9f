//! A connection between two nodes, each of whose messages is sealed.
//!
//! Each direction of a connection has a key of its own, which follows from the key that the nodes share and from bytes
//! that both sides have thrown; its messages are numbered. So nobody without the key can be taken for a node, nor read,
//! change, repeat or leave out a message.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The most bytes that a message may have.
pub const MOST_BYTES: usize = 1 << 20;
/// What a connection begins with.
const GREETING: [u8; 8] = *b"muneem 1";
const LENGTH: usize = 4;
const TAG: usize = 16;

type Salt = [u8; 32];

pub struct Sender {
    to: OwnedWriteHalf,
    sealing: Sealing,
    frame: Vec<u8>,
}

pub struct Receiver {
    from: BufReader<OwnedReadHalf>,
    sealing: Sealing,
}

/// Begins a connection.
///
/// # Errors
/// When the other side does not go on with it.
pub async fn call(mut stream: TcpStream, key: &[u8; 32]) -> io::Result<(Sender, Receiver)> {
    stream.set_nodelay(true)?;
    let ours = salt()?;
    stream.write_all(&[&GREETING[..], &ours].concat()).await?;
    let mut theirs: Salt = [0; 32];
    stream.read_exact(&mut theirs).await?;
    Ok(halves(stream, Sealing::new(key, "call", &ours, &theirs), Sealing::new(key, "answer", &ours, &theirs)))
}

/// Goes on with a connection that another node has begun. Whether it has the key shows with its first message.
///
/// # Errors
/// When the other side does not begin as a node does.
pub async fn answer(mut stream: TcpStream, key: &[u8; 32]) -> io::Result<(Sender, Receiver)> {
    stream.set_nodelay(true)?;
    let (mut greeting, mut theirs, ours) = ([0; GREETING.len()], [0; 32], salt()?);
    stream.read_exact(&mut greeting).await?;
    if greeting != GREETING {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no node"));
    }
    stream.read_exact(&mut theirs).await?;
    stream.write_all(&ours).await?;
    Ok(halves(stream, Sealing::new(key, "answer", &theirs, &ours), Sealing::new(key, "call", &theirs, &ours)))
}

fn halves(stream: TcpStream, sends: Sealing, receives: Sealing) -> (Sender, Receiver) {
    let (from, to) = stream.into_split();
    let receiver = Receiver { from: BufReader::with_capacity(64 * 1024, from), sealing: receives };
    (Sender { to, sealing: sends, frame: Vec::new() }, receiver)
}

impl Sender {
    /// # Errors
    /// When the connection is lost, or the message is too long.
    pub async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        if message.len() > MOST_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"));
        }
        let length = u32::try_from(message.len() + TAG).map_err(io::Error::other)?;
        self.frame.clear();
        self.frame.extend_from_slice(&length.to_be_bytes());
        self.frame.extend_from_slice(message);
        let tag = self.sealing.seal(&mut self.frame[LENGTH..])?;
        self.frame.extend_from_slice(&tag);
        self.to.write_all(&self.frame).await
    }
}

impl Receiver {
    /// # Errors
    /// When the connection is lost, or what comes is not what the other side sent next.
    pub async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let length = self.from.read_u32().await? as usize;
        if !(TAG..=MOST_BYTES + TAG).contains(&length) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message has an impossible length"));
        }
        let mut message = vec![0; length];
        self.from.read_exact(&mut message).await?;
        let opened = self.sealing.open(&mut message)?;
        message.truncate(opened);
        Ok(message)
    }
}

/// One direction of a connection.
struct Sealing {
    key: LessSafeKey,
    /// The number of the next message.
    next: u64,
}

impl Sealing {
    fn new(key: &[u8; 32], direction: &str, caller: &Salt, answerer: &Salt) -> Sealing {
        let shared = hmac::Key::new(hmac::HMAC_SHA256, key);
        let own = hmac::sign(&shared, &[direction.as_bytes(), caller, answerer].concat());
        let key = UnboundKey::new(&AES_256_GCM, own.as_ref()).expect("a key of 32 bytes fits AES-256");
        Sealing { key: LessSafeKey::new(key), next: 0 }
    }

    fn seal(&mut self, message: &mut [u8]) -> io::Result<[u8; TAG]> {
        let nonce = self.nonce();
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::empty(), message);
        tag.ok().and_then(|tag| tag.as_ref().try_into().ok()).ok_or_else(broken)
    }

    /// How many bytes the message has.
    fn open(&mut self, sealed: &mut [u8]) -> io::Result<usize> {
        let nonce = self.nonce();
        self.key.open_in_place(nonce, Aad::empty(), sealed).map(|message| message.len()).map_err(|_| broken())
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - size_of::<u64>()..].copy_from_slice(&self.next.to_be_bytes());
        self.next += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message is not sealed under the key of this connection")
}

fn salt() -> io::Result<Salt> {
    let mut salt = [0; 32];
    rand::fill(&mut salt).map_err(|_| io::Error::other("no random bytes can be had"))?;
    Ok(salt)
}
