package dev.otaro

/** What the system says about the device. */
public sealed interface Signal {
    /** How scarce memory is. Forgotten 30 s after it was last heard of, as systems seldom say that it is over. */
    public data class Memory(
        /** The level. */
        val level: MemoryPressure,
    ) : Signal

    /** How hot the device is; until the system says otherwise. */
    public data class Thermal(
        /** The state. */
        val state: ThermalState,
    ) : Signal

    /** Whether the person asked to save the battery; until the system says otherwise. */
    public data class BatterySaver(
        /** Whether they did. */
        val on: Boolean,
    ) : Signal
}

/** How scarce memory is. */
public enum class MemoryPressure {
    /** There is enough. */
    NORMAL,

    /** It becomes scarce: two bits less, and planes above are given back. */
    MODERATE,

    /** The app may be ended soon: the lowest precision, and planes above are given back. */
    CRITICAL,
}

/** How hot the device is. */
public enum class ThermalState {
    /** Not at all. */
    NOMINAL,

    /** Slightly: one bit less. */
    FAIR,

    /** The system slows down: two bits less. */
    SERIOUS,

    /** It must cool down: the lowest precision. */
    CRITICAL,
}

/** What a signal led to. */
public data class Decision(
    /** The precision of the next token. */
    val mantissaBits: Int,
    /** Whether it is another one than before. */
    val changed: Boolean,
    /** Whether planes above it were given back. */
    val trimmed: Boolean,
    /** Why, in a sentence for a log. */
    val reason: String,
)
