import Foundation
import OtaroFFI

#if canImport(UIKit) && !os(watchOS)
    import UIKit
#endif

/// Passes on to a session what the system says, as long as somebody holds it: heat, low power mode, memory warnings. It suspends the
/// session in the background, where iOS ends apps that use the GPU, and resumes it in the foreground.
///
///     let session = try await model.session()
///     let signals = SystemSignals(for: session)
///
/// What the session makes of it stands at ``Session/signal(_:)``. The session is not held, and one that was closed is left alone.
public final class SystemSignals: Sendable {
    private let subscriptions: [Subscription]

    /// Begins with the state of this moment.
    ///
    /// - Parameters:
    ///   - session: Whom to tell.
    ///   - suspendsInBackground: Whether the session is suspended while the app is in the background.
    ///   - onDecision: Called with what each signal led to, on any thread.
    @MainActor
    public convenience init(
        for session: Session, suspendsInBackground: Bool = true,
        onDecision: (@Sendable (Decision) -> Void)? = nil
    ) {
        let sources = SignalSource.system(background: suspendsInBackground)
        self.init(for: session, sources: sources, center: .default, onDecision: onDecision)
    }

    init(
        for session: Session, sources: [SignalSource], center: NotificationCenter,
        onDecision: (@Sendable (Decision) -> Void)?
    ) {
        let pass: @Sendable (SystemEvent) -> Void = { [weak session] event in
            // What fails here fails for closed sessions and defects, which whoever asks will hear of.
            if let session, let decision = try? event.apply(to: session) {
                onDecision?(decision)
            }
        }
        subscriptions = sources.map { source in
            Subscription(to: source.name, in: center) { pass(source.event()) }
        }
        for source in sources where source.hasState {
            pass(source.event())
        }
    }
}

/// What the system may say.
enum SystemEvent: Sendable {
    case signal(Signal)
    case background
    case foreground

    func apply(to session: Session) throws -> Decision? {
        switch self {
        case .signal(let signal):
            return try session.signal(signal)
        case .background:
            try session.suspend()
        case .foreground:
            try session.resume()
        }
        return nil
    }
}

/// A notification, and what it means.
struct SignalSource: Sendable {
    let name: Notification.Name
    /// Whether there is a state to ask for without a notification.
    let hasState: Bool
    let event: @Sendable () -> SystemEvent
}

extension SignalSource {
    /// All that this system has; Linux has none.
    @MainActor
    static func system(background: Bool) -> [SignalSource] {
        var sources: [SignalSource] = []
        #if canImport(Darwin)
            sources.append(
                SignalSource(name: ProcessInfo.thermalStateDidChangeNotification, hasState: true) {
                    .signal(.thermal(state: ThermalState(ProcessInfo.processInfo.thermalState)))
                })
            sources.append(
                SignalSource(name: .NSProcessInfoPowerStateDidChange, hasState: true) {
                    .signal(.batterySaver(on: ProcessInfo.processInfo.isLowPowerModeEnabled))
                })
        #endif
        #if canImport(UIKit) && !os(watchOS)
            let memory = UIApplication.didReceiveMemoryWarningNotification
            sources.append(
                SignalSource(name: memory, hasState: false) { .signal(.memory(level: .critical)) })
            if background {
                let (enter, leave) = (
                    UIApplication.didEnterBackgroundNotification,
                    UIApplication.willEnterForegroundNotification
                )
                sources.append(SignalSource(name: enter, hasState: false) { .background })
                sources.append(SignalSource(name: leave, hasState: false) { .foreground })
            }
        #endif
        return sources
    }
}

#if canImport(Darwin)
    extension ThermalState {
        /// States that a later system may add count as the hottest.
        init(_ state: ProcessInfo.ThermalState) {
            switch state {
            case .nominal: self = .nominal
            case .fair: self = .fair
            case .serious: self = .serious
            case .critical: self = .critical
            @unknown default: self = .critical
            }
        }
    }
#endif

/// A subscription to a notification, which ends with its owner.
///
/// Unchecked: the token is opaque and only handed back, and `NotificationCenter` may be used from any thread.
private final class Subscription: @unchecked Sendable {
    private let center: NotificationCenter
    private let token: any NSObjectProtocol

    init(to name: Notification.Name, in center: NotificationCenter, call: @escaping @Sendable () -> Void) {
        self.center = center
        // On the thread of whoever posts: the calls that follow return at once.
        token = center.addObserver(forName: name, object: nil, queue: nil) { _ in call() }
    }

    deinit {
        center.removeObserver(token)
    }
}
