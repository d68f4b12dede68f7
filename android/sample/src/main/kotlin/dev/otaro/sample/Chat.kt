package dev.otaro.sample

import dev.otaro.GenerationOptions
import dev.otaro.Model
import dev.otaro.OpenProgress
import dev.otaro.Otaro
import dev.otaro.OtaroException
import dev.otaro.Session
import dev.otaro.SessionOptions
import dev.otaro.TokenBatch
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlin.time.Duration.Companion.milliseconds

/**
 * The chat, without Android: what the screen shows, and what happens when somebody touches it. All of it runs on the
 * one thread of [scope], which nothing here blocks.
 *
 * @param open opens the model; on threads of its own.
 * @param follow connects a session with the system; closed along with the session.
 */
class Chat(
    private val scope: CoroutineScope,
    private val open: suspend (onProgress: (OpenProgress) -> Unit) -> Model,
    private val follow: (Session) -> AutoCloseable,
) : AutoCloseable {
    private val mutableState = MutableStateFlow(ChatState())
    private var model: Model? = null
    private var session: Session? = null
    private var followed: AutoCloseable? = null
    private var opening: Job? = null
    private var answer: Job? = null

    val state: StateFlow<ChatState> = mutableState.asStateFlow()

    init {
        openAgain()
    }

    /** Opens the model; what was open is closed before. */
    fun openAgain() {
        close()
        mutableState.update { ChatState(wantedMantissaBits = it.wantedMantissaBits) }
        opening = scope.launch {
            reporting {
                val opened = open { progress -> mutableState.update { it.copy(phase = Phase.Opening(progress)) } }
                model = opened
                val bits = state.value.wantedMantissaBits
                session = opened.session(SessionOptions(mantissaBits = bits)).also { followed = follow(it) }
                mutableState.update { it.copy(phase = Phase.Ready) }
                look()
            }
            if (session == null) mutableState.update { it.copy(phase = Phase.Failed) }
        }
    }

    /** Asks the model. Nothing happens while it answers. */
    fun ask(question: String) {
        val session = session ?: return
        if (question.isBlank() || answer?.isCompleted == false) return
        mutableState.update {
            val messages = it.messages + Message(true, question.trim()) + Message(false, "")
            it.copy(phase = Phase.Answering, messages = messages, problem = null)
        }
        answer = scope.launch {
            val looking = launch { while (true) { look(); delay(LOOK) } }
            reporting {
                try {
                    session.ask(question.trim(), GenerationOptions(maxTokens = 400)).collect(::append)
                } finally {
                    looking.cancel()
                    mutableState.update { if (it.phase == Phase.Answering) it.copy(phase = Phase.Ready) else it }
                    look()
                }
            }
        }
    }

    /** Stops the answer; what there is of it stays. */
    fun stop() {
        answer?.cancel()
    }

    /** Changes the precision, also in the middle of an answer. */
    fun setPrecision(mantissaBits: Int) {
        mutableState.update { it.copy(wantedMantissaBits = mantissaBits) }
        reporting { session?.setPrecision(mantissaBits) }
        look()
    }

    /** Forgets the conversation. */
    fun beginAnew() {
        stop()
        reporting { session?.reset() }
        mutableState.update { it.copy(messages = emptyList(), problem = null) }
    }

    /** A block of text for a report. */
    fun diagnostics(): String = try {
        session?.diagnostics() ?: Otaro.diagnostics()
    } catch (error: OtaroException) {
        error.toString()
    }

    override fun close() {
        opening?.cancel()
        answer?.cancel()
        followed?.close()
        session?.close()
        model?.close()
        followed = null
        session = null
        model = null
    }

    private fun append(batch: TokenBatch) = mutableState.update {
        val last = it.messages.last()
        it.copy(
            messages = it.messages.dropLast(1) + last.copy(text = last.text + batch.text),
            mantissaBits = batch.mantissaBits,
        )
    }

    /** Reads the figures. */
    private fun look() {
        val metrics = try {
            session?.metrics() ?: return
        } catch (_: OtaroException) {
            // Closed meanwhile: the figures stay.
            return
        }
        mutableState.update {
            it.copy(
                mantissaBits = metrics.mantissaBits,
                tokensPerSecond = metrics.decodeTokensPerSecond,
                appBytes = metrics.processAnonymousBytes,
                modelBytes = metrics.weightBytes,
            )
        }
    }

    private inline fun reporting(action: () -> Unit) {
        try {
            action()
        } catch (error: OtaroException) {
            mutableState.update { it.copy(problem = error.problem()) }
        }
    }

    private companion object {
        val LOOK = 250.milliseconds
    }
}
