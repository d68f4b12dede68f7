package dev.otaro

import dev.otaro.ffi.OtaroException as FfiException

/**
 * Everything that fails in otaro.
 *
 * @property kind what to branch on.
 * @property reason what went wrong, where, and what to do, in a sentence for a person.
 * @property details the causes below it, one on a line; empty if there are none. For a log or a report.
 */
public class OtaroException internal constructor(
    public val kind: ErrorKind,
    public val reason: String,
    public val details: String,
    cause: Throwable? = null,
) : Exception(if (details.isEmpty()) reason else "$reason\n$details", cause)

/** What an app may want to tell apart. */
public enum class ErrorKind {
    /** A file could not be read: look at its path and at the storage. */
    IO,

    /** The file is not a packed model. */
    NOT_A_CHECKPOINT,

    /** The file is of a version of the format that this library does not read. */
    UNSUPPORTED_VERSION,

    /** The model is of an architecture, or has a feature, that this library does not run. */
    UNSUPPORTED_MODEL,

    /** The file is damaged: download it again. */
    CORRUPT,

    /** The file is a part of a model that does not hold the precision asked for (yet): take a lower one. */
    MISSING_PLANES,

    /** A weight that the format cannot hold; does not occur when models are run. */
    INVALID_WEIGHT,

    /** Text could not be turned into tokens or back: the model is at fault. */
    TOKENIZER,

    /** The chat template of the model failed, or refuses these messages. */
    CHAT_TEMPLATE,

    /** An argument is out of its range: a mistake of the app, which the reason names. */
    INVALID_ARGUMENT,

    /** The conversation is longer than the context: [Session.reset] it. */
    CONTEXT_FULL,

    /** The opening was cancelled. (A cancelled answer is no error.) */
    CANCELLED,

    /** No GPU, or none that can run the kernels: take the CPU. */
    NO_ADAPTER,

    /** The device failed: it was lost, ran out of memory or refused a command. Open the model again. */
    DEVICE,

    /** The model computed values that are not finite: report it. */
    NOT_FINITE,

    /** The model or the session was closed before. */
    CLOSED,

    /** The session is suspended: [Session.resume] it first. */
    SUSPENDED,

    /** The session is still at its last answer: collect it to its end, or cancel that. */
    BUSY,

    /** A defect of otaro, which was caught: report it with [Session.diagnostics]. */
    PANICKED,

    /** A kind that this version does not know; treat it as [PANICKED]. */
    OTHER,
}

/** Runs a call of the library; what it throws becomes an exception of this package. */
internal inline fun <T> translated(call: () -> T): T = try {
    call()
} catch (error: FfiException.Failed) {
    throw OtaroException(ErrorKind.valueOf(error.kind.name), error.reason, error.details, error)
}
