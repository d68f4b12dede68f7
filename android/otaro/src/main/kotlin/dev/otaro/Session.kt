package dev.otaro

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import dev.otaro.ffi.Session as FfiSession
import dev.otaro.ffi.TokenStream as FfiStream

/**
 * A conversation, on a thread of its own.
 *
 * Every method returns at once and may be called from any thread at any time, the main thread and the middle of an
 * answer included. After [close] all but [close] throw `CLOSED`; after a defect of otaro, `PANICKED`.
 */
public class Session internal constructor(session: FfiSession) : AutoCloseable {
    private val handle = Handle(session, "session", FfiSession::end)

    /**
     * Asks, as the next message of the conversation; the answer becomes a part of it as far as it was computed. A
     * model without chat template continues the text.
     *
     * The flow is cold: each collection is a question of its own, and nothing happens before it. A batch has
     * the tokens of 20 to 50 ms, the first one has a single token. Whatever ends the collection early,
     * cancellation as well as `take`, stops the engine within 150 ms; until then [metrics] says `generating`, and
     * the next question may be asked right away. While four batches wait for the collector, the engine
     * waits too.
     *
     * @throws OtaroException (from the collection) `BUSY` while another answer is collected, `SUSPENDED`,
     * `INVALID_ARGUMENT` for options out of range, `CONTEXT_FULL`, `CHAT_TEMPLATE`, `TOKENIZER`, `MISSING_PLANES`,
     * `DEVICE`, `NOT_FINITE`, `PANICKED`, `CLOSED`; what was computed before an error is emitted before it.
     */
    public fun ask(message: String, options: GenerationOptions = GenerationOptions()): Flow<TokenBatch> =
        answer { it.ask(message.wellFormed(), options.toFfi()) }

    /**
     * Continues a text as it stands, without a template and beside the conversation, which stays as it is. The flow is
     * that of [ask], and so are the errors.
     */
    public fun complete(prompt: String, options: GenerationOptions = GenerationOptions()): Flow<TokenBatch> =
        answer { it.complete(prompt.wellFormed(), options.toFfi()) }

    private fun answer(begin: (FfiSession) -> FfiStream): Flow<TokenBatch> = flow {
        val stream = handle.call(begin)
        try {
            while (true) {
                val batch = translated { stream.next() } ?: break
                emit(batch.toApi())
            }
        } finally {
            stream.cancel()
            stream.destroy()
        }
    }

    /**
     * Sets the precision that is wanted, 3 to 8 bits, from the next token on, in the middle of an answer too.
     *
     * @return the precision of that token, which [signals][signal] may hold below what is wanted.
     * @throws OtaroException `INVALID_ARGUMENT` outside of the bounds of the session; `MISSING_PLANES` when the
     * file does not hold it (yet).
     */
    public fun setPrecision(mantissaBits: Int): Int =
        handle.call { it.setPrecision(mantissaBits.unsigned("mantissaBits")) }.toInt()

    /**
     * Takes a signal of the system: memory pressure, heat, battery saver. The precision goes down within the bounds
     * of the session with the next token, and comes back step by step when the reason is gone. On Android
     * `followSystem` of `dev.otaro.android` calls it.
     */
    public fun signal(signal: Signal): Decision = handle.call { it.signal(signal.toFfi()) }.toApi()

    /** Gives back the memory of planes above the precision of the next token. */
    public fun trim(): Unit = handle.call { it.trim() }

    /**
     * Holds the work: nothing is submitted to the device any more. An answer in progress stays where it is, for
     * [resume] to go on; none can begin. Does no harm twice.
     */
    public fun suspend(): Unit = handle.call { it.suspend() }

    /** Lets the work go on. Does no harm twice. */
    public fun resume(): Unit = handle.call { it.resume() }

    /**
     * Forgets the conversation and goes on from these messages: none, a system message, or an earlier conversation.
     * Cancels an answer in progress. The next question comes after it.
     *
     * @throws OtaroException `INVALID_ARGUMENT` for messages to a model without chat template.
     */
    public fun reset(messages: List<ChatMessage> = emptyList()): Unit =
        handle.call { it.reset(messages.map(ChatMessage::toFfi)) }

    /** The figures at this moment. Cheap enough to ask for several times a second. */
    public fun metrics(): Metrics = handle.call { it.metrics() }.toApi()

    /** One block of text for a bug report: that of the model, and this session's. */
    public fun diagnostics(): String = handle.call { it.diagnostics() }

    /**
     * Ends the session. The collection of an answer in progress fails with `CLOSED`; thread and memory are gone
     * within 150 ms. Does no harm twice.
     */
    override fun close(): Unit = handle.close()
}
