//! Whether our own user is at the other end: who has no credentials to show is lent our rights only then.

use lunix::sys::peer::Diagnosis;
use tokio::net::TcpStream;

/// Our user, and how the kernel is asked for that of others.
#[derive(Debug)]
pub(crate) struct OwnUser {
    diagnosis: Option<Diagnosis>,
    uid: u32,
}

impl OwnUser {
    /// Where the kernel cannot be asked, nobody is our user.
    pub(crate) fn new() -> Self {
        Self { diagnosis: Diagnosis::open().ok(), uid: rustix::process::geteuid().as_raw() }
    }

    /// Whether the other end is on this machine, and our user's.
    pub(crate) fn is_at(&self, stream: &TcpStream) -> bool {
        let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) else { return false };
        let owner = self.diagnosis.as_ref().and_then(|diagnosis| diagnosis.owner(stream, local, peer).ok());
        owner.flatten() == Some(self.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn we_are_ourselves() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        assert!(OwnUser::new().is_at(&server) && OwnUser::new().is_at(&client));
        let another = OwnUser { uid: OwnUser::new().uid + 1, ..OwnUser::new() };
        assert!(!another.is_at(&server));
    }
}
