import OtaroFFI

/// An opened model. Sessions share its weights, and keep them until they are closed themselves.
public final class Model: Sendable {
    private let library: OtaroFFI.Model

    init(_ library: OtaroFFI.Model) {
        self.library = library
    }

    /// A session with an empty context, on a thread of its own. Makes the buffers of the device, off the calling actor.
    ///
    /// - Parameter options: Its precision, the bounds of signals, its context, its messages.
    /// - Throws: ``OtaroError`` of kind `invalidArgument`, `missingPlanes`, `chatTemplate`, `device`, `closed`.
    public func session(_ options: SessionOptions = SessionOptions()) async throws -> Session {
        Session(try translating { try library.session(options: options) })
    }

    /// What the model is, and which device answers.
    ///
    /// - Throws: ``OtaroError`` of kind `io`, `missingPlanes` when the file was cut meanwhile, `closed`.
    public func info() async throws -> ModelInfo {
        try translating { try library.info() }
    }

    /// Gives back the memory of planes above a precision. Sessions stay usable at any: what they need is read again.
    ///
    /// - Parameter mantissaBits: 3 to 8.
    /// - Throws: ``OtaroError`` of kind `invalidArgument`, `closed`.
    public func trim(mantissaBits: Int) throws {
        try translating { try library.trim(mantissaBits: UInt32(clamping: mantissaBits)) }
    }

    /// One block of text for a bug report.
    ///
    /// - Throws: ``OtaroError`` of kind `closed`.
    public func diagnostics() throws -> String {
        try translating { try library.diagnostics() }
    }

    /// Lets go of the model. Does no harm twice; sessions go on until they are closed.
    public func close() {
        library.close()
    }
}
