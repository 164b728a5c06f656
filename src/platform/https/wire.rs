// SPDX-License-Identifier: AGPL-3.0-or-later
//! The byte stream under HTTP.
//!
//! Invariants: it holds the connection's permit, so that the permit lives exactly as long as the stream, also when
//! an upgrade carries the stream away; it notes when the peer takes bytes; it closes in two steps, so that a peer
//! that is still sending gets to read our last answer. Deliberately does not know whether TLS is beneath it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::activity::Activity;
use super::gate::Permit;

/// Bytes in one write from which on it counts as a part of a response: more than HTTP/2's PING, SETTINGS and
/// WINDOW_UPDATE frames (9 + 8 bytes at most), with which a peer could otherwise stay for ever.
const PROGRESS: usize = 32;

/// Bytes thrown away while closing: what a client has on its way at 8 Mbit/s in a second.
const LINGER_BYTES: usize = 1_048_576;

/// A stream with its permit.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    activity: Arc<Activity>,
    linger: Duration,
    closing: Closing,
    _permit: Permit,
}

#[derive(Debug)]
enum Closing {
    /// Not asked to, or our side is not closed yet.
    Open,
    /// Our side is closed; the peer's bytes are thrown away.
    Lingering { until: Pin<Box<Sleep>>, budget: usize },
    /// Both sides, as far as we care.
    Done,
}

impl<S> Wire<S> {
    pub(super) const fn new(stream: S, activity: Arc<Activity>, linger: Duration, permit: Permit) -> Self {
        Self { stream, activity, linger, closing: Closing::Open, _permit: permit }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.activity.blocked(Instant::now()),
            Poll::Ready(Ok(bytes)) if *bytes >= PROGRESS => self.activity.moved(Instant::now()),
            Poll::Ready(_) => {}
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        match flushed {
            Poll::Pending => self.activity.blocked(Instant::now()),
            Poll::Ready(_) => self.activity.flowing(),
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Closing::Open = this.closing {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.closing = Closing::Lingering { until: Box::pin(sleep(this.linger)), budget: LINGER_BYTES };
        }
        if let Closing::Lingering { until, budget } = &mut this.closing {
            ready!(poll_discard(&mut this.stream, until.as_mut(), budget, cx));
            this.closing = Closing::Done;
        }
        Poll::Ready(Ok(()))
    }
}

/// Ready when the peer has closed, or time or budget are over.
fn poll_discard<S: AsyncRead + Unpin>(
    stream: &mut S,
    until: Pin<&mut Sleep>,
    budget: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if until.poll(cx).is_ready() {
        return Poll::Ready(());
    }
    let mut bin = [0; 4_096];
    while *budget > 0 {
        let mut bin = ReadBuf::new(&mut bin);
        match ready!(Pin::new(&mut *stream).poll_read(cx, &mut bin)) {
            Ok(()) if !bin.filled().is_empty() => *budget = budget.saturating_sub(bin.filled().len()),
            Ok(()) | Err(_) => break,
        }
    }
    Poll::Ready(())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::activity::Verdict;
    use super::super::gate::{Gate, Origin};
    use super::super::limits::Limits;
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_makes_progress_and_an_answered_ping_is_none() {
        let hour = Duration::from_secs(3_600);
        let limits = Limits { idle: 3 * hour, header_read: 3 * hour, stall: hour, ..Limits::default() };
        let gate = Arc::new(Gate::new(&limits));
        let permit = gate.admit(Origin::Network(IpAddr::from([192, 0, 2, 1]))).unwrap();
        let activity = Activity::new(gate, Instant::now());
        let later = || Instant::now() + hour + hour;

        let (stream, mut reader) = tokio::io::duplex(64);
        let mut wire = Wire::new(stream, activity.clone(), hour, permit);
        wire.write_all(&[0; 64]).await.unwrap();
        assert!(matches!(activity.verdict(later(), &limits), Verdict::Wait(_)));

        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut wire).poll_write(&mut cx, &[0; 64]).is_pending());
        assert_eq!(activity.verdict(later(), &limits), Verdict::Stalled);
        reader.read_exact(&mut [0; 17]).await.unwrap();
        wire.write_all(&[0; 17]).await.unwrap();
        assert_eq!(activity.verdict(later(), &limits), Verdict::Stalled, "a ping is not progress");
        reader.read_exact(&mut [0; PROGRESS]).await.unwrap();
        wire.write_all(&[0; PROGRESS]).await.unwrap();
        assert!(matches!(activity.verdict(later(), &limits), Verdict::Wait(_)), "slow is not stalled");
    }
}
