import Foundation
import Observation
import Otaro

/// What the chat shows, and what may be done with it. Lives on the main actor and only ever waits there: opening, computing and
/// reading go on elsewhere.
@MainActor
@Observable
public final class Chat {
    /// A line of the conversation.
    public struct Line: Identifiable, Equatable, Sendable {
        public let id: Int
        public let role: Role
        public internal(set) var text: String
    }

    /// Where the chat is.
    public enum Phase: Equatable, Sendable {
        case closed
        /// With the share of the present stage that is done.
        case opening(Double)
        case ready
        case answering
    }

    public private(set) var phase = Phase.closed
    public private(set) var lines: [Line] = []
    /// What went wrong last, for an alert that clears it.
    public var failure: OtaroError?
    /// Tokens of the present answer per second.
    public private(set) var tokensPerSecond: Double?
    /// Memory of the process that counts against its limit.
    public private(set) var memoryBytes: UInt64?
    /// The precision of the next token, which signals of the system may hold below ``mantissaBits``.
    public private(set) var mantissaBitsInForce: Int
    /// The precision that the person wants, 3 to 8. Takes effect with the next token.
    public var mantissaBits: Int {
        didSet { applyPrecision() }
    }

    /// The model that comes with the app.
    public static var bundledModel: ModelSource {
        .file(Bundle.module.bundleURL.appendingPathComponent("Model/storyteller-4m.sefp.safetensors"))
    }

    private let source: ModelSource
    private let options: OpenOptions
    private var session: Session?
    private var signals: SystemSignals?
    private var answer: Task<Void, Never>?

    public init(source: ModelSource, options: OpenOptions = OpenOptions(), mantissaBits: Int = 6) {
        self.source = source
        self.options = options
        self.mantissaBits = mantissaBits
        mantissaBitsInForce = mantissaBits
    }

    /// Opens the model, unless that was done before. Cancelling the task gives it up.
    public func open() async {
        guard phase == .closed else { return }
        phase = .opening(0)
        do {
            let model = try await Otaro.open(source, options: options) { @MainActor [weak self] progress in
                self?.phase = .opening(progress.fraction)
            }
            let session = try await model.session(SessionOptions(mantissaBits: UInt32(mantissaBits)))
            self.session = session
            signals = SystemSignals(for: session) { [weak self] _ in
                Task { @MainActor in self?.refresh() }
            }
            phase = .ready
            refresh()
        } catch {
            phase = .closed
            show(error)
        }
    }

    /// Asks, and shows the answer as it comes.
    public func send(_ message: String) {
        guard phase == .ready, let session, !message.isEmpty else { return }
        append(.user, message)
        append(.assistant, "")
        phase = .answering
        // Weakly: an answer must not keep a chat that nobody shows any more.
        answer = Task { [weak self] in
            do {
                for try await batch in try session.ask(message) {
                    self?.take(batch)
                }
            } catch {
                self?.show(error)
            }
            self?.answerEnded()
        }
    }

    /// Ends the answer; what was said stays.
    public func stop() {
        answer?.cancel()
    }

    /// Begins a new conversation.
    public func clear() {
        stop()
        lines = []
        do {
            try session?.reset()
        } catch {
            show(error)
        }
    }

    /// One block of text for a bug report.
    public func diagnostics() -> String {
        (try? session?.diagnostics()) ?? Otaro.diagnostics()
    }

    /// Waits until the answer has ended.
    func answered() async {
        await answer?.value
    }

    private func take(_ batch: TokenBatch) {
        // After `clear` there may be no line left for what was still on its way.
        guard let last = lines.indices.last, !Task.isCancelled else { return }
        lines[last].text += batch.text
        refresh()
    }

    private func answerEnded() {
        answer = nil
        phase = .ready
        refresh()
    }

    private func append(_ role: Role, _ text: String) {
        lines.append(Line(id: lines.count, role: role, text: text))
    }

    private func applyPrecision() {
        do {
            try session?.setPrecision(mantissaBits: mantissaBits)
            refresh()
        } catch {
            show(error)
        }
    }

    /// Takes over the figures of the session.
    private func refresh() {
        guard let metrics = try? session?.metrics() else { return }
        tokensPerSecond = metrics.decodeTokensPerSecond
        memoryBytes = metrics.processAnonymousBytes
        mantissaBitsInForce = Int(metrics.mantissaBits)
    }

    private func show(_ error: any Error) {
        // A cancelled opening is what was asked for.
        if let error = error as? OtaroError, error.kind != .cancelled {
            failure = error
        }
    }
}
