import Foundation
import Otaro
import Testing

/// The model that ships, beside this package.
let storyteller = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent()
    .appendingPathComponent("../../../models/storyteller-4m.sefp.safetensors")
    .standardized

/// The model, on the CPU: results that can be repeated, on machines without a GPU too.
func openStoryteller() async throws -> Model {
    try await Otaro.open(.file(storyteller), options: OpenOptions(device: .cpu, threads: 2))
}

/// A session of the model.
func newSession(_ options: SessionOptions = SessionOptions()) async throws -> Session {
    try await openStoryteller().session(options)
}

/// An answer that goes on for as long as asked.
func long(_ tokens: UInt32) -> GenerationOptions {
    GenerationOptions(maxTokens: tokens, sampler: SamplerOptions(seed: 1), ignoreEos: true)
}

/// The kind of the error that something ends with; nil, and a failed test, if there is none.
func kind(of work: () async throws -> Void) async -> ErrorKind? {
    do {
        try await work()
        Issue.record("no error")
    } catch let error as OtaroError {
        #expect(!error.reason.isEmpty)
        #expect(error.errorDescription == error.reason)
        return error.kind
    } catch {
        Issue.record(error)
    }
    return nil
}

/// Waits until the engine is quiescent; says how long that took.
func quiescence(of session: Session) async throws -> Duration {
    let clock = ContinuousClock()
    let start = clock.now
    while try session.metrics().generating, clock.now - start < .seconds(10) {
        try await Task.sleep(for: .milliseconds(1))
    }
    return clock.now - start
}

/// A value that closures on several threads add to.
final class Log<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var kept: [Value] = []

    var values: [Value] { lock.withLock { kept } }

    func add(_ value: Value) {
        lock.withLock { kept.append(value) }
    }
}
