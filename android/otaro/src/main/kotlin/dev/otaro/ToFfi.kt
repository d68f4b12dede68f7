// What crosses the border inwards. The library counts in unsigned numbers, Kotlin apps in `Int` and `Long`.
package dev.otaro

import dev.otaro.ffi.ChatMessage as FfiChatMessage
import dev.otaro.ffi.DeviceChoice as FfiDeviceChoice
import dev.otaro.ffi.GenerationOptions as FfiGenerationOptions
import dev.otaro.ffi.KvFormat as FfiKvFormat
import dev.otaro.ffi.MemoryPressure as FfiMemoryPressure
import dev.otaro.ffi.ModelSource as FfiModelSource
import dev.otaro.ffi.OpenOptions as FfiOpenOptions
import dev.otaro.ffi.PreflightOptions as FfiPreflightOptions
import dev.otaro.ffi.Role as FfiRole
import dev.otaro.ffi.SamplerOptions as FfiSamplerOptions
import dev.otaro.ffi.SessionOptions as FfiSessionOptions
import dev.otaro.ffi.Signal as FfiSignal
import dev.otaro.ffi.ThermalState as FfiThermalState

internal fun ModelSource.toFfi(): FfiModelSource = when (this) {
    is ModelSource.Path -> FfiModelSource.Path(path.wellFormed())
    is ModelSource.Descriptor ->
        FfiModelSource.Descriptor(descriptor, offset.unsigned("offset"), length?.unsigned("length"))
}

internal fun OpenOptions.toFfi() = FfiOpenOptions(
    device = FfiDeviceChoice.valueOf(device.name),
    threads = threads?.unsigned("threads"),
    kvFormat = FfiKvFormat.valueOf(kvFormat.name),
    prepareMantissaBits = prepareMantissaBits?.unsigned("prepareMantissaBits"),
    verify = verify,
    stateFolder = stateFolder?.wellFormed(),
)

internal fun PreflightOptions.toFfi() = FfiPreflightOptions(
    contextLength = contextLength?.unsigned("contextLength"),
    device = FfiDeviceChoice.valueOf(device.name),
    kvFormat = FfiKvFormat.valueOf(kvFormat.name),
    threads = threads?.unsigned("threads"),
    freeBytes = freeBytes?.unsigned("freeBytes"),
)

internal fun SessionOptions.toFfi() = FfiSessionOptions(
    mantissaBits = mantissaBits.unsigned("mantissaBits"),
    minMantissaBits = minMantissaBits.unsigned("minMantissaBits"),
    maxMantissaBits = maxMantissaBits.unsigned("maxMantissaBits"),
    contextLength = contextLength?.unsigned("contextLength"),
    messages = messages.map(ChatMessage::toFfi),
)

internal fun ChatMessage.toFfi() = FfiChatMessage(FfiRole.valueOf(role.name), content.wellFormed())

internal fun GenerationOptions.toFfi() = FfiGenerationOptions(
    maxTokens = maxTokens.unsigned("maxTokens"),
    stop = stop.map(String::wellFormed),
    sampler = sampler.toFfi(),
    ignoreEos = ignoreEos,
)

private fun SamplerOptions.toFfi() = FfiSamplerOptions(
    temperature = temperature,
    topK = topK.unsigned("topK"),
    topP = topP,
    minP = minP,
    repetitionPenalty = repetitionPenalty,
    repetitionWindow = repetitionWindow.unsigned("repetitionWindow"),
    // Any 64 bits are a seed.
    seed = seed?.toULong(),
)

internal fun Signal.toFfi(): FfiSignal = when (this) {
    is Signal.Memory -> FfiSignal.Memory(FfiMemoryPressure.valueOf(level.name))
    is Signal.Thermal -> FfiSignal.Thermal(FfiThermalState.valueOf(state.name))
    is Signal.BatterySaver -> FfiSignal.BatterySaver(on)
}

/** Half of a character outside of the basic plane, without its other half: UTF-8 has no bytes for it. */
private val HALF = Regex("\\p{Cs}")

/** The text with U+FFFD for every half of a character, which a text cut at any place may begin or end with. */
internal fun String.wellFormed(): String = replace(HALF, "\uFFFD")

/** A number that counts something; below zero it would wrap to a huge one. */
internal fun Int.unsigned(what: String): UInt = if (this >= 0) toUInt() else throw negative(what, toLong())

private fun Long.unsigned(what: String): ULong = if (this >= 0) toULong() else throw negative(what, this)

private fun negative(what: String, value: Long) =
    OtaroException(ErrorKind.INVALID_ARGUMENT, "$what must not be negative, and it is $value", "")
