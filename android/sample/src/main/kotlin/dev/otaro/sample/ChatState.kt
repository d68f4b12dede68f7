package dev.otaro.sample

import dev.otaro.ErrorKind
import dev.otaro.OpenProgress
import dev.otaro.OtaroException

/** All that the screen shows, at a moment. */
data class ChatState(
    val phase: Phase = Phase.Opening(null),
    val messages: List<Message> = emptyList(),
    /** What the slider says. */
    val wantedMantissaBits: Int = 6,
    /** What the next token is computed with; heat and memory pressure may hold it lower. */
    val mantissaBits: Int = 6,
    val tokensPerSecond: Double? = null,
    /** Memory of the app that no file stands behind, and that of the model's file; in bytes. */
    val appBytes: Long? = null,
    val modelBytes: Long? = null,
    val problem: Problem? = null,
)

/** What the app is at. */
sealed interface Phase {
    /** The model is being opened. */
    data class Opening(val progress: OpenProgress?) : Phase

    /** A question may be asked. */
    data object Ready : Phase

    /** An answer comes. */
    data object Answering : Phase

    /** The model did not open. */
    data object Failed : Phase
}

data class Message(val fromPerson: Boolean, val text: String)

/** What went wrong, and what the person may do about it. */
data class Problem(val advice: Advice, val reason: String)

enum class Advice {
    /** The file of the model is at fault. */
    GET_THE_MODEL_AGAIN,

    /** The app is too old for this model. */
    UPDATE_THE_APP,

    /** A new conversation is due. */
    BEGIN_ANEW,

    /** A lower precision works. */
    LOWER_THE_PRECISION,

    /** Opening the model again helps. */
    OPEN_AGAIN,

    /** A defect, of the app or of otaro. */
    REPORT,
}

/** What to tell the person; null where there is nothing to tell. */
internal fun OtaroException.problem(): Problem? = advice(kind)?.let { Problem(it, reason) }

/** What the person may do about an error; null where there is nothing to tell. */
internal fun advice(kind: ErrorKind): Advice? = when (kind) {
    ErrorKind.IO, ErrorKind.NOT_A_CHECKPOINT, ErrorKind.CORRUPT -> Advice.GET_THE_MODEL_AGAIN
    ErrorKind.UNSUPPORTED_VERSION, ErrorKind.UNSUPPORTED_MODEL -> Advice.UPDATE_THE_APP
    ErrorKind.MISSING_PLANES -> Advice.LOWER_THE_PRECISION
    ErrorKind.CONTEXT_FULL -> Advice.BEGIN_ANEW
    ErrorKind.DEVICE, ErrorKind.NO_ADAPTER -> Advice.OPEN_AGAIN
    // The app did that itself, and knows.
    ErrorKind.CANCELLED, ErrorKind.CLOSED -> null
    ErrorKind.TOKENIZER, ErrorKind.CHAT_TEMPLATE, ErrorKind.INVALID_WEIGHT, ErrorKind.INVALID_ARGUMENT,
    ErrorKind.NOT_FINITE, ErrorKind.SUSPENDED, ErrorKind.BUSY, ErrorKind.PANICKED, ErrorKind.OTHER,
    -> Advice.REPORT
}
