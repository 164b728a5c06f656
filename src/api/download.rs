// SPDX-License-Identifier: AGPL-3.0-or-later
//! Answers that are written while they are read. One that fails is broken off, so nobody takes a part for the whole.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::mpsc;

use crate::api::error::Problem;

/// Pieces that may wait to be read.
const PIECES_MAX: usize = 4;

/// A piece, or why there are no more.
pub type Piece = Result<Bytes, Problem>;

/// An answer, and where its pieces go.
pub fn download(media_type: &'static str) -> (Response, mpsc::Sender<Piece>) {
    let (pieces, body) = mpsc::channel(PIECES_MAX);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    ((headers, Body::new(Pieces(body))).into_response(), pieces)
}

struct Pieces(mpsc::Receiver<Piece>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(|_| Broken)))
    }
}

/// The answer was broken off.
#[derive(Debug, thiserror::Error)]
#[error("the answer was broken off")]
struct Broken;
