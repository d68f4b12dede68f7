import OtaroFFI

/// An answer as a stream that pulls: nothing is read ahead of whoever iterates, so the engine waits for a slow reader.
///
/// Streams of this kind have no `onTermination`, and need none: the library's stream goes with the last iterator, and cancels as it goes.
func batches(of stream: OtaroFFI.TokenStream) -> AsyncThrowingStream<TokenBatch, any Error> {
    AsyncThrowingStream {
        // A cancelled task does not wake what it waits for: `cancel` does.
        try await withTaskCancellationHandler {
            try await awaiting { try await stream.next() }
        } onCancel: {
            stream.cancel()
        }
    }
}
