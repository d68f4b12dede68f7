import Foundation
import Testing

@testable import Otaro

@Suite("Signals")
struct SignalTests {
    @Test func memoryHeatAndBatteryLowerThePrecision() async throws {
        let session = try await newSession(SessionOptions(mantissaBits: 8, minMantissaBits: 4))
        let saving = try session.signal(.batterySaver(on: true))
        #expect(saving.mantissaBits == 6 && saving.changed)
        #expect(try session.signal(.thermal(state: .fair)).mantissaBits == 6, "the largest counts")
        let pressed = try session.signal(.memory(level: .critical))
        #expect(pressed.mantissaBits == 4 && pressed.trimmed)
        #expect(try session.setPrecision(mantissaBits: 7) == 4, "signals in force hold it")
        let metrics = try session.metrics()
        #expect(metrics.mantissaBits == 4 && metrics.wantedMantissaBits == 7)
        #expect(metrics.lastDecision != nil)
    }

    @Test func notificationsReachTheSessionWhileTheyAreHeld() async throws {
        let session = try await newSession(SessionOptions(mantissaBits: 8))
        let center = NotificationCenter()
        let sources = [
            SignalSource(name: .heat, hasState: true) { .signal(.thermal(state: .fair)) },
            SignalSource(name: .memory, hasState: false) { .signal(.memory(level: .critical)) },
            SignalSource(name: .background, hasState: false) { .background },
            SignalSource(name: .foreground, hasState: false) { .foreground },
        ]
        let decisions = Log<Decision>()
        var signals: SystemSignals? = SystemSignals(for: session, sources: sources, center: center) {
            decisions.add($0)
        }
        #expect(signals != nil)
        #expect(decisions.values.map(\.mantissaBits) == [7], "the state at the beginning")
        center.post(name: .memory, object: nil)
        #expect(decisions.values.map(\.mantissaBits) == [7, 3])
        center.post(name: .background, object: nil)
        #expect(try session.metrics().suspended)
        center.post(name: .foreground, object: nil)
        #expect(try !session.metrics().suspended)

        signals = nil
        center.post(name: .background, object: nil)
        #expect(try !session.metrics().suspended)
    }

    @Test func aClosedSessionIsLeftAlone() async throws {
        let session = try await newSession()
        let center = NotificationCenter()
        let source = SignalSource(name: .memory, hasState: false) { .signal(.memory(level: .critical)) }
        let decisions = Log<Decision>()
        let signals = SystemSignals(for: session, sources: [source], center: center) { decisions.add($0) }
        session.close()
        withExtendedLifetime(signals) { center.post(name: .memory, object: nil) }
        #expect(decisions.values.isEmpty)
    }

    @Test @MainActor func theSignalsOfThisSystem() async throws {
        let session = try await newSession()
        let decisions = Log<Decision>()
        let signals = SystemSignals(for: session) { decisions.add($0) }
        #if canImport(Darwin)
            #expect(decisions.values.count == 2, "heat and low power mode have a state")
        #else
            #expect(decisions.values.isEmpty)
        #endif
        withExtendedLifetime(signals) {}
    }
}

extension Notification.Name {
    fileprivate static let heat = Notification.Name("heat")
    fileprivate static let memory = Notification.Name("memory")
    fileprivate static let background = Notification.Name("background")
    fileprivate static let foreground = Notification.Name("foreground")
}
