import Foundation
import OtaroFFI

/// What went wrong. Everything in this module that throws throws this, streams included.
///
///     do {
///         let model = try await Otaro.open(.path(path: path))
///     } catch let error as OtaroError where error.kind == .corrupt {
///         // download again
///     }
public struct OtaroError: LocalizedError, Equatable, Sendable {
    /// What to branch on.
    public let kind: ErrorKind
    /// What, where and what to do, in a sentence.
    public let reason: String
    /// The causes below it, one on a line; empty if there are none.
    public let details: String

    /// ``reason``.
    public var errorDescription: String? { reason }

    /// ``details``, if there are any.
    public var failureReason: String? { details.isEmpty ? nil : details }

    init(_ error: any Error) {
        if case OtaroFFI.OtaroError.Failed(let kind, let reason, let details) = error {
            (self.kind, self.reason, self.details) = (kind, reason, details)
        } else {
            // The border itself failed, which it does by a defect only.
            (kind, reason, details) = (.panicked, "the call of the library failed", String(reflecting: error))
        }
    }
}

/// Runs a call of the library; its errors become those of this module.
func translating<Value>(_ call: () throws -> Value) throws -> Value {
    do {
        return try call()
    } catch {
        throw OtaroError(error)
    }
}

/// Awaits a call of the library; its errors become those of this module.
func awaiting<Value: Sendable>(_ call: @Sendable () async throws -> Value) async throws -> Value {
    do {
        return try await call()
    } catch {
        throw OtaroError(error)
    }
}
