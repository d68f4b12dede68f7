package dev.otaro

/** Where a model is. */
public sealed interface ModelSource {
    /** A file of its own. */
    public data class Path(
        /** Its path. */
        val path: String,
    ) : ModelSource

    /**
     * A part of an open file: an Android asset that is stored uncompressed, a document of another app.
     * `dev.otaro.android` has `openModel` for both.
     */
    public data class Descriptor(
        /** A file descriptor of this process. It is duplicated when the model is opened: close yours after that. */
        val descriptor: Int,
        /** Where the model begins, in bytes: a multiple of 4. */
        val offset: Long = 0,
        /** Bytes of the model; to the end of the file by default. */
        val length: Long? = null,
    ) : ModelSource
}

/** Which device is to answer. */
public enum class DeviceChoice {
    /** The fastest one that computes what it should, found by a short trial. */
    AUTO,

    /** The processor. */
    CPU,

    /** A graphics adapter; `NO_ADAPTER` when there is none. */
    GPU,
}

/** In which numbers the CPU keeps keys and values. */
public enum class KvFormat {
    /** Half precision. */
    F16,

    /** Eight bits: half the memory, a little noise. */
    INT8,
}

/** How a model is opened. */
public data class OpenOptions(
    /** Which device is to answer. */
    val device: DeviceChoice = DeviceChoice.AUTO,
    /** Threads of the CPU; as many as there are fast cores by default. */
    val threads: Int? = null,
    /** The format of the KV cache on the CPU. */
    val kvFormat: KvFormat = KvFormat.F16,
    /** The precision, 3 to 8, whose planes are made ready ahead of the first token; none by default. */
    val prepareMantissaBits: Int? = null,
    /** Whether every byte is compared with its hash first, which reads the whole file. */
    val verify: Boolean = false,
    /**
     * A folder of the app that is kept between starts, as `Context.filesDir`: a GPU driver that ends the process at
     * its first try is found out by it at the next start, which then is on the CPU.
     */
    val stateFolder: String? = null,
)

/** What is being done while a model is opened, in this order. */
public enum class OpenStage {
    /** The header and the exponents are read and checked. */
    CHECKING,

    /** Every section is hashed, if that was asked for. */
    VERIFYING,

    /** The tokenizer is read. */
    TEXT,

    /** The device is opened and, where it is to be chosen, tried. */
    DEVICE,

    /** Planes are made ready, if that was asked for. */
    WEIGHTS,

    /** Done. */
    READY,
}

/** How far the opening of a model is. */
public data class OpenProgress(
    /** What is being done. */
    val stage: OpenStage,
    /** The share of that stage which is done, 0 to 1. */
    val fraction: Double,
)
