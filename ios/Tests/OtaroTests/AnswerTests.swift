import Foundation
import Otaro
import Testing

@Suite("Answers", .serialized)
struct AnswerTests {
    @Test func textStreamsAndTheSameSeedGivesItAgain() async throws {
        let model = try await openStoryteller()
        var answers: [String] = []
        for _ in 0..<2 {
            let session = try await model.session()
            var (text, tokens, end) = ("", 0, FinishReason?.none)
            for try await batch in try session.ask("Tell me a story.", options: long(64)) {
                text += batch.text
                tokens += batch.tokenIds.count
                #expect(end == nil, "nothing comes after the end")
                end = batch.finishReason
            }
            #expect(tokens == 64 && end == .maxTokens)
            #expect(text.filter(\.isLetter).count > 100)
            answers.append(text)
            let metrics = try session.metrics()
            #expect(!metrics.generating && metrics.generatedTokens == 64)
            #expect(metrics.firstTokenMs > 0 && metrics.decodeTokensPerSecond ?? 0 > 0)
        }
        #expect(answers[0] == answers[1])
    }

    @Test func precisionChangesInTheMiddleOfAnAnswer() async throws {
        let session = try await newSession(SessionOptions(mantissaBits: 8))
        var bits: [UInt32] = []
        for try await batch in try session.complete("Once upon a time", options: long(200)) {
            if bits.isEmpty {
                #expect(try session.setPrecision(mantissaBits: 3) == 3)
            }
            bits.append(batch.mantissaBits)
        }
        #expect(bits.first == 8 && bits.last == 3)
        #expect(bits == bits.sorted(by: >), "one change, and no way back")
        #expect(await kind { try session.setPrecision(mantissaBits: 9) } == .invalidArgument)
    }

    @Test func aCancelledTaskQuietsTheEngine() async throws {
        let session = try await newSession()
        var quickest = Duration.seconds(10)
        // A busy machine adds waits of its own to one try, hardly to all.
        for _ in 0..<5 {
            let (began, beginning) = AsyncStream<Void>.makeStream()
            let reading = Task {
                for try await _ in try session.ask("Tell me a story.", options: long(400)) {
                    beginning.yield()
                }
            }
            for await _ in began { break }
            #expect(try session.metrics().generating)
            reading.cancel()
            quickest = min(quickest, try await quiescence(of: session))
            try await reading.value
            #expect(try session.metrics().finishReason == .cancelled)
            try session.reset()
        }
        #expect(quickest < .milliseconds(150))
    }

    @Test func cancellingWakesAReaderThatWaits() async throws {
        let session = try await newSession()
        let (began, beginning) = AsyncStream<Void>.makeStream()
        let reading = Task {
            for try await _ in try session.ask("Tell me a story.", options: long(400)) {
                try session.suspend()
                beginning.yield()
            }
        }
        for await _ in began { break }
        // Time to read what was computed; then nothing more comes.
        try await Task.sleep(for: .milliseconds(200))
        let rescue = Task {
            try await Task.sleep(for: .seconds(5))
            session.close()
        }
        reading.cancel()
        await #expect(throws: Never.self) { try await reading.value }
        rescue.cancel()
    }

    @Test func leavingTheLoopStopsTheEngine() async throws {
        let session = try await newSession()
        for try await _ in try session.ask("Tell me a story.", options: long(400)) {
            break
        }
        #expect(try await quiescence(of: session) < .seconds(5))
        #expect(try session.metrics().generatedTokens < 400)
        // The next question waits its turn and is answered.
        var tokens = 0
        for try await batch in try session.ask("And then?", options: long(5)) {
            tokens += batch.tokenIds.count
        }
        #expect(tokens == 5)
    }

    @Test func theEngineWaitsForASlowReader() async throws {
        let session = try await newSession()
        var answer = try session.ask("Tell me a story.", options: long(450)).makeAsyncIterator()
        _ = try await answer.next()
        // Far longer than the whole answer takes.
        var generated = -1
        while generated != Int(try session.metrics().generatedTokens) {
            generated = Int(try session.metrics().generatedTokens)
            try await Task.sleep(for: .milliseconds(300))
        }
        #expect(generated < 450)
        #expect(try session.metrics().generating)
    }

    @Test func closingInTheMiddleFailsTheStream() async throws {
        let session = try await newSession()
        let failure = await kind {
            for try await _ in try session.ask("Tell me a story.", options: long(400)) {
                session.close()
                session.close()
            }
        }
        #expect(failure == .closed)
        #expect(await kind { _ = try session.metrics() } == .closed)
        #expect(await kind { _ = try session.ask("Hello") } == .closed)
    }

    @Test func aSuspendedSessionWaitsAndGoesOn() async throws {
        let session = try await newSession()
        var answer = try session.ask("Tell me a story.", options: long(300)).makeAsyncIterator()
        #expect(await kind { _ = try session.ask("And?") } == .busy)
        _ = try await answer.next()
        try session.suspend()
        #expect(try session.metrics().suspended)
        try await Task.sleep(for: .milliseconds(200))
        let held = try session.metrics().generatedTokens
        try await Task.sleep(for: .milliseconds(300))
        #expect(try session.metrics().generatedTokens == held)
        #expect(held < 300)

        try session.resume()
        var end: FinishReason?
        while let batch = try await answer.next() {
            end = batch.finishReason
        }
        #expect(end == .maxTokens)
        try session.suspend()
        #expect(await kind { _ = try session.ask("And?") } == .suspended)
    }

    @Test func aFullContextEndsTheAnswer() async throws {
        let session = try await newSession(SessionOptions(contextLength: 64))
        var end: FinishReason?
        for try await batch in try session.complete("Once upon a time", options: long(500)) {
            end = batch.finishReason
        }
        #expect(end == .contextFull)
    }

    @Test func aConversationGoesOnFromItsMessages() async throws {
        let earlier = [
            ChatMessage(role: .user, content: "Hello"), ChatMessage(role: .assistant, content: "Hello!"),
        ]
        let session = try await newSession(SessionOptions(messages: earlier))
        for try await _ in try session.ask("Tell me a story.", options: long(4)) {}
        let with = try session.metrics().promptTokens
        try session.reset()
        for try await _ in try session.ask("Tell me a story.", options: long(4)) {}
        #expect(try session.metrics().promptTokens < with)
    }
}
