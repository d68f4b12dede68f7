package dev.otaro

/** How a session begins. */
public data class SessionOptions(
    /** The precision that is wanted, 3 to 8. */
    val mantissaBits: Int = 6,
    /** The lowest precision that signals may choose. */
    val minMantissaBits: Int = 3,
    /** The highest precision that may be wanted. */
    val maxMantissaBits: Int = 8,
    /** The most tokens of the context, which bounds the KV cache; what the model was made for by default. */
    val contextLength: Int? = null,
    /**
     * The messages that the conversation begins with: a system message, or an earlier conversation, which then ends
     * with an answer. Only for models with a chat template.
     */
    val messages: List<ChatMessage> = emptyList(),
)

/** One message of a conversation. */
public data class ChatMessage(
    /** Who says it. */
    val role: Role,
    /** What is said. */
    val content: String,
)

/** Who says a message. */
public enum class Role {
    /** Instructions to the model. */
    SYSTEM,

    /** The person. */
    USER,

    /** The model. */
    ASSISTANT,
}

/** When an answer ends, and how its tokens are chosen. */
public data class GenerationOptions(
    /** The most tokens to generate. */
    val maxTokens: Int = 1024,
    /** Texts that end the answer; they are not part of it. None may be empty. */
    val stop: List<String> = emptyList(),
    /** How tokens are chosen. */
    val sampler: SamplerOptions = SamplerOptions(),
    /** Goes on past the tokens with which the model ends an answer. */
    val ignoreEos: Boolean = false,
)

/** How the next token is chosen. */
public data class SamplerOptions(
    /** 0 to 100: 0 always takes the best token, 1 the model's own distribution. */
    val temperature: Float = 0.7f,
    /** Only the so many best tokens; 0 is all. */
    val topK: Int = 0,
    /** Only the best tokens that together reach this probability, above 0 to 1; 1 is all. */
    val topP: Float = 0.9f,
    /** Only tokens at least so probable, relative to the best, 0 to 1; 0 is all. */
    val minP: Float = 0.0f,
    /** Makes recent tokens less probable, 0.1 to 10; 1 is off. */
    val repetitionPenalty: Float = 1.0f,
    /** How many recent tokens the penalty looks at, the prompt included. */
    val repetitionWindow: Int = 256,
    /** Where the random numbers begin; the same seed gives the same answer. Another one each time by default. */
    val seed: Long? = null,
)

/** Some tokens of an answer: those of 20 to 50 ms, and the first one by itself. */
public data class TokenBatch(
    /** The text that they complete: whole characters; empty while a character or a stop text is in the making. */
    val text: String,
    /** Their ids, in order; empty in a batch that only brings the end. */
    val tokenIds: List<Int>,
    /** The precision that all of them were computed with. */
    val mantissaBits: Int,
    /** Why the answer ended, in its last batch; null before. */
    val finishReason: FinishReason?,
)

/** Why an answer ended. */
public enum class FinishReason {
    /** The model ended it. */
    END_OF_TEXT,

    /** A stop text appeared. */
    STOP_STRING,

    /** As many tokens as were asked for. */
    MAX_TOKENS,

    /** The context is full. */
    CONTEXT_FULL,

    /** It was cancelled, by [Session.reset] for one. */
    CANCELLED,
}
