package dev.otaro

/**
 * The figures of a session at a moment. Times and rates are those of the computing: neither suspensions nor waits
 * for a slow collector count.
 */
public data class Metrics(
    /** The precision of the next token. */
    val mantissaBits: Int,
    /** The precision that the app wants; signals may hold the one above below it. */
    val wantedMantissaBits: Int,
    /** Whether the engine is at work on an answer; false means quiescent. */
    val generating: Boolean,
    /** Whether the session is suspended. */
    val suspended: Boolean,
    /** Tokens of the last prompt. */
    val promptTokens: Int,
    /** Of these, tokens that were in the KV cache already and cost nothing. */
    val reusedTokens: Int,
    /** Tokens of the last answer so far. */
    val generatedTokens: Int,
    /** Milliseconds from the request to the first token; 0 before it. */
    val firstTokenMs: Double,
    /** Tokens of the last prompt processed per second, reused ones not counted. */
    val prefillTokensPerSecond: Double?,
    /** Tokens of the last answer generated per second. */
    val decodeTokensPerSecond: Double?,
    /** How the last answer ended; null while it goes on. */
    val finishReason: FinishReason?,
    /** Tokens in the context. */
    val contextUsed: Int,
    /** Tokens that fit. */
    val contextLength: Int,
    /** Bytes of the KV cache. */
    val kvBytes: Long,
    /**
     * Bytes of weights in memory because passes needed them, of all sessions of the model. On the CPU these are pages
     * of the file, which the system takes back when it runs short.
     */
    val weightBytes: Long,
    /** Bytes of the whole process that no file stands behind; null where the system does not say. */
    val processAnonymousBytes: Long?,
    /** Bytes of the whole process with files behind it, such as the model. */
    val processFileBytes: Long?,
    /** The most bytes that the process has had. */
    val processPeakBytes: Long?,
    /** What the last signal led to, if there was one. */
    val lastDecision: String?,
)
