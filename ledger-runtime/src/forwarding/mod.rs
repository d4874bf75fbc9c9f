//! Commands that another node decides.
//!
//! Where several nodes write one journal at once they race for its end, and each lost race is an append and the deciding
//! of a batch for nothing. So the others give their commands to one of them, the preferred node, as long as it answers.
//!
//! | | |
//! |---|---|
//! | what keeps it right | the expected revision, as without this: whoever is preferred, any node may write at any time |
//! | what an answer says | the same as at the preferred node, which gives it when it is durable |
//! | a preferred node that does not answer | after [`SILENCE`] at the latest, what it was given is decided here, in the same order |
//! | a command that was recorded there all the same | is known by its id: nothing is decided twice |
//! | bytes on the way | many commands a message, sealed under a key that the nodes share |

mod door;
mod message;
mod sealed;
mod way;

pub use door::Door;
pub(crate) use way::{Group, Ways};

use aws_lc_rs::digest;
use std::fs::File;
use std::io::{self, Read};
use std::sync::OnceLock;
use std::time::Duration;

/// How long nothing may come from the preferred node before it counts as gone.
pub(crate) const SILENCE: Duration = Duration::from_secs(1);
/// How often a node says that it is there while it has nothing to answer.
const STILL_HERE: Duration = Duration::from_millis(200);

/// By what nodes know one another: a key that they share, and that they run the same program. Commands on the way have no
/// version: a node that runs another program decides for itself.
#[derive(Clone)]
pub struct Kinship {
    key: [u8; 32],
    program: [u8; 32],
}

impl Kinship {
    /// # Errors
    /// When the file of this program cannot be read.
    pub fn new(key: [u8; 32]) -> io::Result<Kinship> {
        static PROGRAM: OnceLock<[u8; 32]> = OnceLock::new();
        let program = match PROGRAM.get() {
            Some(program) => *program,
            None => *PROGRAM.get_or_init({
                let program = hash_of_program()?;
                move || program
            }),
        };
        Ok(Kinship { key, program })
    }
}

fn hash_of_program() -> io::Result<[u8; 32]> {
    // The file that runs, even where another one has taken its name.
    let mut file = File::open("/proc/self/exe").or_else(|_| File::open(std::env::current_exe()?))?;
    let (mut hash, mut piece) = (digest::Context::new(&digest::SHA256), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    hash.finish().as_ref().try_into().map_err(io::Error::other)
}
