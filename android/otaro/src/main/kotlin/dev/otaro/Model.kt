package dev.otaro

import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import dev.otaro.ffi.Model as FfiModel

/**
 * An opened model. Its sessions share the weights.
 *
 * Every method may be called from any thread at any time. After [close] all but [close] throw `CLOSED`.
 */
public class Model internal constructor(model: FfiModel) : AutoCloseable {
    private val handle = Handle(model, "model", FfiModel::end)

    /**
     * A session with an empty context, on a thread of its own. Makes the buffers of the device, on
     * [Dispatchers.IO].
     *
     * @throws OtaroException `INVALID_ARGUMENT` for options out of range, `MISSING_PLANES`, `CHAT_TEMPLATE`,
     * `DEVICE`, `CLOSED`.
     */
    public suspend fun session(options: SessionOptions = SessionOptions()): Session =
        madeOn(Dispatchers.IO) { handle.call { Session(it.session(options.toFfi())) } }

    /**
     * What the model is. Looks at the file, on [Dispatchers.IO].
     *
     * @throws OtaroException `IO`; `MISSING_PLANES` when the file was cut meanwhile; `CLOSED`.
     */
    public suspend fun info(): ModelInfo =
        withContext(Dispatchers.IO) { handle.call { it.info() }.toApi() }

    /**
     * Gives back the memory of planes above a precision, 3 to 8. Sessions stay usable at any precision: what they
     * need is read or uploaded again. Returns at once.
     *
     * @throws OtaroException `INVALID_ARGUMENT`, `CLOSED`.
     */
    public fun trim(mantissaBits: Int): Unit =
        handle.call { it.trim(mantissaBits.unsigned("mantissaBits")) }

    /**
     * One block of text for a bug report.
     *
     * @throws OtaroException `CLOSED`.
     */
    public fun diagnostics(): String = handle.call { it.diagnostics() }

    /** Lets go of the model. Does no harm twice. Sessions go on until they are closed themselves. */
    override fun close(): Unit = handle.close()
}

/** What a model is. */
public data class ModelInfo(
    /** Bytes of the whole file, whether or not all of it is there. */
    val fileBytes: Long,
    /** Weights of its matrices. */
    val weights: Long,
    /** Layers. */
    val layers: Int,
    /** Tokens of the vocabulary. */
    val vocabSize: Int,
    /** Tokens of context that the model was made for. */
    val contextLength: Int,
    /** Whether it has a chat template; otherwise it only continues text. */
    val hasChatTemplate: Boolean,
    /** The highest precision that the file holds now. */
    val maxMantissaBits: Int,
    /** Which device answers. */
    val device: String,
    /** Whether that is a GPU. */
    val onGpu: Boolean,
    /** Why this device answers, where the choice was left to otaro. */
    val deviceReason: String?,
    /** Where the weights come from. */
    val provenance: String,
)
