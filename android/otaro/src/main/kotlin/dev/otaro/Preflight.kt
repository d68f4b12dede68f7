package dev.otaro

/** What [Otaro.preflight] is asked. */
public data class PreflightOptions(
    /** Tokens of context that will be used; what the model was made for by default. */
    val contextLength: Int? = null,
    /** Where the model is to run. [DeviceChoice.AUTO] counts with a GPU, which takes more. */
    val device: DeviceChoice = DeviceChoice.AUTO,
    /** The format of the KV cache on the CPU. */
    val kvFormat: KvFormat = KvFormat.F16,
    /** Threads of the CPU; as many as there are fast cores by default. */
    val threads: Int? = null,
    /**
     * Bytes that are free, if the app knows better than the system: a budget, or `freeBytes` of
     * `dev.otaro.android`, which counts as Android does.
     */
    val freeBytes: Long? = null,
)

/** What a model will take, and what fits. */
public data class Preflight(
    /** What each precision takes, lowest first. */
    val needs: List<PrecisionNeed>,
    /** What is free; null where the system does not say. */
    val free: FreeMemory?,
    /** Tokens of context that were counted with. */
    val contextLength: Int,
    /** The highest precision that the file holds and that fits; null if none does. */
    val highestMantissaBits: Int?,
    /** All of that in a sentence. */
    val summary: String,
)

/** What a precision takes: all in bytes, with the whole context in use. */
public data class PrecisionNeed(
    /** The precision. */
    val mantissaBits: Int,
    /** Whether the file holds its planes. */
    val inFile: Boolean,
    /** Pages of the file that a token reads. They are clean: the system takes them back when it runs short. */
    val mappedBytes: Long,
    /** The KV cache; on a GPU it is part of [gpuBytes] instead. */
    val kvBytes: Long,
    /** Activations, and what threads need. */
    val scratchBytes: Long,
    /** The tokenizer and the chat template. */
    val textBytes: Long,
    /** Planes, KV cache and activations on a GPU, and the device itself. */
    val gpuBytes: Long,
    /** All of that, as far as it counts against what is free. */
    val countedBytes: Long,
    /** Whether that fits; true where it is not known what is free. */
    val fits: Boolean,
)

/** What is free. */
public data class FreeMemory(
    /** In bytes. */
    val bytes: Long,
    /** Who says so. */
    val source: FreeMemorySource,
)

/** Who says what is free. */
public enum class FreeMemorySource {
    /** The app gave the figure. */
    APP,

    /** The system's estimate of what can be taken without swapping. */
    SYSTEM,

    /** What the control group of this process has left. */
    CONTROL_GROUP,

    /** What the system lets this process take. */
    PROCESS_LIMIT,
}
