import Foundation
import Otaro
import Testing

@testable import ChatState

@Suite("The sample's state", .serialized)
@MainActor
struct ChatTests {
    private func openChat() async -> Chat {
        let chat = Chat(source: Chat.bundledModel, options: OpenOptions(device: .cpu))
        await chat.open()
        return chat
    }

    @Test func asksAndShowsTheAnswer() async {
        let chat = await openChat()
        #expect(chat.phase == .ready && chat.failure == nil)
        chat.send("Tell me a story.")
        #expect(chat.phase == .answering)
        chat.mantissaBits = 3
        await chat.answered()
        #expect(chat.phase == .ready)
        #expect(chat.lines.map(\.role) == [.user, .assistant])
        #expect(chat.lines[1].text.count > 20)
        #expect(chat.mantissaBitsInForce == 3)
        #expect(chat.tokensPerSecond ?? 0 > 0)
        #expect(chat.diagnostics().contains("build"))
    }

    @Test func stopsAndBeginsAnew() async {
        let chat = await openChat()
        chat.send("Tell me a story.")
        chat.stop()
        await chat.answered()
        #expect(chat.phase == .ready && chat.failure == nil)
        chat.clear()
        #expect(chat.lines.isEmpty)
        chat.send("Hello")
        await chat.answered()
        #expect(chat.lines.count == 2 && chat.failure == nil)
    }

    @Test func showsWhatWentWrong() async {
        let chat = Chat(source: .path(path: "/no/such/model"))
        await chat.open()
        #expect(chat.phase == .closed)
        #expect(chat.failure?.kind == .io)
    }
}
