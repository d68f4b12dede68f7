import OtaroFFI

/// An answer as a stream that pulls: nothing is read ahead of whoever iterates, so the engine waits for a slow reader.
///
/// A stream of this kind has no `onTermination`. What that would do is done by `Reader`: it goes with the last iterator.
func batches(of stream: OtaroFFI.TokenStream) -> AsyncThrowingStream<TokenBatch, any Error> {
    let reader = Reader(stream)
    return AsyncThrowingStream { try await reader.next() }
}

/// Reads an answer, and cancels it when the reading task is cancelled or nobody reads any more.
private final class Reader: Sendable {
    private let stream: OtaroFFI.TokenStream

    init(_ stream: OtaroFFI.TokenStream) {
        self.stream = stream
    }

    deinit {
        stream.cancel()
    }

    func next() async throws -> TokenBatch? {
        // A cancelled task does not wake what it waits for: `cancel` does.
        try await withTaskCancellationHandler {
            try await awaiting { [stream] in try await stream.next() }
        } onCancel: {
            stream.cancel()
        }
    }
}
