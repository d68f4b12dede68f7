package dev.otaro

import dev.otaro.ffi.OpenTask
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import dev.otaro.ffi.buildInfo as ffiBuildInfo
import dev.otaro.ffi.diagnostics as ffiDiagnostics
import dev.otaro.ffi.open as ffiOpen
import dev.otaro.ffi.preflight as ffiPreflight

/**
 * Where everything begins: look at a model file with [preflight], open it with [open].
 *
 * ```
 * val model = Otaro.open(ModelSource.Path(path)) { progress -> show(progress) }
 * val session = model.session()
 * session.ask("Hello!").collect { batch -> append(batch.text) }
 * ```
 *
 * Whatever fails throws [OtaroException]; branch on its [kind][OtaroException.kind].
 */
public object Otaro {
    /** Which library this is. Loads it the first time it is asked for: not on the main thread. */
    public val buildInfo: BuildInfo by lazy { ffiBuildInfo().toApi() }

    /**
     * One block of text for a bug report where no model could be opened: library, processor, memory. Loads the
     * library the first time: not on the main thread. Touches no GPU.
     */
    public fun diagnostics(): String = translated { ffiDiagnostics() }

    /**
     * Says what a model will take, and which precision fits, before it is opened. Reads the header of the file
     * and nothing beyond it, on [Dispatchers.IO]; takes milliseconds.
     *
     * @throws OtaroException `IO`, `NOT_A_CHECKPOINT`, `UNSUPPORTED_VERSION`, `UNSUPPORTED_MODEL`, `CORRUPT`;
     * `INVALID_ARGUMENT` for a context of no tokens or of more than the model was made for.
     */
    public suspend fun preflight(
        source: ModelSource,
        options: PreflightOptions = PreflightOptions(),
    ): Preflight = withContext(Dispatchers.IO) {
        translated { ffiPreflight(source.toFfi(), options.toFfi()) }.toApi()
    }

    /**
     * Opens a model, on a thread of the library. Cancelling the coroutine ends the opening at its next step and
     * leaves nothing behind. A descriptor in [source] may be closed once this has returned or thrown.
     *
     * @param onProgress hears how far it is, in the context of the caller; on the main thread, if that called.
     * @throws OtaroException `IO`, `NOT_A_CHECKPOINT`, `UNSUPPORTED_VERSION`, `UNSUPPORTED_MODEL`, `CORRUPT`,
     * `MISSING_PLANES`, `TOKENIZER`, `CHAT_TEMPLATE`, `NO_ADAPTER`, `DEVICE`, `INVALID_ARGUMENT`.
     */
    public suspend fun open(
        source: ModelSource,
        options: OpenOptions = OpenOptions(),
        onProgress: (OpenProgress) -> Unit = {},
    ): Model {
        // The first call loads the library, which takes a while.
        val task = madeOn(Dispatchers.IO) { translated { ffiOpen(source.toFfi(), options.toFfi()) } }
        return task.use { it.await(onProgress) }
    }

    /** Whoever leaves early, cancelled or not, closes the task, and that cancels it. */
    private suspend fun OpenTask.await(onProgress: (OpenProgress) -> Unit): Model {
        while (true) {
            val progress = nextProgress() ?: break
            onProgress(progress.toApi())
        }
        return Model(translated { model() })
    }
}

/** Which library this is. */
public data class BuildInfo(
    /** The version, as in `0.1.0`. */
    val version: String,
    /** The git revision that it was built from, with `-dirty` if files were changed; `unknown` outside of a checkout. */
    val revision: String,
    /** The system and the processor that it was built for, as Rust calls them. */
    val target: String,
    /** `release` or `debug`. */
    val profile: String,
)
