import OtaroFFI

/// A conversation, on a thread of its own. Every method returns at once, from any thread and at any time; after ``close()`` all
/// others fail with `closed`.
public final class Session: Sendable {
    private let library: OtaroFFI.Session

    init(_ library: OtaroFFI.Session) {
        self.library = library
    }

    // MARK: Answers

    /// Asks, as the next message of the conversation.
    ///
    ///     for try await batch in try session.ask("Tell me a story.") {
    ///         text += batch.text
    ///     }
    ///
    /// The engine computes ahead of the reader by four batches and no further. It stops when the reading task is cancelled, or when
    /// nobody holds the stream any more, as after a `break`: within 150 ms, seen as `generating` of ``metrics()``. A cancelled
    /// answer is no error; what was generated stays a part of the conversation.
    ///
    /// - Parameters:
    ///   - message: What is said. A model without chat template continues it.
    ///   - options: When the answer ends, and how its tokens are chosen.
    /// - Returns: The answer as it comes, to be read by one task. It throws ``OtaroError`` of kind `closed`, `contextFull`, `chatTemplate`,
    ///   `tokenizer`, `missingPlanes`, `device`, `notFinite`, `panicked`, after what was computed before.
    /// - Throws: ``OtaroError`` of kind `busy` while an answer goes on, `suspended`, `invalidArgument`, `panicked`, `closed`.
    public func ask(
        _ message: String, options: GenerationOptions = GenerationOptions()
    ) throws -> AsyncThrowingStream<TokenBatch, any Error> {
        batches(of: try translating { try library.ask(message: message, options: options) })
    }

    /// Continues a text as it stands, without a template and beside the conversation, which stays as it is.
    ///
    /// - Parameters:
    ///   - prompt: The text.
    ///   - options: When the answer ends, and how its tokens are chosen.
    /// - Returns: As ``ask(_:options:)``.
    /// - Throws: As ``ask(_:options:)``.
    public func complete(
        _ prompt: String, options: GenerationOptions = GenerationOptions()
    ) throws -> AsyncThrowingStream<TokenBatch, any Error> {
        batches(of: try translating { try library.complete(prompt: prompt, options: options) })
    }

    /// Forgets the conversation and goes on from these messages. Cancels an answer in progress.
    ///
    /// - Parameter messages: None, a system message, or an earlier conversation, which then ends with an answer.
    /// - Throws: ``OtaroError`` of kind `invalidArgument` for messages to a model without chat template, `panicked`, `closed`.
    public func reset(_ messages: [ChatMessage] = []) throws {
        try translating { try library.reset(messages: messages) }
    }

    // MARK: Precision and memory

    /// Sets the precision that is wanted, from the next token on, in the middle of an answer too.
    ///
    /// - Parameter mantissaBits: Within the bounds of the session, 3 to 8 by default.
    /// - Returns: The precision of the next token, which signals may hold below.
    /// - Throws: ``OtaroError`` of kind `invalidArgument` outside of the bounds, `missingPlanes` when the file does not hold it (yet),
    ///   `panicked`, `closed`.
    @discardableResult
    public func setPrecision(mantissaBits: Int) throws -> Int {
        Int(try translating { try library.setPrecision(mantissaBits: UInt32(clamping: mantissaBits)) })
    }

    /// Takes a signal of the system. ``SystemSignals`` passes on all that there are.
    ///
    /// - Returns: What it led to.
    /// - Throws: ``OtaroError`` of kind `panicked`, `closed`.
    @discardableResult
    public func signal(_ signal: Signal) throws -> Decision {
        try translating { try library.signal(signal: signal) }
    }

    /// Gives back the memory of planes above the precision of the next token.
    ///
    /// - Throws: ``OtaroError`` of kind `panicked`, `closed`.
    public func trim() throws {
        try translating { try library.trim() }
    }

    // MARK: Life

    /// Holds the work: nothing is submitted to the device any more, and no answer can begin. One in progress stays where it is, for
    /// ``resume()`` to go on. Does no harm twice.
    ///
    /// - Throws: ``OtaroError`` of kind `panicked`, `closed`.
    public func suspend() throws {
        try translating { try library.suspend() }
    }

    /// Lets the work go on. Does no harm twice.
    ///
    /// - Throws: ``OtaroError`` of kind `panicked`, `closed`.
    public func resume() throws {
        try translating { try library.resume() }
    }

    /// Ends the session. An answer in progress fails with `closed`; thread and memory go within 150 ms. Does no harm twice.
    public func close() {
        library.close()
    }

    // MARK: Figures

    /// The figures at this moment: precision, rates, context, memory.
    ///
    /// - Throws: ``OtaroError`` of kind `panicked`, `closed`.
    public func metrics() throws -> Metrics {
        try translating { try library.metrics() }
    }

    /// One block of text for a bug report: that of the model, and this session's.
    ///
    /// - Throws: ``OtaroError`` of kind `panicked`, `closed`.
    public func diagnostics() throws -> String {
        try translating { try library.diagnostics() }
    }
}
