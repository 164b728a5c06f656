// SPDX-License-Identifier: AGPL-3.0-or-later
//! Bodies within bounds.
//!
//! Invariants: a request body that declares too much fails before a byte of it is read (and before a client that
//! sent `Expect: 100-continue` is invited to send it); one that declares nothing is cut where it exceeds the limit;
//! one that dribbles fails at its deadline. Deliberately does not answer: the application finds the [`BodyError`]
//! and speaks its own language of errors.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body as AxumBody;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::activity::{Exchange, Turn};
use super::limits::Limits;

/// Why a request body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More than one request may carry; declared or sent.
    #[error("the request body is larger than {limit} bytes; send less, or split it over several requests")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// Not all of it arrived in time.
    #[error("the request body was not complete within {deadline:?}; send it again over a faster connection")]
    TooSlow {
        /// The deadline, from the first look at the body.
        deadline: Duration,
    },
    /// The connection or its framing broke.
    #[error("the request body broke off before its end; send it again")]
    Broken {
        /// What the protocol said.
        source: hyper::Error,
    },
}

impl BodyError {
    /// The body error somewhere in the chain of `error`, as extractors wrap it.
    pub fn find_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut link = Some(error);
        while let Some(error) = link {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            link = error.source();
        }
        None
    }
}

/// A request body that keeps its bounds.
pub(super) struct RequestBody<B = Incoming> {
    inner: B,
    limit: u64,
    taken: u64,
    deadline: Duration,
    /// Armed at the first look: the application's own delay is not the client's.
    timer: Option<Pin<Box<Sleep>>>,
    failed: bool,
}

impl<B> RequestBody<B> {
    pub(super) const fn new(inner: B, limits: &Limits) -> Self {
        Self { inner, limit: limits.body_bytes, taken: 0, deadline: limits.body_read, timer: None, failed: false }
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> RequestBody<B> {
    fn poll_bounded(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let too_large = BodyError::TooLarge { limit: self.limit };
        if self.taken.saturating_add(self.inner.size_hint().lower()) > self.limit {
            return Poll::Ready(Some(Err(too_large)));
        }
        // The deadline comes first: who always has one more byte ready would never meet it.
        let deadline = self.deadline;
        if self.timer.get_or_insert_with(|| Box::pin(sleep(deadline))).as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(BodyError::TooSlow { deadline })));
        }
        Poll::Ready(match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            None => None,
            Some(Err(source)) => Some(Err(BodyError::Broken { source })),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
                self.taken = self.taken.saturating_add(length);
                Some(if self.taken > self.limit { Err(too_large) } else { Ok(frame) })
            }
        })
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let polled = self.poll_bounded(cx);
        self.failed = matches!(polled, Poll::Ready(Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response body that tells whose turn it is, and ends the exchange when it ends.
pub(super) struct ResponseBody {
    inner: AxumBody,
    exchange: Exchange,
}

impl ResponseBody {
    pub(super) fn new(inner: AxumBody, mut exchange: Exchange) -> Self {
        // The head is ready: until the transport asks for the body, it waits for the peer.
        exchange.turn(Turn::Peer, Instant::now());
        Self { inner, exchange }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        let turn = if polled.is_pending() { Turn::Application } else { Turn::Peer };
        self.exchange.turn(turn, Instant::now());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::BodyExt;

    use super::*;

    struct Pieces(VecDeque<&'static [u8]>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(Bytes::from_static(piece)))))
        }
    }

    #[tokio::test]
    async fn the_piece_that_exceeds_the_limit_is_not_handed_on() {
        let limits = Limits { body_bytes: 4, ..Limits::default() };
        let mut body = RequestBody::new(Pieces([&b"abc"[..], b"d", b"e", b"f"].into()), &limits);
        for piece in ["abc", "d"] {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
        }
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(BodyError::find_in(&error), Some(BodyError::TooLarge { limit: 4 })));
        assert!(body.frame().await.is_none(), "nor what follows");
    }
}
